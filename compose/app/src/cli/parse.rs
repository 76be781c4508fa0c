//! The command line of a program that adds nothing to what every program has.

use clap::{CommandFactory as _, FromArgMatches as _, Parser};

use super::{
    command::Commands,
    help::{GROUPS, of},
};
use crate::{
    app::{App, NoFlags},
    settings::Settings,
};

/// Sagas and services over NATS JetStream and Postgres, with Amends.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Commands<NoFlags>,
}

/// What was asked for, and the whole command line.
pub(crate) type Parsed = (Settings, Commands<NoFlags>, clap::Command);

/// The command line, or the end of the process with help or what is wrong with it.
pub(crate) fn parse(app: &App) -> Parsed {
    let whole = command(app);
    let matches = whole.clone().get_matches();
    let Cli { settings, command } = Cli::from_arg_matches(&matches).unwrap_or_else(|e| e.exit());
    (settings, command, whole)
}

fn command(app: &App) -> clap::Command {
    of(app, Cli::command(), GROUPS)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_sound() {
        super::command(&super::App::new("shop")).debug_assert();
    }
}

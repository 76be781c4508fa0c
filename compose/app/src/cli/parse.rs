//! The command line of a program that adds nothing to what every program has.

use clap::{CommandFactory as _, FromArgMatches as _, Parser};

use super::{
    command::Commands,
    help::{ENVIRONMENT, GROUPS, with_groups, with_services},
    matches::matches,
};
use crate::{
    app::{App, NoFlags},
    complaint::end_usage,
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

/// Commands to try a program with.
const TRY: (&str, &[&str]) = ("Try it", &["dev"]);

/// What was asked for.
pub(crate) type Parsed = (Settings, Commands<NoFlags>);

/// The command line; or the end of the process, with help or with the mistake.
pub(crate) fn parse(app: &App) -> Parsed {
    let matches = matches(command(app));
    let Cli { settings, command } =
        Cli::from_arg_matches(&matches).unwrap_or_else(|error| end_usage(&error));
    (settings, command)
}

/// The whole command line.
pub(crate) fn command(app: &App) -> clap::Command {
    let command = Cli::command().name(app.name()).after_help(ENVIRONMENT);
    with_groups(with_services(command, app), std::iter::once(TRY).chain(GROUPS))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_sound() {
        super::command(&super::App::new("shop")).debug_assert();
    }
}

//! The command line: the commands of every program, and those to try it with.

use amends_app::{
    App, Commands, ENVIRONMENT, GROUPS, Settings, matches, with_groups, with_services,
};
use amends_bench::{BenchArgs, BenchOrchestratorArgs, BenchWorkersArgs};
use amends_demo::DemoArgs;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::{examples::Stock, new::NewArgs};

/// Runs distributed transactions across services as sagas, over NATS JetStream and Postgres.
#[derive(Debug, Parser)]
#[command(name = "amends", version, after_help = ENVIRONMENT)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) settings: Settings,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a cargo project with a saga of your own, its service and its tests
    New(NewArgs),
    /// Run 1,000 orders or 300 trips through private servers, kill parts of it on the way, and check
    /// the result
    Demo(DemoArgs),
    /// Measure how many sagas go through, beside the limits of JetStream and Postgres
    Bench(BenchArgs),
    #[command(hide = true, about = None, long_about = None)]
    BenchOrchestrator(BenchOrchestratorArgs),
    #[command(hide = true, about = None, long_about = None)]
    BenchWorkers(BenchWorkersArgs),
    #[command(flatten)]
    Every(Commands<Stock>),
}

/// Commands to try it with.
const TRY: (&str, &[&str]) = ("Try it", &["new", "demo", "dev", "bench"]);

/// Each command stands in one of them.
fn groups() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    std::iter::once(TRY).chain(GROUPS)
}

/// The command line, or the end of the process with help or what is wrong with it.
pub(crate) fn parse(app: &App) -> Cli {
    let matches = matches(command(app));
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

pub(crate) fn command(app: &App) -> clap::Command {
    with_groups(with_services(Cli::command(), app), groups())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::app;

    #[test]
    fn the_command_line_is_sound() {
        command(&app()).debug_assert();
    }

    #[test]
    fn each_command_stands_in_one_group() {
        let mut grouped: Vec<_> = groups().flat_map(|(_, names)| names).copied().collect();
        let command = Cli::command();
        let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
        let mut all: Vec<_> = shown.map(clap::Command::get_name).collect();
        grouped.sort_unstable();
        all.sort_unstable();
        assert_eq!(grouped, all);
    }

    #[test]
    fn help_names_each_variable() {
        let mut command = command(&app());
        let help = command.render_help().to_string();
        for (heading, _) in groups() {
            assert!(help.contains(&format!("\n{heading}:\n")), "{help}");
        }
        let mut variables = Vec::new();
        for one in std::iter::once(&command).chain(command.get_subcommands()) {
            variables.extend(one.get_arguments().filter_map(clap::Arg::get_env));
        }
        for variable in variables {
            let variable = variable.to_string_lossy();
            assert!(help.contains(&*variable), "{variable} is not in:\n{help}");
        }
    }
}

//! The command line: the commands of every program, and those to try it with.

use amends_app::{Commands, GROUPS, Settings, with_groups};
use amends_bench::{BenchArgs, BenchOrchestratorArgs, BenchWorkersArgs};
use amends_demo::DemoArgs;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::examples::{SERVICES, Stock};

/// Runs distributed transactions across services as sagas, over NATS JetStream and Postgres.
#[derive(Debug, Parser)]
#[command(name = "amends", version, after_help = AFTER)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) settings: Settings,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
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

const AFTER: &str = "Environment:
  DATABASE_URL, NATS_URL, NATS_CREDS, NATS_USER, NATS_PASSWORD_FILE, NATS_TOKEN_FILE,
  NATS_LOGIN_TIMEOUT, AMENDS_LOG_FORMAT
                           the options above
  AMENDS_HTTP              orchestrator, worker, dev: where to serve /livez, /readyz and /metrics
  AMENDS_LANES             orchestrator: batches that are committed side by side; default 2
  AMENDS_STREAM_BYTES_MAX  orchestrator: largest size of each stream that is created; default 2 GiB
  AMENDS_STREAM_REPLICAS   orchestrator: replicas of each stream that is created; default 1
  AMENDS_RETAIN            orchestrator, dev: how long sagas are kept, e.g. 30d; default for ever
  <SERVICE>_DATABASE_URL   worker: the database of one service, e.g. INVENTORY_DATABASE_URL; default
                           DATABASE_URL
  AMENDS_DATA              dev: where the data is kept
  AMENDS_POSTGRES_BIN      demo, dev, bench: the folder of the postgres and initdb programs to use
  AMENDS_NATS_SERVER       demo, dev, bench: the nats-server program to use
  AMENDS_CACHE             demo, dev, bench: where servers are installed that the machine does not have
  RUST_LOG                 which log lines to print, e.g. info,amends_orchestrator=debug

Exit status: 0 done, 1 failed, 2 wrong command line.";

/// Commands to try it with.
const TRY: (&str, &[&str]) = ("Try it", &["demo", "dev", "bench"]);

/// Each command stands in one of them.
fn groups() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    std::iter::once(TRY).chain(GROUPS)
}

/// The command line, or the end of the process with help or what is wrong with it.
pub(crate) fn parse() -> Cli {
    let matches = command().get_matches();
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

fn command() -> clap::Command {
    let command = Cli::command().mut_subcommand("worker", |worker| {
        worker.mut_arg("services", |services| services.help(SERVICES))
    });
    with_groups(command, groups())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
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
        let mut command = command();
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

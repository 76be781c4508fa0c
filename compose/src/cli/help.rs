//! `--help`: commands in groups, by who needs them.

use clap::{CommandFactory as _, FromArgMatches as _};

use super::Cli;

pub(super) const AFTER: &str = "Environment:
  DATABASE_URL, NATS_URL, NATS_CREDS, AMENDS_LOG_FORMAT
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

/// Each command stands in one of them.
const GROUPS: [(&str, &[&str]); 6] = [
    ("Try it", &["demo", "dev", "bench"]),
    ("Run it", &["orchestrator", "worker", "migrate"]),
    ("Before a deploy", &["check", "graph", "plan"]),
    ("Look", &["list", "show", "top"]),
    ("Act", &["start", "retry", "skip", "resolve", "reply", "cancel", "pause", "resume"]),
    ("Keep house", &["letters", "locks", "break-lock", "definitions", "retire", "reinstate"]),
];

/// The command line, or the end of the process with help or what is wrong with it.
pub(crate) fn parse() -> Cli {
    let matches = command().get_matches();
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

fn command() -> clap::Command {
    let command = Cli::command();
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{}Options:\n{{options}}{{after-help}}",
        commands(&command)
    );
    command.help_template(template)
}

fn commands(command: &clap::Command) -> String {
    let width = command.get_subcommands().map(|c| c.get_name().len()).max().unwrap_or(0);
    let mut text = String::new();
    for (heading, names) in GROUPS {
        text += &format!("{heading}:\n");
        for name in names {
            let about = command.find_subcommand(name).and_then(clap::Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            text += &format!("  {name:width$}  {about}\n");
        }
        text += "\n";
    }
    text
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
        let mut grouped: Vec<_> =
            GROUPS.into_iter().flat_map(|(_, names)| names).copied().collect();
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
        for heading in GROUPS.map(|(heading, _)| heading) {
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

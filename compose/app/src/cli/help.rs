//! `--help`: commands in groups, by who needs them, and what the environment may say.

use clap::Command;

use crate::app::App;

/// A heading, and the commands below it.
type Group<'a> = (&'a str, &'a [&'a str]);

/// The groups of the commands that every program has, beside those to try it with.
pub const GROUPS: [Group<'static>; 6] = [
    ("Run it", &["orchestrator", "worker", "all", "migrate"]),
    ("Before a deploy", &["check", "graph", "plan", "nats-config"]),
    ("Look", &["list", "show", "top", "doctor"]),
    ("Act", &["start", "retry", "skip", "resolve", "reply", "cancel", "pause", "resume"]),
    (
        "Maintain",
        &["letters", "locks", "break-lock", "definitions", "retire", "reinstate", "audit"],
    ),
    ("Install", &["completions", "man"]),
];

/// What `--help` ends with.
pub const ENVIRONMENT: &str = "Environment:
  DATABASE_URL, NATS_URL, NATS_CREDS, NATS_NKEY, NATS_USER, NATS_PASSWORD_FILE, NATS_TOKEN_FILE,
  NATS_CA, NATS_CERT, NATS_KEY, NATS_INBOX_PREFIX, NATS_LOGIN_TIMEOUT, AMENDS_REQUIRE_TLS,
  AMENDS_LOG_FORMAT
                           the options above
  AMENDS_HTTP              orchestrator, worker, all, dev: where to serve /livez, /readyz and /metrics
  AMENDS_LANES             orchestrator, all: batches that are committed side by side; default 2
  AMENDS_ADMISSION_MAX     orchestrator, all: busy sagas of a definition before its triggers wait; default 512
  AMENDS_STREAM_BYTES_MAX  orchestrator, all, doctor: largest size of each stream that is created; default 2 GiB
  AMENDS_STREAM_REPLICAS   orchestrator, all, doctor: replicas of each stream that is created; default 1
  AMENDS_RETAIN            orchestrator, all, dev: how long sagas are kept, e.g. 30d; default for ever
  NATS_MONITOR             doctor: the monitoring of a nats-server, e.g. http://host:8222
  <SERVICE>_DATABASE_URL   worker, all, migrate, doctor: the database of one service, e.g. INVENTORY_DATABASE_URL;
                           default DATABASE_URL
  PGPASSWORD, PGPASSFILE   the password of a database whose URL has none, and a file with one for each
  AMENDS_DATA              dev: where the data is kept
  AMENDS_POSTGRES_BIN      private servers: the folder of the postgres and initdb programs to use
  AMENDS_NATS_SERVER       private servers: the nats-server program to use
  AMENDS_CACHE             private servers: where they are installed if the machine does not have them
  RUST_LOG                 which log lines to print, e.g. info,amends_orchestrator=debug

Exit status: 0 done, 1 failed, 2 wrong command line.
The reason is on standard error: a line or, with --json, an object with `error` and `exit_code`.";

/// The same command line, its help of roles with the names of the program's services.
#[must_use]
pub fn with_services(command: Command, app: &App) -> Command {
    let services = app.service_names().collect::<Vec<_>>().join(", ");
    let services = if services.is_empty() { "this program has none".to_owned() } else { services };
    command.mut_subcommand("worker", |worker| {
        worker.mut_arg("services", |arg| arg.help(format!("The services to serve: {services}")))
    })
}

/// The same command line, its `--help` with commands in these groups.
#[must_use]
pub fn with_groups<'a>(command: Command, groups: impl IntoIterator<Item = Group<'a>>) -> Command {
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{}Options:\n{{options}}{{after-help}}",
        list(&command, groups)
    );
    command.help_template(template)
}

fn list<'a>(command: &Command, groups: impl IntoIterator<Item = Group<'a>>) -> String {
    let width = command.get_subcommands().map(|c| c.get_name().len()).max().unwrap_or(0);
    let mut text = String::new();
    for (heading, names) in groups {
        text += &format!("{heading}:\n");
        for name in names {
            let about = command.find_subcommand(name).and_then(Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            text += &format!("  {name:width$}  {about}\n");
        }
        text += "\n";
    }
    text
}

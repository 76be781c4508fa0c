//! The commands and their flags.

mod bench;
mod deploy;
mod help;
mod operate;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use bench::{BenchArgs, BenchOrchestratorArgs, BenchWorkersArgs};
pub(crate) use deploy::{CheckArgs, GraphArgs, GraphFormat, PlanArgs};
pub(crate) use help::parse;
pub(crate) use operate::{
    BreakLockArgs, CancelArgs, DefinitionsArgs, LetterActArgs, LetterArgs, LettersArgs,
    LettersCommand, ListArgs, LocksArgs, Many, ReplyArgs, ResolveArgs, SkipArgs, StartArgs,
    TopArgs, VersionArgs, WholeArgs,
};

use crate::demo::Example;

/// Runs distributed transactions across services as sagas, over NATS JetStream and Postgres.
#[derive(Debug, Parser)]
#[command(name = "amends", version, after_help = help::AFTER)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) settings: Settings,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command has comes after what it has for itself.
const LAST: usize = 900;

#[derive(Debug, Clone, Args)]
pub(crate) struct Settings {
    /// Postgres of the orchestrator, and of services that have none of their own
    #[arg(long, env = "DATABASE_URL", global = true, display_order = LAST, hide_env_values = true)]
    pub(crate) database_url: Option<String>,
    /// NATS servers, separated by commas
    #[arg(long, env = "NATS_URL", global = true, display_order = LAST, hide_env_values = true)]
    pub(crate) nats_url: Option<String>,
    /// File with the NATS user's credentials
    #[arg(long, env = "NATS_CREDS", global = true, display_order = LAST, value_name = "FILE")]
    pub(crate) nats_creds: Option<PathBuf>,
    /// How log lines look
    #[arg(long, env = "AMENDS_LOG_FORMAT", global = true, display_order = LAST, default_value = "text")]
    pub(crate) log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run 1,000 orders or 300 trips through private servers, kill parts of it on the way, and check
    /// the result
    Demo(DemoArgs),
    /// Keep private servers, orchestrator and example services running, with data in a folder
    Dev(DevArgs),
    /// Run an orchestrator; any number of replicas may run
    Orchestrator(OrchestratorArgs),
    /// Run one or several of the example services in one process
    Worker(WorkerArgs),
    /// Measure how many sagas go through, beside the limits of JetStream and Postgres
    Bench(BenchArgs),
    #[command(hide = true)]
    BenchOrchestrator(BenchOrchestratorArgs),
    #[command(hide = true)]
    BenchWorkers(BenchWorkersArgs),
    /// Create or update the schema `amends`, or a participant's `amends_barrier`
    Migrate(MigrateArgs),
    /// Check that the definitions are sound and every step has a handler; print their plans
    Check(CheckArgs),
    /// Draw a definition's plan
    Graph(GraphArgs),
    /// Compare this program's definitions with the database: is it safe to deploy?
    Plan(PlanArgs),
    /// List sagas, newest first
    List(ListArgs),
    /// Tell one saga from its start
    Show(ShowArgs),
    /// Watch what goes on: sagas, rates, what is stuck, what stands in the world
    Top(TopArgs),
    /// Start a saga without a message
    Start(StartArgs),
    /// Repeat now what was given up or waits to be repeated, with fresh patience
    Retry(WholeArgs),
    /// Go on without this compensation, or without this step after the pivot
    Skip(SkipArgs),
    /// Say how a step ended that nobody else can answer for
    Resolve(ResolveArgs),
    /// Give the answer that a service deferred
    Reply(ReplyArgs),
    /// Turn a saga back: undo what was done
    Cancel(CancelArgs),
    /// Send nothing more for a saga until it is resumed
    Pause(WholeArgs),
    /// Let a paused saga go on
    Resume(WholeArgs),
    /// List messages that could not be used; show, replay or discard one
    Letters(LettersArgs),
    /// List who holds which lock, and who waits for it
    Locks(LocksArgs),
    /// Take a lock from the saga that holds it, which goes on without
    BreakLock(BreakLockArgs),
    /// List the versions of all definitions that ever ran here
    Definitions(DefinitionsArgs),
    /// Let a version of a definition start no more sagas; those that it began end under it
    Retire(VersionArgs),
    /// Let a retired version start sagas again
    Reinstate(VersionArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Which example to run
    #[arg(long, default_value = "order")]
    pub(crate) example: Example,
    /// How many to generate [default: 1000 orders, 300 trips]
    #[arg(long, visible_alias = "trips", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) orders: Option<u32>,
    /// Publish these orders or trips instead: JSON lines, - for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "orders")]
    pub(crate) input: Option<PathBuf>,
    /// Keep the data in this folder, and the servers' logs
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// Where the data is kept [default: ~/.local/share/amends/dev, as root /var/lib/amends/dev]
    #[arg(long, value_name = "DIR", env = "AMENDS_DATA")]
    pub(crate) data: Option<PathBuf>,
    /// Serve /livez, /readyz and /metrics here
    #[arg(long, value_name = "ADDR", env = "AMENDS_HTTP")]
    pub(crate) http: Option<SocketAddr>,
    /// Drop sagas that have ended so long after they began, e.g. 30d [default: keep them for ever]
    #[arg(long, value_name = "AGE", env = "AMENDS_RETAIN", value_parser = retain)]
    pub(crate) retain: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct OrchestratorArgs {
    /// Serve /livez, /readyz and /metrics here, e.g. 0.0.0.0:8080
    #[arg(long, value_name = "ADDR", env = "AMENDS_HTTP")]
    pub(crate) http: Option<SocketAddr>,
    /// Batches that are committed side by side
    #[arg(long, env = "AMENDS_LANES", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) lanes: u16,
    /// Largest size of each stream that is created, in bytes; a full work queue refuses, it drops nothing
    #[arg(long, env = "AMENDS_STREAM_BYTES_MAX", default_value_t = 2 << 30, value_parser = clap::value_parser!(i64).range(1 << 20..))]
    pub(crate) stream_bytes_max: i64,
    /// Replicas of each stream that is created: 3 in a NATS cluster
    #[arg(long, env = "AMENDS_STREAM_REPLICAS", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub(crate) stream_replicas: u8,
    /// Drop sagas that have ended so long after they began, e.g. 30d [default: keep them for ever]
    #[arg(long, value_name = "AGE", env = "AMENDS_RETAIN", value_parser = retain)]
    pub(crate) retain: Option<Duration>,
}

/// Longer than any message waits, shorter than a slip of the hand.
fn retain(text: &str) -> Result<Duration, String> {
    const MIN: Duration = Duration::from_secs(60);
    const MAX: Duration = Duration::from_secs(36_500 * 24 * 60 * 60);
    let age = operate::age(text)?;
    if (MIN..=MAX).contains(&age) {
        Ok(age)
    } else {
        Err("sagas can be kept for 1m to 36500d".to_owned())
    }
}

#[derive(Debug, Args)]
pub(crate) struct WorkerArgs {
    /// inventory, payment, shipping, notification; hotel, car, insurance, card, mail
    #[arg(required = true, value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Stock for articles that `inventory` does not know yet: a JSON object, sku to quantity
    #[arg(long, value_name = "FILE")]
    pub(crate) seed_stock: Option<PathBuf>,
    /// Serve /livez, /readyz and /metrics here
    #[arg(long, value_name = "ADDR", env = "AMENDS_HTTP")]
    pub(crate) http: Option<SocketAddr>,
}

#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    /// Install the barrier in this service's database instead
    #[arg(long, value_name = "URL")]
    pub(crate) participant: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The saga's id, or its business key
    #[arg(value_name = "ID")]
    pub(crate) saga: String,
    /// One JSON object with the saga, its steps and its history
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    #[test]
    fn sagas_are_kept_for_a_while() {
        for (text, sound) in [("1m", true), ("30d", true), ("59s", false), ("36501d", false)] {
            assert_eq!(super::retain(text).is_ok(), sound, "{text}");
        }
    }
}

//! Flags of the long-running roles, and of what prepares their databases.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use amends_orchestrator::Config;
use clap::Args;

use crate::{
    age::{AgeError, parse_age},
    app::{App, WorkerFlags},
    assignment::Assignment,
    failed::Failed,
    local::Ports,
    run::{
        all::{self, AllOptions},
        dev::{self, DevOptions},
        grant::{Asked, Grant},
        migrate::{self, Target},
        orchestrator::{OrchestratorOptions, orchestrator},
        worker::{self, WorkerOptions},
    },
    settings::Settings,
};

#[derive(Debug, Args)]
pub(super) struct DevArgs {
    /// The folder of the data [default: ~/.local/share/NAME/dev, as root /var/lib/NAME/dev, by the program's name]
    #[arg(long, value_name = "DIR", env = "AMENDS_DATA")]
    pub(super) data: Option<PathBuf>,
    /// Serve /livez, /readyz and /metrics here
    #[arg(long, value_name = "ADDR", env = "AMENDS_HTTP")]
    pub(super) http: Option<SocketAddr>,
    /// Drop ended sagas this long after they began, e.g. 30d [default: keep them for ever]
    #[arg(long, value_name = "AGE", env = "AMENDS_RETAIN", value_parser = retention)]
    pub(super) retain: Option<Duration>,
    /// Leave this service out: it runs elsewhere, with the printed addresses. May be given several times
    #[arg(long, value_name = "SERVICE")]
    pub(super) without: Vec<String>,
    /// The port of the private Postgres [default: that of the last start, or a free one]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) postgres_port: Option<u16>,
    /// The port of the private nats-server [default: that of the last start, or a free one]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) nats_port: Option<u16>,
}

impl DevArgs {
    pub(super) async fn run(self, settings: &Settings, app: &App) -> Result<(), Failed> {
        let Self { data, http, retain, without, postgres_port, nats_port } = self;
        let ports = Ports { postgres: postgres_port, nats: nats_port };
        let options = DevOptions { data, http, retain, without, ports };
        dev::run(settings, app, options).await
    }
}

/// The flags of an orchestrator.
#[derive(Debug, Args)]
pub struct OrchestratorArgs {
    /// Serve /livez, /readyz and /metrics here, e.g. 0.0.0.0:8080
    #[arg(long, value_name = "ADDR", env = "AMENDS_HTTP")]
    pub http: Option<SocketAddr>,
    /// Batches that are committed side by side
    #[arg(long, env = "AMENDS_LANES", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub lanes: u16,
    /// Largest size of each stream that is created, in bytes; a full work queue refuses, it drops nothing
    #[arg(long, env = "AMENDS_STREAM_BYTES_MAX", default_value_t = 2 << 30, value_parser = clap::value_parser!(i64).range(1 << 20..))]
    pub stream_bytes_max: i64,
    /// Replicas of each stream that is created: 3 in a NATS cluster
    #[arg(long, env = "AMENDS_STREAM_REPLICAS", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub stream_replicas: u8,
    /// Sagas of a definition with a command in flight, before more of its triggers wait in their stream
    #[arg(long, value_name = "N", env = "AMENDS_ADMISSION_MAX", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub admission_max: u32,
    /// Drop ended sagas this long after they began, e.g. 30d [default: keep them for ever]
    #[arg(long, value_name = "AGE", env = "AMENDS_RETAIN", value_parser = retention)]
    pub retain: Option<Duration>,
}

impl OrchestratorArgs {
    pub(super) async fn run(self, settings: &Settings, app: &App) -> Result<(), Failed> {
        orchestrator(settings, self, app.definitions()?).await
    }
}

impl From<OrchestratorArgs> for OrchestratorOptions {
    fn from(args: OrchestratorArgs) -> Self {
        let config = Config {
            lanes: usize::from(args.lanes),
            stream_bytes_max: args.stream_bytes_max,
            stream_replicas: usize::from(args.stream_replicas),
            admission_max: args.admission_max as usize,
            retain: args.retain,
        };
        Self { http: args.http, config }
    }
}

#[derive(Debug, Args)]
pub(super) struct WorkerArgs<F: WorkerFlags> {
    /// The program's services to serve
    #[arg(required = true, value_name = "SERVICE")]
    pub(super) services: Vec<String>,
    #[command(flatten)]
    pub(super) flags: F,
    /// Serve /livez, /readyz and /metrics here
    #[arg(long, value_name = "ADDR", env = "AMENDS_HTTP")]
    pub(super) http: Option<SocketAddr>,
}

impl<F: WorkerFlags> WorkerArgs<F> {
    pub(super) async fn run(self, settings: &Settings, app: &App) -> Result<(), Failed> {
        let Self { services, flags, http } = self;
        worker::run(settings, app, WorkerOptions { services, flags, http }).await
    }
}

#[derive(Debug, Args)]
pub(super) struct AllArgs<F: WorkerFlags> {
    #[command(flatten)]
    pub(super) orchestrator: OrchestratorArgs,
    #[command(flatten)]
    pub(super) flags: F,
}

impl<F: WorkerFlags> AllArgs<F> {
    pub(super) async fn run(self, settings: &Settings, app: &App) -> Result<(), Failed> {
        let OrchestratorOptions { http, config } = self.orchestrator.into();
        all::run(settings, app, AllOptions { flags: self.flags, http, config }).await
    }
}

#[derive(Debug, Args)]
pub(super) struct MigrateArgs {
    /// Install the barrier in the database of a service that is not part of this program instead
    #[arg(long, value_name = "URL", conflicts_with = "services")]
    pub(super) participant: Option<String>,
    /// The databases of this program's services as well: what `worker` does when it starts
    #[arg(long)]
    pub(super) services: bool,
    /// Grant a login what it needs as viewer, operator or orchestrator, or for the worker of a service, whose
    /// schema is brought up to date; with --participant: as participant, or for the service with a schema of this
    /// name. May be given several times
    #[arg(long, value_name = "WHAT=LOGIN")]
    pub(super) grant: Vec<Grant>,
    /// The subjects on which a login may emit events that is granted a service's rights by this command; else it
    /// keeps those that it has
    #[arg(long = "publisher", value_name = "SERVICE=SUBJECT,…", requires = "grant")]
    pub(super) publishers: Vec<Assignment>,
}

impl MigrateArgs {
    pub(super) async fn run(self, settings: &Settings, app: &App) -> Result<(), Failed> {
        let target = match self.participant {
            Some(url) => Target::Participant(url),
            None if self.services => Target::All,
            None => Target::Orchestrator,
        };
        let asked = Asked { grants: self.grant, publishers: self.publishers };
        migrate::run(settings, app, target, asked).await
    }
}

/// Why sagas cannot be kept for so long.
#[derive(Debug, thiserror::Error)]
enum RetentionError {
    #[error(transparent)]
    Age(#[from] AgeError),
    #[error("sagas can be kept for 1m to 36500d")]
    OutOfRange,
}

/// Longer than any message waits, shorter than a slip of the hand.
fn retention(text: &str) -> Result<Duration, RetentionError> {
    const MIN: Duration = Duration::from_secs(60);
    const MAX: Duration = Duration::from_secs(36_500 * 24 * 60 * 60);
    let age = parse_age(text)?;
    if (MIN..=MAX).contains(&age) { Ok(age) } else { Err(RetentionError::OutOfRange) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn sagas_are_kept_for_a_while() {
        for (text, sound) in [("1m", true), ("30d", true), ("59s", false), ("36501d", false)] {
            assert_eq!(super::retention(text).is_ok(), sound, "{text}");
        }
    }
}

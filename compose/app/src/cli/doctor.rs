//! Flags of the check of an installation.

use amends_orchestrator::Config;
use clap::Args;

use crate::{
    app::App,
    doctor::{self, Inspection, Options},
    failed::Failed,
    settings::Settings,
};

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// One JSON object with each check
    #[arg(long)]
    pub(super) json: bool,
    /// Fail for warnings, too
    #[arg(long)]
    pub(super) strict: bool,
    /// Store nothing: leave out the probe of JetStream
    #[arg(long)]
    pub(super) read_only: bool,
    /// The database of a service that is not part of this program. May be given several times
    #[arg(long = "participant", value_name = "URL")]
    pub(super) participants: Vec<String>,
    /// Look at what the login may do in the database: too much, or too little
    #[arg(long)]
    pub(super) check_privileges: bool,
    /// Look at this login in place of the one that asks
    #[arg(long, value_name = "NAME", requires = "check_privileges")]
    pub(super) login: Option<String>,
    /// What the login is for: viewer, operator, orchestrator, owner, participant, or a service [default: what its roles
    /// say]
    #[arg(long = "as", value_name = "WHAT", requires = "check_privileges")]
    pub(super) purpose: Option<String>,
    /// The monitoring of a nats-server, e.g. http://host:8222: it tells how often JetStream syncs its disk
    #[arg(long, value_name = "URL", env = "NATS_MONITOR")]
    pub(super) nats_monitor: Option<String>,
    /// Size of each stream that orchestrators are told to create, in bytes
    #[arg(long, env = "AMENDS_STREAM_BYTES_MAX", default_value_t = 2 << 30, value_parser = clap::value_parser!(i64).range(1 << 20..))]
    pub(super) stream_bytes_max: i64,
    /// Replicas of each stream that orchestrators are told to create
    #[arg(long, env = "AMENDS_STREAM_REPLICAS", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub(super) stream_replicas: u8,
}

impl DoctorArgs {
    pub(super) async fn run(self, settings: &Settings, app: &App) -> Result<(), Failed> {
        let options = Options {
            json: self.json,
            strict: self.strict,
            read_only: self.read_only,
            participants: self.participants,
            inspection: self
                .check_privileges
                .then_some(Inspection { login: self.login, purpose: self.purpose }),
            monitor: self.nats_monitor,
            config: Config {
                stream_bytes_max: self.stream_bytes_max,
                stream_replicas: usize::from(self.stream_replicas),
                ..Config::default()
            },
        };
        doctor::run(settings, app, options).await
    }
}

//! A benchmark that goes on: what it measures with, and what it has found so far.

use std::path::Path;

use amends_app::{During as _, Failed};
use amends_postgres::Database;
use async_nats::jetstream;
use tokio_util::sync::CancellationToken;

use crate::{
    args::BenchArgs,
    kinds::Plan,
    limits::Limits,
    measure::Meter,
    processes::Processes,
    progress::Progress,
    raw::{self, Limit},
    report::{Recovery, Run, Start},
    servers::Servers,
};

/// A benchmark that goes on.
pub(crate) struct Session<'a> {
    pub(crate) plan: Plan,
    pub(crate) meter: Meter,
    pub(crate) processes: Processes,
    pub(crate) servers: &'a Servers,
    pub(crate) jetstream: raw::JetStream,
    pub(crate) postgres: raw::Postgres,
    pub(crate) client: async_nats::Client,
    pub(crate) progress: Progress,
    /// The number of the next saga.
    pub(crate) next: u64,
    /// What the limits were just now; of what has changed since, none.
    pub(crate) last: Limits,
    pub(crate) limits: Vec<Limits>,
    pub(crate) writes: Vec<Limit>,
    /// The runs of all rounds, by kind.
    pub(crate) found: Vec<Vec<Run>>,
    /// With barrier, without, or both.
    pub(crate) barriers: &'static [bool],
    /// What the services that run have, if any run.
    pub(crate) barrier: Option<bool>,
    pub(crate) started: Option<Start>,
    pub(crate) recoveries: Vec<Recovery>,
}

impl<'a> Session<'a> {
    /// Connects to what is measured with; nothing has been measured yet.
    pub(crate) async fn open(
        servers: &'a Servers,
        args: &BenchArgs,
        logs: &Path,
        (database, client): (Database, async_nats::Client),
        stop: &CancellationToken,
    ) -> Result<Self, Failed> {
        let settings = &servers.settings;
        let counts = sqlx::query("select from pg_extension where extname = 'pg_stat_statements'");
        let counts = counts.fetch_optional(&database).await.during("Postgres' extensions")?;
        let jetstream = jetstream::new(client.clone());
        Ok(Self {
            plan: Plan::of(args),
            meter: Meter { database, jetstream, counts_statements: counts.is_some() },
            processes: Processes::new(settings.clone(), args, logs)?,
            servers,
            jetstream: raw::JetStream::connect(&settings.nats, stop).await?,
            postgres: raw::Postgres::connect(settings.database()?)?,
            client,
            progress: Progress::start(),
            next: 0,
            last: Limits::default(),
            limits: Vec::new(),
            writes: Vec::new(),
            found: Vec::new(),
            barriers: args.barriers(),
            barrier: None,
            started: None,
            recoveries: Vec::new(),
        })
    }

    /// All processes that take part, by name.
    pub(crate) fn pids(&self) -> Vec<(&'static str, u32)> {
        let mut pids = self.processes.pids();
        pids.extend(&self.servers.pids);
        pids.push(("load", std::process::id()));
        pids
    }
}

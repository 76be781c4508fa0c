//! The order of everything: what is set up, which runs come when, and what is taken down.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use async_nats::jetstream;
use tokio_util::sync::CancellationToken;

use super::{
    Progress, Servers,
    crew::Crew,
    kinds::{Plan, kinds},
    limits::{self, Limits},
    machine,
    measure::Meter,
    raw::{self, Limit},
    report::{Report, Run, median},
    store::store,
};
use crate::{During as _, Failed, cli::BenchArgs, link};

/// How long servers may take to answer: nobody waits to measure what is not there.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs everything.
pub(super) async fn run(
    servers: &Servers,
    args: &BenchArgs,
    logs: &Path,
    stop: &CancellationToken,
) -> Result<Report, Failed> {
    let settings = &servers.settings;
    let interrupted = || Failed("interrupted".into());
    let (url, creds) = (settings.nats()?, settings.nats_creds.as_deref());
    let client = tokio::time::timeout(PATIENCE, link::nats(url, creds, stop)).await;
    let client = client.during("NATS does not answer")??.ok_or_else(interrupted)?;
    let pool = link::postgres(settings.database()?, 2, &[], Some(PATIENCE), stop).await?;
    let pool = pool.ok_or_else(interrupted)?;
    amends_orchestrator::migrate(&pool).await.during("the schema cannot be migrated")?;
    machine::alone(&pool).await?;
    let machine = machine::machine(&pool, &client).await?;
    let counts = sqlx::query("select from pg_extension where extname = 'pg_stat_statements'");
    let counts = counts.fetch_optional(&pool).await.during("Postgres' extensions")?;
    let mut series = Series {
        plan: Plan::of(args),
        meter: Meter {
            pool: pool.clone(),
            jetstream: jetstream::new(client.clone()),
            counts_statements: counts.is_some(),
        },
        crew: Crew::new(settings.clone(), logs)?,
        servers,
        jetstream: raw::JetStream::connect(url, creds, stop).await?,
        postgres: raw::Postgres::connect(settings.database()?)?,
        client,
        progress: Progress { began: Instant::now() },
        next: 0,
        last: Limits::default(),
        limits: Vec::new(),
        writes: Vec::new(),
        found: Vec::new(),
    };
    // What is cut off then is used by nobody any more: the process ends.
    let played = tokio::select! {
        played = series.play(args) => played,
        () = stop.cancelled() => Err(interrupted()),
    };
    let words = series.crew.last_words();
    let Series { crew, limits, writes, found, .. } = series;
    crew.stop().await;
    pool.close().await;
    played.map_err(|Failed(why)| Failed(format!("{why}{words}")))?;
    Ok(Report { machine, raw: limits::raw(&limits, &writes)?, runs: middle(&found) })
}

/// A benchmark that goes on.
pub(super) struct Series<'a> {
    pub(super) plan: Plan,
    pub(super) meter: Meter,
    pub(super) crew: Crew,
    pub(super) servers: &'a Servers,
    pub(super) jetstream: raw::JetStream,
    pub(super) postgres: raw::Postgres,
    pub(super) client: async_nats::Client,
    pub(super) progress: Progress,
    /// The number of the next saga.
    pub(super) next: u64,
    /// What the limits were just now; of what has changed since, none.
    pub(super) last: Limits,
    pub(super) limits: Vec<Limits>,
    pub(super) writes: Vec<Limit>,
    /// The runs of all rounds, by kind.
    pub(super) found: Vec<Vec<Run>>,
}

impl Series<'_> {
    async fn play(&mut self, args: &BenchArgs) -> Result<(), Failed> {
        self.crew.orchestrator(args.lanes, &self.client).await?;
        self.all(args, 0).await?;
        if let Some(stored) = args.stored {
            self.progress.say(&format!("storing {stored} finished sagas …"));
            store(&self.meter.pool, stored).await?;
            self.all(args, stored).await?;
        }
        Ok(())
    }

    /// All kinds of runs, each as often as there are rounds.
    async fn all(&mut self, args: &BenchArgs, stored: u32) -> Result<(), Failed> {
        let barriers = match (args.barrier, args.no_barrier) {
            (true, _) => vec![true],
            (_, true) => vec![false],
            _ => vec![false, true],
        };
        let first = self.found.len();
        for round in 0..self.plan.rounds {
            if self.plan.rounds > 1 {
                self.progress.say(&format!("round {} of {}", round + 1, self.plan.rounds));
            }
            self.write().await?;
            let mut at = first;
            for &barrier in &barriers {
                self.crew.workers(barrier).await?;
                for kind in kinds(args, barrier, stored) {
                    let run = self.between_limits(kind).await?;
                    if at == self.found.len() {
                        self.found.push(Vec::new());
                    }
                    self.found[at].push(run);
                    at += 1;
                }
            }
        }
        Ok(())
    }

    async fn write(&mut self) -> Result<(), Failed> {
        let limit = self.postgres.measure(self.plan.limit.measured).await?;
        self.progress.say(&format!("raw Postgres: {:.0} sagas/s", limit.sagas_per_s));
        self.writes.push(limit);
        Ok(())
    }
}

fn middle(found: &[Vec<Run>]) -> Vec<Run> {
    let figure = |run: &Run| if run.is_of_time() { run.p50_ms } else { run.ratio };
    found.iter().filter_map(|runs| median(runs, figure)).collect()
}

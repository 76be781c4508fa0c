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
    kinds::{self, Among, Kind, Plan},
    limits::{self, Limits},
    machine,
    measure::Meter,
    pairs,
    raw::{self, Limit},
    report::{Recovery, Report, Run, Start, median},
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
        crew: Crew::new(settings.clone(), args, logs)?,
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
        barriers: args.barriers(),
        barrier: None,
        started: None,
        recoveries: Vec::new(),
    };
    // What is cut off then is used by nobody any more: the process ends.
    let played = tokio::select! {
        played = series.play(args) => played,
        () = stop.cancelled() => Err(interrupted()),
    };
    let words = series.crew.last_words();
    let Series { crew, limits, writes, found, started, recoveries, .. } = series;
    crew.stop().await;
    pool.close().await;
    played.map_err(|Failed(why)| Failed(format!("{why}{words}")))?;
    Ok(Report {
        machine,
        raw: limits::raw(&limits, &writes)?,
        runs: middle(&found),
        start: started,
        recovery: recoveries,
    })
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
    /// With barrier, without, or both.
    pub(super) barriers: &'static [bool],
    /// What the services that run have, if any run.
    pub(super) barrier: Option<bool>,
    pub(super) started: Option<Start>,
    pub(super) recoveries: Vec<Recovery>,
}

impl Series<'_> {
    async fn play(&mut self, args: &BenchArgs) -> Result<(), Failed> {
        self.crew.orchestrators(1, &self.client).await?;
        if args.drills() {
            return self.drills(args).await;
        }
        self.all(&kinds::plain(args, Among::default())).await?;
        let mut among = Among::default();
        if let Some(stored) = args.stored {
            self.progress.say(&format!("storing {stored} finished sagas …"));
            store(&self.meter.pool, stored).await?;
            among.stored = stored;
            self.all(&kinds::plain(args, among)).await?;
        }
        if let Some(waiting) = args.waiting {
            self.wait(waiting).await?;
            among.waiting = waiting;
            self.all(&kinds::plain(args, among)).await?;
        }
        Ok(())
    }

    async fn drills(&mut self, args: &BenchArgs) -> Result<(), Failed> {
        if !args.replicas.is_empty() {
            self.all(&kinds::replicas(args)).await?;
        }
        if let Some(hanging) = args.neighbours {
            self.all(&kinds::neighbours(args, hanging)).await?;
        }
        if let Some(sagas) = args.recovery {
            self.write().await?;
            self.limit(false).await?;
            self.recovery(sagas).await?;
        }
        Ok(())
    }

    /// All these runs, each as often as there are rounds.
    async fn all(&mut self, kinds: &[Kind]) -> Result<(), Failed> {
        let first = self.found.len();
        self.found.resize_with(first + kinds.len(), Vec::new);
        for round in 0..self.plan.rounds {
            if self.plan.rounds > 1 {
                self.progress.say(&format!("round {} of {}", round + 1, self.plan.rounds));
            }
            self.write().await?;
            let mut runs = Vec::new();
            for &kind in kinds {
                self.prepare(kind).await?;
                runs.push(self.between_limits(kind).await?);
            }
            pairs::compare(&mut runs);
            for (found, run) in self.found[first..].iter_mut().zip(runs) {
                found.push(run);
            }
        }
        Ok(())
    }

    /// Starts what the run needs, unless it is there.
    async fn prepare(&mut self, kind: Kind) -> Result<(), Failed> {
        if self.crew.replicas() != kind.among.replicas {
            self.crew.orchestrators(kind.among.replicas, &self.client).await?;
        }
        if self.barrier != Some(kind.barrier) {
            self.crew.workers(kind.barrier).await?;
            self.barrier = Some(kind.barrier);
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
    let figure = |run: &Run| match (run.is_of_time(), run.of_pair) {
        (true, Some(pair)) => pair.p99_ms,
        (true, None) => run.p50_ms,
        (false, Some(pair)) => pair.sagas_per_s,
        (false, None) => run.ratio,
    };
    found.iter().filter_map(|runs| median(runs, figure)).collect()
}

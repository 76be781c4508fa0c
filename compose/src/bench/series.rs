//! Which runs there are: the limits before and after each, and the runs themselves.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use async_nats::jetstream;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::{
    Progress, Servers,
    crew::Crew,
    flight::Pace,
    load::{Load, Shape},
    measure::{Meter, memory, processors},
    raw::{self, Limit},
    report::{Machine, Raw, Report, Run, median},
    store::store,
};
use crate::{During as _, Failed, cli::BenchArgs, link};

/// In flight when the limit of JetStream is measured.
const RAW_IN_FLIGHT: usize = 256;

/// How long servers may take to answer: nobody waits to measure what is not there.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many turns a saga of three steps has, each with a commit.
const TURNS: f64 = 4.0;

/// How long each part takes, and how often it is done.
struct Plan {
    rounds: usize,
    limit: Pace,
    run: Pace,
    commits: Duration,
}

impl Plan {
    fn of(args: &BenchArgs) -> Self {
        let pace = |warm, measured| Pace {
            warm: Duration::from_millis(warm),
            measured: Duration::from_millis(measured),
            sagas: None,
        };
        let mut plan = if args.quick {
            let (limit, run) = (pace(300, 1_000), pace(1_000, 2_500));
            Self { rounds: 1, limit, run, commits: Duration::from_millis(500) }
        } else {
            let (limit, run) = (pace(500, 3_000), pace(2_000, 8_000));
            Self { rounds: 3, limit, run, commits: Duration::from_secs(1) }
        };
        plan.run.sagas = args.sagas;
        plan
    }
}

/// One kind of run.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    shape: Shape,
    refuse: bool,
    barrier: bool,
    stored: u32,
}

/// The limits at one time.
#[derive(Clone, Copy, Default)]
struct Limits {
    jetstream_per_s: Option<f64>,
    /// Of all processes, as nothing else runs then.
    jetstream_cpu_s_per_1000: Option<f64>,
    jetstream_p50_ms: Option<f64>,
    commit_p50_ms: Option<f64>,
}

impl Limits {
    /// What a saga takes at least, one at a time.
    fn chain_ms(&self) -> Option<f64> {
        Some(self.jetstream_p50_ms? + TURNS * self.commit_p50_ms?)
    }
}

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
    alone(&pool).await?;
    let machine = machine(&pool, &client).await?;
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
    Ok(Report { machine, raw: raw(&limits, &writes)?, runs: middle(&found) })
}

struct Series<'a> {
    plan: Plan,
    meter: Meter,
    crew: Crew,
    servers: &'a Servers,
    jetstream: raw::JetStream,
    postgres: raw::Postgres,
    client: async_nats::Client,
    progress: Progress,
    /// The number of the next saga.
    next: u64,
    /// What the limits were just now; of what has changed since, none.
    last: Limits,
    limits: Vec<Limits>,
    writes: Vec<Limit>,
    /// The runs of all rounds, by kind.
    found: Vec<Vec<Run>>,
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

    /// A run, with the limit that it is compared with right before and right after.
    async fn between_limits(&mut self, kind: Kind) -> Result<Run, Failed> {
        let one = is_of_time(kind.shape);
        let known = if one { self.last.chain_ms() } else { self.last.jetstream_per_s };
        let before = match known {
            Some(known) => known,
            None => self.limit(one).await?,
        };
        let mut run = self.measured(kind).await?;
        let after = self.limit(one).await?;
        let limit = f64::midpoint(before, after);
        (run.raw_before, run.raw_after) = (before, after);
        if one {
            run.ratio = run.p50_ms / limit;
            run.ratio_p99 = Some(run.p99_ms / limit);
        } else {
            run.ratio = run.sagas_per_s / limit;
        }
        let (name, per_s, ratio, p50) = (run.name, run.sagas_per_s, run.ratio, run.p50_ms);
        self.progress
            .say(&format!("{name}: {per_s:.0} sagas/s, p50 {p50:.1} ms, {ratio:.2} of raw"));
        Ok(run)
    }

    /// Measures the limit of throughput or that of time.
    async fn limit(&mut self, one: bool) -> Result<f64, Failed> {
        let mut limits = Limits::default();
        let limit = if one {
            let chain = self.jetstream.measure(1, self.plan.limit).await?.quantile(0.5);
            let commits = self.postgres.commits(self.plan.commits).await?;
            let commit = commits.get(commits.len() / 2).map_or(0.0, Duration::as_secs_f64) * 1000.0;
            (limits.jetstream_p50_ms, limits.commit_p50_ms) = (Some(chain), Some(commit));
            self.progress
                .say(&format!("raw, one at a time: {chain:.2} ms, a commit {commit:.2} ms"));
            chain + TURNS * commit
        } else {
            let pids = self.pids();
            let used = || processors(&pids).values().sum::<f64>();
            let before = used();
            let window = self.jetstream.measure(RAW_IN_FLIGHT, self.plan.limit).await?;
            let (per_s, all) = (window.per_s, window.all as f64);
            limits.jetstream_per_s = Some(per_s);
            limits.jetstream_cpu_s_per_1000 = Some((used() - before) / all * 1000.0);
            self.progress.say(&format!("raw JetStream: {per_s:.0} sagas/s"));
            per_s
        };
        self.last = limits;
        self.limits.push(limits);
        Ok(limit)
    }

    async fn measured(&mut self, kind: Kind) -> Result<Run, Failed> {
        let workers = if kind.barrier { "with barrier" } else { "no barrier" };
        let shape = match kind.shape {
            Shape::Closed(n) => format!("{n} in flight"),
            Shape::Open(rate) => format!("{rate} a second"),
        };
        self.progress.say(&format!("{}, {shape}, {workers} …", kind.name));
        let load = Load::start(self.client.clone(), kind.shape, kind.refuse, self.next).await?;
        load.flight.pass(self.plan.run.warm, None).await?;
        let pids = self.pids();
        let before = self.meter.read(&pids).await?;
        let (from, began) = (load.flight.ended(), Instant::now());
        load.flight.pass(self.plan.run.measured, self.plan.run.sagas).await?;
        let window = load.flight.window(from, began.elapsed());
        let cost = self.meter.read(&pids).await?.since(&before, load.flight.ended() - from);
        let rss_mib = memory(&pids);
        self.next = load.stop().await?;
        self.crew.whole()?;
        let (in_flight, rate) = match kind.shape {
            Shape::Closed(n) => (Some(n), None),
            Shape::Open(rate) => (None, Some(rate)),
        };
        Ok(Run {
            name: kind.name,
            barrier: kind.barrier,
            stored: kind.stored,
            in_flight,
            rate,
            sagas: window.sagas,
            sagas_per_s: window.per_s,
            ratio: 0.0,
            ratio_p99: None,
            raw_before: 0.0,
            raw_after: 0.0,
            p50_ms: window.quantile(0.5),
            p90_ms: window.quantile(0.9),
            p99_ms: window.quantile(0.99),
            max_ms: window.quantile(1.0),
            wal_bytes_per_saga: cost.wal_bytes,
            hot_share: cost.hot_share,
            statements_per_saga: cost.statements,
            messages_per_saga: cost.messages,
            cpu_s_per_1000: cost.cpu_s_per_1000,
            rss_mib,
        })
    }

    fn pids(&self) -> Vec<(&'static str, u32)> {
        let mut pids = self.crew.pids();
        pids.extend(&self.servers.pids);
        pids.push(("load", std::process::id()));
        pids
    }
}

fn is_of_time(shape: Shape) -> bool {
    matches!(shape, Shape::Closed(1) | Shape::Open(_))
}

fn kinds(args: &BenchArgs, barrier: bool, stored: u32) -> Vec<Kind> {
    let kind = |name, shape, refuse| Kind { name, shape, refuse, barrier, stored };
    let mut kinds = Vec::new();
    for &in_flight in &args.in_flight {
        kinds.push(kind("happy", Shape::Closed(in_flight), false));
    }
    for &in_flight in &args.in_flight {
        // A quick look has no time for each.
        if !args.quick || in_flight == args.in_flight[0] {
            kinds.push(kind("compensated", Shape::Closed(in_flight), true));
        }
    }
    if !(args.quick && barrier) {
        kinds.push(kind("one", Shape::Closed(1), false));
        kinds.push(kind("open", Shape::Open(args.rate), false));
    }
    kinds.retain(|kind| args.only.is_empty() || args.only.iter().any(|only| only == kind.name));
    kinds
}

/// Refuses to disturb others: in their database, their sagas would be measured too.
async fn alone(pool: &PgPool) -> Result<(), Failed> {
    let sql = "select from amends.definition where name <> 'bench' limit 1";
    match sqlx::query(sql).fetch_optional(pool).await.during("the definitions")? {
        None => Ok(()),
        Some(_) => Err(Failed(
            "there are sagas of others in this database: measure with servers of your own".into(),
        )),
    }
}

async fn machine(pool: &PgPool, client: &async_nats::Client) -> Result<Machine, Failed> {
    let version = sqlx::query_scalar::<_, String>("show server_version").fetch_one(pool).await;
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    Ok(Machine {
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        load_before: load.split(' ').next().and_then(|l| l.parse().ok()).unwrap_or(0.0),
        postgres: version.during("Postgres' version")?,
        nats: client.server_info().version,
    })
}

fn raw(limits: &[Limits], writes: &[Limit]) -> Result<Raw, Failed> {
    let middle = |figure: fn(&Limits) -> Option<f64>| {
        let found: Vec<_> = limits.iter().filter_map(figure).collect();
        median(&found, |f| *f).unwrap_or(0.0)
    };
    let throughput: Vec<_> = limits.iter().filter_map(|l| l.jetstream_per_s).collect();
    let lowest = throughput.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = throughput.iter().copied().fold(0.0, f64::max);
    let write = median(writes, |w| w.sagas_per_s);
    let write = write.ok_or_else(|| Failed("nothing was measured".into()))?;
    Ok(Raw {
        jetstream_per_s: middle(|l| l.jetstream_per_s),
        jetstream_per_s_range: (lowest, highest),
        jetstream_cpu_s_per_1000: middle(|l| l.jetstream_cpu_s_per_1000),
        jetstream_p50_ms: middle(|l| l.jetstream_p50_ms),
        commit_p50_ms: middle(|l| l.commit_p50_ms),
        postgres_per_s: write.sagas_per_s,
        postgres_wal_bytes_per_saga: write.wal_bytes_per_saga,
    })
}

fn middle(found: &[Vec<Run>]) -> Vec<Run> {
    let figure = |run: &Run| if run.is_of_time() { run.p50_ms } else { run.ratio };
    found.iter().filter_map(|runs| median(runs, figure)).collect()
}

//! `amends bench`: how many sagas go through, how long each takes and what it costs, beside what
//! JetStream and Postgres can do at most on the same machine in the same minutes.
//!
//! | to read | start at |
//! |---|---|
//! | which runs there are, and in which order | `kinds`, `series` |
//! | one run, and the limits beside it | `runs`, `limits` |
//! | what the limits are measured with | `raw` |
//! | the saga, and who serves it | `saga`, `workers` |
//! | where sagas come from, and how their end is seen | `load`, `flight` |
//! | sagas that wait, neighbours, a crash | `waiting`, `neighbours`, `recovery` |
//! | what is counted | `measure` |

mod crew;
mod flight;
mod kinds;
mod limits;
mod load;
mod machine;
mod measure;
mod neighbours;
mod pairs;
mod raw;
mod recovery;
mod report;
mod runs;
pub(crate) mod saga;
mod series;
mod store;
mod table;
mod waiting;
pub(crate) mod workers;

use std::{io::Write as _, path::Path, time::Instant};

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::{
    During as _, Failed,
    cli::{BenchArgs, Settings},
    link,
    local::Local,
    roles::stop_on_signal,
};

/// Runs the benchmark.
pub(crate) async fn run(settings: &Settings, args: BenchArgs) -> Result<(), Failed> {
    if cfg!(debug_assertions) {
        say("this is a debug build: its figures say nothing (cargo run --release -- bench)");
    }
    let stop = stop_on_signal()?;
    let temporary = match &args.data {
        Some(_) => None,
        None => {
            Some(tempfile::Builder::new().prefix("amends-bench-").tempdir().during("a folder")?)
        }
    };
    let data = match (&args.data, &temporary) {
        (Some(data), _) => data.clone(),
        (None, Some(folder)) => folder.path().to_owned(),
        (None, None) => return Err(Failed("no folder for the data".into())),
    };
    let report = if args.external {
        let servers = Servers { settings: settings.clone(), pids: Vec::new() };
        series::run(&servers, &args, &data.join("logs"), &stop).await?
    } else {
        say("starting a private Postgres and nats-server …");
        with_private_servers(settings, &args, &data, &stop).await?
    };
    if args.json {
        let json = serde_json::to_string_pretty(&report).during("the report")?;
        crate::looks::print(&format!("{json}\n"))
    } else {
        crate::looks::print(&table::text(&report))
    }
}

/// The servers that are measured with.
struct Servers {
    settings: Settings,
    /// Their processes, if they are on this machine and ours.
    pids: Vec<(&'static str, u32)>,
}

async fn with_private_servers(
    settings: &Settings,
    args: &BenchArgs,
    data: &Path,
    stop: &CancellationToken,
) -> Result<report::Report, Failed> {
    let mut local = Local::start(data).await.during("the private servers cannot be started")?;
    let measured = async {
        count_statements(&mut local).await?;
        let pids = [("postgres", local.postgres.pid()), ("nats-server", local.nats.pid())];
        let settings = Settings {
            database_url: Some(local.database_url().to_owned()),
            nats_url: Some(local.nats_url().to_owned()),
            nats_creds: None,
            ..settings.clone()
        };
        let pids = pids.into_iter().filter_map(|(name, pid)| Some((name, pid?))).collect();
        series::run(&Servers { settings, pids }, args, &data.join("logs"), stop).await
    }
    .await;
    let stopped = local.stop().await.during("the private servers cannot be stopped");
    let report = measured?;
    stopped.map(|()| report)
}

/// Loads `pg_stat_statements`, if this Postgres has it.
async fn count_statements(local: &mut Local) -> Result<(), Failed> {
    let pool = link::pool(local.database_url(), 1, &[])?;
    let has = sqlx::query("select from pg_available_extensions where name = 'pg_stat_statements'")
        .fetch_optional(&pool)
        .await
        .during("Postgres' extensions")?;
    if has.is_none() {
        return Ok(());
    }
    execute(&pool, "alter system set shared_preload_libraries = 'pg_stat_statements'").await?;
    pool.close().await;
    local.postgres.restart().await.during("Postgres cannot be restarted")?;
    let pool = link::pool(local.database_url(), 1, &[])?;
    execute(&pool, "create extension if not exists pg_stat_statements").await?;
    pool.close().await;
    Ok(())
}

async fn execute(pool: &PgPool, sql: &'static str) -> Result<(), Failed> {
    sqlx::raw_sql(sql).execute(pool).await.map(drop).during(sql)
}

/// A line for who waits.
fn say(line: &str) {
    // With stderr closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Says how far it is.
struct Progress {
    began: Instant,
}

impl Progress {
    fn say(&self, line: &str) {
        say(&format!("{:>4} s  {line}", self.began.elapsed().as_secs()));
    }
}

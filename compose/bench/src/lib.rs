//! `amends bench`: how many sagas go through, how long each takes and what it costs, beside what
//! JetStream and Postgres can do at most on the same machine in the same minutes.
//!
//! | to read | start at |
//! |---|---|
//! | which runs there are, and in which order | `kinds`, `series` |
//! | what is at hand while it goes on | `session`, `servers`, `processes` |
//! | one run, and the limits beside it | `runs`, `limits`, `limiting` |
//! | what the limits are measured with | `raw` |
//! | the saga, and who serves it | `saga`, `workers` |
//! | where sagas come from, and how their end is seen | `load`, `open_sagas` |
//! | sagas that wait, neighbours, a crash | `waiting`, `neighbours`, `recovery` |
//! | what is counted | `measure` |
//! | what is written | `report`, `table`, `progress` |

mod args;
mod kinds;
mod limiting;
mod limits;
mod load;
mod machine;
mod measure;
mod neighbours;
mod open_sagas;
mod pairs;
mod processes;
mod progress;
mod raw;
mod recovery;
mod report;
mod runs;
mod saga;
mod series;
mod servers;
mod session;
mod store;
mod table;
mod waiting;
mod workers;

use std::path::Path;

use amends_app::{
    During as _, Failed, Settings, Workspace, local::Local, orchestrator as run_orchestrator,
    print, stop_on_signal,
};
use tokio_util::sync::CancellationToken;

pub use args::{BenchArgs, BenchOrchestratorArgs, BenchWorkersArgs};
pub use workers::run as workers;

use progress::say;
use report::Report;
use servers::Servers;

/// Runs the benchmark.
///
/// # Errors
/// Servers that cannot be used, and runs that do not end.
pub async fn run(settings: &Settings, args: BenchArgs) -> Result<(), Failed> {
    if cfg!(debug_assertions) {
        say("this is a debug build: its figures say nothing (cargo run --release -- bench)");
    }
    let stop = stop_on_signal()?;
    let workspace = Workspace::open(args.data.as_deref(), "amends-bench-")?;
    let data = workspace.path();
    let report = if args.external {
        series::run(&Servers::external(settings), &args, &data.join("logs"), &stop).await?
    } else {
        say("starting a private Postgres and nats-server …");
        with_private_servers(settings, &args, data, &stop).await?
    };
    if args.json {
        let json = serde_json::to_string_pretty(&report).during("the report")?;
        print(&format!("{json}\n"))
    } else {
        print(&table::text(&report))
    }
}

async fn with_private_servers(
    settings: &Settings,
    args: &BenchArgs,
    data: &Path,
    stop: &CancellationToken,
) -> Result<Report, Failed> {
    let mut local = Local::start(data).await.during("the private servers cannot be started")?;
    let measured = async {
        let servers = Servers::private(&mut local, settings).await?;
        series::run(&servers, args, &data.join("logs"), stop).await
    }
    .await;
    let stopped = local.stop().await.during("the private servers cannot be stopped");
    let report = measured?;
    stopped.map(|()| report)
}

/// The hidden role `bench-orchestrator`: an orchestrator of the sagas that are measured.
///
/// # Errors
/// Whatever ends an orchestrator.
pub async fn orchestrator(settings: &Settings, args: BenchOrchestratorArgs) -> Result<(), Failed> {
    let definitions = saga::definitions(args.other)?;
    run_orchestrator(settings, args.orchestrator, definitions).await
}

//! The order of everything: what is set up, which runs come when, and what is taken down.

use std::{path::Path, time::Duration};

use amends_app::{During as _, Failed, connect, nats};
use amends_postgres::Database;
use tokio_util::sync::CancellationToken;

use crate::{
    args::BenchArgs,
    kinds::{self, Conditions, Kind},
    limits, machine, pairs,
    report::{Report, Run, median},
    servers::Servers,
    session::Session,
    store::store,
};

/// How long servers may take to answer: nobody waits to measure what is not there.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections to look at what goes on.
const CONNECTIONS: u32 = 2;

/// Runs everything.
pub(crate) async fn run(
    servers: &Servers,
    args: &BenchArgs,
    logs: &Path,
    stop: &CancellationToken,
) -> Result<Report, Failed> {
    let (database, client) = connected(servers, stop).await?;
    amends_orchestrator::migrate(&database).await.during("the schema cannot be migrated")?;
    machine::alone(&database).await?;
    let machine = machine::machine(&database, &client).await?;
    let connections = (database.clone(), client);
    let mut session = Session::open(servers, args, logs, connections, stop).await?;
    // What is cut off then is used by nobody any more: the process ends.
    let ended = tokio::select! {
        ended = session.run(args) => ended,
        () = stop.cancelled() => Err(Failed::interrupted()),
    };
    let log_ends = session.processes.log_ends();
    let Session { processes, limits, writes, found, started, recoveries, .. } = session;
    processes.stop().await;
    database.close();
    ended.map_err(|failed| failed.with_details(&log_ends))?;
    Ok(Report {
        machine,
        raw: limits::raw(&limits, &writes)?,
        runs: middle(&found),
        start: started,
        recovery: recoveries,
    })
}

async fn connected(
    servers: &Servers,
    stop: &CancellationToken,
) -> Result<(Database, async_nats::Client), Failed> {
    let settings = &servers.settings;
    let nats = nats::Access::of_role(settings)?;
    let client = tokio::time::timeout(PATIENCE, nats.connect(stop)).await;
    let client = client.during("NATS does not answer")??.ok_or_else(Failed::interrupted)?;
    let (url, patience) = (settings.database()?, Some(PATIENCE));
    let database = connect::postgres(url, CONNECTIONS, &[], patience, stop).await?;
    Ok((database.ok_or_else(Failed::interrupted)?, client))
}

impl Session<'_> {
    async fn run(&mut self, args: &BenchArgs) -> Result<(), Failed> {
        self.processes.orchestrators(1, &self.client).await?;
        if args.drills() {
            return self.drills(args).await;
        }
        self.all(&kinds::plain(args, Conditions::default())).await?;
        let mut conditions = Conditions::default();
        if let Some(stored) = args.stored {
            self.progress.say(&format!("storing {stored} finished sagas …"));
            store(&self.meter.database, stored).await?;
            conditions.stored = stored;
            self.all(&kinds::plain(args, conditions)).await?;
        }
        if let Some(waiting) = args.waiting {
            self.wait(waiting).await?;
            conditions.waiting = waiting;
            self.all(&kinds::plain(args, conditions)).await?;
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
        if let Some(rate) = args.flood {
            self.all(&kinds::flood(args, rate)).await?;
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
        if self.processes.replicas() != kind.conditions.replicas {
            self.processes.orchestrators(kind.conditions.replicas, &self.client).await?;
        }
        if self.barrier != Some(kind.barrier) {
            self.processes.workers(kind.barrier).await?;
            self.barrier = Some(kind.barrier);
        }
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

//! `worker`: the role that serves services.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use amends::RetryLoop;
use amends_postgres::Database;
use amends_workers::{Health, SESSION, Service};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    connect,
    nats::Access,
    probes::{self, NotReady, Readiness},
    shutdown,
};
use crate::{
    failed::{During as _, Failed},
    program::{Program, ProgramService, WorkerFlags},
    settings::Settings,
};

/// Connections of a service: as many attempts run side by side.
pub const SERVICE_CONNECTIONS: u32 = 16;

/// Delays between attempts to prepare a service's database.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_CAP: Duration = Duration::from_secs(3);

/// How a worker is to run.
#[derive(Debug)]
pub(crate) struct WorkerOptions<F> {
    /// The names of its services.
    pub(crate) services: Vec<String>,
    /// The program's own flags.
    pub(crate) flags: F,
    /// Where its probes are served, if anywhere.
    pub(crate) http: Option<SocketAddr>,
}

/// Serves some of the program's services until a signal, or until one fails.
pub(crate) async fn run<F: WorkerFlags>(
    settings: &Settings,
    program: &Program,
    options: WorkerOptions<F>,
) -> Result<(), Failed> {
    let nats = Access::of(&settings.nats)?;
    let chosen = program.named(&options.services)?;
    options.flags.warn(&chosen.iter().map(|service| service.name()).collect::<Vec<_>>());
    let stop = shutdown::stop_on_signal()?;
    nats.keep(serve(settings, &nats, chosen, options, &stop), &stop).await
}

async fn serve<F: WorkerFlags>(
    settings: &Settings,
    nats: &Access,
    chosen: Vec<&ProgramService>,
    options: WorkerOptions<F>,
    stop: &CancellationToken,
) -> Result<(), Failed> {
    let (watched, ended) = (Arc::<Watched>::default(), CancellationToken::new());
    let ready = nats.readiness(readiness(&watched));
    let probes = probes::serve(options.http, ready, ended.clone()).await?;
    let Some(client) = nats.connect(stop).await? else { return Ok(()) };
    let mut services = Vec::new();
    for service in chosen {
        let ready = prepared(settings, service, &options.flags, &watched.waits, stop).await?;
        let Some(ready) = ready else { return Ok(()) };
        services.push(ready);
    }
    let healths = services.iter().map(|(s, _)| (s.name().to_owned(), s.health())).collect();
    let _ = watched.served.set(healths);
    let mut serving = JoinSet::new();
    let mut databases = Vec::new();
    for (service, database) in services {
        databases.push(database);
        serving.spawn(service.serve(client.clone(), stop.clone()));
    }
    let all = tokio::spawn(async move { while serving.join_next().await.is_some() {} });
    let result = shutdown::ended(all, stop).await;
    ended.cancel();
    if let Some(probes) = probes {
        let _ = probes.await;
    }
    for database in databases {
        shutdown::close(database, &client).await;
    }
    result.unwrap_or(Ok(())).during("a service failed")
}

/// A service with its database, up to date and seeded; `None` when stopped meanwhile. What the database cannot
/// do now is waited for.
async fn prepared<F: WorkerFlags>(
    settings: &Settings,
    service: &ProgramService,
    flags: &F,
    waits: &watch::Sender<Option<String>>,
    stop: &CancellationToken,
) -> Result<Option<(Service, Database)>, Failed> {
    let url = settings.database_of(service.name())?;
    let mut retries = RetryLoop::new(RETRY_FIRST, RETRY_CAP, service.name());
    loop {
        let connected = connect::postgres(&url, SERVICE_CONNECTIONS, &SESSION, None, stop);
        let Some(database) = connected.await? else { return Ok(None) };
        let failed = match prepare(service, flags, &database).await {
            Ok(()) => {
                waits.send_replace(None);
                return Ok(Some((service.build(database.clone())?, database)));
            }
            Err(failed) if failed.is_passing() => failed,
            Err(failed) => return Err(failed),
        };
        let pause = retries.failed();
        if retries.is_first() {
            tracing::warn!("{failed}; trying again until it can be done");
        }
        waits.send_replace(Some(failed.to_string()));
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return Ok(None);
        }
    }
}

async fn prepare<F: WorkerFlags>(
    service: &ProgramService,
    flags: &F,
    database: &Database,
) -> Result<(), Failed> {
    service.migrate(database).await?;
    let seeded = flags.seed(service.name(), database).await;
    seeded.during(&format!("service {}", service.name()))
}

/// What a readiness probe looks at.
#[derive(Default)]
struct Watched {
    /// What a service waits for before it is served.
    waits: watch::Sender<Option<String>>,
    /// The services that are served, once they are.
    served: OnceLock<Vec<(String, watch::Receiver<Health>)>>,
}

fn readiness(watched: &Arc<Watched>) -> Readiness {
    let watched = Arc::clone(watched);
    Arc::new(move || {
        let Some(healths) = watched.served.get() else {
            let waits = watched.waits.borrow().clone();
            return Err(NotReady::new(
                waits.unwrap_or_else(|| "starting: waiting for NATS or Postgres".into()),
            ));
        };
        for (name, health) in healths {
            let ready = health.borrow().ready();
            ready.map_err(|why| NotReady::new(format!("{name}: {why}")))?;
        }
        Ok(())
    })
}

//! `worker`: the role that serves services.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

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
    let (watched, ended) = (Arc::default(), CancellationToken::new());
    let ready = nats.readiness(readiness(&watched));
    let probes = probes::serve(options.http, ready, ended.clone()).await?;
    let Some(client) = nats.connect(stop).await? else { return Ok(()) };
    let mut services = Vec::new();
    for service in chosen {
        let Some(ready) = prepared(settings, service, &options.flags, stop).await? else {
            return Ok(());
        };
        services.push(ready);
    }
    let healths = services.iter().map(|(s, _)| (s.name().to_owned(), s.health())).collect();
    let _ = watched.set(healths);
    let mut serving = JoinSet::new();
    let mut pools = Vec::new();
    for (service, database) in services {
        pools.push(database);
        serving.spawn(service.serve(client.clone(), stop.clone()));
    }
    let all = tokio::spawn(async move { while serving.join_next().await.is_some() {} });
    let result = shutdown::ended(all, stop).await;
    ended.cancel();
    if let Some(probes) = probes {
        let _ = probes.await;
    }
    for database in pools {
        shutdown::close(database, &client).await;
    }
    result.unwrap_or(Ok(())).during("a service failed")
}

/// A service with its database, up to date and seeded; `None` when stopped meanwhile.
async fn prepared<F: WorkerFlags>(
    settings: &Settings,
    service: &ProgramService,
    flags: &F,
    stop: &CancellationToken,
) -> Result<Option<(Service, Database)>, Failed> {
    let url = settings.database_of(service.name())?;
    let connected = connect::postgres(&url, SERVICE_CONNECTIONS, &SESSION, None, stop);
    let Some(database) = connected.await? else { return Ok(None) };
    service.migrate(&database).await?;
    flags.seed(service.name(), &database).await?;
    Ok(Some((service.build(database.clone())?, database)))
}

/// The services that are served, once they are.
type Watched = OnceLock<Vec<(String, watch::Receiver<Health>)>>;

fn readiness(watched: &Arc<Watched>) -> Readiness {
    let watched = Arc::clone(watched);
    Arc::new(move || {
        let Some(healths) = watched.get() else {
            return Err(NotReady::new("starting: waiting for NATS or Postgres"));
        };
        for (name, health) in healths {
            let ready = health.borrow().ready();
            ready.map_err(|why| NotReady::new(format!("{name}: {why}")))?;
        }
        Ok(())
    })
}

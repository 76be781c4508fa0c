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
    app::{App, AppService, WorkerFlags},
    failed::{During as _, Failed},
    plain_text,
    rights::Need,
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

/// A service, and where its database is.
pub(super) struct Place<'a> {
    service: &'a AppService,
    database_url: String,
    connections: u32,
}

impl<'a> Place<'a> {
    pub(super) fn new(service: &'a AppService, database_url: String) -> Self {
        Self { service, database_url, connections: SERVICE_CONNECTIONS }
    }

    pub(super) fn database_url(&self) -> &str {
        &self.database_url
    }

    pub(super) fn with_connections(self, connections: u32) -> Self {
        Self { connections, ..self }
    }
}

/// Where the settings say that the databases of these services are.
pub(super) fn places<'a>(
    settings: &Settings,
    services: Vec<&'a AppService>,
) -> Result<Vec<Place<'a>>, Failed> {
    let place =
        |service: &'a AppService| Ok(Place::new(service, settings.database_of(service.name())?));
    services.into_iter().map(place).collect()
}

/// Serves some of the program's services until a signal, or until one fails.
pub(crate) async fn run<F: WorkerFlags>(
    settings: &Settings,
    app: &App,
    options: WorkerOptions<F>,
) -> Result<(), Failed> {
    let nats = Access::of_role(settings)?;
    let places = places(settings, app.named(&options.services)?)?;
    plain_text::warn_of_databases(places.iter().map(Place::database_url));
    let stop = shutdown::stop_on_signal()?;
    let watched = Arc::<Watched>::default();
    let ready = nats.readiness(readiness(&watched));
    let role = serve(&nats, places, &options.flags, &watched, &stop);
    nats.keep(probes::beside(options.http, ready, role), &stop).await
}

/// Serves services until `stop`, or until one fails.
pub(super) async fn serve<F: WorkerFlags>(
    nats: &Access,
    places: Vec<Place<'_>>,
    flags: &F,
    watched: &Watched,
    stop: &CancellationToken,
) -> Result<(), Failed> {
    flags.warn(&places.iter().map(|place| place.service.name()).collect::<Vec<_>>());
    let Some(client) = nats.connect(stop).await? else { return Ok(()) };
    let mut services = Vec::new();
    for place in places {
        let ready = prepared(place, flags, &watched.waits, stop).await?;
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
    // A program without services has nothing to serve, and nothing that ends.
    let idle = serving.is_empty().then(|| stop.clone());
    let all = tokio::spawn(async move {
        while serving.join_next().await.is_some() {}
        if let Some(stop) = idle {
            stop.cancelled().await;
        }
    });
    let result = shutdown::ended(all, stop).await;
    for database in databases {
        shutdown::close(database, &client).await;
    }
    result.unwrap_or(Ok(())).during("a service failed")
}

/// A service with its database, up to date and seeded; `None` when stopped meanwhile. What the database cannot
/// do now is waited for.
async fn prepared<F: WorkerFlags>(
    place: Place<'_>,
    flags: &F,
    waits: &watch::Sender<Option<String>>,
    stop: &CancellationToken,
) -> Result<Option<(Service, Database)>, Failed> {
    let Place { service, database_url, connections } = place;
    let mut retries = RetryLoop::new(RETRY_FIRST, RETRY_CAP, service.name());
    loop {
        let connected = connect::postgres(&database_url, connections, &SESSION, None, stop);
        let Some(database) = connected.await? else { return Ok(None) };
        let failed = match prepare(service, flags, &database).await {
            Ok(()) => {
                waits.send_replace(None);
                return Ok(Some((service.build(database.clone())?, database)));
            }
            Err(failed) if failed.is_passing() => failed,
            Err(failed) => {
                return Err(Need::Service(service.name()).explain(failed, Some(&database_url)));
            }
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
    service: &AppService,
    flags: &F,
    database: &Database,
) -> Result<(), Failed> {
    service.migrate(database).await?;
    let seeded = flags.seed(service.name(), database).await;
    seeded.during(&format!("service {}", service.name()))
}

/// The state that a readiness probe reads.
#[derive(Default)]
pub(super) struct Watched {
    /// What a service waits for before it is served.
    waits: watch::Sender<Option<String>>,
    /// The services that are served, once they are.
    served: OnceLock<Vec<(String, watch::Receiver<Health>)>>,
}

pub(super) fn readiness(watched: &Arc<Watched>) -> Readiness {
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

//! `all`: an orchestrator and services of the program in one process.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use amends_orchestrator::{Config, Health};
use tokio_util::sync::CancellationToken;

use super::{
    nats::Access,
    orchestrator, probes,
    probes::Readiness,
    shutdown,
    worker::{self, Place, Watched},
};
use crate::{
    app::{App, AppService, NoFlags, WorkerFlags},
    deploy::check,
    failed::Failed,
    local::Local,
    plain_text,
    settings::{LogFormat, NatsSettings, Settings},
};

/// Connections of all services together, where each has a share.
const CONNECTIONS: u32 = 48;

/// Fewer are too few for one service, and more do not make it faster.
const CONNECTIONS_MIN: u32 = 4;

/// Between two looks whether all is ready, at the start.
const LOOK: Duration = Duration::from_millis(50);

/// How everything is to run.
#[derive(Debug)]
pub(crate) struct AllOptions<F> {
    /// The program's own flags.
    pub(crate) flags: F,
    /// Where probes are served, if anywhere.
    pub(crate) http: Option<SocketAddr>,
    /// What the orchestrator is told beside its servers.
    pub(crate) config: Config,
}

/// Runs all sagas and services of the program until a signal, or until one fails.
pub(crate) async fn run<F: WorkerFlags>(
    settings: &Settings,
    app: &App,
    options: AllOptions<F>,
) -> Result<(), Failed> {
    check_contract(app)?;
    let stop = shutdown::stop_on_signal()?;
    let everyone = app.services().iter().collect::<Vec<_>>();
    let places = worker::places(settings, everyone)?;
    let databases = places.iter().map(Place::database_url);
    plain_text::warn_of_databases(databases.chain([settings.database()?]));
    let announce = || tracing::info!("the orchestrator and all services are ready");
    serve(settings, app, places, options, &stop, announce).await
}

/// The same with these services only, on private servers.
pub(crate) async fn on(
    local: &Local,
    app: &App,
    services: Vec<&AppService>,
    options: AllOptions<NoFlags>,
    stop: &CancellationToken,
    announce: impl FnOnce(),
) -> Result<(), Failed> {
    let settings = Settings {
        database_url: Some(local.database_url().to_owned()),
        nats: NatsSettings::at(local.nats_url()),
        require_tls: false,
        log_format: LogFormat::Text,
    };
    let place = |service| Place::new(service, local.database_url().to_owned());
    let places = services.into_iter().map(place).collect();
    serve(&settings, app, places, options, stop, announce).await
}

/// Serves these services of the program beside an orchestrator of its sagas. Announces it when all are
/// ready.
async fn serve<F: WorkerFlags>(
    settings: &Settings,
    app: &App,
    places: Vec<Place<'_>>,
    options: AllOptions<F>,
    stop: &CancellationToken,
    announce: impl FnOnce(),
) -> Result<(), Failed> {
    let AllOptions { flags, http, config } = options;
    let definitions = app.definitions()?;
    let nats = Access::of_role(settings)?;
    let (health, watched) = (Arc::new(Health::default()), Arc::<Watched>::default());
    let ready = both(orchestrator::readiness(&health), worker::readiness(&watched));
    let services = u32::try_from(places.len().max(1)).unwrap_or(CONNECTIONS);
    let share = (CONNECTIONS / services).clamp(CONNECTIONS_MIN, worker::SERVICE_CONNECTIONS);
    let places = places.into_iter().map(|place| place.with_connections(share)).collect();
    // Each has its own end: services end first, and their last answers are decided.
    let (no_more_work, no_more_sagas) = (stop.child_token(), CancellationToken::new());
    let services = async {
        let ended = worker::serve(&nats, places, &flags, &watched, &no_more_work).await;
        no_more_sagas.cancel();
        ended
    };
    let sagas = async {
        let ended =
            orchestrator::serve(settings, &nats, config, definitions, health, &no_more_sagas);
        let ended = ended.await;
        no_more_work.cancel();
        ended
    };
    let role = async {
        let announce = async {
            if no_more_sagas.run_until_cancelled(until(&ready)).await.is_some() {
                announce();
            }
        };
        // On the heap: together they are more than the stack of a thread should hold.
        let (services, sagas) = (Box::pin(services), Box::pin(sagas));
        let ((), services, sagas) = tokio::join!(announce, services, sagas);
        sagas.and(services)
    };
    let role = probes::beside(http, nats.readiness(Arc::clone(&ready)), Box::pin(role));
    Box::pin(nats.keep(role, stop)).await
}

/// Fails for a program that is not sound: a step that no service handles would wait for ever.
pub(crate) fn check_contract(app: &App) -> Result<(), Failed> {
    let errors = check::errors(app)?;
    if errors.is_empty() {
        return Ok(());
    }
    Err(Failed::new(format!("the program is not sound: {}", errors.join("; "))))
}

async fn until(ready: &Readiness) {
    while ready().is_err() {
        tokio::time::sleep(LOOK).await;
    }
}

fn both(one: Readiness, other: Readiness) -> Readiness {
    Arc::new(move || one().and_then(|()| other()))
}

//! The long-running roles, and what prepares their databases.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use amends::Definition;
use amends_orchestrator::{Config, Health, SESSION};
use sqlx::PgPool;
use tokio::{signal::unix, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    During as _, Failed,
    cli::{MigrateArgs, OrchestratorArgs, Settings, WorkerArgs},
    link, probes, services,
};

/// Connections of an orchestrator beside two for each lane, of which it keeps one: the lane of
/// timers, the leader's place, the clock, maintenance, awaited events, and dead letters of some batches at once.
/// Whatever waits for one waits for milliseconds, and each costs Postgres a process.
const SPARE_CONNECTIONS: u32 = 9;

fn orchestrator_connections(lanes: u16) -> u32 {
    2 * u32::from(lanes) + SPARE_CONNECTIONS
}

/// Connections of a service: as many attempts run side by side.
pub(crate) const SERVICE_CONNECTIONS: u32 = 16;

/// A handler that hangs is never cancelled; its session is ended, so that it blocks nobody for long.
pub(crate) const SERVICE_SESSION: [(&str, &str); 2] =
    [("lock_timeout", "10s"), ("idle_in_transaction_session_timeout", "60s")];

/// Connections of one command.
const COMMAND_CONNECTIONS: u32 = 2;

/// How long a command that is run once waits for Postgres: long enough for a server that starts
/// beside it, short enough that a deployment which waits for it learns of the trouble.
const COMMAND_PATIENCE: Duration = Duration::from_secs(60);

/// How long a drain may take before the process ends anyway: whatever is cut off is repeated.
const DRAIN: Duration = Duration::from_secs(10);

impl Settings {
    pub(crate) fn database(&self) -> Result<&str, Failed> {
        self.database_url.as_deref().ok_or_else(|| {
            Failed("say which database with --database-url or DATABASE_URL, e.g. postgres://user@host/db".into())
        })
    }

    pub(crate) fn nats(&self) -> Result<&str, Failed> {
        self.nats_url.as_deref().ok_or_else(|| {
            Failed("say where NATS is with --nats-url or NATS_URL, e.g. nats://host:4222".into())
        })
    }

    /// A service's own database, or the common one.
    fn database_of(&self, service: &str) -> Result<String, Failed> {
        let variable = format!("{}_DATABASE_URL", service.to_uppercase().replace('-', "_"));
        match std::env::var(variable) {
            Ok(url) if !url.is_empty() => Ok(url),
            _ => self.database().map(str::to_owned),
        }
    }
}

/// The sagas that this program runs.
pub(crate) fn definitions() -> Result<Vec<Definition>, Failed> {
    let all = [
        Definition::of::<order::PlaceOrder>(),
        Definition::of::<trip::BookTrip>(),
        Definition::of::<trip::RentCar>(),
    ];
    all.into_iter().collect::<Result<_, _>>().during("definition")
}

/// A token that SIGTERM and SIGINT cancel.
pub(crate) fn stop_on_signal() -> Result<CancellationToken, Failed> {
    let stop = CancellationToken::new();
    let mut term = unix::signal(unix::SignalKind::terminate()).during("SIGTERM")?;
    let mut int = unix::signal(unix::SignalKind::interrupt()).during("SIGINT")?;
    let cancelled = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => tracing::info!("SIGTERM: draining"),
            _ = int.recv() => tracing::info!("SIGINT: draining"),
        }
        cancelled.cancel();
    });
    Ok(stop)
}

/// `amends orchestrator`.
pub(crate) async fn orchestrator(
    settings: &Settings,
    args: OrchestratorArgs,
    definitions: Vec<Definition>,
) -> Result<(), Failed> {
    let (database, nats) = (settings.database()?, settings.nats()?);
    let stop = stop_on_signal()?;
    let health = Arc::new(Health::default());
    let ready = {
        let health = Arc::clone(&health);
        Arc::new(move || health.ready().map_err(str::to_owned))
    };
    let ended = CancellationToken::new();
    let probes = probes::serve(args.http, ready, ended.clone()).await?;
    let connections = orchestrator_connections(args.lanes);
    let Some(pool) = link::postgres(database, connections, &SESSION, None, &stop).await? else {
        return Ok(());
    };
    let Some(client) = link::nats(nats, settings.nats_creds.as_deref(), &stop).await? else {
        return Ok(());
    };
    let config = Config {
        lanes: usize::from(args.lanes),
        stream_bytes_max: args.stream_bytes_max,
        stream_replicas: usize::from(args.stream_replicas),
        retain: args.retain,
    };
    let run = amends_orchestrator::run(
        config,
        pool.clone(),
        client.clone(),
        definitions,
        health,
        stop.clone(),
    );
    let result = bounded(tokio::spawn(run), &stop).await;
    ended.cancel();
    if let Some(probes) = probes {
        let _ = probes.await;
    }
    close(pool, &client).await;
    match result {
        Some(Ok(result)) => result.during("the orchestrator cannot run"),
        Some(Err(panic)) => Err(Failed::new("the orchestrator failed", &panic)),
        None => Ok(()),
    }
}

/// Waits for a role to end; after `stop` only as long as a drain may take.
async fn bounded<T>(
    mut role: tokio::task::JoinHandle<T>,
    stop: &CancellationToken,
) -> Option<Result<T, tokio::task::JoinError>> {
    tokio::select! {
        result = &mut role => Some(result),
        () = async { stop.cancelled().await; tokio::time::sleep(DRAIN).await } => {
            tracing::warn!("not drained after {DRAIN:?}: what is cut off is repeated by others");
            None
        }
    }
}

async fn close(pool: PgPool, client: &async_nats::Client) {
    // Acks are fire-and-forget: flushed, they reach the server before the connection ends.
    let _ = tokio::time::timeout(Duration::from_secs(1), client.flush()).await;
    let closing = tokio::spawn(async move { pool.close().await });
    let _ = tokio::time::timeout(Duration::from_secs(2), closing).await;
}

/// `amends worker`.
pub(crate) async fn worker(settings: &Settings, args: WorkerArgs) -> Result<(), Failed> {
    let nats = settings.nats()?;
    let names = distinct(&args.services)?;
    if args.seed_stock.is_some() && !names.contains(&"inventory") {
        tracing::warn!("--seed-stock is for the service inventory, which is not among these");
    }
    let stop = stop_on_signal()?;
    let healths: Arc<std::sync::OnceLock<Vec<_>>> = Arc::default();
    let ready = {
        let healths: Arc<std::sync::OnceLock<Vec<(String, _)>>> = Arc::clone(&healths);
        Arc::new(move || services_ready(healths.get()))
    };
    let ended = CancellationToken::new();
    let probes = probes::serve(args.http, ready, ended.clone()).await?;
    let Some(client) = link::nats(nats, settings.nats_creds.as_deref(), &stop).await? else {
        return Ok(());
    };
    let mut services = Vec::new();
    for name in names {
        let url = settings.database_of(name)?;
        let connected =
            link::postgres(&url, SERVICE_CONNECTIONS, &SERVICE_SESSION, None, &stop).await?;
        let Some(pool) = connected else { return Ok(()) };
        services::prepare(name, &pool).await?;
        if let ("inventory", Some(file)) = (name, &args.seed_stock) {
            seed_stock(&pool, file).await?;
        }
        services.push((services::service(name, pool.clone())?, pool));
    }
    let watched = services.iter().map(|(s, _)| (s.name().to_owned(), s.health())).collect();
    let _ = healths.set(watched);
    let mut serving = JoinSet::new();
    let mut pools = Vec::new();
    for (service, pool) in services {
        pools.push(pool);
        serving.spawn(service.serve(client.clone(), stop.clone()));
    }
    let all = tokio::spawn(async move { while serving.join_next().await.is_some() {} });
    let result = bounded(all, &stop).await;
    ended.cancel();
    if let Some(probes) = probes {
        let _ = probes.await;
    }
    for pool in pools {
        close(pool, &client).await;
    }
    match result {
        Some(Err(panic)) => Err(Failed::new("a service failed", &panic)),
        _ => Ok(()),
    }
}

type Watched = (String, tokio::sync::watch::Receiver<amends_workers::Health>);

fn services_ready(healths: Option<&Vec<Watched>>) -> Result<(), String> {
    let Some(healths) = healths else {
        return Err("starting: waiting for NATS or Postgres".into());
    };
    for (name, health) in healths {
        health.borrow().ready().map_err(|why| format!("{name}: {why}"))?;
    }
    Ok(())
}

fn distinct(services: &[String]) -> Result<Vec<&str>, Failed> {
    let mut names: Vec<&str> = Vec::new();
    for name in services {
        services::check(name)?;
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    Ok(names)
}

async fn seed_stock(pool: &PgPool, file: &Path) -> Result<(), Failed> {
    let what = format!("the stock in {}", file.display());
    let text = std::fs::read_to_string(file).during(&what)?;
    let stock: BTreeMap<String, i64> = serde_json::from_str(&text)
        .during(&format!("{what} must be a JSON object, sku to quantity"))?;
    order_services::inventory::seed_stock(pool, &stock).await.during(&what)
}

/// `amends migrate`.
pub(crate) async fn migrate(settings: &Settings, args: MigrateArgs) -> Result<(), Failed> {
    let stop = stop_on_signal()?;
    let url = match &args.participant {
        Some(url) => url.as_str(),
        None => settings.database()?,
    };
    let patience = Some(COMMAND_PATIENCE);
    let Some(pool) = link::postgres(url, COMMAND_CONNECTIONS, &[], patience, &stop).await? else {
        return Err(Failed("stopped before Postgres answered".into()));
    };
    if args.participant.is_some() {
        amends_workers::migrate(&pool).await.during("the barrier cannot be installed")?;
        tracing::info!("the schema `amends_barrier` is up to date");
    } else {
        amends_orchestrator::migrate(&pool).await.during("the schema cannot be migrated")?;
        tracing::info!("the schema `amends` is up to date");
    }
    pool.close().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_lane_waits_for_a_connection() {
        for lanes in [1, 2, 64] {
            let connections = super::orchestrator_connections(lanes);
            assert!(connections > u32::from(lanes), "{connections} for {lanes} lanes");
        }
    }
}

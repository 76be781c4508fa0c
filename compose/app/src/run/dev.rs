//! `dev`: everything in one process, with its data in a folder.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use amends_orchestrator::{Config, Health, SESSION};
use amends_postgres::Database;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    connect, migrate::prepare, nats::Access, orchestrator::readiness, probes,
    shutdown::stop_on_signal,
};
use crate::{
    failed::{During as _, Failed},
    local::Local,
    print::print,
    program::Program,
    settings::NatsSettings,
};

/// Connections for the services together, and for the orchestrator.
const CONNECTIONS: u32 = 24;

/// How everything is to run.
#[derive(Debug)]
pub(crate) struct DevOptions {
    /// Where the data is kept.
    pub(crate) data: Option<PathBuf>,
    /// Where probes are served, if anywhere.
    pub(crate) http: Option<SocketAddr>,
    /// How long sagas are kept that have ended.
    pub(crate) retain: Option<Duration>,
}

/// Runs until SIGINT or SIGTERM.
pub(crate) async fn run(program: &Program, options: DevOptions) -> Result<(), Failed> {
    let stop = stop_on_signal()?;
    let data = match &options.data {
        Some(data) => data.clone(),
        None => default_data()?,
    };
    let local = Local::start(&data).await.during("the private servers cannot be started")?;
    let ended = serve(program, &local, &options, &stop).await;
    let stopped = local.stop().await.during("the private servers cannot be stopped");
    ended.and(stopped)
}

async fn serve(
    program: &Program,
    local: &Local,
    options: &DevOptions,
    stop: &CancellationToken,
) -> Result<(), Failed> {
    let health = Arc::new(Health::default());
    let probes = probes::serve(options.http, readiness(&health), stop.clone()).await?;
    let url = local.database_url();
    let own = connect::postgres(url, CONNECTIONS, &amends_workers::SESSION, None, stop).await?;
    let lanes = connect::postgres(url, CONNECTIONS, &SESSION, None, stop).await?;
    let client = Access::of(&NatsSettings::at(local.nats_url()))?.connect(stop).await?;
    let (Some(database), Some(lanes), Some(client)) = (own, lanes, client) else { return Ok(()) };
    prepare(program, &database).await?;
    let mut services = serve_all(program, &database, &client, stop)?;
    let orchestrator = tokio::spawn(amends_orchestrator::run(
        Config { retain: options.retain, ..Config::default() },
        lanes.clone(),
        client,
        program.definitions()?,
        Arc::clone(&health),
        stop.clone(),
    ));
    print(&welcome(local, program.tour))?;
    let result = orchestrator.await.during("the orchestrator failed")?;
    stop.cancel();
    while services.join_next().await.is_some() {}
    if let Some(probes) = probes {
        let _ = probes.await;
    }
    database.close();
    lanes.close();
    result.during("the orchestrator cannot run")
}

fn serve_all(
    program: &Program,
    database: &Database,
    client: &async_nats::Client,
    stop: &CancellationToken,
) -> Result<JoinSet<()>, Failed> {
    let mut serving = JoinSet::new();
    for service in &program.services {
        let service = service.build(database.clone())?;
        serving.spawn(service.serve(client.clone(), stop.clone()));
    }
    Ok(serving)
}

fn default_data() -> Result<PathBuf, Failed> {
    if nix::unistd::geteuid().is_root() {
        return Ok("/var/lib/amends/dev".into());
    }
    let folder = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let home = folder("XDG_DATA_HOME").or_else(|| Some(folder("HOME")?.join(".local/share")));
    let home = home.ok_or_else(|| Failed::new("say where the data is to be kept with --data"))?;
    Ok(home.join("amends/dev"))
}

fn welcome(local: &Local, tour: &str) -> String {
    let (database, nats) = (local.database_url(), local.nats_url());
    format!(
        r"
  export DATABASE_URL={database}
  export NATS_URL={nats}

Paste the two lines above into a second shell; then:

{tour}
Ctrl-C stops everything; the data stays.
"
    )
}

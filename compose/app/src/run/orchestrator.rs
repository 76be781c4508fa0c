//! `orchestrator`: the role that runs sagas.

use std::{net::SocketAddr, sync::Arc};

use amends::Definition;
use amends_orchestrator::{Config, Health, SESSION};
use amends_postgres::Role;
use tokio_util::sync::CancellationToken;

use super::{
    connect,
    nats::Access,
    probes::{self, NotReady, Readiness},
    shutdown,
};
use crate::{
    failed::{During as _, Failed},
    plain_text,
    rights::Need,
    settings::Settings,
};

/// Connections of an orchestrator beside two for each lane, of which it keeps one: the lane of
/// timers, the leader's place, the clock, maintenance, awaited events, and dead letters of
/// some batches at once. Whatever waits for one waits for milliseconds, and each costs Postgres a
/// process.
const SPARE_CONNECTIONS: u32 = 9;

/// How an orchestrator is to run.
#[derive(Debug)]
pub struct OrchestratorOptions {
    /// Where its probes are served, if anywhere.
    pub http: Option<SocketAddr>,
    /// What it is told beside its servers.
    pub config: Config,
}

/// Runs an orchestrator of these definitions until a signal, or until it fails.
///
/// # Errors
/// Servers that cannot be used, and whatever ends an orchestrator.
pub async fn orchestrator(
    settings: &Settings,
    options: impl Into<OrchestratorOptions>,
    definitions: Vec<Definition>,
) -> Result<(), Failed> {
    let OrchestratorOptions { http, config } = options.into();
    let nats = Access::of_role(settings)?;
    plain_text::warn_of_databases([settings.database()?]);
    let stop = shutdown::stop_on_signal()?;
    let health = Arc::new(Health::default());
    let ready = nats.readiness(readiness(&health));
    let role = serve(settings, &nats, config, definitions, health, &stop);
    nats.keep(probes::beside(http, ready, role), &stop).await
}

/// Runs an orchestrator until `stop`, or until it fails.
pub(super) async fn serve(
    settings: &Settings,
    nats: &Access,
    config: Config,
    definitions: Vec<Definition>,
    health: Arc<Health>,
    stop: &CancellationToken,
) -> Result<(), Failed> {
    let connections = connections(config.lanes)?;
    let connected = connect::postgres(settings.database()?, connections, &SESSION, None, stop);
    let Some(database) = connected.await? else { return Ok(()) };
    let Some(client) = nats.connect(stop).await? else { return Ok(()) };
    let (database_, client_) = (database.clone(), client.clone());
    let run =
        amends_orchestrator::run(config, database_, client_, definitions, health, stop.clone());
    let result = shutdown::ended(tokio::spawn(run), stop).await;
    shutdown::close(database, &client).await;
    let Some(result) = result else { return Ok(()) };
    let ended = result.during("the orchestrator failed")?.during("the orchestrator cannot run");
    let need = Need::Role(Role::Orchestrator);
    ended.map_err(|failed| need.explain(failed, settings.database_url.as_deref()))
}

/// Whether an orchestrator with this health can do its work.
pub(super) fn readiness(health: &Arc<Health>) -> Readiness {
    let health = Arc::clone(health);
    Arc::new(move || health.ready().map_err(NotReady::new))
}

pub(crate) fn connections(lanes: usize) -> Result<u32, Failed> {
    let lanes = u32::try_from(lanes).during("lanes")?;
    Ok(2 * lanes + SPARE_CONNECTIONS)
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_lane_waits_for_a_connection() {
        for lanes in [1, 2, 64] {
            let connections = super::connections(lanes).unwrap() as usize;
            assert!(connections > lanes, "{connections} for {lanes} lanes");
        }
    }
}

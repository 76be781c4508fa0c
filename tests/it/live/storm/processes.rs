//! What happens to the processes themselves.

use std::time::Duration;

use amends_app::ask_to_end;

use super::world::{ORCHESTRATORS, WORKERS, World, lasts};
use crate::support::{Chance, Stopped};

/// How long a process may take to end.
const DRAIN: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, Copy)]
pub(super) enum ProcessFault {
    OrchestratorKilled,
    OrchestratorStopped,
    OrchestratorDrained,
    OrchestratorsKilled,
    WorkerKilled,
    WorkerStopped,
    WorkerDrained,
}

impl ProcessFault {
    pub(super) const ALL: [Self; 7] = [
        Self::OrchestratorKilled,
        Self::OrchestratorStopped,
        Self::OrchestratorDrained,
        Self::OrchestratorsKilled,
        Self::WorkerKilled,
        Self::WorkerStopped,
        Self::WorkerDrained,
    ];

    /// Begins it, and ends it; whether it was there.
    pub(super) async fn strike(self, world: &World, chance: &mut Chance) -> bool {
        let time = chance.millis(500, 5_000);
        let (orchestrator, worker) = (chance.one_of(&ORCHESTRATORS), chance.one_of(&WORKERS));
        match self {
            Self::OrchestratorKilled => killed(world, &[orchestrator], time).await,
            Self::OrchestratorStopped => stopped(world, orchestrator, time).await,
            Self::OrchestratorDrained => drained(world, orchestrator).await,
            Self::OrchestratorsKilled => killed(world, &ORCHESTRATORS, time).await,
            Self::WorkerKilled => killed(world, &[worker], time).await,
            Self::WorkerStopped => stopped(world, worker, time).await,
            Self::WorkerDrained => drained(world, worker).await,
        }
    }
}

/// Nobody starts it again before the time is over.
async fn killed(world: &World, roles: &[&str], time: Duration) -> bool {
    for role in roles {
        world.shop.lock().await.kill(role).await;
    }
    tokio::time::sleep(time).await;
    for role in roles {
        world.start(role).await;
    }
    true
}

async fn stopped(world: &World, role: &str, time: Duration) -> bool {
    let pid = world.shop.lock().await.pid(role);
    let _stopped = Stopped::with_children(pid);
    lasts(time, async || {
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Behind the name, which is in brackets.
        state.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T'))
    })
    .await
}

/// Asked to end; killed when it does not, as any supervisor does.
async fn drained(world: &World, role: &str) -> bool {
    let mut process = world.shop.lock().await.take(role);
    ask_to_end(&process);
    if tokio::time::timeout(DRAIN, process.wait()).await.is_err() {
        process.kill().await.unwrap();
    }
    world.start(role).await;
    true
}

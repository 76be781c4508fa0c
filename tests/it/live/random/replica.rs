//! An orchestrator with a runtime, a pool and a client of its own, so that it can be killed.

use std::sync::Arc;

use amends::Definition;
use amends_app::{NatsSettings, connect, nats};
use amends_orchestrator::{Config, Health, RunError, SESSION};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::support::{Shop, eventually};

/// Two for each lane, and nine.
const CONNECTIONS: u32 = 13;

pub(super) struct Replica {
    runtime: Option<Runtime>,
    running: JoinHandle<Result<(), RunError>>,
    stop: CancellationToken,
}

impl Replica {
    /// Starts it, and waits until it is ready.
    pub(super) async fn start(shop: &Shop, definitions: Vec<Definition>) -> Self {
        let (database, nats) =
            (shop.local.database_url().to_owned(), shop.local.nats_url().to_owned());
        let (stop, health) = (CancellationToken::new(), Arc::new(Health::default()));
        let (stops, tells) = (stop.clone(), Arc::clone(&health));
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let running = runtime.spawn(async move {
            let pool = connect::database(&database, CONNECTIONS, &SESSION).unwrap();
            let nats = nats::Access::of(&NatsSettings::at(&nats)).unwrap();
            let client = nats.connect(&stops).await.unwrap().unwrap();
            amends_orchestrator::run(Config::default(), pool, client, definitions, tells, stops)
                .await
        });
        eventually("a ready orchestrator", async || {
            assert!(!running.is_finished(), "an orchestrator does not start");
            health.ready().ok()
        })
        .await;
        Self { runtime: Some(runtime), running, stop }
    }

    /// As SIGKILL: all it does stops where it is, and its connections close.
    pub(super) fn kill(self) {
        drop(self);
    }

    /// As SIGTERM.
    pub(super) async fn drain(mut self) {
        self.stop.cancel();
        (&mut self.running).await.unwrap().unwrap();
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

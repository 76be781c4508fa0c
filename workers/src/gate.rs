//! Holds everything back while the service's database does not answer: a circuit breaker that the
//! first outage opens, and that probes of its own close.
//!
//! A command that meets a dead database is neither answered with `retry` nor given back: either
//! would use up attempts of its step and make noise once per command. It waits here, and no more
//! are pulled, until one probe for all gets through; then it simply runs.

use std::{sync::Arc, time::Duration};

use amends::Retry;
use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::Health;

/// Delays between probes. The services of one database are spread over them by their names.
fn again(probe: u32, service: &str) -> Duration {
    let retry = Retry::exponential(Duration::from_millis(100), Duration::from_secs(1));
    retry.delay(probe, service)
}

pub(crate) struct Gate {
    pool: PgPool,
    open: watch::Sender<bool>,
    health: watch::Sender<Health>,
    stop: CancellationToken,
}

impl Gate {
    pub(crate) fn new(
        pool: PgPool,
        health: watch::Sender<Health>,
        stop: CancellationToken,
    ) -> Self {
        Self { pool, open: watch::Sender::new(true), health, stop }
    }

    /// Waits until the gate is open; false when it is shut and the service stops.
    pub(crate) async fn pass(&self) -> bool {
        let mut open = self.open.subscribe();
        tokio::select! {
            biased;
            passed = open.wait_for(|open| *open) => passed.is_ok(),
            () = self.stop.cancelled() => false,
        }
    }

    /// Shuts the gate until the database answers again.
    pub(crate) fn shut(self: &Arc<Self>, service: &str, error: &str) {
        if self.open.send_replace(false) {
            tracing::warn!(service, error, "the database does not answer: waiting for it");
            self.tell(service, Some(format!("its database does not answer: {error}")));
            tokio::spawn(Arc::clone(self).probe(service.to_owned()));
        }
    }

    async fn probe(self: Arc<Self>, service: String) {
        for probe in 1.. {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(again(probe, &service)) => {}
            }
            if self.writable().await.unwrap_or(false) {
                tracing::info!(service, "the database answers again");
                self.tell(&service, None);
                self.open.send_replace(true);
                return;
            }
        }
    }

    fn tell(&self, service: &str, away: Option<String>) {
        let shut = if away.is_some() { 1.0 } else { 0.0 };
        metrics::gauge!("amends_worker_database_away", "service" => service.to_owned()).set(shut);
        self.health.send_modify(|health| health.database = away);
    }

    async fn writable(&self) -> sqlx::Result<bool> {
        let row = sqlx::query_file!("src/barrier/probe.sql").fetch_one(&self.pool).await?;
        Ok(row.writable)
    }
}

//! The database gate: holds everything back while the service's database does not answer. The first
//! outage closes it, and probes of its own open it again.
//!
//! A command that meets a dead database is neither answered with `retry` nor given back: either
//! would use up attempts of its step and make noise once per command. It waits here, and no more
//! are pulled, until one probe for all gets through; then it simply runs.

use std::{sync::Arc, time::Duration};

use amends::RetryLoop;
use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::Health;

/// Delays between probes.
const PROBE_FIRST: Duration = Duration::from_millis(100);
const PROBE_CAP: Duration = Duration::from_secs(1);

pub(crate) struct DatabaseGate {
    pool: PgPool,
    open: watch::Sender<bool>,
    health: watch::Sender<Health>,
    stop: CancellationToken,
}

impl DatabaseGate {
    pub(crate) fn new(
        pool: PgPool,
        health: watch::Sender<Health>,
        stop: CancellationToken,
    ) -> Self {
        Self { pool, open: watch::Sender::new(true), health, stop }
    }

    /// Waits until the gate is open; false when it is closed and the service stops.
    pub(crate) async fn pass(&self) -> bool {
        let mut open = self.open.subscribe();
        tokio::select! {
            biased;
            passed = open.wait_for(|open| *open) => passed.is_ok(),
            () = self.stop.cancelled() => false,
        }
    }

    /// Closes the gate until the database answers again.
    pub(crate) fn close(self: &Arc<Self>, service: &str, error: &str) {
        if self.open.send_replace(false) {
            tracing::warn!(service, error, "the database does not answer: waiting for it");
            self.report(service, Some(format!("its database does not answer: {error}")));
            tokio::spawn(Arc::clone(self).probe(service.to_owned()));
        }
    }

    /// Opens the gate when the database takes writes. The services of one database spread their
    /// probes by their names.
    async fn probe(self: Arc<Self>, service: String) {
        let mut probes = RetryLoop::new(PROBE_FIRST, PROBE_CAP, &service);
        loop {
            let pause = tokio::time::sleep(probes.failed());
            if self.stop.run_until_cancelled(pause).await.is_none() {
                return;
            }
            if self.writable().await.unwrap_or(false) {
                tracing::info!(service, "the database answers again");
                self.report(&service, None);
                self.open.send_replace(true);
                return;
            }
        }
    }

    /// Shows in metrics and health whether the database is away, and why.
    fn report(&self, service: &str, away: Option<String>) {
        let value = if away.is_some() { 1.0 } else { 0.0 };
        metrics::gauge!("amends_worker_database_away", "service" => service.to_owned()).set(value);
        self.health.send_modify(|health| health.database = away);
    }

    async fn writable(&self) -> sqlx::Result<bool> {
        let row = sqlx::query_file!("src/barrier/probe.sql").fetch_one(&self.pool).await?;
        Ok(row.writable)
    }
}

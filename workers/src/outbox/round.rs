//! One round of a relay: claim, publish, wait for the acks, remove; one transaction.

use async_nats::Client;
use sqlx::PgPool;

use super::{
    publisher::{Publication, Publisher},
    table,
};
use crate::barrier;

/// Events of one round: as many acks are waited for at once. Their bodies are in memory.
const EVENTS_MAX: i32 = 128;

/// What a relay works with.
pub(super) struct Round {
    pub(super) service: String,
    pub(super) pool: PgPool,
    publisher: Publisher,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RoundOutcome {
    /// Nothing was due.
    Idle,
    /// There may be more.
    Busy,
    /// NATS or Postgres does not answer.
    Away,
    /// The database has no outbox for this user.
    Lacking,
}

impl Round {
    pub(super) fn new(service: String, pool: PgPool, client: Client) -> Self {
        let publisher = Publisher::new(service.clone(), client);
        Self { service, pool, publisher }
    }

    pub(super) fn connected(&self) -> bool {
        self.publisher.connected()
    }

    /// To be called in a task that is not aborted, as it holds a transaction.
    pub(super) async fn run(&self) -> sqlx::Result<RoundOutcome> {
        let mut tx = barrier::begin(&self.pool).await?;
        let events = table::claim(&mut tx, EVENTS_MAX).await?;
        if events.is_empty() {
            tx.rollback().await?;
            return Ok(RoundOutcome::Idle);
        }
        let (mut stored, mut postponed) = (Vec::new(), Vec::new());
        let mut outcome = RoundOutcome::Busy;
        for (event, publication) in events.iter().zip(self.publisher.publish(&events).await) {
            match publication {
                Publication::Stored => stored.push(event.id),
                Publication::Postponed(event) => postponed.push(event),
                Publication::Unknown => outcome = RoundOutcome::Away,
            }
        }
        table::remove_sent(&mut tx, &stored).await?;
        table::postpone(&mut tx, &postponed).await?;
        tx.commit().await?;
        self.count("amends_outbox_published_total", stored.len());
        let refused = postponed.iter().filter(|event| event.refused).count();
        self.count("amends_outbox_refused_total", refused);
        Ok(outcome)
    }

    fn count(&self, name: &'static str, count: usize) {
        metrics::counter!(name, "service" => self.service.clone()).increment(count as u64);
    }
}

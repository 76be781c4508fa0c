//! One round of a relay: claim, publish, wait for the acks, remove; one transaction.

use amends_postgres::{Database, Session};
use async_nats::Client;

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
    pub(super) database: Database,
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
    pub(super) fn new(service: String, database: Database, client: Client) -> Self {
        let publisher = Publisher::new(service.clone(), client);
        Self { service, database, publisher }
    }

    pub(super) fn connected(&self) -> bool {
        self.publisher.connected()
    }

    pub(super) async fn run(&self) -> sqlx::Result<RoundOutcome> {
        let mut session = self.database.session().await?;
        let outcome = self.relay(&mut session).await?;
        session.give_back();
        Ok(outcome)
    }

    async fn relay(&self, session: &mut Session) -> sqlx::Result<RoundOutcome> {
        let watch = session.watch();
        let mut tx = watch.within(barrier::begin(session)).await?;
        let events = watch.within(table::claim(&mut tx, EVENTS_MAX)).await?;
        if events.is_empty() {
            watch.within(tx.rollback()).await?;
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
        watch.within(table::remove_sent(&mut tx, &stored)).await?;
        watch.within(table::postpone(&mut tx, &postponed)).await?;
        watch.within(tx.commit()).await?;
        self.count("amends_outbox_published_total", stored.len());
        let refused = postponed.iter().filter(|event| event.refused).count();
        self.count("amends_outbox_refused_total", refused);
        Ok(outcome)
    }

    fn count(&self, name: &'static str, count: usize) {
        metrics::counter!(name, "service" => self.service.clone()).increment(count as u64);
    }
}

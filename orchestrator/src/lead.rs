//! Which replica takes the messages.
//!
//! Any replica can take any turn, but one that did not take a saga's last turn has to read the saga
//! first. So of the replicas with the same definitions one leads and takes all messages and timers; the
//! others stand by, and help when messages pile up or nobody takes them. Nothing is decided by who
//! leads: two leaders at once, or none for a while, cost time and nothing else.
//!
//! The leader writes a sign of life. A replica that has seen the same one for [`SILENCE`] by its own
//! monotonic clock takes the place, so that no two clocks have to agree, and a leader that is frozen or cut
//! off is followed by another one soon.

use std::{sync::Arc, time::Duration};

use amends::machine::Time;
use async_nats::connection::State;
use sqlx::types::Uuid;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    health::Health,
    store::{Place, Store, StoreError},
    time::Now,
};

/// Between two signs of life.
const PERIOD: Duration = Duration::from_millis(300);

/// A leader that gave none for so long has lost its place.
const SILENCE: Duration = Duration::from_secs(2);

/// Stands for election, for ever.
pub(crate) struct Candidate {
    pub(crate) store: Store,
    /// Each set of definitions has a leader: what one cannot carry on, another may.
    pub(crate) election_key: String,
    pub(crate) nats: async_nats::Client,
    pub(crate) health: Arc<Health>,
    pub(crate) now: Arc<Now>,
    pub(crate) leads: watch::Sender<bool>,
    pub(crate) stop: CancellationToken,
}

/// What was seen of the place, and since when.
#[derive(Default)]
struct Seen {
    /// The last sign of life of another replica, and when it was new here.
    other: Option<(Time, Instant)>,
    /// When this replica was told that it leads.
    led_at: Option<Instant>,
    failing: bool,
}

impl Seen {
    /// The sign of life that is too old.
    fn stale(&self, now: Instant) -> Option<Time> {
        self.other.filter(|(_, since)| now - *since >= SILENCE).map(|(at, _)| at)
    }

    fn note(&mut self, place: &Place, now: Instant) {
        self.led_at = place.leads.then_some(now);
        self.other = match (place.at, self.other) {
            _ if place.leads => None,
            (Some(at), Some((known, since))) if at == known => Some((at, since)),
            (at, _) => at.map(|at| (at, now)),
        };
    }

    /// Whether others may have taken the place of this replica, because it could not be heard.
    fn is_lost(&self, now: Instant) -> bool {
        self.led_at.is_none_or(|at| now - at >= SILENCE)
    }
}

impl Candidate {
    /// Runs until stopped, and leaves its place then.
    pub(crate) async fn run(self) {
        let replica = Uuid::now_v7();
        let mut seen = Seen::default();
        while !self.stop.is_cancelled() {
            self.beat(replica, &mut seen).await;
            self.stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await;
        }
        self.leave(replica).await;
    }

    /// Gives a sign of life. While NATS cannot be reached the place is left to whoever reaches it.
    async fn beat(&self, replica: Uuid, seen: &mut Seen) {
        let stale = seen.stale(Instant::now());
        let beat = self.store.lead(&self.election_key, replica, stale, self.now.known()).await;
        match beat {
            Ok(place) => {
                self.now.learn(place.now, place.at);
                self.health.postgres.succeeded();
                if std::mem::take(&mut seen.failing) {
                    tracing::info!("Postgres takes writes again");
                }
                seen.note(&place, Instant::now());
                if place.leads && !self.reaches_nats() {
                    self.leave(replica).await;
                    *seen = Seen::default();
                }
                self.report(seen.led_at.is_some());
            }
            Err(error) => self.unheard(seen, &error),
        }
    }

    /// Whether JetStream stores what this replica publishes.
    fn reaches_nats(&self) -> bool {
        matches!(self.nats.connection_state(), State::Connected) && self.health.nats.check().is_ok()
    }

    fn unheard(&self, seen: &mut Seen, error: &StoreError) {
        let error = error.why();
        self.health.postgres.failed(error.clone());
        if !std::mem::replace(&mut seen.failing, true) {
            tracing::warn!(%error, "Postgres takes no writes; trying again until it does");
        }
        if seen.is_lost(Instant::now()) {
            self.report(false);
        }
    }

    async fn leave(&self, replica: Uuid) {
        self.report(false);
        if let Err(error) = self.store.leave(&self.election_key, replica).await {
            tracing::debug!(%error, "the place could not be left; it is free in {SILENCE:?}");
        }
    }

    fn report(&self, leads: bool) {
        metrics::gauge!("amends_leads").set(if leads { 1.0 } else { 0.0 });
        let changed = self.leads.send_if_modified(|known| std::mem::replace(known, leads) != leads);
        if changed {
            let what = if leads { "leads: takes all messages" } else { "stands by" };
            tracing::info!("this replica {what}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(leads: bool, at: i64) -> Place {
        let at = Time::from_timestamp(at, 0);
        Place { leads, at, now: at.unwrap_or_default() }
    }

    #[test]
    fn a_place_is_free_when_its_sign_of_life_stands_still() {
        let (mut seen, began) = (Seen::default(), Instant::now());
        seen.note(&place(false, 7), began);
        assert_eq!(seen.stale(began), None);
        seen.note(&place(false, 7), began + SILENCE / 2);
        assert_eq!(seen.stale(began + SILENCE), Time::from_timestamp(7, 0));
        seen.note(&place(false, 8), began + SILENCE);
        assert_eq!(seen.stale(began + SILENCE + SILENCE / 2), None);
        seen.note(&place(true, 9), began + 2 * SILENCE);
        assert_eq!(seen.stale(began + 9 * SILENCE), None);
    }

    #[test]
    fn who_is_not_heard_has_lost_its_place() {
        let (mut seen, began) = (Seen::default(), Instant::now());
        assert!(seen.is_lost(began));
        seen.note(&place(true, 7), began);
        assert!(!seen.is_lost(began + SILENCE / 2));
        assert!(seen.is_lost(began + SILENCE));
    }
}

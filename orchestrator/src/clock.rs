//! Timers that are due become events. Replicas share them; an idle saga costs nothing.

use std::{sync::Arc, time::Duration};

use amends::{Retry, machine::Event};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    health::Health,
    lane::{Incoming, Item, Lanes},
    store::Store,
};

/// Timers taken at once.
const CLAIM_MAX: i64 = 500;

/// How long a replica that took timers has, before they fire again for another.
const LEASE: Duration = Duration::from_secs(10);

/// Timers that other replicas set are seen at least this often; one's own wake the clock at once.
const LOOK: Duration = Duration::from_millis(500);

/// Wakes the clock for a timer that is due earlier than what it sleeps for.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    next: std::sync::Mutex<Option<Instant>>,
    changed: Notify,
}

impl Alarm {
    /// A timer was set to fire in `delay`.
    pub(crate) fn set(&self, delay: Duration) {
        if delay >= LOOK {
            return;
        }
        let at = Instant::now() + delay;
        let mut next = self.next.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if next.is_none_or(|earlier| at < earlier) {
            *next = Some(at);
            self.changed.notify_one();
        }
    }

    fn take(&self) -> Option<Instant> {
        self.next.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    }
}

pub(crate) struct Clock {
    pub(crate) store: Store,
    pub(crate) lanes: Lanes,
    pub(crate) alarm: Arc<Alarm>,
    pub(crate) health: Arc<Health>,
    pub(crate) stop: CancellationToken,
}

impl Clock {
    /// Runs until stopped.
    pub(crate) async fn run(self) {
        let mut failures = 0;
        while !self.stop.is_cancelled() {
            match self.tick().await {
                Ok(pause) => {
                    failures = 0;
                    self.health.set_postgres(true);
                    self.sleep(pause).await;
                }
                Err(error) => {
                    failures += 1;
                    self.health.set_postgres(false);
                    if failures == 1 {
                        tracing::warn!(
                            ?error,
                            "timers cannot be read; trying again until Postgres answers"
                        );
                    }
                    let retry =
                        Retry::exponential(Duration::from_millis(100), Duration::from_secs(2));
                    self.sleep(retry.delay(failures, "clock")).await;
                }
            }
        }
    }

    /// Takes what is due; returns how long to sleep.
    async fn tick(&self) -> Result<Duration, crate::store::CommitError> {
        let due = self.store.claim(CLAIM_MAX, LEASE).await?;
        metrics::counter!("amends_timers_fired_total").increment(due.len() as u64);
        let full = i64::try_from(due.len()).is_ok_and(|n| n == CLAIM_MAX);
        for timer in due {
            let incoming = Incoming::Wake(timer, Event::Wake);
            self.lanes.send(Item { saga: timer.saga, incoming, delivery: None }).await;
        }
        if full {
            return Ok(Duration::ZERO);
        }
        Ok(self.store.next_timer().await?.unwrap_or(LOOK).min(LOOK))
    }

    async fn sleep(&self, pause: Duration) {
        let until = Instant::now() + pause;
        loop {
            let wake = self.alarm.take().map_or(until, |alarm| alarm.min(until));
            tokio::select! {
                () = tokio::time::sleep_until(wake) => return,
                () = self.alarm.changed.notified() => {
                    // An earlier timer was set: look again at when to wake.
                    if wake < until {
                        self.alarm.set(wake.saturating_duration_since(Instant::now()));
                    }
                }
                () = self.stop.cancelled() => return,
            }
        }
    }
}

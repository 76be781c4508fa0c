//! Timers that are due become events. Replicas share them; an idle saga costs nothing.

use std::{sync::Arc, time::Duration};

use amends::{RetryLoop, turn::Input};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    health::Health,
    lane::{Item, Lanes},
    registry::Registry,
    store::{Store, StoreError},
    time::{Alarm, CLOCK_PERIOD, Now},
};

/// Timers taken at once.
const CLAIM_MAX: i64 = 500;

/// Between two looks at least: timers that fire within it are read together.
const PAUSE: Duration = Duration::from_millis(5);

/// Between two looks while something is due that only others can take: it runs under a lease, or
/// its version is not known here.
const NOT_OURS: Duration = Duration::from_millis(50);

/// Timers that nobody took for so long are taken by a replica that stands by.
const LATE: Duration = Duration::from_secs(2);

/// Delays while timers cannot be read.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_CAP: Duration = Duration::from_secs(2);

pub(crate) struct Clock {
    pub(crate) store: Store,
    pub(crate) lanes: Lanes,
    pub(crate) registry: Arc<Registry>,
    pub(crate) alarm: Arc<Alarm>,
    pub(crate) now: Arc<Now>,
    pub(crate) health: Arc<Health>,
    /// Whether this replica leads.
    pub(crate) leads: watch::Receiver<bool>,
    pub(crate) stop: CancellationToken,
}

impl Clock {
    /// Runs until stopped.
    pub(crate) async fn run(self) {
        let mut retries = RetryLoop::new(RETRY_FIRST, RETRY_CAP, "clock");
        while !self.stop.is_cancelled() {
            match self.tick().await {
                Ok(pause) => {
                    retries.succeeded();
                    self.sleep(pause).await;
                }
                Err(error) => {
                    let pause = retries.failed();
                    if retries.is_first() {
                        tracing::warn!(
                            ?error,
                            "timers cannot be read; trying again until Postgres answers"
                        );
                    }
                    self.sleep(pause).await;
                }
            }
        }
    }

    /// Takes what is due; returns how long to sleep.
    async fn tick(&self) -> Result<Duration, StoreError> {
        let leads = *self.leads.borrow();
        let late = if leads { Duration::ZERO } else { LATE };
        let due = {
            let _under_way = self.health.under_way();
            self.store.claim(CLAIM_MAX, late, self.now.get(), &self.registry.foreign()).await?
        };
        metrics::counter!("amends_timers_fired_total").increment(due.len() as u64);
        let full = i64::try_from(due.len()).is_ok_and(|n| n == CLAIM_MAX);
        let none = due.is_empty();
        for timer in due {
            self.lanes.send(Item::new(timer.saga, Input::Timer(timer), None)).await;
        }
        if full {
            return Ok(Duration::ZERO);
        }
        let (wait, now) = self.store.next_timer(self.now.get()).await?;
        self.now.learn(now, None);
        if !leads {
            return Ok(CLOCK_PERIOD);
        }
        // What is due and was not taken belongs to another replica.
        let not_ours = none && wait == Some(Duration::ZERO);
        Ok(if not_ours { NOT_OURS } else { wait.unwrap_or(CLOCK_PERIOD).min(CLOCK_PERIOD) })
    }

    async fn sleep(&self, pause: Duration) {
        let first = Instant::now() + PAUSE;
        let mut wake = Instant::now() + pause;
        loop {
            if let Some(alarm) = self.alarm.take() {
                wake = wake.min(alarm);
            }
            wake = wake.max(first);
            tokio::select! {
                () = tokio::time::sleep_until(wake) => return,
                () = self.alarm.changed() => {}
                () = self.stop.cancelled() => return,
            }
        }
    }
}

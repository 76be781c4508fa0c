//! What time it is, and when the next timer fires.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use amends::machine::Time;
use chrono::{SubsecRound as _, Utc};
use tokio::{sync::Notify, time::Instant};

/// Timers that other replicas set are seen at least this often; one's own wake the clock at once.
pub(crate) const CLOCK_PERIOD: Duration = Duration::from_millis(500);

/// What time it is: the database's clock, as far as this replica knows it. Replicas then agree on
/// what is due, however their own clocks stand.
#[derive(Debug, Default)]
pub(crate) struct Now {
    ahead_us: AtomicI64,
}

impl Now {
    /// The database said this just now.
    pub(crate) fn learn(&self, database: Time) {
        let ahead = (database - Utc::now()).num_microseconds().unwrap_or(0);
        self.ahead_us.store(ahead, Ordering::Relaxed);
    }

    /// Now, in whole microseconds, as the database keeps them.
    pub(crate) fn get(&self) -> Time {
        let ahead = chrono::TimeDelta::microseconds(self.ahead_us.load(Ordering::Relaxed));
        (Utc::now() + ahead).trunc_subsecs(6)
    }
}

/// Wakes the clock for a timer that is due earlier than what it sleeps for.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    next: Mutex<Option<Instant>>,
    changed: Notify,
}

impl Alarm {
    /// A timer was set to fire in `delay`.
    pub(crate) fn set(&self, delay: Duration) {
        if delay >= CLOCK_PERIOD {
            return;
        }
        let at = Instant::now() + delay;
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if next.is_none_or(|earlier| at < earlier) {
            *next = Some(at);
            self.changed.notify_one();
        }
    }

    /// The earliest time that was set since this was last asked.
    pub(crate) fn take(&self) -> Option<Instant> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Until an earlier time is set.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}

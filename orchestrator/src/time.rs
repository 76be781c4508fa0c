//! What time it is, and when the next timer fires.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use amends::machine::Time;
use chrono::{SubsecRound as _, TimeDelta, Utc};
use tokio::{sync::Notify, time::Instant};

/// Timers that other replicas set are seen at least this often; one's own wake the clock at once.
pub(crate) const CLOCK_PERIOD: Duration = Duration::from_millis(500);

/// The database's clock may be so far behind what it said before without being taken to have gone back:
/// its answers do not come in the order in which they were given.
const BACK: TimeDelta = TimeDelta::seconds(2);

/// A clock that went back by more was wrong for so long, or so wrong, that nobody can tell what was meant.
const BACK_MAX: TimeDelta = TimeDelta::days(1);

/// What time it is: the database's clock, as far as this replica knows it. Replicas then agree on
/// what is due, however their own clocks stand.
///
/// It never goes back. Where the database's clock does (by two seconds to a day), time goes on from where
/// it was, at nine tenths of its speed, until that clock has caught up: what was to be done in a second is
/// then not left for an hour.
#[derive(Debug, Default)]
pub(crate) struct Now {
    anchor: Mutex<Option<Anchor>>,
}

/// A time that was true at an instant.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    at: Instant,
    time: Time,
    slow: bool,
}

impl Anchor {
    fn now(&self) -> Time {
        let elapsed = self.at.elapsed();
        let elapsed = if self.slow { elapsed * 9 / 10 } else { elapsed };
        self.time + TimeDelta::from_std(elapsed).unwrap_or(TimeDelta::MAX)
    }
}

impl Now {
    /// The database said this just now; the leader of these replicas had this time a moment ago.
    pub(crate) fn learn(&self, database: Time, leader: Option<Time>) {
        let mut anchor = self.lock();
        let ours = anchor.map(|anchor| anchor.now());
        let before = ours.max(leader).unwrap_or(database);
        let back = before - database;
        let slow = back > BACK && back <= BACK_MAX;
        let was_slow = anchor.is_some_and(|anchor| anchor.slow);
        *anchor =
            Some(Anchor { at: Instant::now(), time: if slow { before } else { database }, slow });
        drop(anchor);
        metrics::gauge!("amends_clock_behind_seconds").set(if slow {
            back.as_seconds_f64()
        } else {
            0.0
        });
        if slow && !was_slow {
            let seconds = back.num_seconds();
            tracing::warn!(
                seconds,
                "the database's clock went back: time goes on from where it was, slower, until the clock has caught up"
            );
        } else if back > BACK_MAX {
            let seconds = back.num_seconds();
            tracing::error!(
                seconds,
                "the database's clock went back by more than a day: what waits for a time waits until the clock shows it"
            );
        }
    }

    /// Now, in whole microseconds, as the database keeps them.
    pub(crate) fn get(&self) -> Time {
        self.known().unwrap_or_else(Utc::now).trunc_subsecs(6)
    }

    /// Now, if the database has said it once.
    pub(crate) fn known(&self) -> Option<Time> {
        self.lock().map(|anchor| anchor.now().trunc_subsecs(6))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Anchor>> {
        self.anchor.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn time_follows_the_database() {
        let now = Now::default();
        now.learn(at(0), None);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(now.get(), at(5));
        now.learn(at(65), None);
        assert_eq!(now.get(), at(65));
        now.learn(at(64), None);
        assert_eq!(now.get(), at(64), "a second is no way back");
    }

    #[tokio::test(start_paused = true)]
    async fn time_does_not_go_back_with_the_clock() {
        let now = Now::default();
        now.learn(at(3600), None);
        now.learn(at(0), None);
        assert_eq!(now.get(), at(3600));
        tokio::time::advance(Duration::from_secs(100)).await;
        now.learn(at(100), None);
        assert_eq!(now.get(), at(3690), "it goes slower");
        tokio::time::advance(Duration::from_secs(36_000)).await;
        now.learn(at(36_100), None);
        assert_eq!(now.get(), at(36_100), "the clock has caught up");
    }

    #[tokio::test(start_paused = true)]
    async fn a_replica_goes_on_from_the_time_of_the_leader() {
        let now = Now::default();
        now.learn(at(0), Some(at(3600)));
        assert_eq!(now.get(), at(3600));
        let other = Now::default();
        other.learn(at(0), Some(at(90_000)));
        assert_eq!(other.get(), at(0), "a time that was out of all reason is not kept");
    }
}

//! Timers that are due become events. Replicas share them; an idle saga costs nothing.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use amends::{Retry, machine::Time, turn::Input};
use chrono::{SubsecRound as _, Utc};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    health::Health,
    lane::{Item, Lanes},
    registry::Registry,
    store::{CommitError, Store, in_use},
};

/// Timers taken at once.
const CLAIM_MAX: i64 = 500;

/// Between two looks at least: timers that fire within it are read together.
const PAUSE: Duration = Duration::from_millis(5);

/// Between two looks while something is due that only others can take: it runs under a lease, or
/// its version is not known here.
const NOT_OURS: Duration = Duration::from_millis(50);

/// Between two looks at which versions are retired, and for acts that nobody answered.
const VERSIONS: Duration = Duration::from_secs(2);

/// Between two looks for kept events that are too old.
const EVENTS: Duration = Duration::from_secs(600);

/// The same while there are more than are forgotten at once.
const EVENTS_MORE: Duration = Duration::from_secs(1);

/// Kept events forgotten at once.
const FORGOTTEN_MAX: u64 = 10_000;

/// Between two looks at partitions; oftener when sagas are kept for a short time.
const PERIODS: Duration = Duration::from_secs(600);

/// The same, while more is left to delete than a short statement may.
const PERIODS_MORE: Duration = Duration::from_secs(1);

/// Timers that nobody took for so long are taken by a replica that stands by.
const LATE: Duration = Duration::from_secs(2);

/// Timers that other replicas set are seen at least this often; one's own wake the clock at once.
const LOOK: Duration = Duration::from_millis(500);

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

/// What a clock does now and then, and when next.
struct Chores {
    versions_at: Instant,
    events_at: Instant,
    periods_at: Instant,
    /// What failed when it was tried last.
    failing: HashSet<&'static str>,
}

impl Chores {
    /// Says what went wrong, once for as long as it goes wrong.
    fn tell(&mut self, chore: &'static str, done: Result<(), CommitError>) {
        match done {
            Ok(()) => drop(self.failing.remove(chore)),
            Err(error) if self.failing.insert(chore) => {
                tracing::warn!(chore, ?error, "a chore failed; it is tried again at its next time");
            }
            Err(_) => {}
        }
    }
}

pub(crate) struct Clock {
    pub(crate) store: Store,
    pub(crate) lanes: Lanes,
    pub(crate) registry: Arc<Registry>,
    pub(crate) alarm: Arc<Alarm>,
    pub(crate) now: Arc<Now>,
    pub(crate) health: Arc<Health>,
    /// Whether this replica leads.
    pub(crate) leads: watch::Receiver<bool>,
    /// How long sagas are kept.
    pub(crate) retain: Option<Duration>,
    pub(crate) stop: CancellationToken,
}

impl Clock {
    /// Runs until stopped.
    pub(crate) async fn run(self) {
        let mut failures = 0;
        let now = Instant::now();
        let failing = HashSet::new();
        let mut chores = Chores { versions_at: now, events_at: now, periods_at: now, failing };
        while !self.stop.is_cancelled() {
            match self.tick(&mut chores).await {
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
    async fn tick(&self, chores: &mut Chores) -> Result<Duration, CommitError> {
        self.look_after(chores).await;
        let leads = *self.leads.borrow();
        let late = if leads { Duration::ZERO } else { LATE };
        let due = self.store.claim(CLAIM_MAX, late, &self.registry.foreign()).await?;
        metrics::counter!("amends_timers_fired_total").increment(due.len() as u64);
        let full = i64::try_from(due.len()).is_ok_and(|n| n == CLAIM_MAX);
        let none = due.is_empty();
        for timer in due {
            self.lanes.send(Item::new(timer.saga, Input::Timer(timer), None)).await;
        }
        if full {
            return Ok(Duration::ZERO);
        }
        let (wait, now) = self.store.next_timer().await?;
        self.now.learn(now);
        if !leads {
            return Ok(LOOK);
        }
        // What is due and was not taken belongs to another replica.
        let not_ours = none && wait == Some(Duration::ZERO);
        Ok(if not_ours { NOT_OURS } else { wait.unwrap_or(LOOK).min(LOOK) })
    }

    /// Does the chores that are due. One that fails is told and tried again at its next time: it must
    /// not hold up the timers.
    async fn look_after(&self, chores: &mut Chores) {
        let now = Instant::now();
        if chores.versions_at <= now {
            chores.versions_at = now + VERSIONS;
            chores.tell("versions and acts", self.look_after_versions().await);
        }
        if chores.events_at <= now {
            let forgotten = self.store.forget_events().await;
            let more = forgotten.as_ref().is_ok_and(|forgotten| *forgotten >= FORGOTTEN_MAX);
            chores.events_at = now + if more { EVENTS_MORE } else { EVENTS };
            chores.tell("kept events", forgotten.map(drop));
        }
        if chores.periods_at <= now {
            let looked = self.look_after_periods().await;
            let often = if matches!(looked, Ok(true)) { PERIODS_MORE } else { PERIODS };
            chores.periods_at = now + self.retain.map_or(often, |retain| often.min(retain / 32));
            chores.tell("partitions", looked.map(drop));
        }
    }

    async fn look_after_versions(&self) -> Result<(), CommitError> {
        self.registry.retire(self.store.retired().await?);
        self.store.wake_acts().await
    }

    /// Makes and drops partitions; returns whether there is more to do. One that is in use is left for
    /// the next time.
    async fn look_after_periods(&self) -> Result<bool, CommitError> {
        let made = self.store.make_periods(self.retain).await.map(|()| false);
        let dropped = match self.retain {
            Some(retain) => self.store.drop_periods(retain).await,
            None => Ok(false),
        };
        let mut more = false;
        for done in [made, dropped] {
            match done {
                Err(error) if in_use(&error) => {
                    tracing::warn!(
                        "a statement that takes long keeps partitions from being made or dropped"
                    );
                }
                done => more |= done?,
            }
        }
        Ok(more)
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
                () = self.alarm.changed.notified() => {}
                () = self.stop.cancelled() => return,
            }
        }
    }
}

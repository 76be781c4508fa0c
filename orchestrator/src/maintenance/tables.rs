//! Tables: partitions made and dropped, kept events that are too old forgotten, versions that are
//! retired noticed, and acts of operators that nobody answered.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    registry::Registry,
    store::{Store, StoreError, in_use},
};

/// Between two looks at which versions are retired, and for acts that nobody answered.
const VERSIONS: Duration = Duration::from_secs(2);

/// Between two looks for kept events that are too old.
const EVENTS: Duration = Duration::from_secs(600);

/// The same while there are more than are forgotten at once.
const EVENTS_MORE: Duration = Duration::from_secs(1);

/// Kept events forgotten at once.
const FORGOTTEN_MAX: u64 = 10_000;

/// Between two looks at partitions; oftener when sagas are kept for a short time.
const PARTITIONS: Duration = Duration::from_secs(600);

/// The same, while more is left to delete than a short statement may.
const PARTITIONS_MORE: Duration = Duration::from_secs(1);

/// Between two times at least, however short sagas are kept.
const PAUSE: Duration = Duration::from_millis(100);

pub(crate) struct Tables {
    pub(crate) store: Store,
    pub(crate) registry: Arc<Registry>,
    /// How long sagas are kept.
    pub(crate) retain: Option<Duration>,
    pub(crate) stop: CancellationToken,
}

/// When each task is due next.
struct Schedule {
    versions_at: Instant,
    events_at: Instant,
    partitions_at: Instant,
    /// What failed when it was tried last.
    failing: HashSet<&'static str>,
}

impl Schedule {
    fn new(now: Instant) -> Self {
        let failing = HashSet::new();
        Self { versions_at: now, events_at: now, partitions_at: now, failing }
    }

    fn next(&self) -> Instant {
        self.versions_at.min(self.events_at).min(self.partitions_at)
    }

    /// Logs what failed, once for as long as it fails.
    fn log(&mut self, task: &'static str, done: Result<(), StoreError>) {
        match done {
            Ok(()) => drop(self.failing.remove(task)),
            Err(error) if self.failing.insert(task) => {
                tracing::warn!(
                    task,
                    ?error,
                    "a task of maintenance failed; it is tried again at its next time"
                );
            }
            Err(_) => {}
        }
    }
}

impl Tables {
    /// Runs until stopped.
    pub(crate) async fn run(self) {
        let mut schedule = Schedule::new(Instant::now());
        loop {
            self.do_what_is_due(&mut schedule).await;
            let next = schedule.next().max(Instant::now() + PAUSE);
            let pause = tokio::time::sleep_until(next);
            if self.stop.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }

    async fn do_what_is_due(&self, schedule: &mut Schedule) {
        let now = Instant::now();
        if schedule.versions_at <= now {
            schedule.versions_at = now + VERSIONS;
            schedule.log("versions and acts", self.versions_and_acts().await);
        }
        if schedule.events_at <= now {
            let forgotten = self.store.forget_events().await;
            let more = forgotten.as_ref().is_ok_and(|forgotten| *forgotten >= FORGOTTEN_MAX);
            schedule.events_at = now + if more { EVENTS_MORE } else { EVENTS };
            schedule.log("kept events", forgotten.map(drop));
        }
        if schedule.partitions_at <= now {
            let done = self.partitions().await;
            let period = if matches!(done, Ok(true)) { PARTITIONS_MORE } else { PARTITIONS };
            let period = self.retain.map_or(period, |retain| period.min(retain / 32));
            schedule.partitions_at = now + period;
            schedule.log("partitions", done.map(drop));
        }
    }

    async fn versions_and_acts(&self) -> Result<(), StoreError> {
        self.registry.retire(self.store.retired().await?);
        self.store.wake_acts().await?;
        self.store.forget_leaders().await
    }

    /// Makes and drops partitions; returns whether there is more to do. One that is in use is left for
    /// the next time.
    async fn partitions(&self) -> Result<bool, StoreError> {
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
}

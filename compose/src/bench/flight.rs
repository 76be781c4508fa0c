//! Sagas in flight: how many may be, which are, and how long those took that have ended.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;

use crate::Failed;

/// Between two looks at how many have ended.
const LOOK: Duration = Duration::from_millis(2);

/// Sagas that do not end for so long never will.
const STUCK: Duration = Duration::from_secs(60);

pub(super) struct Flight {
    next: AtomicU64,
    places: Semaphore,
    open: Mutex<HashMap<u64, Instant>>,
    /// Of those that have ended, in the order in which they did.
    took: Mutex<Vec<Duration>>,
    failure: Mutex<Option<String>>,
}

/// How long to warm up, and how long to measure.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    pub(super) warm: Duration,
    pub(super) measured: Duration,
    /// Measure until so many have ended instead.
    pub(super) sagas: Option<u64>,
}

/// What ended in the measured time.
pub(super) struct Window {
    pub(super) sagas: usize,
    /// With those that ended before it.
    pub(super) all: usize,
    pub(super) per_s: f64,
    /// Sorted.
    took: Vec<Duration>,
}

impl Flight {
    /// Numbers begin with `first`, so that a message of an earlier flight is not taken for one of
    /// this.
    pub(super) fn new(first: u64, in_flight: usize) -> Self {
        Self {
            next: AtomicU64::new(first),
            places: Semaphore::new(in_flight),
            open: Mutex::default(),
            took: Mutex::default(),
            failure: Mutex::default(),
        }
    }

    /// Waits for a place; `None` after [`Flight::close`].
    pub(super) async fn begin(&self) -> Option<u64> {
        self.places.acquire().await.ok()?.forget();
        Some(self.begin_at(Instant::now()))
    }

    /// One that was due at this time.
    pub(super) fn begin_at(&self, due: Instant) -> u64 {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        locked(&self.open).insert(n, due);
        n
    }

    /// One has ended. Counts once.
    pub(super) fn end(&self, n: u64) {
        let Some(began) = locked(&self.open).remove(&n) else { return };
        locked(&self.took).push(began.elapsed());
        self.places.add_permits(1);
    }

    /// Something went wrong; the first is told.
    pub(super) fn fail(&self, why: impl std::fmt::Display) {
        locked(&self.failure).get_or_insert_with(|| why.to_string());
    }

    pub(super) fn ended(&self) -> usize {
        locked(&self.took).len()
    }

    /// The number of the next one.
    pub(super) fn next(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// Waits for some time, or until so many more have ended.
    pub(super) async fn pass(&self, time: Duration, sagas: Option<u64>) -> Result<(), Failed> {
        let (began, before) = (Instant::now(), self.ended());
        let mut moved = (before, began);
        loop {
            let ended = self.ended();
            let over = match sagas {
                Some(sagas) => (ended - before) as u64 >= sagas,
                None => began.elapsed() >= time,
            };
            if over {
                return self.whole();
            }
            if ended > moved.0 {
                moved = (ended, Instant::now());
            }
            self.alive(moved.1)?;
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What ended since `from` had, which was `time` ago.
    pub(super) fn window(&self, from: usize, time: Duration) -> Window {
        let all = locked(&self.took);
        let (all, mut took) = (all.len(), all[from..].to_vec());
        took.sort_unstable();
        Window { sagas: took.len(), all, per_s: took.len() as f64 / time.as_secs_f64(), took }
    }

    /// Lets no more begin.
    pub(super) fn close(&self) {
        self.places.close();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.places.is_closed()
    }

    /// Lets no more begin, and waits until all have ended.
    pub(super) async fn land(&self) -> Result<(), Failed> {
        self.close();
        let began = Instant::now();
        while !locked(&self.open).is_empty() {
            self.alive(began)?;
            tokio::time::sleep(LOOK).await;
        }
        self.whole()
    }

    fn alive(&self, moved: Instant) -> Result<(), Failed> {
        self.whole()?;
        if moved.elapsed() < STUCK {
            return Ok(());
        }
        let open = locked(&self.open).len();
        Err(Failed(format!("nothing has moved for {STUCK:?}, and {open} sagas are in flight")))
    }

    fn whole(&self) -> Result<(), Failed> {
        locked(&self.failure).clone().map_or(Ok(()), |why| Err(Failed(why)))
    }
}

impl Window {
    /// In milliseconds.
    pub(super) fn quantile(&self, share: f64) -> f64 {
        let last = self.took.len().saturating_sub(1);
        let at = (last as f64 * share).round() as usize;
        self.took.get(at).map_or(0.0, |took| took.as_secs_f64() * 1000.0)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

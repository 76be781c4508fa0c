//! Sagas in flight: how many may be, which are, and how long those took that have ended.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use amends_app::Failed;
use tokio::sync::Semaphore;

/// Between two reads of how many have ended.
const INTERVAL: Duration = Duration::from_millis(2);

/// Sagas that do not end for so long never will.
const STUCK: Duration = Duration::from_secs(60);

/// The sagas of one load.
pub(crate) struct OpenSagas {
    next: AtomicU64,
    permits: Semaphore,
    open: Mutex<HashMap<u64, Instant>>,
    /// Of those that have ended, in the order in which they did.
    took: Mutex<Vec<Duration>>,
    failure: Mutex<Option<String>>,
}

/// How long to warm up, and how long to measure.
#[derive(Clone, Copy)]
pub(crate) struct Timing {
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
    /// Measure until so many have ended instead.
    pub(crate) sagas: Option<u64>,
}

/// What ended in the measured time.
pub(crate) struct Window {
    pub(crate) sagas: usize,
    /// With those that ended before it.
    pub(crate) all: usize,
    pub(crate) per_s: f64,
    /// Sorted.
    took: Vec<Duration>,
}

impl OpenSagas {
    /// Numbers begin with `first`, so that a message of an earlier load is not taken for one of
    /// this.
    pub(crate) fn new(first: u64, in_flight: usize) -> Self {
        Self {
            next: AtomicU64::new(first),
            permits: Semaphore::new(in_flight),
            open: Mutex::default(),
            took: Mutex::default(),
            failure: Mutex::default(),
        }
    }

    /// Waits for a permit; `None` after [`OpenSagas::close`].
    pub(crate) async fn begin(&self) -> Option<u64> {
        self.permits.acquire().await.ok()?.forget();
        Some(self.begin_at(Instant::now()))
    }

    /// One that was due at this time.
    pub(crate) fn begin_at(&self, due: Instant) -> u64 {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        locked(&self.open).insert(n, due);
        n
    }

    /// One has ended. Counts once.
    pub(crate) fn end(&self, n: u64) {
        let Some(began) = locked(&self.open).remove(&n) else { return };
        locked(&self.took).push(began.elapsed());
        self.permits.add_permits(1);
    }

    /// Something went wrong; the first is told.
    pub(crate) fn fail(&self, why: impl std::fmt::Display) {
        locked(&self.failure).get_or_insert_with(|| why.to_string());
    }

    pub(crate) fn ended(&self) -> usize {
        locked(&self.took).len()
    }

    /// The number of the next one.
    pub(crate) fn next(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// Waits for some time, or until so many more have ended.
    pub(crate) async fn wait_for(&self, time: Duration, sagas: Option<u64>) -> Result<(), Failed> {
        let (began, before) = (Instant::now(), self.ended());
        self.wait_until(|| match sagas {
            Some(sagas) => (self.ended() - before) as u64 >= sagas,
            None => began.elapsed() >= time,
        })
        .await
    }

    /// Waits as long as sagas end now and then.
    async fn wait_until(&self, is_over: impl Fn() -> bool) -> Result<(), Failed> {
        let mut moved = (self.ended(), Instant::now());
        while !is_over() {
            let ended = self.ended();
            if ended > moved.0 {
                moved = (ended, Instant::now());
            }
            self.check_progress(moved.1)?;
            tokio::time::sleep(INTERVAL).await;
        }
        self.check()
    }

    /// What ended since `from` had, which was `time` ago.
    pub(crate) fn window(&self, from: usize, time: Duration) -> Window {
        let all = locked(&self.took);
        let (all, mut took) = (all.len(), all[from..].to_vec());
        took.sort_unstable();
        Window { sagas: took.len(), all, per_s: took.len() as f64 / time.as_secs_f64(), took }
    }

    /// Lets no more begin.
    pub(crate) fn close(&self) {
        self.permits.close();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.permits.is_closed()
    }

    /// Lets no more begin, and waits until all have ended.
    pub(crate) async fn drain(&self) -> Result<(), Failed> {
        self.close();
        self.wait_until(|| locked(&self.open).is_empty()).await
    }

    fn check_progress(&self, moved: Instant) -> Result<(), Failed> {
        self.check()?;
        if moved.elapsed() < STUCK {
            return Ok(());
        }
        let open = locked(&self.open).len();
        Err(Failed::new(format!("nothing has moved for {STUCK:?}, and {open} sagas are in flight")))
    }

    fn check(&self) -> Result<(), Failed> {
        locked(&self.failure).clone().map_or(Ok(()), |why| Err(Failed::new(why)))
    }
}

impl Window {
    /// In milliseconds.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let last = self.took.len().saturating_sub(1);
        let at = (last as f64 * share).round() as usize;
        self.took.get(at).map_or(0.0, |took| took.as_secs_f64() * 1000.0)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

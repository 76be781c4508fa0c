//! What the probes say: whether each server took a write lately, and nothing waits for long.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// The last success counts for so long.
const FRESH: Duration = Duration::from_secs(3);

/// What is under way and takes longer waits for something.
const WAITING: Duration = Duration::from_secs(4);

/// Health of an orchestrator, shared with whoever serves its probes. All parts start as not ready.
///
/// ```
/// use std::sync::Arc;
/// use amends_orchestrator::Health;
///
/// let health = Arc::new(Health::default()); // a clone goes to `run`
/// let (status, body) = match health.ready() {
///     Ok(()) => (200, "ready".to_owned()),
///     Err(why) => (503, why),
/// };
/// assert_eq!((status, body.starts_with("starting: ")), (503, true));
/// ```
#[derive(Debug)]
pub struct Health {
    started: AtomicBool,
    pub(crate) postgres: Pulse,
    pub(crate) nats: Pulse,
    /// Consumers that deliver nothing, and why.
    deaf: Mutex<BTreeMap<String, String>>,
    waits: Mutex<BTreeMap<u64, Instant>>,
    next_wait: AtomicU64,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            started: AtomicBool::new(false),
            postgres: Pulse::new("Postgres"),
            nats: Pulse::new("NATS JetStream"),
            deaf: Mutex::default(),
            waits: Mutex::default(),
            next_wait: AtomicU64::new(0),
        }
    }
}

impl Health {
    /// Whether definitions, streams and consumers are in place, both servers took a write within the last
    /// three seconds, consumers deliver, and no turn has been under way for more than four seconds.
    ///
    /// # Errors
    /// Why it is not ready.
    pub fn ready(&self) -> Result<(), String> {
        if !self.started.load(Ordering::Relaxed) {
            let waits = self.postgres.trouble().or_else(|| self.nats.trouble());
            let why = waits.unwrap_or_else(|| "Postgres, its schema, or NATS".into());
            return Err(format!("starting: waiting for {why}"));
        }
        self.postgres.check()?;
        self.nats.check()?;
        let deaf = self.deaf.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((consumer, why)) = deaf.first_key_value() {
            return Err(format!("NATS JetStream does not deliver from `{consumer}`: {why}"));
        }
        let waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        match waits.values().map(Instant::elapsed).max() {
            Some(longest) if longest > WAITING => {
                Err(format!("a turn has waited for {} s", longest.as_secs()))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn set_started(&self, yes: bool) {
        self.started.store(yes, Ordering::Relaxed);
    }

    /// Whether a consumer delivers, or why not.
    pub(crate) fn hears(&self, consumer: &str, failure: Option<String>) {
        let mut deaf = self.deaf.lock().unwrap_or_else(PoisonError::into_inner);
        match failure {
            Some(why) => drop(deaf.insert(consumer.to_owned(), why)),
            None => drop(deaf.remove(consumer)),
        }
    }

    /// Something is under way that must not take long, until the value is dropped.
    pub(crate) fn under_way(&self) -> UnderWay<'_> {
        let id = self.next_wait.fetch_add(1, Ordering::Relaxed);
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        waits.insert(id, Instant::now());
        UnderWay { health: self, id }
    }
}

/// Something that is under way.
pub(crate) struct UnderWay<'a> {
    health: &'a Health,
    id: u64,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut waits = self.health.waits.lock().unwrap_or_else(PoisonError::into_inner);
        waits.remove(&self.id);
    }
}

/// When a server took a write last, and what it said since.
#[derive(Debug)]
pub(crate) struct Pulse {
    server: &'static str,
    state: Mutex<(Option<Instant>, Option<String>)>,
}

impl Pulse {
    const fn new(server: &'static str) -> Self {
        Self { server, state: Mutex::new((None, None)) }
    }

    pub(crate) fn succeeded(&self) {
        *self.lock() = (Some(Instant::now()), None);
    }

    pub(crate) fn failed(&self, why: String) {
        self.lock().1 = Some(why);
    }

    fn trouble(&self) -> Option<String> {
        self.lock().1.as_ref().map(|why| format!("{}: {why}", self.server))
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let (server, state) = (self.server, self.lock());
        match &*state {
            (_, Some(why)) => Err(format!("{server} takes no writes: {why}")),
            (Some(at), None) if at.elapsed() < FRESH => Ok(()),
            (Some(at), None) => {
                Err(format!("{server} has been silent for {} s", at.elapsed().as_secs()))
            }
            (None, None) => Err(format!("{server} was not asked yet")),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (Option<Instant>, Option<String>)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready() -> Health {
        let health = Health::default();
        health.set_started(true);
        health.postgres.succeeded();
        health.nats.succeeded();
        health
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_young_success_is_ready() {
        let health = ready();
        assert_eq!(health.ready(), Ok(()));
        tokio::time::advance(FRESH).await;
        assert_eq!(health.ready(), Err("Postgres has been silent for 3 s".into()));
        health.postgres.succeeded();
        assert_eq!(health.ready(), Err("NATS JetStream has been silent for 3 s".into()));
        health.nats.failed("no answer".into());
        assert_eq!(health.ready(), Err("NATS JetStream takes no writes: no answer".into()));
        health.nats.succeeded();
        assert_eq!(health.ready(), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_long_is_not_ready() {
        let health = ready();
        let under_way = health.under_way();
        tokio::time::advance(WAITING * 2).await;
        health.postgres.succeeded();
        health.nats.succeeded();
        assert_eq!(health.ready(), Err("a turn has waited for 8 s".into()));
        drop(under_way);
        assert_eq!(health.ready(), Ok(()));
    }

    #[tokio::test]
    async fn a_consumer_that_delivers_nothing_is_not_ready() {
        let health = ready();
        health.hears("replies", Some("no answer".into()));
        let why = "NATS JetStream does not deliver from `replies`: no answer";
        assert_eq!(health.ready(), Err(why.into()));
        health.hears("replies", None);
        assert_eq!(health.ready(), Ok(()));
    }

    #[test]
    fn it_starts_as_not_ready() {
        let health = Health::default();
        assert_eq!(
            health.ready(),
            Err("starting: waiting for Postgres, its schema, or NATS".into())
        );
        health.postgres.failed("refused".into());
        assert_eq!(health.ready(), Err("starting: waiting for Postgres: refused".into()));
    }
}

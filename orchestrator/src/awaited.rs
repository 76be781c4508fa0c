//! Events that steps wait for: each is kept before it is acked, whether a saga waits for it by now or
//! not; then the sagas that do are woken.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use amends::{RetryLoop, event_data};
use tokio::sync::mpsc;

use crate::{
    bus::Delivery,
    halves::halves,
    handover::{Job, Publisher},
    health::Health,
    registry::{Awaiting, Registry},
    store::{Kept, Store, StoreError, matcher},
    time::Alarm,
};

/// Events kept in one statement at most.
const BATCH_MAX: usize = 200;

/// Delays while events cannot be kept.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_CAP: Duration = Duration::from_secs(2);

/// Keeps the events on one subject for the steps of one definition.
pub(crate) struct AwaitedEvents {
    pub(crate) definition: String,
    pub(crate) subject: String,
    /// The steps that wait for them, by version.
    pub(crate) steps: Vec<Awaiting>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) store: Store,
    pub(crate) publisher: Publisher,
    pub(crate) alarm: Arc<Alarm>,
    pub(crate) health: Arc<Health>,
    /// Whether it was logged that events are left to another program.
    pub(crate) left_logged: AtomicBool,
}

/// An event, and a row for each step and key that it may be for.
struct Event {
    delivery: Delivery,
    kept: Kept,
}

impl AwaitedEvents {
    /// Runs until all senders are gone. A batch is whatever waits.
    pub(crate) async fn run(self, mut inbox: mpsc::Receiver<Delivery>) {
        let mut deliveries = Vec::with_capacity(BATCH_MAX);
        while inbox.recv_many(&mut deliveries, BATCH_MAX).await > 0 {
            let batch = std::mem::replace(&mut deliveries, Vec::with_capacity(BATCH_MAX));
            self.settle(batch).await;
        }
    }

    async fn settle(&self, deliveries: Vec<Delivery>) {
        let (mut events, mut unreadable) = (Vec::new(), Vec::new());
        for delivery in deliveries {
            let mut kept = Kept::default();
            match self.read(&delivery, &mut kept) {
                Ok(()) => events.push(Event { delivery, kept }),
                Err(reason) => unreadable.push(done(delivery, Some(&reason))),
            }
        }
        self.hand_over(unreadable).await;
        if !events.is_empty() {
            self.keep(events).await;
        }
    }

    /// Keeps these events, and tries until Postgres takes them; in halves where it refuses the whole, so
    /// that none is a dead letter that was not refused alone.
    async fn keep(&self, events: Vec<Event>) {
        let mut left = vec![events];
        let retries = |name| RetryLoop::new(RETRY_FIRST, RETRY_CAP, name);
        let (mut outages, mut defects) = (retries("awaited events"), retries("defects of awaited"));
        while let Some(events) = left.pop() {
            let alone = events.len() == 1;
            let mut kept = self.keep_whole(&self.store, &events).await;
            if alone && matches!(kept, Err(StoreError::Poison(_))) {
                kept = self.keep_whole(&self.store.apart(), &events).await;
            }
            match kept {
                Ok(acked) => {
                    outages.succeeded();
                    defects.succeeded();
                    let events = if acked { events } else { Vec::new() };
                    self.hand_over(events.into_iter().map(|e| done(e.delivery, None)).collect())
                        .await;
                }
                Err(StoreError::Poison(error)) if alone => {
                    let reason = error.to_string();
                    let bury = |event: Event| done(event.delivery, Some(&reason));
                    self.hand_over(events.into_iter().map(bury).collect()).await;
                }
                Err(StoreError::Poison(_)) => left.extend(halves(events)),
                Err(StoreError::Defect(_)) => {
                    tokio::time::sleep(defects.failed()).await;
                    // Alone it is left to its redelivery: others are not to wait for it.
                    if !alone {
                        left.extend(halves(events));
                    }
                }
                Err(error @ (StoreError::Conflict(_) | StoreError::Unavailable(_))) => {
                    let pause = outages.failed();
                    if outages.is_first() {
                        tracing::warn!(
                            ?error,
                            "events cannot be kept; trying again until Postgres answers"
                        );
                    }
                    tokio::time::sleep(pause).await;
                    left.push(events);
                }
            }
        }
    }

    /// Keeps these events in one statement; returns whether they are to be acked.
    async fn keep_whole(&self, store: &Store, events: &[Event]) -> Result<bool, StoreError> {
        let mut kept = Kept::default();
        for event in events {
            kept.extend(&event.kept);
        }
        let _under_way = self.health.under_way();
        let versions = self.registry.versions(&self.definition);
        let (woken, known_elsewhere) =
            store.keep(&self.definition, &versions, &self.subject, &kept).await?;
        if woken > 0 {
            self.alarm.set(Duration::ZERO);
        }
        // Not acked: delivered again, until somebody knows the version.
        if known_elsewhere {
            self.log_left();
        }
        Ok(!known_elsewhere)
    }

    async fn hand_over(&self, jobs: Vec<Job>) {
        if !jobs.is_empty() {
            self.publisher.hand_over(jobs).await;
        }
    }

    fn log_left(&self) {
        if !self.left_logged.swap(true, Ordering::Relaxed) {
            let (definition, subject) = (&self.definition, &self.subject);
            tracing::warn!(
                definition,
                subject,
                "a version that this program does not know may have sagas that wait for these events: they stay in the stream until a program that knows it reads them; if there is none any more, retire the version (command `retire`)"
            );
        }
    }

    /// Adds a row for each step and key that the event may be for.
    fn read(&self, delivery: &Delivery, kept: &mut Kept) -> Result<(), String> {
        let body = event_data(&delivery.headers(), &delivery.body).map_err(|e| e.to_string())?;
        let mut found = BTreeSet::new();
        let mut wrong = None;
        for (definition, step) in &self.steps {
            let name = &definition.outline().steps[*step].name;
            match definition.matches(*step, &body) {
                Ok(key) => drop(found.insert((matcher(&self.definition, name), key))),
                Err(error) => wrong = Some(error.to_string()),
            }
        }
        // An event that fits one version need not fit another.
        if let (true, Some(wrong)) = (found.is_empty(), wrong) {
            return Err(wrong);
        }
        for (matcher, key) in found {
            kept.source.push(delivery.event().as_str().to_owned());
            kept.matcher.push(matcher);
            kept.key.push(key);
            kept.body.push(body.as_str().to_owned());
        }
        Ok(())
    }
}

/// Acks a delivery, which is a dead letter if there is a reason.
fn done(delivery: Delivery, dead: Option<&str>) -> Job {
    let bury = dead.map(|reason| delivery.letter(reason));
    Job { publish: Vec::new(), bury, ack: Some(delivery) }
}

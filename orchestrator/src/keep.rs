//! Events that steps wait for are kept before they are acked, whether a saga asks for them by now or
//! not; then the sagas that do are woken.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use amends::{Retry, event_data};
use tokio::sync::mpsc;

use crate::{
    bus::{Delivery, Job, Publisher},
    clock::Alarm,
    health::Health,
    registry::{Awaiting, Registry},
    store::{CommitError, Kept, Store, matcher},
};

/// Events kept in one statement at most.
const BATCH_MAX: usize = 200;

/// Keeps the events on one subject for the steps of one definition.
pub(crate) struct Keeper {
    pub(crate) definition: String,
    pub(crate) subject: String,
    /// The steps that wait for them, by version.
    pub(crate) steps: Vec<Awaiting>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) store: Store,
    pub(crate) publisher: Publisher,
    pub(crate) alarm: Arc<Alarm>,
    pub(crate) health: Arc<Health>,
    /// Whether it was said that events are left to another program.
    pub(crate) told: AtomicBool,
}

impl Keeper {
    /// Runs until all senders are gone. A batch is whatever waits.
    pub(crate) async fn run(self, mut inbox: mpsc::Receiver<Delivery>) {
        let mut deliveries = Vec::with_capacity(BATCH_MAX);
        while inbox.recv_many(&mut deliveries, BATCH_MAX).await > 0 {
            let batch = std::mem::replace(&mut deliveries, Vec::with_capacity(BATCH_MAX));
            self.settle(batch).await;
        }
    }

    async fn settle(&self, deliveries: Vec<Delivery>) {
        let (mut kept, mut jobs, mut good) = (Kept::default(), Vec::new(), Vec::new());
        for delivery in deliveries {
            match self.read(&delivery, &mut kept) {
                Ok(()) => good.push(delivery),
                Err(reason) => {
                    let bury = Some(delivery.letter(&reason));
                    jobs.push(Job { publish: Vec::new(), bury, ack: Some(delivery) });
                }
            }
        }
        if !good.is_empty() {
            jobs.extend(self.keep(&kept, good).await);
        }
        if !jobs.is_empty() {
            self.publisher.hand_over(jobs).await;
        }
    }

    /// Keeps what is good, for as long as that takes; returns what is to be acked.
    async fn keep(&self, kept: &Kept, deliveries: Vec<Delivery>) -> Vec<Job> {
        let versions = self.registry.versions(&self.definition);
        let mut failures = 0;
        loop {
            match self.store.keep(&self.definition, &versions, &self.subject, kept).await {
                Ok((woken, known_elsewhere)) => {
                    self.health.set_postgres(true);
                    if woken > 0 {
                        self.alarm.set(Duration::ZERO);
                    }
                    // Not acked: delivered again, until somebody knows the version.
                    if known_elsewhere {
                        self.tell();
                        return Vec::new();
                    }
                    let done =
                        |delivery| Job { publish: Vec::new(), bury: None, ack: Some(delivery) };
                    return deliveries.into_iter().map(done).collect();
                }
                Err(CommitError::Poison(reason)) => {
                    let bury = |d: Delivery| Job {
                        publish: Vec::new(),
                        bury: Some(d.letter(&reason)),
                        ack: Some(d),
                    };
                    return deliveries.into_iter().map(bury).collect();
                }
                Err(error) => {
                    failures += 1;
                    self.health.set_postgres(false);
                    if failures == 1 {
                        tracing::warn!(
                            ?error,
                            "events cannot be kept; trying again until Postgres answers"
                        );
                    }
                    let retry =
                        Retry::exponential(Duration::from_millis(50), Duration::from_secs(2));
                    tokio::time::sleep(retry.delay(failures, "keeper")).await;
                }
            }
        }
    }

    fn tell(&self) {
        if !self.told.swap(true, Ordering::Relaxed) {
            let (definition, subject) = (&self.definition, &self.subject);
            tracing::warn!(
                definition,
                subject,
                "a version that this program does not know waits for these events too: they stay in the stream until a program that knows it reads them; if there is none any more, retire the version (`amends retire`)"
            );
        }
    }

    /// Adds a row for each step and key that the event may be for.
    fn read(&self, delivery: &Delivery, kept: &mut Kept) -> Result<(), String> {
        let body =
            event_data(delivery.content_type(), &delivery.body).map_err(|e| e.to_string())?;
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
            // Versions may read different keys for steps of one name: each is kept.
            kept.source.push(format!("{} {key}", delivery.source()));
            kept.matcher.push(matcher);
            kept.key.push(key);
            kept.body.push(body.as_str().to_owned());
        }
        Ok(())
    }
}

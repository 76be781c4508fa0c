//! Publishing what was committed, and acking what it came from, in this order.

use std::sync::Arc;

use amends::{StatusEvent, TraceParent, machine::Command, wire};
use async_nats::{
    HeaderMap,
    jetstream::{self, context::PublishAckFuture, message::PublishMessage},
};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::Delivery;
use crate::{letter::Letter, store::Store};

/// Batches that may wait for their publish acks at once; with all under way the lanes wait, and
/// with them the listeners.
const TASKS_MAX: usize = 16;

/// A message to publish, and the trace that it belongs to.
pub(crate) enum Outgoing {
    Command(Command, Option<TraceParent>),
    Status(StatusEvent, Option<TraceParent>),
}

/// What is left to do for one event after its turn is committed.
pub(crate) struct Job {
    pub(crate) publish: Vec<Outgoing>,
    pub(crate) bury: Option<Letter>,
    pub(crate) ack: Option<Delivery>,
}

/// Publishes in tasks of its own, so that a lane can decide the next batch meanwhile.
#[derive(Clone)]
pub(crate) struct Publisher {
    jetstream: jetstream::Context,
    store: Store,
    places: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl Publisher {
    pub(crate) fn new(jetstream: jetstream::Context, store: Store) -> Self {
        Self {
            jetstream,
            store,
            places: Arc::new(Semaphore::new(TASKS_MAX)),
            tasks: TaskTracker::new(),
        }
    }

    /// Takes over the rest of a batch. Returns as soon as there is a place for it.
    pub(crate) async fn hand_over(&self, jobs: Vec<Job>) {
        // The semaphore is never closed; without a permit there would only be no limit.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let this = self.clone();
        self.tasks.spawn(async move {
            this.finish(jobs).await;
            drop(place);
        });
    }

    /// Waits until everything handed over is done.
    pub(crate) async fn drained(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// An event is acked only when all its commands are stored, or its letter is kept. What is not
    /// acked is delivered again, found to be known, and published again under the same message id.
    async fn finish(&self, jobs: Vec<Job>) {
        let mut sent = Vec::with_capacity(jobs.len());
        for job in &jobs {
            let mut acks = Vec::with_capacity(job.publish.len());
            for outgoing in &job.publish {
                acks.push(self.send(outgoing).await);
            }
            sent.push(acks);
        }
        let buried = self.bury(&jobs).await;
        let mut failed: (usize, Option<String>) = (0, None);
        for (job, acks) in jobs.iter().zip(sent) {
            let mut stored = job.bury.is_none() || buried;
            for ack in acks {
                let result = match ack {
                    Ok(ack) => ack.await.map(drop).map_err(|e| e.to_string()),
                    Err(error) => Err(error),
                };
                if let Err(error) = result {
                    stored = false;
                    failed = (failed.0 + 1, Some(error));
                }
            }
            if let (true, Some(delivery)) = (stored, &job.ack) {
                delivery.ack().await;
            }
        }
        if let (count, Some(error)) = failed {
            metrics::counter!("amends_publish_failures_total").increment(count as u64);
            tracing::warn!(
                count,
                error,
                "commands were not stored by JetStream; their timers send them again"
            );
        }
    }

    async fn send(&self, outgoing: &Outgoing) -> Result<PublishAckFuture, String> {
        let mut headers = HeaderMap::new();
        let (id, subject, body, trace) = match outgoing {
            Outgoing::Command(Command { id, subject, deadline, body }, trace) => {
                let id = id.to_string();
                let deadline = deadline.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
                headers.insert(wire::AMENDS_ID, id.as_str());
                headers.insert(wire::AMENDS_DEADLINE, deadline);
                (id, subject, body, trace)
            }
            Outgoing::Status(StatusEvent { subject, id, body }, trace) => {
                headers.insert("Content-Type", "application/cloudevents+json");
                (id.clone(), subject, body, trace)
            }
        };
        headers.insert(wire::NATS_MSG_ID, id.as_str());
        if let Some(trace) = trace {
            headers.insert(wire::TRACEPARENT, trace.child(&id).to_string());
        }
        let message = PublishMessage::build().headers(headers).payload(body.clone().into());
        self.jetstream.send_publish(subject.clone(), message).await.map_err(|e| e.to_string())
    }

    async fn bury(&self, jobs: &[Job]) -> bool {
        let letters: Vec<_> = jobs.iter().filter_map(|j| j.bury.clone()).collect();
        if letters.is_empty() {
            return true;
        }
        metrics::counter!("amends_dead_letters_total").increment(letters.len() as u64);
        for letter in &letters {
            tracing::warn!(
                source = letter.source,
                subject = letter.subject,
                reason = letter.reason,
                "dead letter"
            );
        }
        match self.store.bury(&letters).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(?error, "dead letters were not kept; they will be delivered again");
                false
            }
        }
    }
}

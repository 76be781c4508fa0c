//! The rest of a committed batch: publish its messages, keep its dead letters, and then ack its
//! deliveries.

use std::sync::Arc;

use amends::{SagaId, turn::Message};
use async_nats::jetstream::{
    self,
    context::{PublishAckFuture, PublishError},
};
use futures_util::future::join_all;
use quick_cache::sync::Cache;
use tokio::sync::{Notify, Semaphore};
use tokio_util::task::TaskTracker;

use crate::{
    burial::Burial,
    bus::{Delivery, send},
    letter::Letter,
};

/// Batches that may wait for their publish acks at once; with all under way the lanes wait, and
/// with them the listeners.
const TASKS_MAX: usize = 16;

/// Sagas whose status events are known to be stored: those that ended in the last seconds.
const ANNOUNCED_MAX: usize = 20_000;

/// The rest of one item, once its turn is committed.
pub(crate) struct Job {
    pub(crate) publish: Vec<Message>,
    pub(crate) bury: Option<Letter>,
    pub(crate) ack: Option<Delivery>,
}

/// Publishes in tasks of its own, so that a lane can decide the next batch meanwhile.
#[derive(Clone)]
pub(crate) struct Publisher {
    jetstream: jetstream::Context,
    burial: Burial,
    permits: Arc<Semaphore>,
    tasks: TaskTracker,
    /// The last change of a saga whose status event is stored, by its fact. Of those that are forgotten it may
    /// be published again.
    announced: Arc<Cache<SagaId, u32>>,
    /// Notified when something could not be published: a stream may be gone.
    failed: Arc<Notify>,
}

impl Publisher {
    pub(crate) fn new(jetstream: jetstream::Context, burial: Burial, failed: Arc<Notify>) -> Self {
        Self {
            jetstream,
            burial,
            permits: Arc::new(Semaphore::new(TASKS_MAX)),
            tasks: TaskTracker::new(),
            announced: Arc::new(Cache::new(ANNOUNCED_MAX)),
            failed,
        }
    }

    /// Takes over the rest of a batch. Returns as soon as there is room for it.
    pub(crate) async fn hand_over(&self, jobs: Vec<Job>) {
        // The semaphore is never closed; without a permit there would only be no limit.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        let this = self.clone();
        self.tasks.spawn(async move {
            this.finish(jobs).await;
            drop(permit);
        });
    }

    /// The last change of a saga whose status event is known to be stored, by its fact.
    pub(crate) fn announced(&self, saga: SagaId) -> Option<u32> {
        self.announced.get(&saga)
    }

    /// Waits until everything handed over is done.
    pub(crate) async fn drained(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.burial.tell_all();
    }

    /// An event is acked only when all its commands are stored, or its letter is kept. What is not
    /// acked is delivered again, found to be known, and published again under the same message id.
    async fn finish(&self, jobs: Vec<Job>) {
        let mut sent = Vec::with_capacity(jobs.len());
        for job in &jobs {
            let mut acks = Vec::with_capacity(job.publish.len());
            for outgoing in &job.publish {
                acks.push(send(&self.jetstream, outgoing).await);
            }
            sent.push(acks);
        }
        let buried = self.bury(&jobs).await;
        // Side by side: each wait for an ack has its own time limit, which begins when it is asked.
        let settled = jobs.iter().zip(sent).map(|(job, acks)| self.settle(job, acks, buried));
        let errors: Vec<_> = join_all(settled).await.into_iter().flatten().collect();
        if let Some(error) = errors.first() {
            let count = errors.len();
            metrics::counter!("amends_publish_failures_total").increment(count as u64);
            tracing::warn!(
                count,
                error = error.to_string(),
                "messages were not stored by JetStream; they will be sent again"
            );
            self.failed.notify_one();
        }
    }

    /// Waits for the acks of one event's messages, and acks the event if all came; what went wrong.
    async fn settle(
        &self,
        job: &Job,
        acks: Vec<Result<PublishAckFuture, PublishError>>,
        buried: bool,
    ) -> Vec<PublishError> {
        let stored = job.publish.iter().zip(acks).map(|(message, ack)| self.stored(message, ack));
        let errors: Vec<_> = join_all(stored).await.into_iter().flatten().collect();
        if errors.is_empty()
            && (job.bury.is_none() || buried)
            && let Some(delivery) = &job.ack
        {
            delivery.ack().await;
        }
        errors
    }

    /// Waits for one ack; what went wrong.
    async fn stored(
        &self,
        message: &Message,
        ack: Result<PublishAckFuture, PublishError>,
    ) -> Option<PublishError> {
        let stored = match ack {
            Ok(ack) => ack.await.map(drop),
            Err(error) => Err(error),
        };
        if let (Ok(()), Message::Status(event, _)) = (&stored, message) {
            let last = self.announced(event.saga).map_or(event.seq, |seq| seq.max(event.seq));
            self.announced.insert(event.saga, last);
        }
        stored.err()
    }

    async fn bury(&self, jobs: &[Job]) -> bool {
        let letters: Vec<_> = jobs.iter().filter_map(|j| j.bury.clone()).collect();
        if letters.is_empty() {
            return true;
        }
        let buried = self.burial.bury(&letters).await;
        if let Err(error) = &buried {
            tracing::warn!(?error, "dead letters were not kept; they will be delivered again");
        }
        buried.is_ok()
    }
}

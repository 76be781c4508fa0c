//! The rest of a committed batch: publish its messages, hand over its dead letters, and then ack its
//! deliveries.

use std::sync::Arc;

use amends::{SagaId, turn::Message};
use async_nats::jetstream::{self, context::PublishError};
use futures_util::future::join_all;
use quick_cache::sync::Cache;
use tokio::sync::{Notify, Semaphore};
use tokio_util::task::TaskTracker;

use crate::{
    burial::{Burials, Keeper},
    bus::{Delivery, Shares, send},
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
    shares: Arc<Shares>,
    keeper: Keeper,
    burials: Burials,
    permits: Arc<Semaphore>,
    tasks: TaskTracker,
    /// The last change of a saga whose status event is stored, by its fact. Of those that are forgotten it may
    /// be published again.
    announced: Arc<Cache<SagaId, u32>>,
    /// Notified when something could not be published: a stream may be gone.
    failed: Arc<Notify>,
}

impl Publisher {
    pub(crate) fn new(
        jetstream: jetstream::Context,
        shares: Arc<Shares>,
        keeper: Keeper,
        failed: Arc<Notify>,
    ) -> Self {
        Self {
            burials: Burials::start(jetstream.clone(), keeper.clone()),
            keeper,
            jetstream,
            shares,
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
        self.keeper.tell_all();
    }

    /// An event is acked only when all its commands are stored, or its letter is kept. What is not
    /// acked is delivered again, found to be known, and published again under the same message id.
    async fn finish(&self, jobs: Vec<Job>) {
        // Side by side, each with its own time limits: the client has as many messages under way as it likes.
        let settled = join_all(jobs.into_iter().map(|job| self.settle(job))).await;
        let errors: Vec<_> = settled.into_iter().flatten().collect();
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

    /// Publishes the messages of one event, and acks it if all are stored; what went wrong.
    async fn settle(&self, job: Job) -> Vec<PublishError> {
        let (mut errors, mut withheld) = (Vec::new(), false);
        for published in join_all(job.publish.iter().map(|message| self.publish(message))).await {
            match published {
                Published::Stored => {}
                Published::Withheld => withheld = true,
                Published::Failed(error) => errors.push(error),
            }
        }
        let Some(delivery) = job.ack.filter(|_| errors.is_empty()) else { return errors };
        if let Some(letter) = job.bury {
            self.burials.bury(letter, delivery, self.tasks.token());
        } else if !(withheld && self.shares.leaves_source()) {
            delivery.ack().await;
        }
        errors
    }

    async fn publish(&self, message: &Message) -> Published {
        if let Message::Command(command, _) = message
            && !self.shares.admit(command).await
        {
            return Published::Withheld;
        }
        let stored = async { send(&self.jetstream, message).await?.await };
        if let Err(error) = stored.await {
            return Published::Failed(error);
        }
        if let Message::Status(event, _) = message {
            let last = self.announced(event.saga).map_or(event.seq, |seq| seq.max(event.seq));
            self.announced.insert(event.saga, last);
        }
        Published::Stored
    }
}

/// What became of a message.
enum Published {
    Stored,
    /// Its service is sent no more for now: its saga's timer sends it again.
    Withheld,
    Failed(PublishError),
}

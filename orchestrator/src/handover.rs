//! The rest of a committed batch: publish its messages, hand over its dead letters, and then ack its
//! deliveries.

use std::sync::Arc;

use amends::turn::Message;
use async_nats::jetstream::{self, context::PublishError};
use futures_util::future::join_all;
use tokio::sync::{Notify, Semaphore};
use tokio_util::task::TaskTracker;

use crate::{
    burials::Burials,
    bus::{Delivery, Shares, send},
    letter::Letter,
    store::{Store, StoreError},
};

/// Batches that may wait for their publish acks at once; with all under way the lanes wait, and
/// with them the listeners.
const TASKS_MAX: usize = 16;

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
    burials: Burials,
    permits: Arc<Semaphore>,
    tasks: TaskTracker,
    /// Notified when something could not be published: a stream may be gone.
    failed: Arc<Notify>,
}

impl Publisher {
    pub(crate) fn new(
        jetstream: jetstream::Context,
        shares: Arc<Shares>,
        store: Store,
        failed: Arc<Notify>,
    ) -> Self {
        let keep = move |letters| bury(store.clone(), letters);
        Self {
            burials: Burials::start(jetstream.clone(), keep),
            jetstream,
            shares,
            permits: Arc::new(Semaphore::new(TASKS_MAX)),
            tasks: TaskTracker::new(),
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

    /// Waits until everything handed over is done.
    pub(crate) async fn drained(&self) {
        self.tasks.close();
        self.tasks.wait().await;
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
        stored.await.map_or_else(Published::Failed, |_| Published::Stored)
    }
}

/// What became of a message.
enum Published {
    Stored,
    /// Its service is sent no more for now: its saga's timer sends it again.
    Withheld,
    Failed(PublishError),
}

async fn bury(store: Store, letters: Vec<Letter>) -> Result<(), StoreError> {
    let kept = store.bury(&letters).await?;
    report(&letters, &kept);
    Ok(())
}

/// Counts and logs the letters that are new: a message that comes again after its letter was kept,
/// because its ack was lost, is no other letter.
fn report(letters: &[Letter], kept: &[String]) {
    metrics::counter!("amends_dead_letters_total").increment(kept.len() as u64);
    for letter in letters.iter().filter(|letter| kept.contains(&letter.source)) {
        tracing::warn!(
            source = letter.source,
            subject = letter.subject,
            reason = letter.reason,
            "dead letter"
        );
    }
}

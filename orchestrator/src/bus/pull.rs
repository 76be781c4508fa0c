//! Pulling from a durable consumer, for ever.

use std::{future::Future, sync::Arc, time::Duration};

use amends::{Retry, wire};
use async_nats::jetstream::{Message, consumer::pull::Stream};
use futures_util::{FutureExt, StreamExt};
use tokio_util::sync::CancellationToken;

use super::{Delivery, Topology, TopologyError, topology::REPLIES_CONSUMER};
use crate::health::Health;

/// Messages asked for at once. Batches of 200 and more cost the same per message.
const BATCH: usize = 500;

/// A pull that the server forgot is made again after this time.
const EXPIRES: Duration = Duration::from_secs(5);

/// The server speaks at least this often, so that a silent connection is noticed.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// Delays between attempts to get a consumer back.
fn again(attempt: u32) -> Duration {
    let retry = Retry::exponential(Duration::from_millis(50), Duration::from_secs(2));
    retry.delay(attempt, "pull")
}

/// Where messages are pulled from.
pub(crate) enum Place {
    /// Events, by the name of their consumer.
    Events(String),
    /// The replies.
    Replies,
}

impl Place {
    fn name(&self) -> &str {
        match self {
            Self::Events(consumer) => consumer,
            Self::Replies => "replies",
        }
    }

    /// Stream and consumer. Asked again after every failure: streams may be deleted and made anew
    /// at any time.
    async fn find(&self, topology: &Topology) -> Result<(String, String), TopologyError> {
        match self {
            Self::Events(consumer) => topology.events_of(consumer).await,
            Self::Replies => Ok((wire::REPLIES_STREAM.to_owned(), REPLIES_CONSUMER.to_owned())),
        }
    }
}

/// A listener.
pub(crate) struct Pull {
    pub(crate) place: Place,
    pub(crate) topology: Topology,
    pub(crate) health: Arc<Health>,
    pub(crate) stop: CancellationToken,
}

impl Pull {
    /// Hands every message to `take` until stopped; what was already delivered then is still handed
    /// over.
    pub(crate) async fn run<F>(self, take: impl Fn(Delivery) -> F + Sync)
    where
        F: Future<Output = ()>,
    {
        let what = self.place.name();
        let mut failures = 0;
        while !self.stop.is_cancelled() {
            let failed = match self.open().await {
                Ok(messages) => {
                    self.health.set_nats(true);
                    if failures > 1 {
                        tracing::info!(what, "listening again");
                    }
                    self.drain(messages, &take, &mut failures).await
                }
                Err(error) => Some(error.to_string()),
            };
            let Some(error) = failed else { return };
            failures += 1;
            if failures == 2 {
                self.health.set_nats(false);
                tracing::warn!(
                    what,
                    error,
                    "JetStream does not deliver; trying again until it does"
                );
            }
            tokio::select! {
                () = tokio::time::sleep(again(failures)) => {}
                () = self.stop.cancelled() => return,
            }
            if let Err(error) = self.topology.ensure().await {
                tracing::debug!(what, %error, "streams and consumers cannot be repaired here yet");
            }
        }
    }

    async fn open(&self) -> Result<Stream, TopologyError> {
        let (stream, consumer) = self.place.find(&self.topology).await?;
        let consumer = self.topology.pull_consumer(&stream, &consumer).await?;
        consumer
            .stream()
            .max_messages_per_batch(BATCH)
            .expires(EXPIRES)
            .heartbeat(HEARTBEAT)
            .messages()
            .await
            .map_err(|e| TopologyError::Unavailable(e.to_string()))
    }

    /// Reads until the stream fails (`Some`) or the listener is stopped (`None`).
    async fn drain<F>(
        &self,
        mut messages: Stream,
        take: &(impl Fn(Delivery) -> F + Sync),
        failures: &mut u32,
    ) -> Option<String>
    where
        F: Future<Output = ()>,
    {
        loop {
            let next = tokio::select! {
                next = messages.next() => next,
                () = self.stop.cancelled() => {
                    while let Some(Some(Ok(message))) = messages.next().now_or_never() {
                        hand_over(message, take).await;
                    }
                    return None;
                }
            };
            match next {
                Some(Ok(message)) => {
                    *failures = 0;
                    hand_over(message, take).await;
                }
                Some(Err(error)) => return Some(error.to_string()),
                None => return Some("the pull ended".to_owned()),
            }
        }
    }
}

async fn hand_over<F>(message: Message, take: &(impl Fn(Delivery) -> F + Sync))
where
    F: Future<Output = ()>,
{
    match Delivery::of(message) {
        Some(delivery) => take(delivery).await,
        None => tracing::warn!("a message without delivery information was not from JetStream"),
    }
}

//! Pulling from a durable consumer, for ever.

use std::{future::Future, sync::Arc, time::Duration};

use amends::{RetryLoop, wire};
use async_nats::jetstream::{
    Message,
    consumer::{self, PullConsumer, pull},
};
use futures_util::{FutureExt, StreamExt};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Delivery, Topology, TopologyError, topology::REPLIES_CONSUMER};
use crate::health::Health;

/// Messages asked for at once. Batches of 200 and more cost the same per message.
const BATCH: usize = 500;

/// Between two looks of a replica that stands by.
const STANDBY_PERIOD: Duration = Duration::from_secs(1);

/// So many messages that wait are more than a leader leaves lying when it keeps up: in less than a
/// second it takes as many.
const BACKLOG_MAX: u64 = 20_000;

/// Looks at which the oldest message that is not acked may be the same: longer than a replica may hold
/// one, after which it waits to be delivered again.
const STALLED_MAX: u32 = 8;

/// A pull that the server forgot is made again after this time.
const EXPIRES: Duration = Duration::from_secs(5);

/// The server speaks at least this often, so that a silent connection is noticed.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// Delays between attempts to get a consumer back.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_CAP: Duration = Duration::from_secs(2);

/// Where messages are pulled from.
pub(crate) enum Source {
    /// Events, by the name of their consumer.
    Events(String),
    /// The replies.
    Replies,
}

impl Source {
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

/// Why nothing is delivered.
#[derive(Debug, thiserror::Error)]
enum PullError {
    #[error(transparent)]
    Consumer(#[from] TopologyError),
    #[error(transparent)]
    Stream(#[from] consumer::StreamError),
    #[error(transparent)]
    Next(#[from] pull::MessagesError),
    #[error(transparent)]
    Batch(#[from] pull::BatchError),
    #[error("{0}")]
    Message(#[source] async_nats::Error),
    #[error(transparent)]
    Silence(#[from] tokio::time::error::Elapsed),
    #[error("the pull ended")]
    Ended,
}

/// A listener.
pub(crate) struct Pull {
    pub(crate) source: Source,
    /// Whether this replica leads.
    pub(crate) leads: watch::Receiver<bool>,
    pub(crate) topology: Topology,
    pub(crate) health: Arc<Health>,
    pub(crate) stop: CancellationToken,
}

impl Pull {
    /// Hands every message to `take` until stopped, while this replica leads; else those that nobody
    /// takes. What was already delivered when it ends is still handed over.
    pub(crate) async fn run<F>(self, take: impl Fn(Delivery) -> F + Sync)
    where
        F: Future<Output = ()>,
    {
        let what = self.source.name();
        let mut retries = RetryLoop::new(RETRY_FIRST, RETRY_CAP, "pull");
        while !self.stop.is_cancelled() {
            let listened = if *self.leads.borrow() {
                self.lead(&take, &mut retries).await
            } else {
                self.stand_by(&take, &mut retries).await
            };
            let Err(error) = listened else { continue };
            let pause = retries.failed();
            if retries.failures() == 2 {
                self.health.nats.failed(error.to_string());
                tracing::warn!(
                    what,
                    error = error.to_string(),
                    "JetStream does not deliver; trying again until it does"
                );
            }
            if self.stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
            if let Err(error) = self.topology.ensure().await {
                tracing::debug!(what, %error, "streams and consumers cannot be repaired here yet");
            }
        }
    }

    async fn consumer(&self) -> Result<PullConsumer, TopologyError> {
        let (stream, consumer) = self.source.find(&self.topology).await?;
        self.topology.pull_consumer(&stream, &consumer).await
    }

    /// Reads while this replica leads.
    async fn lead<F>(
        &self,
        take: &(impl Fn(Delivery) -> F + Sync),
        retries: &mut RetryLoop,
    ) -> Result<(), PullError>
    where
        F: Future<Output = ()>,
    {
        let consumer = self.consumer().await?;
        let stream =
            consumer.stream().max_messages_per_batch(BATCH).expires(EXPIRES).heartbeat(HEARTBEAT);
        let mut messages = stream.messages().await?;
        self.listens(retries);
        let mut leads = self.leads.clone();
        loop {
            let next = tokio::select! {
                next = messages.next() => next,
                () = until_over(&mut leads, &self.stop) => {
                    while let Some(Some(Ok(message))) = messages.next().now_or_never() {
                        take_message(message, take).await;
                    }
                    return Ok(());
                }
            };
            match next {
                Some(Ok(message)) => {
                    retries.succeeded();
                    take_message(message, take).await;
                }
                Some(Err(error)) => return Err(error.into()),
                None => return Err(PullError::Ended),
            }
        }
    }

    /// Looks now and then whether messages pile up, or nobody takes them, and helps.
    async fn stand_by<F>(
        &self,
        take: &(impl Fn(Delivery) -> F + Sync),
        retries: &mut RetryLoop,
    ) -> Result<(), PullError>
    where
        F: Future<Output = ()>,
    {
        let mut leads = self.leads.clone();
        let mut before = None;
        loop {
            let consumer = self.consumer().await?;
            self.listens(retries);
            retries.succeeded();
            let state = ConsumerState::at(consumer.cached_info(), before.as_ref());
            if state.needs_help(before.as_ref()) {
                while !self.stop.is_cancelled() && help(&consumer, take).await? == BATCH {}
            }
            before = Some(state);
            tokio::select! {
                () = tokio::time::sleep(STANDBY_PERIOD) => {}
                _ = leads.wait_for(|leads| *leads) => return Ok(()),
                () = self.stop.cancelled() => return Ok(()),
            }
        }
    }

    fn listens(&self, retries: &RetryLoop) {
        self.health.nats.succeeded();
        if retries.failures() > 1 {
            tracing::info!(what = self.source.name(), "listening again");
        }
    }
}

/// What a replica that stands by sees of a consumer.
struct ConsumerState {
    waiting: u64,
    /// The message that was delivered last.
    last: u64,
    /// Up to here all is acked.
    acked: u64,
    /// At so many looks in a row it was no more, while something was not acked; else 0.
    stalled: u32,
}

impl ConsumerState {
    fn at(info: &consumer::Info, before: Option<&Self>) -> Self {
        let acked = info.ack_floor.stream_sequence;
        let stands = before.filter(|before| info.num_ack_pending > 0 && before.acked == acked);
        Self {
            waiting: info.num_pending,
            last: info.delivered.stream_sequence,
            acked,
            stalled: stands.map_or(0, |before| before.stalled + 1),
        }
    }

    /// Whether the leader does not keep up, takes nothing, or does nothing with what it took: then that
    /// is to be had again.
    fn needs_help(&self, before: Option<&Self>) -> bool {
        let still = before.is_some_and(|before| before.waiting > 0 && before.last == self.last);
        self.waiting >= BACKLOG_MAX || (self.waiting > 0 && still) || self.stalled > STALLED_MAX
    }
}

/// Takes what waits, up to a batch; how much it was.
async fn help<F>(
    consumer: &PullConsumer,
    take: &(impl Fn(Delivery) -> F + Sync),
) -> Result<usize, PullError>
where
    F: Future<Output = ()>,
{
    let mut count = 0;
    let mut batch = consumer.fetch().max_messages(BATCH).messages().await?;
    // The end of a batch may be lost with a server.
    while let Some(message) = tokio::time::timeout(EXPIRES, batch.next()).await? {
        take_message(message.map_err(PullError::Message)?, take).await;
        count += 1;
    }
    Ok(count)
}

/// Until this replica leads no more, or stops.
async fn until_over(leads: &mut watch::Receiver<bool>, stop: &CancellationToken) {
    tokio::select! {
        // Without a candidate it is being stopped.
        _ = leads.wait_for(|leads| !leads) => {}
        () = stop.cancelled() => {}
    }
}

async fn take_message<F>(message: Message, take: &(impl Fn(Delivery) -> F + Sync))
where
    F: Future<Output = ()>,
{
    match Delivery::of(message) {
        Some(delivery) => take(delivery).await,
        None => tracing::warn!("a message without delivery information was not from JetStream"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(waiting: u64, last: u64, stalled: u32) -> ConsumerState {
        ConsumerState { waiting, last, acked: 0, stalled }
    }

    #[test]
    fn help_is_for_piles_and_for_what_nobody_takes() {
        let needs = |before: Option<(u64, u64)>, now: (u64, u64)| {
            let before = before.map(|(waiting, last)| state(waiting, last, 0));
            state(now.0, now.1, 0).needs_help(before.as_ref())
        };
        assert!(!needs(None, (0, 0)) && !needs(None, (BACKLOG_MAX - 1, 7)));
        assert!(needs(None, (BACKLOG_MAX, 7)));
        // The same message is the last that was delivered, and others wait: since two looks.
        assert!(needs(Some((1, 7)), (3, 7)));
        assert!(!needs(Some((1, 7)), (3, 8)) && !needs(Some((0, 7)), (3, 7)));
        assert!(!needs(Some((1, 7)), (0, 7)));
    }

    #[test]
    fn help_is_for_what_a_leader_took_and_does_not_ack() {
        assert!(!state(0, 7, STALLED_MAX).needs_help(None));
        assert!(state(0, 7, STALLED_MAX + 1).needs_help(None));
    }
}

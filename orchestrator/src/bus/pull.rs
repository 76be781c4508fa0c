//! Pulling from a durable consumer, for ever.

use std::{future::Future, sync::Arc, time::Duration};

use amends::{Retry, wire};
use async_nats::jetstream::{
    Message,
    consumer::{self, PullConsumer},
};
use futures_util::{FutureExt, StreamExt};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Delivery, Topology, TopologyError, topology::REPLIES_CONSUMER};
use crate::health::Health;

/// Messages asked for at once. Batches of 200 and more cost the same per message.
const BATCH: usize = 500;

/// Between two looks of a replica that stands by.
const LOOK: Duration = Duration::from_secs(1);

/// So many messages that wait are more than a leader leaves lying when it keeps up: in less than a
/// second it takes as many.
const PILE: u64 = 20_000;

/// Looks at which the oldest message that is not acked may be the same: longer than a replica may hold
/// one, after which it waits to be delivered again.
const STOOD_MAX: u32 = 8;

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
        let what = self.place.name();
        let mut failures = 0;
        while !self.stop.is_cancelled() {
            let listened = if *self.leads.borrow() {
                self.lead(&take, &mut failures).await
            } else {
                self.stand_by(&take, &mut failures).await
            };
            let Err(error) = listened else { continue };
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

    async fn consumer(&self) -> Result<PullConsumer, TopologyError> {
        let (stream, consumer) = self.place.find(&self.topology).await?;
        self.topology.pull_consumer(&stream, &consumer).await
    }

    /// Reads while this replica leads.
    async fn lead<F>(
        &self,
        take: &(impl Fn(Delivery) -> F + Sync),
        failures: &mut u32,
    ) -> Result<(), String>
    where
        F: Future<Output = ()>,
    {
        let consumer = self.consumer().await.map_err(words)?;
        let stream =
            consumer.stream().max_messages_per_batch(BATCH).expires(EXPIRES).heartbeat(HEARTBEAT);
        let mut messages = stream.messages().await.map_err(words)?;
        self.listens(*failures);
        let mut leads = self.leads.clone();
        loop {
            let next = tokio::select! {
                next = messages.next() => next,
                () = until_over(&mut leads, &self.stop) => {
                    while let Some(Some(Ok(message))) = messages.next().now_or_never() {
                        hand_over(message, take).await;
                    }
                    return Ok(());
                }
            };
            match next {
                Some(Ok(message)) => {
                    *failures = 0;
                    hand_over(message, take).await;
                }
                Some(Err(error)) => return Err(words(error)),
                None => return Err("the pull ended".to_owned()),
            }
        }
    }

    /// Looks now and then whether messages pile up, or nobody takes them, and helps.
    async fn stand_by<F>(
        &self,
        take: &(impl Fn(Delivery) -> F + Sync),
        failures: &mut u32,
    ) -> Result<(), String>
    where
        F: Future<Output = ()>,
    {
        let mut leads = self.leads.clone();
        let mut before = None;
        loop {
            let consumer = self.consumer().await.map_err(words)?;
            self.listens(std::mem::take(failures));
            let look = Look::at(consumer.cached_info(), before.as_ref());
            if look.needs_help(before.as_ref()) {
                while !self.stop.is_cancelled() && help(&consumer, take).await? == BATCH {}
            }
            before = Some(look);
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                _ = leads.wait_for(|leads| *leads) => return Ok(()),
                () = self.stop.cancelled() => return Ok(()),
            }
        }
    }

    fn listens(&self, failures: u32) {
        self.health.set_nats(true);
        if failures > 1 {
            tracing::info!(what = self.place.name(), "listening again");
        }
    }
}

/// What a replica that stands by sees of a consumer.
struct Look {
    waiting: u64,
    /// The message that was delivered last.
    last: u64,
    /// Up to here all is acked.
    acked: u64,
    /// At so many looks in a row it was no more, while something was not acked; else 0.
    stood: u32,
}

impl Look {
    fn at(info: &consumer::Info, before: Option<&Self>) -> Self {
        let acked = info.ack_floor.stream_sequence;
        let stands = before.filter(|before| info.num_ack_pending > 0 && before.acked == acked);
        Self {
            waiting: info.num_pending,
            last: info.delivered.stream_sequence,
            acked,
            stood: stands.map_or(0, |before| before.stood + 1),
        }
    }

    /// Whether the leader does not keep up, takes nothing, or does nothing with what it took: then that
    /// is to be had again.
    fn needs_help(&self, before: Option<&Self>) -> bool {
        let still = before.is_some_and(|before| before.waiting > 0 && before.last == self.last);
        self.waiting >= PILE || (self.waiting > 0 && still) || self.stood > STOOD_MAX
    }
}

/// Takes what waits, up to a batch; how much it was.
async fn help<F>(
    consumer: &PullConsumer,
    take: &(impl Fn(Delivery) -> F + Sync),
) -> Result<usize, String>
where
    F: Future<Output = ()>,
{
    let mut count = 0;
    let mut batch = consumer.fetch().max_messages(BATCH).messages().await.map_err(words)?;
    // The end of a batch may be lost with a server.
    while let Some(message) = tokio::time::timeout(EXPIRES, batch.next()).await.map_err(words)? {
        hand_over(message.map_err(words)?, take).await;
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

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn look(waiting: u64, last: u64, stood: u32) -> Look {
        Look { waiting, last, acked: 0, stood }
    }

    #[test]
    fn help_is_for_piles_and_for_what_nobody_takes() {
        let needs = |before: Option<(u64, u64)>, now: (u64, u64)| {
            let before = before.map(|(waiting, last)| look(waiting, last, 0));
            look(now.0, now.1, 0).needs_help(before.as_ref())
        };
        assert!(!needs(None, (0, 0)) && !needs(None, (PILE - 1, 7)));
        assert!(needs(None, (PILE, 7)));
        // The same message is the last that was delivered, and others wait: since two looks.
        assert!(needs(Some((1, 7)), (3, 7)));
        assert!(!needs(Some((1, 7)), (3, 8)) && !needs(Some((0, 7)), (3, 7)));
        assert!(!needs(Some((1, 7)), (0, 7)));
    }

    #[test]
    fn help_is_for_what_a_leader_took_and_does_not_ack() {
        assert!(!look(0, 7, STOOD_MAX).needs_help(None));
        assert!(look(0, 7, STOOD_MAX + 1).needs_help(None));
    }
}

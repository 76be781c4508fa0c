//! Listening to a durable consumer, for ever.

use std::{future::Future, sync::Arc, time::Duration};

use amends::{RetryLoop, wire};
use async_nats::{Message, jetstream};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    Delivery, Topology, TopologyError,
    delivery::NotTaken,
    hand::Hand,
    requests::{RequestError, Requests, Wait},
    standby::ConsumerState,
    topology::REPLIES_CONSUMER,
};
use crate::health::Health;

/// Between two looks of a replica that stands by.
const STANDBY_PERIOD: Duration = Duration::from_secs(1);

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
    Request(#[from] RequestError),
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
    pub(crate) async fn run<F>(self, take: impl Fn(Delivery) -> F)
    where
        F: Future<Output = ()>,
    {
        // Bounded by what a hand holds. Whoever takes may wait, and messages that come meanwhile are in
        // hand, and not forgotten in a buffer of the client.
        let (inbox, mut taken) = mpsc::unbounded_channel();
        let hand_over = async {
            while let Some(delivery) = taken.recv().await {
                take(delivery).await;
            }
        };
        tokio::join!(Listener::new(self, inbox).run(), hand_over);
    }
}

struct Listener {
    pull: Pull,
    client: async_nats::Client,
    hand: Arc<Hand>,
    inbox: mpsc::UnboundedSender<Delivery>,
    retries: RetryLoop,
}

impl Listener {
    fn new(pull: Pull, inbox: mpsc::UnboundedSender<Delivery>) -> Self {
        let client = pull.topology.jetstream().client();
        let hand = Hand::new(client.clone(), pull.leads.clone());
        let retries = RetryLoop::new(RETRY_FIRST, RETRY_CAP, "pull");
        Self { pull, client, hand, inbox, retries }
    }

    async fn run(mut self) {
        while !self.pull.stop.is_cancelled() {
            let leads = *self.pull.leads.borrow();
            let listened = if leads { self.lead().await } else { self.stand_by().await };
            let Err(error) = listened else { continue };
            let pause = self.retries.failed();
            if self.retries.failures() == 2 {
                self.pull.health.hears(self.pull.source.name(), Some(error.to_string()));
                tracing::warn!(
                    what = self.pull.source.name(),
                    error = error.to_string(),
                    "JetStream does not deliver; trying again until it does"
                );
            }
            if self.pull.stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
            if let Err(error) = self.pull.topology.ensure().await {
                let what = self.pull.source.name();
                tracing::debug!(what, %error, "streams and consumers cannot be repaired here yet");
            }
        }
    }

    /// Reads while this replica leads.
    async fn lead(&mut self) -> Result<(), PullError> {
        let (stream, consumer) = self.pull.source.find(&self.pull.topology).await?;
        let mut requests = Requests::open(&self.client, &stream, &consumer).await?;
        let (mut leads, stop) = (self.pull.leads.clone(), self.pull.stop.clone());
        loop {
            if requests.is_due() {
                if self.hand.has_room(requests.count() + 1) {
                    requests.ask(Wait::Yes).await?;
                } else if requests.count() == 0 {
                    tokio::select! {
                        () = self.hand.room() => continue,
                        () = until_over(&mut leads, &stop) => return Ok(()),
                    }
                }
            }
            let next = tokio::select! {
                next = requests.next() => next?,
                () = until_over(&mut leads, &stop) => {
                    for message in requests.close().await {
                        self.take(message);
                    }
                    return Ok(());
                }
            };
            self.listens();
            if let Some(message) = next {
                self.take(message);
            }
        }
    }

    /// Looks now and then whether messages pile up, or nobody takes them, and helps.
    async fn stand_by(&mut self) -> Result<(), PullError> {
        let (mut leads, stop) = (self.pull.leads.clone(), self.pull.stop.clone());
        let mut before = None;
        loop {
            let (stream, consumer) = self.pull.source.find(&self.pull.topology).await?;
            let info = self.pull.topology.consumer_state(&stream, &consumer).await?;
            self.listens();
            let state = ConsumerState::at(&info, before.as_ref());
            if state.needs_help(before.as_ref()) {
                self.help(&stream, &consumer).await?;
            }
            before = Some(state);
            tokio::select! {
                () = tokio::time::sleep(STANDBY_PERIOD) => {}
                _ = leads.wait_for(|leads| *leads) => return Ok(()),
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    /// Takes what is to be had, while there is room for it.
    async fn help(&mut self, stream: &str, consumer: &str) -> Result<(), PullError> {
        let mut requests = Requests::open(&self.client, stream, consumer).await?;
        while self.hand.has_room(1) && !self.pull.stop.is_cancelled() {
            requests.ask(Wait::No).await?;
            while let Some(message) = requests.next().await? {
                self.take(message);
            }
            if !requests.was_full() {
                break;
            }
        }
        Ok(())
    }

    fn take(&self, message: Message) {
        let context = self.pull.topology.jetstream().clone();
        match Delivery::of(jetstream::Message { message, context }, &self.hand) {
            // It has ended only when nobody takes any more: then this one is let go of.
            Ok(delivery) => drop(self.inbox.send(delivery)),
            Err(NotTaken::InHand) => {
                tracing::debug!("a message that is in hand was delivered again");
            }
            Err(NotTaken::Foreign) => {
                tracing::warn!("a message without delivery information was not from JetStream");
            }
        }
    }

    fn listens(&mut self) {
        if self.retries.failures() > 0 {
            self.pull.health.hears(self.pull.source.name(), None);
            if self.retries.failures() > 1 {
                tracing::info!(what = self.pull.source.name(), "listening again");
            }
            self.retries.succeeded();
        }
    }
}

/// Until this replica leads no more, or stops.
async fn until_over(leads: &mut watch::Receiver<bool>, stop: &CancellationToken) {
    tokio::select! {
        // Without a candidate it is being stopped.
        _ = leads.wait_for(|leads| !leads) => {}
        () = stop.cancelled() => {}
    }
}

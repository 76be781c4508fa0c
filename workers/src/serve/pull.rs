//! Pulling from the service's consumer, with the client's core protocol only.
//!
//! Not with async-nats' `Batch` and `Stream`: in 0.51 a `Batch` that has seen a heartbeat is no
//! longer woken by messages, a `Stream` buffers more than there are free slots, and both ask for the
//! consumer's configuration first, which a service has no need to be allowed to do.

use std::time::Duration;

use amends::wire::COMMANDS_STREAM;
use async_nats::{
    Client, Message, PublishError, StatusCode, SubscribeError, Subscriber,
    jetstream::consumer::pull::BatchConfig,
};
use futures_util::StreamExt;
use tokio::time::timeout;

/// How long the server keeps a pull.
const EXPIRES: Duration = Duration::from_secs(5);
/// How often the server shows that it still knows the pull.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// Silence after which the pull is forgotten: a restart, a new leader, a half-open connection.
const SILENCE: Duration = Duration::from_secs(2);

pub(super) struct Pull {
    client: Client,
    consumer: String,
    inbox: String,
    subscriber: Subscriber,
    asked: bool,
}

/// What a pull brings.
pub(super) enum Pulled {
    Command(Message),
    /// Nothing, but the server is there.
    Alive,
    /// The pull has ended.
    End,
}

/// Why there is nothing to pull from.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    #[error("there is no consumer of this name")]
    NoConsumer,
    #[error("no answer within {} s", SILENCE.as_secs())]
    Silence,
    #[error("the client was closed")]
    Closed,
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
    #[error(transparent)]
    Request(#[from] serde_json::Error),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error("{status} {}", description.as_deref().unwrap_or("no reason given"))]
    Status { status: StatusCode, description: Option<String> },
}

impl Pull {
    pub(super) async fn open(client: &Client, service: &str) -> Result<Self, Lost> {
        let inbox = client.new_inbox();
        let subscriber = timeout(SILENCE, client.subscribe(inbox.clone()));
        let subscriber = subscriber.await.map_err(|_| Lost::Silence)??;
        let consumer = format!("$JS.API.CONSUMER.MSG.NEXT.{COMMANDS_STREAM}.{service}");
        Ok(Self { client: client.clone(), consumer, inbox, subscriber, asked: false })
    }

    /// Asks for at most `count` commands. The first time only for those that are there, so that it
    /// is known at once whether the consumer is.
    pub(super) async fn request(&mut self, count: usize) -> Result<(), Lost> {
        let batch = if self.asked {
            BatchConfig {
                batch: count,
                expires: Some(EXPIRES),
                idle_heartbeat: HEARTBEAT,
                ..Default::default()
            }
        } else {
            BatchConfig { batch: count, no_wait: true, ..Default::default() }
        };
        self.asked = true;
        let body = serde_json::to_vec(&batch)?;
        let (consumer, inbox) = (self.consumer.clone(), self.inbox.clone());
        let asked = self.client.publish_with_reply(consumer, inbox, body.into());
        Ok(timeout(SILENCE, asked).await.map_err(|_| Lost::Silence)??)
    }

    /// What comes next. May be dropped while it waits, without loss.
    pub(super) async fn next(&mut self) -> Result<Pulled, Lost> {
        let next = timeout(SILENCE, self.subscriber.next()).await;
        let message = next.map_err(|_| Lost::Silence)?.ok_or(Lost::Closed)?;
        match message.status {
            None | Some(StatusCode::OK) => Ok(Pulled::Command(message)),
            Some(StatusCode::IDLE_HEARTBEAT) => Ok(Pulled::Alive),
            Some(StatusCode::NOT_FOUND | StatusCode::TIMEOUT) => Ok(Pulled::End),
            Some(StatusCode::NO_RESPONDERS) => Err(Lost::NoConsumer),
            Some(status) => Err(Lost::Status { status, description: message.description }),
        }
    }

    /// Ends the pull; what had been sent already is still handed out, rather than left to its
    /// redelivery.
    pub(super) async fn close(mut self) -> Vec<Message> {
        let mut rest = Vec::new();
        if self.subscriber.drain().await.is_err() {
            return rest;
        }
        while let Ok(Some(message)) = timeout(SILENCE, self.subscriber.next()).await {
            if message.status.is_none() {
                rest.push(message);
            }
        }
        rest
    }
}

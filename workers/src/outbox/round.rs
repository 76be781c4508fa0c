//! One round of a relay: claim, publish, wait for the acks, remove; one transaction.

use std::{
    error::Error as _,
    time::{Duration, Instant},
};

use amends::wire::NATS_MSG_ID;
use async_nats::{
    Client, HeaderMap,
    connection::State,
    jetstream::{
        self, ErrorCode,
        context::{PublishAckFuture, PublishError, PublishErrorKind},
    },
};
use futures_util::future::join_all;
use sqlx::PgPool;

use super::{
    pauses::{Pauses, Wait},
    table::{self, Event, Later},
};
use crate::barrier;

/// Events of one round: as many acks are waited for at once. Their bodies are in memory.
pub(super) const EVENTS_MAX: usize = 128;

/// How long JetStream may take to store an event. The transaction is open meanwhile.
pub(super) const ACK_WAIT: Duration = Duration::from_secs(5);

/// How long an event waits that is too large for the server or the stream: someone has to allow it.
const TOO_LARGE_WAIT: Duration = Duration::from_secs(60);

/// What a relay works with.
pub(super) struct Round {
    pub(super) service: String,
    pub(super) pool: PgPool,
    client: Client,
    jetstream: jetstream::Context,
    pauses: Pauses,
}

/// How a round ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Nothing was due.
    Idle,
    /// There may be more.
    Busy,
    /// NATS or Postgres does not answer.
    Away,
    /// The database has no outbox for this user.
    Lacking,
}

/// What became of an event.
enum Fate {
    Stored,
    Later(Later),
    /// Unknown, as the connection was lost: it stays as it is, and is published again.
    Unknown,
}

/// What was done with an event before its ack.
enum Sent {
    Tried(Result<PublishAckFuture, PublishError>),
    /// Its subject is paused.
    Aside(Wait),
    Not,
}

impl Sent {
    fn is_stuck(&self) -> bool {
        matches!(self, Self::Tried(Err(error)) if error.kind() == PublishErrorKind::TimedOut)
    }
}

impl Round {
    pub(super) fn new(service: String, pool: PgPool, client: Client) -> Self {
        let jetstream =
            jetstream::context::ContextBuilder::new().timeout(ACK_WAIT).build(client.clone());
        Self { service, pool, client, jetstream, pauses: Pauses::default() }
    }

    pub(super) fn connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// To be called in a task that is not aborted, as it holds a transaction.
    pub(super) async fn go(&self) -> sqlx::Result<Ended> {
        let mut tx = barrier::begin(&self.pool).await?;
        let events = table::claim(&mut tx, i32::try_from(EVENTS_MAX).unwrap_or(1)).await?;
        if events.is_empty() {
            tx.rollback().await?;
            return Ok(Ended::Idle);
        }
        let (mut stored, mut later, mut ended) = (Vec::new(), Vec::new(), Ended::Busy);
        for (event, fate) in events.iter().zip(self.publish(&events).await) {
            match fate {
                Fate::Stored => stored.push(event.id),
                Fate::Later(why) => later.push(why),
                Fate::Unknown => ended = Ended::Away,
            }
        }
        table::sent(&mut tx, &stored).await?;
        table::postpone(&mut tx, &later).await?;
        tx.commit().await?;
        self.count("amends_outbox_published_total", stored.len());
        self.count("amends_outbox_refused_total", later.iter().filter(|l| l.tried).count());
        Ok(ended)
    }

    fn count(&self, name: &'static str, count: usize) {
        metrics::counter!(name, "service" => self.service.clone()).increment(count as u64);
    }

    /// Sends all, and then waits for all their acks side by side.
    async fn publish(&self, events: &[Event]) -> Vec<Fate> {
        let connects = self.connects();
        let mut sent = Vec::with_capacity(events.len());
        let mut cut = false;
        for event in events {
            // Without a connection a send may block until its time is up, each by itself.
            cut = cut || !self.connected();
            sent.push(if cut { Sent::Not } else { self.try_send(event).await });
            cut = cut || sent.last().is_some_and(Sent::is_stuck);
        }
        let fates = events.iter().zip(sent).map(|(event, sent)| async move {
            match sent {
                Sent::Tried(sent) => self.fate(event, stored(sent).await, connects),
                Sent::Aside(Wait { reason, wait }) => {
                    Fate::Later(Later { id: event.id, tried: false, reason, wait })
                }
                Sent::Not => Fate::Unknown,
            }
        });
        join_all(fates).await
    }

    async fn try_send(&self, event: &Event) -> Sent {
        if let Err(wait) = self.pauses.admit(&event.subject, Instant::now()) {
            return Sent::Aside(wait);
        }
        Sent::Tried(self.send(event).await)
    }

    async fn send(&self, event: &Event) -> Result<PublishAckFuture, PublishError> {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MSG_ID, event.message_id.as_str());
        let body = bytes::Bytes::copy_from_slice(event.body.as_bytes());
        self.jetstream.publish_with_headers(event.subject.clone(), headers, body).await
    }

    fn fate(&self, event: &Event, stored: Result<(), PublishError>, connects: u64) -> Fate {
        let Err(error) = stored else {
            if self.pauses.stored(&event.subject) {
                tracing::info!(
                    service = self.service,
                    subject = event.subject,
                    "events of this subject are stored again"
                );
            }
            return Fate::Stored;
        };
        // An ack that was lost with its connection says nothing about the subject.
        if !self.connected() || self.connects() != connects {
            return Fate::Unknown;
        }
        let reason = words(&error);
        if is_too_large(&error) {
            if event.attempts == 0 {
                let (service, id, subject) = (&self.service, event.id, &event.subject);
                tracing::warn!(
                    service,
                    id,
                    subject,
                    reason,
                    "an event waits in amends_barrier.outbox"
                );
            }
            return Fate::Later(Later { id: event.id, tried: true, reason, wait: TOO_LARGE_WAIT });
        }
        let (wait, first) = self.pauses.refused(&event.subject, &reason, Instant::now());
        if first {
            tracing::warn!(
                service = self.service,
                subject = event.subject,
                reason,
                "JetStream does not store events of this subject: they wait in amends_barrier.outbox"
            );
        }
        Fate::Later(Later { id: event.id, tried: true, reason, wait })
    }

    /// How often the client has connected.
    fn connects(&self) -> u64 {
        self.client.statistics().connects.load(std::sync::atomic::Ordering::Relaxed)
    }
}

async fn stored(sent: Result<PublishAckFuture, PublishError>) -> Result<(), PublishError> {
    sent?.await.map(drop)
}

/// Refused for itself: smaller ones of its subject are not.
fn is_too_large(error: &PublishError) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<jetstream::Error>());
    error.kind() == PublishErrorKind::MaxPayloadExceeded
        || source.is_some_and(|e| e.error_code() == ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM)
}

/// A refusal in words that say what to do.
fn words(error: &PublishError) -> String {
    match error.kind() {
        PublishErrorKind::StreamNotFound => "no stream captures this subject".to_owned(),
        PublishErrorKind::TimedOut => {
            format!("no ack within {} s: may this user publish on the subject?", ACK_WAIT.as_secs())
        }
        _ => error.to_string(),
    }
}

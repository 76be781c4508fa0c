//! Publishes the events of a round, and tells what became of each.

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

use super::{
    ACK_WAIT,
    paused_subjects::{Deferral, PausedSubjects},
    table::{Event, Postponed},
};

/// How long an event waits that is too large for the server or the stream: someone has to allow it.
const TOO_LARGE_WAIT: Duration = Duration::from_secs(60);

pub(super) struct Publisher {
    service: String,
    client: Client,
    jetstream: jetstream::Context,
    paused: PausedSubjects,
}

/// What became of an event.
pub(super) enum Publication {
    Stored,
    Postponed(Postponed),
    /// Unknown, as the connection was lost: it stays as it is, and is published again.
    Unknown,
}

/// What was done with an event before its ack.
enum Sending {
    Tried(Result<PublishAckFuture, PublishError>),
    SubjectPaused(Deferral),
    Disconnected,
}

impl Sending {
    fn timed_out(&self) -> bool {
        matches!(self, Self::Tried(Err(error)) if error.kind() == PublishErrorKind::TimedOut)
    }
}

impl Publisher {
    pub(super) fn new(service: String, client: Client) -> Self {
        let jetstream =
            jetstream::context::ContextBuilder::new().timeout(ACK_WAIT).build(client.clone());
        Self { service, client, jetstream, paused: PausedSubjects::default() }
    }

    pub(super) fn connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// How often the client has connected.
    fn connects(&self) -> u64 {
        self.client.statistics().connects.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Sends all, and then waits for all their acks side by side.
    pub(super) async fn publish(&self, events: &[Event]) -> Vec<Publication> {
        let connects = self.connects();
        let mut sendings = Vec::with_capacity(events.len());
        let mut disconnected = false;
        for event in events {
            // Without a connection a send may block until its time is up, each by itself.
            disconnected = disconnected || !self.connected();
            let sending =
                if disconnected { Sending::Disconnected } else { self.try_send(event).await };
            disconnected = disconnected || sending.timed_out();
            sendings.push(sending);
        }
        let publications = events.iter().zip(sendings).map(|(event, sending)| async move {
            match sending {
                Sending::Tried(sent) => self.publication(event, stored(sent).await, connects),
                Sending::SubjectPaused(Deferral { reason, wait }) => {
                    let refused = false;
                    Publication::Postponed(Postponed { id: event.id, refused, reason, wait })
                }
                Sending::Disconnected => Publication::Unknown,
            }
        });
        join_all(publications).await
    }

    async fn try_send(&self, event: &Event) -> Sending {
        if let Err(deferral) = self.paused.admit(&event.subject, Instant::now()) {
            return Sending::SubjectPaused(deferral);
        }
        Sending::Tried(self.send(event).await)
    }

    async fn send(&self, event: &Event) -> Result<PublishAckFuture, PublishError> {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MSG_ID, event.message_id.as_str());
        let body = bytes::Bytes::copy_from_slice(event.body.as_bytes());
        self.jetstream.publish_with_headers(event.subject.clone(), headers, body).await
    }

    /// `connects` is how often the client had connected before anything was sent.
    fn publication(
        &self,
        event: &Event,
        stored: Result<(), PublishError>,
        connects: u64,
    ) -> Publication {
        let Err(error) = stored else {
            self.resume(&event.subject);
            return Publication::Stored;
        };
        // An ack that was lost with its connection says nothing about the subject.
        if !self.connected() || self.connects() != connects {
            return Publication::Unknown;
        }
        let reason = describe(&error);
        let wait = if is_too_large(&error) {
            self.log_too_large(event, &reason);
            TOO_LARGE_WAIT
        } else {
            self.pause(&event.subject, &reason)
        };
        Publication::Postponed(Postponed { id: event.id, refused: true, reason, wait })
    }

    fn resume(&self, subject: &str) {
        if self.paused.stored(subject) {
            tracing::info!(
                service = self.service,
                subject,
                "events of this subject are stored again"
            );
        }
    }

    /// Pauses the subject; for how long.
    fn pause(&self, subject: &str, reason: &str) -> Duration {
        let (wait, first) = self.paused.refused(subject, reason, Instant::now());
        if first {
            tracing::warn!(
                service = self.service,
                subject,
                reason,
                "JetStream does not store events of this subject: they wait in amends_barrier.outbox"
            );
        }
        wait
    }

    /// Logs it once for each event.
    fn log_too_large(&self, event: &Event, reason: &str) {
        if event.attempts == 0 {
            tracing::warn!(
                service = self.service,
                id = event.id,
                subject = event.subject,
                reason,
                "an event waits in amends_barrier.outbox"
            );
        }
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

/// A refusal, and what to do about it where that is known.
fn describe(error: &PublishError) -> String {
    match error.kind() {
        PublishErrorKind::StreamNotFound => {
            "no stream captures this subject, or this user may not publish on it".to_owned()
        }
        PublishErrorKind::TimedOut => {
            format!("no ack within {} s: may this user publish on the subject?", ACK_WAIT.as_secs())
        }
        _ => error.to_string(),
    }
}

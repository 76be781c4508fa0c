//! A message that was delivered, and how to ack it.

use amends::{EventId, Headers, SagaId, machine::Time, wire};
use async_nats::{HeaderMap, jetstream};
use bytes::Bytes;

use crate::letter::Letter;

/// A message of a stream.
pub(crate) struct Delivery {
    pub(crate) subject: String,
    headers: HeaderMap,
    pub(crate) body: Bytes,
    stream: String,
    consumer: String,
    sequence: u64,
    stored_at: Time,
    acker: jetstream::message::Acker,
}

impl Delivery {
    /// Takes a message apart. `None` when it carries no delivery information: it is then not from
    /// JetStream, and there is nothing to ack.
    pub(crate) fn of(message: jetstream::Message) -> Option<Self> {
        let info = message.info().ok()?;
        let stored_at = i64::try_from(info.published.unix_timestamp_nanos()).ok()?;
        let (stream, consumer) = (info.stream.to_owned(), info.consumer.to_owned());
        let sequence = info.stream_sequence;
        let (message, acker) = message.split();
        Some(Self {
            subject: message.subject.to_string(),
            headers: message.headers.unwrap_or_default(),
            body: message.payload,
            stream,
            consumer,
            sequence,
            stored_at: Time::from_timestamp_nanos(stored_at),
            acker,
        })
    }

    /// The headers, with a pair for each value.
    pub(crate) fn headers(&self) -> Headers<'_> {
        let pairs = self.headers.iter().flat_map(|(name, values)| {
            values.iter().map(move |value| (name.as_ref(), value.as_str()))
        });
        pairs.collect()
    }

    /// The saga of this definition that the message starts.
    pub(crate) fn saga_id(&self, definition: &str) -> SagaId {
        SagaId::from_message(definition, &self.stream, self.sequence, self.stored_at)
    }

    /// The event that the message is.
    pub(crate) fn event(&self) -> EventId {
        EventId::of_message(&self.stream, self.sequence, self.stored_at)
    }

    /// When its stream stored it.
    pub(crate) const fn stored_at(&self) -> Time {
        self.stored_at
    }

    /// Acks. A lost ack only causes a redelivery, so nothing waits for the server's word.
    pub(crate) async fn ack(&self) {
        if let Err(error) = self.acker.ack().await {
            tracing::debug!(%error, "an ack was not sent; the message will be redelivered");
        }
    }

    pub(crate) fn letter(&self, why: &str) -> Letter {
        let headers = self.headers.iter().flat_map(|(name, values)| {
            values.iter().map(move |value| (name.to_string(), value.as_str().to_owned()))
        });
        Letter {
            source: message_source(&self.stream, &self.consumer, self.sequence, self.stored_at),
            subject: self.subject.replace('\0', "\u{fffd}"),
            reason: wire::cut(why.to_owned()),
            headers: headers.collect(),
            body: self.body.clone(),
        }
    }
}

/// What names a message for ever: a stream that was deleted and made anew counts from 1 again, and
/// one message may be useless to one consumer only.
pub(crate) fn message_source(
    stream: &str,
    consumer: &str,
    sequence: u64,
    stored_at: Time,
) -> String {
    format!("{stream}:{sequence}@{} {consumer}", stored_at.timestamp_micros())
}

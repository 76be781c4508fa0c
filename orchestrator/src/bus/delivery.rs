//! A message that was delivered, and how to ack it.

use std::sync::Arc;

use amends::{EventId, Headers, SagaId, machine::Time, wire};
use async_nats::{HeaderMap, jetstream};
use bytes::Bytes;

use super::{
    RawMessage, TopologyError,
    hand::{Hand, HeldMessage},
};
use crate::letter::Letter;

/// Why a message is not taken.
#[derive(Debug)]
pub(super) enum NotTaken {
    /// It is in hand already, and was delivered again.
    InHand,
    /// It has no delivery information: it is not from JetStream, and there is nothing to ack.
    Foreign,
}

/// A message of a stream. Until it is dropped it is in the hand of its listener.
pub(crate) struct Delivery {
    pub(crate) subject: String,
    headers: HeaderMap,
    pub(crate) body: Bytes,
    stream: String,
    consumer: String,
    sequence: u64,
    stored_at: Time,
    held: HeldMessage,
}

impl Delivery {
    /// Takes a message apart, and in hand.
    ///
    /// # Errors
    /// Why it is not to be taken.
    pub(super) fn of(message: jetstream::Message, hand: &Arc<Hand>) -> Result<Self, NotTaken> {
        let info = message.info().map_err(|_| NotTaken::Foreign)?;
        let stored_at = info.published.unix_timestamp_nanos();
        let stored_at = i64::try_from(stored_at).map_err(|_| NotTaken::Foreign)?;
        let (stream, consumer) = (info.stream.to_owned(), info.consumer.to_owned());
        let sequence = info.stream_sequence;
        let message = message.message;
        let reply = message.reply.ok_or(NotTaken::Foreign)?;
        let held = hand.take((sequence, stored_at), reply, message.length);
        Ok(Self {
            subject: message.subject.to_string(),
            headers: message.headers.unwrap_or_default(),
            body: message.payload,
            stream,
            consumer,
            sequence,
            stored_at: Time::from_timestamp_nanos(stored_at),
            held: held.ok_or(NotTaken::InHand)?,
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

    /// Acks it.
    pub(crate) async fn ack(&self) {
        self.held.ack().await;
    }

    /// Lets go of the body, which can be read again.
    pub(crate) fn forget_body(&mut self) {
        self.body = Bytes::new();
        self.held.release_bytes();
    }

    /// Reads the body from the stream. `None` when the message is gone.
    ///
    /// # Errors
    /// [`TopologyError::Unavailable`].
    pub(crate) async fn read_body(
        &self,
        jetstream: &jetstream::Context,
    ) -> Result<Option<Bytes>, TopologyError> {
        let message = RawMessage::read(jetstream, &self.stream, self.sequence).await?;
        // A stream that was made anew may have another one there.
        let message = message.filter(|message| message.stored_at == self.stored_at);
        Ok(message.map(|message| message.body.into()))
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

//! Reading a command.

use amends::{
    AttemptId, IdError, PAYLOAD_BYTES_MAX, TraceParent,
    wire::{AMENDS_DEADLINE, AMENDS_ID, TRACEPARENT},
};
use async_nats::{HeaderMap, Message};
use bytes::Bytes;
use chrono::{DateTime, Utc};

/// A compensation carries the action's input and output, each at most a payload.
const BODY_BYTES_MAX: usize = 2 * PAYLOAD_BYTES_MAX + 64;

/// What a command's message says.
pub(super) struct Command {
    pub(super) id: AttemptId,
    pub(super) operation: String,
    pub(super) deadline: Option<DateTime<Utc>>,
    pub(super) trace: Option<TraceParent>,
    pub(super) body: Bytes,
}

/// Why a message is no command that anybody could be answered about.
#[derive(Debug, thiserror::Error)]
pub(super) enum Malformed {
    #[error("the header {AMENDS_ID} is missing")]
    NoId,
    #[error("the header {AMENDS_ID} is malformed: {0}")]
    Id(#[from] IdError),
    #[error("the body has {0} bytes; at most {BODY_BYTES_MAX} are allowed")]
    TooLarge(usize),
}

impl Command {
    pub(super) fn read(message: &Message) -> Result<Self, Malformed> {
        let headers = message.headers.as_ref();
        let id = text(headers, AMENDS_ID).ok_or(Malformed::NoId)?.parse()?;
        if message.payload.len() > BODY_BYTES_MAX {
            return Err(Malformed::TooLarge(message.payload.len()));
        }
        let (_, operation) = message.subject.rsplit_once('.').unwrap_or_default();
        Ok(Self {
            id,
            operation: operation.to_owned(),
            deadline: text(headers, AMENDS_DEADLINE).and_then(|at| at.parse().ok()),
            trace: text(headers, TRACEPARENT).and_then(|trace| trace.parse().ok()),
            body: message.payload.clone(),
        })
    }
}

fn text<'a>(headers: Option<&'a HeaderMap>, name: &str) -> Option<&'a str> {
    headers?.get(name).map(|value| value.as_str())
}

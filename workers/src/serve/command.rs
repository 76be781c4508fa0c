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

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057:stay:action:2";

    fn message(headers: &[(&str, &str)], bytes: usize) -> Message {
        let headers: HeaderMap =
            headers.iter().map(|(k, v)| ((*k).parse().unwrap(), (*v).into())).collect();
        let payload = Bytes::from(vec![b'1'; bytes]);
        Message {
            subject: "amends.command.hotel.book".into(),
            reply: None,
            length: payload.len(),
            payload,
            headers: Some(headers),
            status: None,
            description: None,
        }
    }

    #[test]
    fn a_command_says_what_to_do() {
        let headers = [(AMENDS_ID, ID), (AMENDS_DEADLINE, "2026-01-02T03:04:05.678Z")];
        let command = Command::read(&message(&headers, BODY_BYTES_MAX)).unwrap();
        assert_eq!(command.id.to_string(), ID);
        assert_eq!(command.operation, "book");
        assert_eq!(command.deadline.unwrap().timestamp_millis(), 1_767_323_045_678);
    }

    #[test]
    fn only_the_id_and_the_size_are_worth_a_refusal() {
        let odd = [(AMENDS_ID, ID), (AMENDS_DEADLINE, "soon"), (TRACEPARENT, "?")];
        let command = Command::read(&message(&odd, 1)).unwrap();
        assert!(command.deadline.is_none() && command.trace.is_none());
        assert!(matches!(Command::read(&message(&[], 1)), Err(Malformed::NoId)));
        assert!(matches!(Command::read(&message(&[(AMENDS_ID, "x")], 1)), Err(Malformed::Id(_))));
        let large = message(&[(AMENDS_ID, ID)], BODY_BYTES_MAX + 1);
        assert!(matches!(Command::read(&large), Err(Malformed::TooLarge(_))));
    }
}

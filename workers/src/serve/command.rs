//! Reading a command.

use amends::{
    AttemptId, HeaderError, Headers, IdError, PAYLOAD_BYTES_MAX, TraceContext,
    wire::{self, AMENDS_DEADLINE, AMENDS_ID},
};
use async_nats::Message;
use bytes::Bytes;
use chrono::{DateTime, Utc};

/// A compensation carries the action's input and output, each at most a payload.
const BODY_BYTES_MAX: usize = 2 * PAYLOAD_BYTES_MAX + 64;

/// What a command's message says.
pub(super) struct Command {
    pub(super) id: AttemptId,
    pub(super) operation: String,
    pub(super) deadline: Option<DateTime<Utc>>,
    pub(super) trace: Option<TraceContext>,
    pub(super) body: Bytes,
}

/// Why a message is no command that anybody could be answered about.
#[derive(Debug, thiserror::Error)]
pub(super) enum Malformed {
    #[error("the header {AMENDS_ID} is missing")]
    NoId,
    #[error("the header {AMENDS_ID} is malformed: {0}")]
    Id(#[from] IdError),
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error("the subject is not amends.command.<service>.<operation>")]
    Subject,
    #[error("it is a command to another service")]
    Foreign,
    #[error("the body has {0} bytes; at most {BODY_BYTES_MAX} are allowed")]
    TooLarge(usize),
}

impl Command {
    /// Reads a command to this service.
    pub(super) fn read(message: &Message, own: &str) -> Result<Self, Malformed> {
        let (service, operation) =
            wire::operation_of_command(&message.subject).ok_or(Malformed::Subject)?;
        if service != own {
            return Err(Malformed::Foreign);
        }
        let headers = headers(message);
        let id: AttemptId = headers.get(AMENDS_ID)?.ok_or(Malformed::NoId)?.parse()?;
        headers.expect_json()?;
        if message.payload.len() > BODY_BYTES_MAX {
            return Err(Malformed::TooLarge(message.payload.len()));
        }
        Ok(Self {
            operation: operation.to_owned(),
            deadline: deadline(&id, &headers),
            trace: TraceContext::of(&headers),
            body: message.payload.clone(),
            id,
        })
    }
}

fn headers(message: &Message) -> Headers<'_> {
    let headers = message.headers.iter().flat_map(|headers| headers.iter());
    let pairs = headers
        .flat_map(|(name, values)| values.iter().map(move |value| (name.as_ref(), value.as_str())));
    pairs.collect()
}

/// Until when the attempt counts. It only informs the handler: a command without a sound one is carried
/// out like any other.
fn deadline(id: &AttemptId, headers: &Headers<'_>) -> Option<DateTime<Utc>> {
    let ignored = |error: &dyn std::error::Error| {
        tracing::warn!(%id, %error, "the header {AMENDS_DEADLINE} is ignored");
    };
    let text = headers.get(AMENDS_DEADLINE).inspect_err(|error| ignored(error)).ok()??;
    let at = DateTime::parse_from_rfc3339(text).inspect_err(|error| ignored(error)).ok()?;
    Some(at.to_utc())
}

#[cfg(test)]
mod tests {
    use amends::wire::{TRACEPARENT, TRACESTATE};
    use async_nats::HeaderMap;

    use super::*;

    const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057:stay:action:2";

    fn message(headers: &[(&str, &str)], bytes: usize) -> Message {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, *value);
        }
        let payload = Bytes::from(vec![b'1'; bytes]);
        Message {
            subject: "amends.command.hotel.book".into(),
            reply: None,
            length: payload.len(),
            payload,
            headers: Some(map),
            status: None,
            description: None,
        }
    }

    #[test]
    fn a_command_says_what_to_do() {
        let headers = [(AMENDS_ID, ID), (AMENDS_DEADLINE, "2026-01-02T03:04:05.678Z")];
        let command = Command::read(&message(&headers, BODY_BYTES_MAX), "hotel").unwrap();
        assert_eq!(command.id.to_string(), ID);
        assert_eq!(command.operation, "book");
        assert_eq!(command.deadline.unwrap().timestamp_millis(), 1_767_323_045_678);
    }

    fn read(headers: &[(&str, &str)]) -> Result<Command, String> {
        Command::read(&message(headers, 1), "hotel").map_err(|error| error.to_string())
    }

    #[test]
    fn what_no_orchestrator_sends_is_refused() {
        let id = (AMENDS_ID, ID);
        for (headers, why) in [
            (&[][..], "the header Amends-Id is missing"),
            (&[("amends-id", ID)], "the header Amends-Id is missing"),
            (&[(AMENDS_ID, "x")], "the header Amends-Id is malformed: an Amends-Id has the form"),
            (&[(AMENDS_ID, "")], "the header Amends-Id is malformed"),
            (&[id, id], "the header Amends-Id comes more than once"),
            (&[id, ("Content-Type", "text/plain")], "the content type `text/plain` is not JSON"),
            (&[id, ("content-type", "application/jsonfoo")], "is not JSON"),
        ] {
            let error = read(headers).err().unwrap_or_default();
            assert!(
                error.starts_with(why) || error.ends_with(why) || error.contains(why),
                "{error}"
            );
        }
        let large = message(&[id], BODY_BYTES_MAX + 1);
        assert!(matches!(Command::read(&large, "hotel"), Err(Malformed::TooLarge(_))));
        for subject in ["amends.command.hotel", "amends.command.hotel.book.now", "hotel.book"] {
            let message = Message { subject: subject.into(), ..message(&[id], 1) };
            let read = Command::read(&message, "hotel");
            assert!(matches!(read, Err(Malformed::Subject)), "{subject}");
        }
        let foreign = Command::read(&message(&[id], 1), "card");
        assert!(matches!(foreign, Err(Malformed::Foreign)));
        assert!(read(&[id, ("Content-Type", "Application/JSON; charset=utf-8")]).is_ok());
    }

    #[test]
    fn what_only_informs_is_ignored_when_it_is_malformed() {
        for at in [
            "soon",
            "",
            "1767323045",
            "2026-01-02",
            "2026-01-02T03:04:05",
            "2026-01-02T03:04:05 Z",
            "2026-13-02T03:04:05Z",
            " 2026-01-02T03:04:05Z",
        ] {
            let command = read(&[(AMENDS_ID, ID), (AMENDS_DEADLINE, at)]).unwrap();
            assert_eq!(command.deadline, None, "{at}");
        }
        let at = (AMENDS_DEADLINE, "2026-01-02T03:04:05+01:00");
        assert!(read(&[(AMENDS_ID, ID), at]).unwrap().deadline.is_some());
        assert_eq!(read(&[(AMENDS_ID, ID), at, at]).unwrap().deadline, None);
        assert_eq!(read(&[(AMENDS_ID, ID), (TRACEPARENT, "?")]).unwrap().trace, None);
        let trace = (TRACEPARENT, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        let command = read(&[(AMENDS_ID, ID), trace, (TRACESTATE, "?")]).unwrap();
        assert_eq!(command.trace.unwrap().to_string(), trace.1);
    }
}

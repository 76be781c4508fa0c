//! The wire: subjects, headers and bodies that services of any language speak.

use std::time::Duration;

use crate::{Json, Op, check_name};

mod reply;
mod undo;

pub use reply::Reply;
pub use undo::Undo;

/// Header that names everything: see [`AttemptId`](crate::AttemptId).
pub const AMENDS_ID: &str = "Amends-Id";
/// Header of a command: when this attempt is given up, RFC 3339.
pub const AMENDS_DEADLINE: &str = "Amends-Deadline";
/// Header of a command, for JetStream's duplicate window; the same value as [`AMENDS_ID`].
pub const NATS_MSG_ID: &str = "Nats-Msg-Id";
/// W3C trace context: the trace, and the span that the message is.
pub const TRACEPARENT: &str = "traceparent";
/// W3C trace context: what tracing systems have noted of the trace.
pub const TRACESTATE: &str = "tracestate";

/// Stream of triggers that no other stream captures.
pub const EVENTS_STREAM: &str = "AMENDS_EVENTS";
/// Work queue of commands.
pub const COMMANDS_STREAM: &str = "AMENDS_COMMANDS";
/// Work queue of replies.
pub const REPLIES_STREAM: &str = "AMENDS_REPLIES";
/// Stream of the sagas' changes of status.
pub const SAGAS_STREAM: &str = "AMENDS_SAGAS";
/// Stream of the orchestrators' probes, of which it keeps the last.
pub const PROBE_STREAM: &str = "AMENDS_PROBE";

/// How long a worker or an orchestrator may hold a message in silence before JetStream delivers it
/// to another: longer than a turn or an ordinary handler takes, short enough that what a dead
/// process held is soon taken up.
pub const ACK_WAIT: Duration = Duration::from_secs(30);
/// How often a worker says that it still works on a command: three times within [`ACK_WAIT`], so that
/// one such word, or two, may be lost.
pub const PROGRESS_EVERY: Duration = Duration::from_secs(ACK_WAIT.as_secs() / 3);

/// Longest `code` of a rejection, in bytes.
pub const CODE_BYTES_MAX: usize = 64;
/// Longest message of a rejection or retry, and longest reason of a dead letter, that is kept, in
/// bytes; more is cut off.
pub const MESSAGE_BYTES_MAX: usize = 4096;
/// Longest delay a worker may ask for with `after_ms`: a day.
pub const AFTER_MS_MAX: u64 = 24 * 60 * 60 * 1000;

/// The subject of a command.
#[must_use]
pub fn command_subject(service: &str, operation: &str) -> String {
    format!("amends.command.{service}.{operation}")
}

/// The subject of a service's replies.
#[must_use]
pub fn reply_subject(service: &str) -> String {
    format!("amends.reply.{service}")
}

/// The service that a reply's subject belongs to.
#[must_use]
pub fn service_of_reply(subject: &str) -> Option<&str> {
    subject.strip_prefix("amends.reply.").filter(|service| check_name("service", service).is_ok())
}

/// The service and the operation that a command's subject names.
#[must_use]
pub fn operation_of_command(subject: &str) -> Option<(&str, &str)> {
    let (service, operation) = subject.strip_prefix("amends.command.")?.split_once('.')?;
    let named = |what, name| check_name(what, name).is_ok();
    (named("service", service) && named("operation", operation)).then_some((service, operation))
}

/// The subject of a change of status.
#[must_use]
pub fn status_subject(definition: &str, status: &str) -> String {
    format!("amends.saga.{definition}.{status}")
}

/// The body of a command: the step's input for an action, [`Undo`] for a compensation.
#[must_use]
pub fn command_body(op: Op, input: &Json, output: Option<&Json>) -> String {
    match op {
        Op::Action => input.as_str().to_owned(),
        Op::Compensation => {
            let output = output.map_or("null", Json::as_str);
            format!(r#"{{"input":{input},"output":{output}}}"#)
        }
    }
}

/// Cuts a message to [`MESSAGE_BYTES_MAX`] at a character, and drops what Postgres cannot keep.
#[must_use]
pub fn cut(mut message: String) -> String {
    message.retain(|c| c != '\0');
    let mut end = message.len().min(MESSAGE_BYTES_MAX);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message.truncate(end);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_at_a_character() {
        let long = "ä".repeat(MESSAGE_BYTES_MAX);
        assert_eq!(cut(long).len(), MESSAGE_BYTES_MAX);
        assert_eq!(cut("a\0b".into()), "ab");
    }

    #[test]
    fn the_subject_of_a_reply_names_its_service() {
        assert_eq!(service_of_reply("amends.reply.inventory"), Some("inventory"));
        for bad in [
            "amends.reply.",
            "amends.reply",
            "amends.reply.a.b",
            "amends.reply.Inventory",
            "amends.reply.*",
            "amends.replyinventory",
            "amends.command.inventory",
            "AMENDS.REPLY.inventory",
        ] {
            assert_eq!(service_of_reply(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_subject_of_a_command_names_service_and_operation() {
        let subject = command_subject("hotel", "book");
        assert_eq!(operation_of_command(&subject), Some(("hotel", "book")));
        for bad in [
            "amends.command.hotel",
            "amends.command.hotel.",
            "amends.command..book",
            "amends.command.hotel.book.now",
            "amends.command.hotel.Book",
            "amends.commandhotel.book",
            "amends.reply.hotel.book",
        ] {
            assert_eq!(operation_of_command(bad), None, "{bad}");
        }
    }
}

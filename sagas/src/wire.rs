//! The wire: subjects, headers and bodies that services of any language speak.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Json, JsonError, Op};

/// Header that names everything: see [`AttemptId`](crate::AttemptId).
pub const AMENDS_ID: &str = "Amends-Id";
/// Header of a command: when this attempt is given up, RFC 3339.
pub const AMENDS_DEADLINE: &str = "Amends-Deadline";
/// Header of a command, for JetStream's duplicate window; the same value as [`AMENDS_ID`].
pub const NATS_MSG_ID: &str = "Nats-Msg-Id";
/// W3C trace context.
pub const TRACEPARENT: &str = "traceparent";

/// Stream of triggers that no other stream captures.
pub const EVENTS_STREAM: &str = "AMENDS_EVENTS";
/// Work queue of commands.
pub const COMMANDS_STREAM: &str = "AMENDS_COMMANDS";
/// Work queue of replies.
pub const REPLIES_STREAM: &str = "AMENDS_REPLIES";
/// Stream of the sagas' changes of status.
pub const SAGAS_STREAM: &str = "AMENDS_SAGAS";

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
    subject.strip_prefix("amends.reply.").filter(|service| !service.contains('.'))
}

/// The subject of a change of status.
#[must_use]
pub fn status_subject(definition: &str, status: &str) -> String {
    format!("amends.saga.{definition}.{status}")
}

/// The body of a compensation: the action's input, and its output, or `null` when its outcome is
/// unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo<I, O> {
    /// What the action was given.
    pub input: I,
    /// What the action answered, if anybody knows.
    pub output: Option<O>,
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

/// Outcome of an attempt, as a worker reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Done, with the step's output.
    Ok(Json),
    /// For a reason of the business: nothing changed and nothing will; never retried.
    Rejected {
        /// A word for programs, `[a-z0-9_]+` by habit.
        code: String,
        /// A sentence for people.
        message: String,
    },
    /// This attempt broke.
    Retry {
        /// What broke.
        message: String,
        /// When to try again, instead of the policy's delay.
        after: Option<Duration>,
    },
    /// Accepted; the real reply comes later.
    Pending,
}

#[derive(Serialize, Deserialize)]
struct Body<'a> {
    outcome: Outcome,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    output: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    code: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after_ms: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Ok,
    Rejected,
    Retry,
    Pending,
}

impl Reply {
    /// Reads a reply's body. An absent output of `ok` counts as `null`; unknown fields are ignored,
    /// so that later versions may add some.
    ///
    /// # Errors
    /// [`JsonError`] when the body breaks a limit or is no reply.
    pub fn parse(body: &[u8]) -> Result<Self, JsonError> {
        let checked = Json::parse(body)?;
        let no_reply =
            |e: serde_json::Error| JsonError::Invalid(format!("the body is no reply: {e}"));
        let body: Body<'_> = serde_json::from_str(checked.as_str()).map_err(no_reply)?;
        Ok(match body.outcome {
            Outcome::Ok => {
                Self::Ok(body.output.map_or_else(Json::null, |raw| Json::trusted(raw.get())))
            }
            Outcome::Rejected if body.code.is_empty() || body.code.len() > CODE_BYTES_MAX => {
                let wrong = format!("a rejection needs a code of 1 to {CODE_BYTES_MAX} bytes");
                return Err(JsonError::Invalid(wrong));
            }
            Outcome::Rejected => Self::Rejected { code: body.code, message: cut(body.message) },
            Outcome::Retry => Self::Retry {
                message: cut(body.message),
                after: body.after_ms.map(|ms| Duration::from_millis(ms.min(AFTER_MS_MAX))),
            },
            Outcome::Pending => Self::Pending,
        })
    }

    /// Writes the body.
    ///
    /// # Errors
    /// [`JsonError`] when the output makes the body too large or too deep.
    pub fn to_json(&self) -> Result<Json, JsonError> {
        let mut body = Body {
            outcome: Outcome::Pending,
            output: None,
            code: String::new(),
            message: String::new(),
            after_ms: None,
        };
        let raw: Box<RawValue>;
        match self {
            Self::Ok(output) => {
                raw = RawValue::from_string(output.as_str().to_owned())
                    .map_err(|e| JsonError::Invalid(e.to_string()))?;
                body.outcome = Outcome::Ok;
                body.output = Some(&raw);
            }
            Self::Rejected { code, message } => {
                body.outcome = Outcome::Rejected;
                body.code = code.chars().take(CODE_BYTES_MAX / 4).collect();
                if code.len() <= CODE_BYTES_MAX {
                    body.code.clone_from(code);
                }
                body.message = cut(message.clone());
            }
            Self::Retry { message, after } => {
                body.outcome = Outcome::Retry;
                body.message = cut(message.clone());
                body.after_ms = after.map(|d| u64::try_from(d.as_millis()).unwrap_or(AFTER_MS_MAX));
            }
            Self::Pending => {}
        }
        Json::of(&body)
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
    fn replies_round_trip() {
        let replies = [
            Reply::Ok(Json::parse(br#"{"lot": 1.10}"#).unwrap()),
            Reply::Ok(Json::null()),
            Reply::Rejected { code: "out_of_stock".into(), message: "none left".into() },
            Reply::Retry {
                message: "connection reset".into(),
                after: Some(Duration::from_millis(500)),
            },
            Reply::Retry { message: String::new(), after: None },
            Reply::Pending,
        ];
        for reply in replies {
            let body = reply.to_json().unwrap();
            assert_eq!(Reply::parse(body.as_str().as_bytes()).unwrap(), reply, "{body}");
        }
    }

    #[test]
    fn the_documented_bodies_are_read() {
        let read = |t: &str| Reply::parse(t.as_bytes());
        assert_eq!(read(r#"{"outcome":"ok"}"#), Ok(Reply::Ok(Json::null())));
        assert!(read(r#"{"outcome":"ok","output":{"a":1},"later":true}"#).is_ok());
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"outcome":"fine"}"#,
            r#"{"outcome":"rejected"}"#,
            r#"{"outcome":"retry","after_ms":-1}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn messages_are_cut_at_a_character() {
        let long = "ä".repeat(MESSAGE_BYTES_MAX);
        assert_eq!(cut(long).len(), MESSAGE_BYTES_MAX);
        assert_eq!(cut("a\0b".into()), "ab");
    }
}

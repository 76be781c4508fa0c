//! The body of a reply.

use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{AFTER_MS_MAX, CODE_BYTES_MAX, cut};
use crate::{Json, JsonError, members::Members};

/// What a reply may say.
const OUTCOMES: &str = "it is ok, rejected, retry or pending";

/// Outcome of an attempt, as a worker reports it.
///
/// ```
/// use amends::{Json, wire::Reply};
/// let done = Reply::Ok(Json::of(&17)?);
/// assert_eq!(done.to_json()?.as_str(), r#"{"outcome":"ok","output":17}"#);
/// assert_eq!(Reply::parse(br#"{"outcome":"pending"}"#)?, Reply::Pending);
/// # Ok::<(), amends::JsonError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Done, with the step's output.
    Ok(Json),
    /// A rejection: nothing changed and nothing will; never retried.
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

#[derive(Serialize)]
struct Body<'a> {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "String::is_empty")]
    code: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    after_ms: Option<u64>,
}

impl Reply {
    /// Reads a reply's body: an object whose `outcome` says what other members are read. A member that is
    /// `null` counts as absent, and an absent output of `ok` as `null`. Members that the outcome does not
    /// have are ignored, so that later versions may add some; no member may come twice.
    ///
    /// # Errors
    /// [`JsonError`] when the body breaks a limit or is no reply.
    pub fn parse(body: &[u8]) -> Result<Self, JsonError> {
        let checked = Json::parse(body)?;
        let members = Members::of("the reply", checked.as_str())?;
        let Some(outcome) = members.text("outcome")? else {
            return Err(JsonError::Invalid(format!("the reply has no outcome: {OUTCOMES}")));
        };
        match outcome.as_str() {
            "ok" => Ok(Self::Ok(members.raw("output").map_or_else(Json::null, Json::trusted))),
            "rejected" => Ok(Self::Rejected { code: code(&members)?, message: message(&members)? }),
            "retry" => {
                let after = members.count("after_ms")?.map(|ms| ms.min(AFTER_MS_MAX));
                let after = after.map(Duration::from_millis);
                Ok(Self::Retry { message: message(&members)?, after })
            }
            "pending" => Ok(Self::Pending),
            _ => {
                let outcome: String = outcome.chars().take(CODE_BYTES_MAX).collect();
                let wrong = format!("the outcome `{outcome}` is not known: {OUTCOMES}");
                Err(JsonError::Invalid(wrong))
            }
        }
    }

    /// Writes the body.
    ///
    /// # Errors
    /// [`JsonError`] when the output makes the body too large or too deep.
    pub fn to_json(&self) -> Result<Json, JsonError> {
        let mut body = Body {
            outcome: "pending",
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
                body.outcome = "ok";
                body.output = Some(&raw);
            }
            Self::Rejected { code, message } => {
                body.outcome = "rejected";
                body.code = code.chars().take(CODE_BYTES_MAX / 4).collect();
                if code.len() <= CODE_BYTES_MAX {
                    body.code.clone_from(code);
                }
                body.message = cut(message.clone());
            }
            Self::Retry { message, after } => {
                body.outcome = "retry";
                body.message = cut(message.clone());
                body.after_ms = after.map(|d| u64::try_from(d.as_millis()).unwrap_or(AFTER_MS_MAX));
            }
            Self::Pending => {}
        }
        Json::of(&body)
    }
}

/// The code of a rejection.
fn code(members: &Members<'_>) -> Result<String, JsonError> {
    let code = members.text("code")?.unwrap_or_default();
    if code.is_empty() || code.len() > CODE_BYTES_MAX {
        let wrong = format!("a rejection needs a code of 1 to {CODE_BYTES_MAX} bytes");
        return Err(JsonError::Invalid(wrong));
    }
    Ok(code)
}

/// The message of a rejection, or of an attempt that broke.
fn message(members: &Members<'_>) -> Result<String, JsonError> {
    Ok(cut(members.text("message")?.unwrap_or_default()))
}

#[cfg(test)]
mod tests;

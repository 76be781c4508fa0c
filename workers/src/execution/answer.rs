//! What is answered to a command.

use std::time::Duration;

use amends::{
    Json,
    wire::{self, Reply},
};

use crate::{fault::Fault, handler::UntypedRejection};

/// How an answer came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok,
    Rejected,
    /// The attempt failed.
    Retry,
    Pending,
    /// The barrier gave the remembered reply; no handler ran.
    Replay,
    /// The barrier gave the reply of an effect that may no longer happen; no handler ran.
    Void,
}

impl Outcome {
    /// As metrics and logs have it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Rejected => "rejected",
            Self::Retry => "retry",
            Self::Pending => "pending",
            Self::Replay => "replay",
            Self::Void => "void",
        }
    }
}

pub(crate) struct Answer {
    pub(crate) reply: Json,
    pub(crate) outcome: Outcome,
    /// Why it was rejected, or is to be retried; else empty.
    pub(crate) reason: String,
}

impl Answer {
    /// An answer that needs no reason.
    pub(super) fn without_reason(reply: Json, outcome: Outcome) -> Self {
        Self { reply, outcome, reason: String::new() }
    }

    pub(super) fn rejected(rejection: UntypedRejection) -> Result<Self, Fault> {
        let UntypedRejection { code, message } = rejection;
        let reason = if message.is_empty() { code.clone() } else { format!("{code}: {message}") };
        let reply = Reply::Rejected { code, message }.to_json()?;
        Ok(Self { reply, outcome: Outcome::Rejected, reason })
    }

    /// The attempt failed.
    pub(crate) fn retry(message: String, after: Option<Duration>) -> Self {
        let reply = Reply::Retry { message: wire::cut(message.clone()), after };
        let bare = || Json::trusted(r#"{"outcome":"retry"}"#);
        let reply = reply.to_json().unwrap_or_else(|_| bare());
        Self { reply, outcome: Outcome::Retry, reason: message }
    }
}

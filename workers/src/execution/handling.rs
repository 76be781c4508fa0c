//! A handler's call between the barrier's two, within a transaction.

use std::{sync::Arc, time::Duration};

use amends::{AttemptId, Json, wire::Reply};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use tracing::Span;

use super::answer::{Answer, Outcome};
use crate::{
    Attempt, Halt, Hint,
    barrier::Verdict,
    fault::Fault,
    handler::{CommandInput, Operation, UntypedRejection},
};

/// A command to execute.
pub(crate) struct Task {
    pub(crate) service: String,
    pub(crate) id: AttemptId,
    pub(crate) deadline: Option<DateTime<Utc>>,
    pub(crate) body: bytes::Bytes,
    pub(crate) operation: Arc<dyn Operation>,
    pub(crate) hint: Hint,
    /// What is logged of it belongs to this.
    pub(crate) span: Span,
}

/// What the barrier admits a handler with: for a compensation, the reply that its action gave.
pub(super) struct Admission {
    action_reply: Option<Json>,
}

/// Admits the handler, or gives the answer without a call of it.
pub(super) fn admit(verdict: Verdict) -> Result<Admission, Answer> {
    match verdict {
        Verdict::Run(action_reply) => Ok(Admission { action_reply }),
        Verdict::Replay(reply) => Err(Answer::without_reason(reply, Outcome::Replay)),
        Verdict::Void(reply) => Err(Answer::without_reason(reply, Outcome::Void)),
    }
}

/// An answer that is to be remembered in the transaction that its handler ran in.
pub(super) struct Handled {
    pub(super) answer: Answer,
    /// Whether an event was emitted.
    pub(super) emitted: bool,
}

/// Why a handler has nothing to be committed.
pub(super) enum Aborted {
    Rejected(UntypedRejection),
    Fault(Fault),
    RetryAfter(Duration, String),
}

/// Calls the handler.
pub(super) async fn handle(
    tx: &mut PgConnection,
    task: &Task,
    admission: Admission,
) -> Result<Handled, Aborted> {
    let output = admission.action_reply.as_ref().and_then(output_of);
    let input = CommandInput { op: task.id.op, body: &task.body, action_output: output.as_ref() };
    let mut attempt = Attempt::new(tx, &task.id, task.deadline);
    let (reply, outcome) = match task.operation.run(&mut attempt, input).await {
        Ok(output) => (Reply::Ok(output), Outcome::Ok),
        Err(Halt::Pending) => (Reply::Pending, Outcome::Pending),
        Err(Halt::Rejected(rejection)) => return Err(Aborted::Rejected(rejection)),
        Err(Halt::Fault(fault)) => return Err(Aborted::Fault(fault)),
        Err(Halt::RetryAfter(delay, message)) => return Err(Aborted::RetryAfter(delay, message)),
    };
    let emitted = attempt.emitted;
    let reply = reply.to_json().map_err(|error| Aborted::Fault(error.into()))?;
    Ok(Handled { answer: Answer::without_reason(reply, outcome), emitted })
}

/// The output that an action's remembered reply holds.
fn output_of(reply: &Json) -> Option<Json> {
    match Reply::parse(reply.as_str().as_bytes()) {
        Ok(Reply::Ok(output)) => Some(output),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_ok_reply_has_an_output() {
        let output = |text: &str| output_of(&Json::trusted(text)).map(|o| o.to_string());
        assert_eq!(
            output(r#"{"outcome":"ok","output":{"n": 1.10}}"#).as_deref(),
            Some(r#"{"n": 1.10}"#)
        );
        assert_eq!(output(r#"{"outcome":"pending"}"#), None);
    }
}

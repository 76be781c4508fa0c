//! A handler's call between the barrier's two, within a transaction.

use std::{sync::Arc, time::Duration};

use amends::{AttemptId, Json, JsonError, wire::Reply};
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
    let output = match admission.action_reply.as_ref().map(output_of).transpose() {
        Ok(output) => output.flatten(),
        Err(error) => return Err(Aborted::Fault(error.into())),
    };
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

/// The remembered reply of the action that a compensation undoes.
#[derive(Debug, thiserror::Error)]
#[error("the remembered reply of the action cannot be read: {0}")]
struct UnreadableReply(#[from] JsonError);

/// The output that an action's remembered reply holds.
fn output_of(reply: &Json) -> Result<Option<Json>, UnreadableReply> {
    match Reply::parse(reply.as_str().as_bytes())? {
        Reply::Ok(output) => Ok(Some(output)),
        Reply::Rejected { .. } | Reply::Retry { .. } | Reply::Pending => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_ok_reply_has_an_output() {
        let output = |text: &str| match output_of(&Json::trusted(text)) {
            Ok(output) => Ok(output.map(|output| output.to_string())),
            Err(error) => Err(error.to_string()),
        };
        let text = r#"{"outcome":"ok","output":{"n": 1.10}}"#;
        assert_eq!(output(text), Ok(Some(r#"{"n": 1.10}"#.to_owned())));
        assert_eq!(output(r#"{"outcome":"pending"}"#), Ok(None));
        let unreadable = output(r#"{"outcome":"ok","output":1,"output":2}"#).unwrap_err();
        assert_eq!(
            unreadable,
            "the remembered reply of the action cannot be read: \
             the reply holds the member `output` twice"
        );
    }
}

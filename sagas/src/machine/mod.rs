//! The saga machine: `decide(definition, state, event, now)` says what an event means, as facts to
//! record and commands to send. A saga's state is the fold of its facts ([`State::apply`]).
//!
//! ```text
//!           action                                  compensation
//!   idle ─▶ in flight ─▶ done                idle ─▶ in flight ─▶ done
//!            │  ▲   ├──▶ rejected                     │  ▲   ├──▶ given up (saga stuck)
//!            ▼  │   ├──▶ unknown (is compensated)     ▼  │   └──▶ pending
//!           backoff └──▶ pending, given up           backoff
//! ```
//!
//! The terms are Garcia-Molina and Salem's (Sagas, 1987) and Richardson's (Microservices Patterns,
//! ch. 4); that an unknown outcome is compensated is ours.

mod act;
mod advance;
pub(crate) mod back;
mod decide;
mod fact;
mod nested;
mod state;
#[cfg(test)]
pub(crate) mod tests;
mod waits;

use crate::{Definition, Json, Op, wire};

pub use act::{OperatorAct, OperatorCommand};
pub use decide::{Arrival, ChildEnd, Decision, Event, ReplyEvent, Turn, Unexpected, decide, start};
pub use fact::{Fact, Failure, Kind, Next, Send, Status};
pub use nested::{ChildOrder, child, child_id, open_children};
pub use state::{OpState, Phase, State, StepState};
pub use waits::{Wait, waits};

/// Points in time. Facts are stored with microseconds.
pub type Time = chrono::DateTime<chrono::Utc>;

/// A command to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// `Amends-Id`.
    pub id: crate::AttemptId,
    /// Subject to publish on.
    pub subject: String,
    /// When the attempt is given up.
    pub deadline: Time,
    /// The body.
    pub body: String,
}

/// The command that an attempt in flight is sent with. `None` when that attempt is no longer in
/// flight, so that nothing outdated is published.
#[must_use]
pub fn command(definition: &Definition, state: &State, send: &Send) -> Option<Command> {
    let step = state.steps.get(send.step)?;
    let outline = definition.outline().steps.get(step.plan).filter(|plan| plan.task.is_call())?;
    let op = step.op(send.op);
    if op.phase != Phase::InFlight || op.attempt != send.attempt {
        return None;
    }
    let input = step.input.as_ref()?;
    let output = if send.op == Op::Compensation { step.output.as_ref() } else { None };
    Some(Command {
        id: crate::AttemptId {
            saga: state.id,
            step: state.name(definition.outline(), send.step).into(),
            op: send.op,
            attempt: send.attempt,
        },
        subject: wire::command_subject(&outline.service, &outline.operation),
        deadline: send.due?,
        body: wire::command_body(send.op, input, output),
    })
}

/// What a person reads about a broken attempt, kept in the fact.
pub(crate) fn message_json(code: Option<&str>, message: &str) -> Json {
    let mut object = serde_json::Map::new();
    if let Some(code) = code {
        object.insert("code".into(), code.into());
    }
    object.insert("message".into(), wire::cut(message.to_owned()).into());
    Json::of(&object).unwrap_or_else(|_| Json::null())
}

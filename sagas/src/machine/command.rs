//! The command that an attempt is sent with.

use super::{Phase, Send, State, Time};
use crate::{AttemptId, Definition, Op, wire};

/// A command to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// `Amends-Id`.
    pub id: AttemptId,
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
        id: AttemptId {
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

//! Sagas within sagas.

use std::sync::Arc;

use super::{
    ChildEnd, Decision, Kind, Send, State, Status, Time, Unexpected, builder::TurnBuilder,
    fact::message_json,
};
use crate::{Definition, Json, Op, SagaId, Task};

/// What a step that is a nested saga asks for.
#[derive(Debug, Clone)]
pub enum ChildOrder {
    /// Start it, in the same commit.
    Start {
        /// Its definition.
        definition: Arc<Definition>,
        /// Its id.
        id: SagaId,
        /// Its input.
        input: Json,
    },
    /// Undo it.
    Undo {
        /// Its id.
        id: SagaId,
        /// Why.
        reason: String,
    },
}

/// What a `send` of a nested saga asks for; `None` for other steps, and for a repetition of what was
/// started before.
#[must_use]
pub fn child(definition: &Definition, state: &State, send: &Send) -> Option<ChildOrder> {
    let step = state.steps.get(send.step)?;
    let id = child_id(definition, state, send.step)?;
    match send.op {
        Op::Action if send.attempt > 1 => None,
        Op::Action => {
            let definition = Arc::clone(definition.child(step.plan)?);
            Some(ChildOrder::Start { definition, id, input: step.input.clone()? })
        }
        Op::Compensation => {
            Some(ChildOrder::Undo { id, reason: format!("the saga {} turned back", state.id) })
        }
    }
}

/// The id of the saga that is the step at a position; `None` when that is no saga.
#[must_use]
pub fn child_id(definition: &Definition, state: &State, at: usize) -> Option<SagaId> {
    let plan = definition.outline().steps.get(state.steps.get(at)?.plan)?;
    matches!(plan.task, Task::Saga { .. }).then(|| SagaId::nested(state.id, &plan.name))
}

/// The steps whose nested sagas are waited for, and these sagas.
pub fn open_children<'a>(
    definition: &'a Definition,
    state: &'a State,
) -> impl Iterator<Item = (String, SagaId)> + 'a {
    let open = |at: &usize| {
        let step = &state.steps[*at];
        step.action.phase.is_open() || step.compensation.phase.is_open()
    };
    let child = |at| Some((state.name(definition.outline(), at), child_id(definition, state, at)?));
    (0..state.steps.len()).filter(open).filter_map(child)
}

/// How a nested saga ended: completed is ok, compensated is rejected, or the undoing that was asked
/// for.
pub(super) fn ended(definition: &Definition, state: &State, end: &ChildEnd, now: Time) -> Decision {
    let outline = definition.outline();
    let nested = |at: &usize| matches!(outline.steps[*at].task, Task::Saga { .. });
    let Some(at) = outline.position(&end.step).filter(nested) else {
        return Decision::Unexpected(Unexpected::Step(end.step.to_string()));
    };
    let step = &state.steps[at];
    let (action, undo) = (step.action.phase, step.compensation.phase);
    let mut turn = TurnBuilder::new(definition, state.clone(), now);
    let about = |op| Some((at, op, step.op(op).attempt));
    match end.status {
        Status::Completed if action.is_open() => {
            turn.done(at, step.action.attempt, end.output.as_ref().unwrap_or(&Json::null()));
        }
        Status::Compensated if undo.is_open() => {
            turn.record(Kind::Done, about(Op::Compensation), None, None);
        }
        Status::Compensated if action.is_open() => {
            let failure = end.error.as_ref();
            let (code, message) =
                failure.map_or(("compensated", ""), |f| (f.code.as_str(), f.message.as_str()));
            let detail = message_json(Some(code), message);
            turn.record(Kind::Rejected, about(Op::Action), Some(detail), None);
            turn.set_cause(at, code, message);
        }
        _ => {}
    }
    if turn.facts.is_empty() {
        return Decision::Known(Vec::new());
    }
    turn.decided()
}

/// The outer saga undoes this one.
pub(super) fn undo(definition: &Definition, state: &State, reason: &str, now: Time) -> Decision {
    if state.turned {
        return Decision::Known(Vec::new());
    }
    let mut turn = TurnBuilder::new(definition, state.clone(), now);
    if let Some(why) = turn.no_way_back() {
        return Decision::Refused(why);
    }
    turn.record(Kind::UndoAsked, None, Some(message_json(None, reason)), None);
    turn.turn_back("undone", reason);
    turn.decided()
}

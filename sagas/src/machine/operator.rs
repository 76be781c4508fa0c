//! What an operator may do to a saga, and what becomes of it.

use super::{
    Decision, Failure, Kind, Next, OperatorAct, OperatorCommand, Phase, State, Status, StepState,
    Time, Turn,
    builder::TurnBuilder,
    fact::{UNMAPPABLE, message_json},
    nested::child_id,
};
use crate::{
    Definition, Json, Op, SagaId, StepKind, Task,
    wire::{self, Reply},
};

/// Decides an act. A refusal changes nothing.
pub(super) fn decide(
    definition: &Definition,
    state: &State,
    event: &OperatorAct,
    now: Time,
) -> Decision {
    // The lock was taken with the act, whatever became of the saga since.
    if event.command == OperatorCommand::Unlock && state.status.ended() {
        return Decision::Known(Vec::new());
    }
    match try_decide(definition, state, event, now) {
        Ok(turn) => Decision::Turn(Box::new(turn)),
        Err(refusal) => Decision::Refused(refusal),
    }
}

fn try_decide(
    definition: &Definition,
    state: &State,
    event: &OperatorAct,
    now: Time,
) -> Result<Turn, String> {
    // A lock is gone already when its loss is put on record.
    let stale = state.acted > event.seen;
    if stale && event.command != OperatorCommand::Unlock {
        return Err("another operator acted on this saga meanwhile: look at it again".into());
    }
    if state.status.ended() {
        return Err(format!("the saga has ended: {}", state.status));
    }
    let mut turn = TurnBuilder::new(definition, state.clone(), now);
    match &event.command {
        OperatorCommand::Retry => retry(&mut turn, event)?,
        OperatorCommand::Skip { step } => skip(&mut turn, event, step)?,
        OperatorCommand::Resolve { step, outcome } => resolve(&mut turn, event, step, outcome)?,
        OperatorCommand::Cancel => cancel(&mut turn, event)?,
        OperatorCommand::Pause if state.paused => return Err("the saga is paused already".into()),
        OperatorCommand::Pause if state.status == Status::Stuck => {
            return Err("the saga is stuck: it waits for an operator as it is".into());
        }
        OperatorCommand::Pause => turn.record(Kind::Paused, None, Some(signature(event)), None),
        OperatorCommand::Resume if !state.paused => return Err("the saga is not paused".into()),
        OperatorCommand::Resume => turn.record(Kind::Unpaused, None, Some(signature(event)), None),
        OperatorCommand::GiveOutput(output) => give_output(&mut turn, event, output.as_ref())?,
        OperatorCommand::Unlock => turn.record(Kind::Unlocked, None, Some(signature(event)), None),
    }
    turn.advance();
    if event.command == OperatorCommand::Retry {
        has_helped(&turn)?;
    }
    Ok(turn.finished())
}

fn signature(event: &OperatorAct) -> Json {
    let (by, reason) = (wire::cut(event.by.clone()), wire::cut(event.reason.clone()));
    let said = serde_json::json!({"by": by, "reason": reason});
    Json::of(&said).unwrap_or_else(|_| message_json(None, "an operator acted"))
}

fn retry(turn: &mut TurnBuilder<'_>, event: &OperatorAct) -> Result<(), String> {
    if turn.state.paused {
        return Err("the saga is paused: resume it first".into());
    }
    let nothing = turn.state.repeatable(turn.definition.outline()).is_empty();
    if nothing && !turn.lacks_output() {
        let why = if turn.state.status == Status::Stuck {
            "what was given up cannot be repeated: resolve it, or skip it"
        } else {
            "nothing was given up and nothing waits to be repeated"
        };
        return Err(why.into());
    }
    turn.record(Kind::Retried, None, Some(signature(event)), None);
    Ok(())
}

/// A retry computes again what could not be computed: that helps when the code was mended meanwhile.
/// Where it did not, and nothing else is repeated, it says what does.
fn has_helped(turn: &TurnBuilder<'_>) -> Result<(), String> {
    let Some(cause) = turn.cause().filter(|cause| cause.code == UNMAPPABLE) else {
        return Ok(());
    };
    let repeats = turn.facts.iter().any(|fact| !fact.next.sends.is_empty());
    let waits = |step: &StepState| step.compensation.is_repeated() || step.action.is_repeated();
    if repeats || turn.state.steps.iter().any(waits) {
        return Ok(());
    }
    let Failure { step, message, .. } = cause;
    Err(if step.is_empty() {
        format!(
            "the saga's output cannot be computed, now as before: {message}; give it (resolve), or go on without (skip)"
        )
    } else {
        format!(
            "the input of `{step}` cannot be computed, now as before: {message}; resolve `{step}` with its output, or skip it"
        )
    })
}

fn position(turn: &TurnBuilder<'_>, step: &str) -> Result<usize, String> {
    let outline = turn.definition.outline();
    turn.state.position(outline, step).ok_or_else(|| {
        let names: Vec<_> = outline.steps.iter().map(|s| s.name.as_str()).collect();
        format!("the saga has no step `{step}`: its steps are {}", names.join(", "))
    })
}

/// The operation of a step that is still open: its compensation once the saga has turned back.
fn open_op(turn: &TurnBuilder<'_>, at: usize) -> Option<Op> {
    let step = &turn.state.steps[at];
    if step.compensation.phase.is_open() {
        Some(Op::Compensation)
    } else if step.action.phase.is_open() {
        Some(Op::Action)
    } else {
        None
    }
}

fn skip(turn: &mut TurnBuilder<'_>, event: &OperatorAct, step: &str) -> Result<(), String> {
    let at = position(turn, step)?;
    let op = open_op(turn, at).ok_or_else(|| format!("`{step}` waits for nothing"))?;
    let only_time = matches!(turn.step(at).task, Task::Delay { .. } | Task::Until);
    if op == Op::Action && turn.step(at).kind != StepKind::Retriable && !only_time {
        let or = if turn.step(at).kind == StepKind::Pivot || turn.state.turned {
            ""
        } else {
            ", or cancel the saga"
        };
        return Err(format!("`{step}` decides how the saga goes on: resolve it{or}"));
    }
    let attempt = turn.state.steps[at].op(op).attempt;
    turn.record(Kind::Skipped, Some((at, op, attempt)), Some(signature(event)), None);
    Ok(())
}

/// The nested saga that an operation waits for. Whoever said how it ended would leave it alone.
fn runs_in(turn: &TurnBuilder<'_>, at: usize, op: Op) -> Option<SagaId> {
    let waits = turn.state.steps[at].op(op).phase == Phase::Pending;
    waits.then(|| child_id(turn.definition, &turn.state, at)).flatten()
}

fn resolve(
    turn: &mut TurnBuilder<'_>,
    event: &OperatorAct,
    step: &str,
    outcome: &Reply,
) -> Result<(), String> {
    let at = position(turn, step)?;
    let op = open_op(turn, at).ok_or_else(|| format!("`{step}` waits for nothing"))?;
    let attempt = turn.state.steps[at].op(op).attempt;
    if event.seen <= turn.state.steps[at].asked_since(op) {
        return Err(format!("the {op} of `{step}` was asked for after you looked: look again"));
    }
    if let Some(nested) = runs_in(turn, at, op) {
        return Err(format!("`{step}` is the saga {nested}, which goes on: act on that one"));
    }
    let about = Some((at, op, attempt));
    let (kind, detail) = match (outcome, op, turn.step(at).kind) {
        (Reply::Ok(output), Op::Action, _) => {
            let fits = turn.check_output(at, output);
            fits.map_err(|e| format!("the output of `{step}` does not fit its type: {e}"))?;
            (Kind::Done, Some(output.clone()))
        }
        (Reply::Ok(_), Op::Compensation, _) => (Kind::Done, None),
        (
            Reply::Rejected { code, message },
            Op::Action,
            StepKind::Compensatable | StepKind::Pivot,
        ) => (Kind::Rejected, Some(message_json(Some(code), message))),
        (Reply::Rejected { .. }, Op::Action, StepKind::Retriable)
        | (Reply::Rejected { .. }, Op::Compensation, _) => {
            return Err(format!(
                "the {op} of `{step}` cannot be rejected: resolve it as ok, or skip it"
            ));
        }
        (Reply::Retry { .. } | Reply::Pending, ..) => {
            return Err("a step is resolved as ok or as rejected".into());
        }
    };
    turn.record(Kind::Resolved, about, Some(signature(event)), None);
    turn.record(kind, about, detail, None);
    if let Reply::Rejected { code, message } = outcome {
        turn.set_cause(at, code, message);
    }
    Ok(())
}

fn give_output(
    turn: &mut TurnBuilder<'_>,
    event: &OperatorAct,
    output: Option<&Json>,
) -> Result<(), String> {
    if !turn.lacks_output() {
        return Err("the saga does not lack its output: name a step".into());
    }
    let kind = if output.is_some() { Kind::Resolved } else { Kind::Skipped };
    let output = output.cloned().unwrap_or_else(Json::null);
    let next = Next { output: Some(output), ..Next::default() };
    turn.record_next(kind, None, Some(signature(event)), next);
    Ok(())
}

fn cancel(turn: &mut TurnBuilder<'_>, event: &OperatorAct) -> Result<(), String> {
    if turn.state.turned {
        return Err("the saga has turned back already".into());
    }
    if let Some(why) = turn.no_way_back() {
        return Err(why);
    }
    turn.record(Kind::Cancelled, None, Some(signature(event)), None);
    turn.turn_back("cancelled", &wire::cut(event.reason.clone()));
    Ok(())
}

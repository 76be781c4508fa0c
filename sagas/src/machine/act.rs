//! What an operator may do to a saga, and what becomes of it.

use super::{Decision, Kind, State, Status, Time, Turn, advance::Draft, message_json};
use crate::{
    Definition, Json, Op, StepKind, Task,
    wire::{self, Reply},
};

/// An operator's act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperatorCommand {
    /// Repeat now what was given up or waits to be repeated, with fresh patience.
    Retry,
    /// Go on without this compensation, or without this step after the pivot.
    Skip {
        /// The step.
        step: String,
    },
    /// A person knows how the step ended: `Ok` or `Rejected`.
    Resolve {
        /// The step.
        step: String,
        /// How it ended.
        outcome: Reply,
    },
    /// Turn back, as if a step had said no; lifts a pause.
    Cancel,
    /// Send nothing more until resumed. Replies are still recorded.
    Pause,
    /// Go on.
    Resume,
    /// A lock was taken from it, which is done already: this puts it on record.
    Unlock,
}

/// An act, and who answers for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorAct {
    /// What to do.
    pub command: OperatorCommand,
    /// Who acts.
    pub by: String,
    /// Why.
    pub reason: String,
    /// How many facts the saga had when the operator looked: another operator's act since then
    /// refuses this one.
    pub seen: u32,
}

/// Decides an act. A refusal changes nothing.
pub(super) fn decide(
    definition: &Definition,
    state: &State,
    event: &OperatorAct,
    now: Time,
) -> Decision {
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
    let mut draft = Draft::new(definition, state.clone(), now);
    match &event.command {
        OperatorCommand::Retry => retry(&mut draft, event)?,
        OperatorCommand::Skip { step } => skip(&mut draft, event, step)?,
        OperatorCommand::Resolve { step, outcome } => resolve(&mut draft, event, step, outcome)?,
        OperatorCommand::Cancel => cancel(&mut draft, event)?,
        OperatorCommand::Pause if state.paused => return Err("the saga is paused already".into()),
        OperatorCommand::Pause if state.status == Status::Stuck => {
            return Err("the saga is stuck: it waits for an operator as it is".into());
        }
        OperatorCommand::Pause => draft.record(Kind::Paused, None, Some(signature(event)), None),
        OperatorCommand::Resume if !state.paused => return Err("the saga is not paused".into()),
        OperatorCommand::Resume => draft.record(Kind::Unpaused, None, Some(signature(event)), None),
        OperatorCommand::Unlock => draft.record(Kind::Unlocked, None, Some(signature(event)), None),
    }
    draft.advance();
    Ok(draft.turn())
}

fn signature(event: &OperatorAct) -> Json {
    let (by, reason) = (wire::cut(event.by.clone()), wire::cut(event.reason.clone()));
    let said = serde_json::json!({"by": by, "reason": reason});
    Json::of(&said).unwrap_or_else(|_| message_json(None, "an operator acted"))
}

fn retry(draft: &mut Draft<'_>, event: &OperatorAct) -> Result<(), String> {
    if draft.state.paused {
        return Err("the saga is paused: resume it first".into());
    }
    let nothing = draft.state.repeatable(draft.definition.outline()).is_empty();
    let no_output = draft.state.no_output && !draft.state.turned;
    if nothing && !no_output {
        let why = if draft.state.status == Status::Stuck {
            "what was given up cannot be repeated: resolve it, or skip it"
        } else {
            "nothing was given up and nothing waits to be repeated"
        };
        return Err(why.into());
    }
    draft.record(Kind::Retried, None, Some(signature(event)), None);
    Ok(())
}

fn position(draft: &Draft<'_>, step: &str) -> Result<usize, String> {
    let outline = draft.definition.outline();
    draft.state.position(outline, step).ok_or_else(|| {
        let names: Vec<_> = outline.steps.iter().map(|s| s.name.as_str()).collect();
        format!("the saga has no step `{step}`: its steps are {}", names.join(", "))
    })
}

/// The operation of a step that is still open: its compensation once the saga has turned back.
fn open_op(draft: &Draft<'_>, at: usize) -> Option<Op> {
    let step = &draft.state.steps[at];
    if step.compensation.phase.is_open() {
        Some(Op::Compensation)
    } else if step.action.phase.is_open() {
        Some(Op::Action)
    } else {
        None
    }
}

fn skip(draft: &mut Draft<'_>, event: &OperatorAct, step: &str) -> Result<(), String> {
    let at = position(draft, step)?;
    let op = open_op(draft, at).ok_or_else(|| format!("`{step}` waits for nothing"))?;
    let only_time = matches!(draft.step(at).task, Task::Delay { .. } | Task::Until);
    if op == Op::Action && draft.step(at).kind != StepKind::Retriable && !only_time {
        let or = if draft.step(at).kind == StepKind::Pivot || draft.state.turned {
            ""
        } else {
            ", or cancel the saga"
        };
        return Err(format!("`{step}` decides how the saga goes on: resolve it{or}"));
    }
    let attempt = draft.state.steps[at].op(op).attempt;
    draft.record(Kind::Skipped, Some((at, op, attempt)), Some(signature(event)), None);
    Ok(())
}

fn resolve(
    draft: &mut Draft<'_>,
    event: &OperatorAct,
    step: &str,
    outcome: &Reply,
) -> Result<(), String> {
    let at = position(draft, step)?;
    let op = open_op(draft, at).ok_or_else(|| format!("`{step}` waits for nothing"))?;
    let attempt = draft.state.steps[at].op(op).attempt;
    if event.seen <= draft.state.steps[at].asked_since(op) {
        return Err(format!("the {op} of `{step}` was asked for after you looked: look again"));
    }
    let about = Some((at, op, attempt));
    let (kind, detail) = match outcome {
        Reply::Ok(output) if op == Op::Action => {
            let fits = draft.check_output(at, output);
            fits.map_err(|e| format!("the output of `{step}` does not fit its type: {e}"))?;
            (Kind::Done, Some(output.clone()))
        }
        Reply::Ok(_) => (Kind::Done, None),
        Reply::Rejected { code, message }
            if op == Op::Action && draft.step(at).kind != StepKind::Retriable =>
        {
            (Kind::Rejected, Some(message_json(Some(code), message)))
        }
        Reply::Rejected { .. } => {
            return Err(format!(
                "the {op} of `{step}` cannot be rejected: resolve it as ok, or skip it"
            ));
        }
        Reply::Retry { .. } | Reply::Pending => {
            return Err("a step is resolved as ok or as rejected".into());
        }
    };
    draft.record(Kind::Resolved, about, Some(signature(event)), None);
    draft.record(kind, about, detail, None);
    if let Reply::Rejected { code, message } = outcome {
        draft.blame(at, code, message);
    }
    Ok(())
}

fn cancel(draft: &mut Draft<'_>, event: &OperatorAct) -> Result<(), String> {
    if draft.state.turned {
        return Err("the saga has turned back already".into());
    }
    if let Some(why) = draft.no_way_back() {
        return Err(why);
    }
    draft.record(Kind::Cancelled, None, Some(signature(event)), None);
    draft.turn_back("cancelled", &wire::cut(event.reason.clone()));
    Ok(())
}

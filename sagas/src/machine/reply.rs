//! What a worker's reply means: by what it says, and by where the operation stands.

use std::time::Duration;

use super::{
    Decision, Kind, OpState, Phase, ReplyEvent, State, StepState, Time, Unexpected,
    builder::TurnBuilder, fact::message_json,
};
use crate::{Definition, Json, Op, StepKind, StepOutline, wire::Reply};

/// Decides a reply, if its service may answer for this attempt.
pub(super) fn decide(
    definition: &Definition,
    state: &State,
    event: &ReplyEvent,
    now: Time,
) -> Decision {
    let at = match answered(definition, state, event) {
        Ok(at) => at,
        Err(why) => return Decision::Unexpected(why),
    };
    let (step, mut turn) = (&state.steps[at], TurnBuilder::new(definition, state.clone(), now));
    if counts(turn.step(at), step.op(event.op), event) {
        let standing = Standing::of(step, event.op);
        let meaning = match event.op {
            Op::Action => of_action(&event.reply, standing, turn.step(at).kind),
            Op::Compensation => of_compensation(&event.reply, standing),
        };
        take(&mut turn, at, event, meaning);
    }
    if turn.facts.is_empty() {
        return Decision::Known(state.in_flight_since(step.op(event.op).settled_by));
    }
    turn.decided()
}

/// The step that is answered: one that this service does, and that was sent.
fn answered(
    definition: &Definition,
    state: &State,
    event: &ReplyEvent,
) -> Result<usize, Unexpected> {
    let (outline, step) = (definition.outline(), || event.step.to_string());
    let at = state.position(outline, &event.step).ok_or_else(|| Unexpected::Step(step()))?;
    let plan = &outline.steps[state.steps[at].plan];
    if !plan.task.is_call() || (plan.each.is_some() && state.steps[at].element.is_none()) {
        return Err(Unexpected::NoCall(step()));
    }
    if plan.service != event.service {
        let (owner, service) = (plan.service.clone(), event.service.clone());
        return Err(Unexpected::Service { step: step(), owner, service });
    }
    if state.steps[at].op(event.op).attempt < event.attempt {
        let (op, attempt) = (event.op, event.attempt);
        return Err(Unexpected::NeverSent { step: step(), op, attempt });
    }
    Ok(at)
}

/// Whether a reply to this attempt can still mean something. `retry` and `pending` speak of one
/// attempt, the last one. What must happen is not rejected by a reply from before an operator had it
/// repeated, who knew of it; and a compensation is not settled by one from before a late effect.
fn counts(plan: &StepOutline, op: &OpState, event: &ReplyEvent) -> bool {
    let must_happen = event.op == Op::Compensation || plan.kind == StepKind::Retriable;
    let settles = event.op == Op::Action || event.attempt >= op.settle_from;
    match event.reply {
        Reply::Ok(_) => settles,
        Reply::Rejected { .. } => settles && (!must_happen || event.attempt > op.counted_from),
        Reply::Retry { .. } | Reply::Pending => event.attempt == op.attempt,
    }
}

/// Where an operation stands: its phase, and more where that changes what a reply means.
#[derive(Clone, Copy)]
enum Standing {
    NeverSent,
    /// An operator has it repeated, and it waits for its turn.
    Repeated,
    InFlight,
    Backoff,
    Pending,
    Spread,
    Done,
    Rejected,
    Unknown,
    /// Unknown, and its compensation was sent.
    Undoing,
    GivenUp,
    Skipped,
}

impl Standing {
    fn of(step: &StepState, op: Op) -> Self {
        match step.op(op).phase {
            Phase::Idle if step.op(op).is_repeated() => Self::Repeated,
            Phase::Idle => Self::NeverSent,
            Phase::InFlight => Self::InFlight,
            Phase::Backoff => Self::Backoff,
            Phase::Pending => Self::Pending,
            Phase::Spread => Self::Spread,
            Phase::Done => Self::Done,
            Phase::Rejected => Self::Rejected,
            Phase::Unknown if step.compensation.attempt > 0 => Self::Undoing,
            Phase::Unknown => Self::Unknown,
            Phase::GivenUp => Self::GivenUp,
            Phase::Skipped => Self::Skipped,
        }
    }
}

/// What a reply means for an operation.
#[derive(Clone, Copy)]
enum Meaning<'a> {
    /// It is known, or comes too late.
    Nothing,
    /// The action is done, if its output fits.
    Done(&'a Json),
    /// The action is done after the saga took it for not done.
    Late(&'a Json),
    /// The compensation is done.
    Undone,
    Rejected {
        code: &'a str,
        message: &'a str,
    },
    /// The attempt in flight broke.
    Broke {
        message: &'a str,
        after: Option<Duration>,
    },
    /// The attempt in flight was accepted.
    Accepted,
}

/// What a reply to an action means. After a rejection nothing needs to be undone, so it counts until
/// the compensation is sent; but what must happen cannot be rejected once it was given up.
fn of_action(reply: &Reply, action: Standing, kind: StepKind) -> Meaning<'_> {
    use Standing::*;
    use StepKind::{Compensatable, Pivot, Retriable};
    match (reply, action, kind) {
        (Reply::Ok(output), Repeated | InFlight | Backoff | Pending | GivenUp, _) => {
            Meaning::Done(output)
        }
        (Reply::Ok(output), Rejected | Unknown | Undoing, _) => Meaning::Late(output),
        (Reply::Ok(_), NeverSent | Spread | Done | Skipped, _) => Meaning::Nothing,

        (Reply::Rejected { code, message }, InFlight | Backoff | Pending | Unknown, _)
        | (Reply::Rejected { code, message }, Repeated | GivenUp, Compensatable | Pivot) => {
            Meaning::Rejected { code, message }
        }
        (Reply::Rejected { .. }, Repeated | GivenUp, Retriable)
        | (Reply::Rejected { .. }, NeverSent | Spread | Done | Rejected | Undoing | Skipped, _) => {
            Meaning::Nothing
        }

        (Reply::Retry { message, after }, InFlight | Pending, _) => {
            Meaning::Broke { message, after: *after }
        }
        (Reply::Retry { .. }, NeverSent | Repeated | Backoff | Spread | GivenUp, _)
        | (Reply::Retry { .. }, Done | Rejected | Unknown | Undoing | Skipped, _) => {
            Meaning::Nothing
        }

        (Reply::Pending, InFlight, _) => Meaning::Accepted,
        (Reply::Pending, NeverSent | Repeated | Backoff | Pending | Spread | GivenUp, _)
        | (Reply::Pending, Done | Rejected | Unknown | Undoing | Skipped, _) => Meaning::Nothing,
    }
}

/// What a reply to a compensation means. It must happen: a rejection counts as long as it was not
/// given up.
fn of_compensation(reply: &Reply, compensation: Standing) -> Meaning<'_> {
    use Standing::*;
    match (reply, compensation) {
        (Reply::Ok(_), Repeated | InFlight | Backoff | Pending | GivenUp) => Meaning::Undone,
        (Reply::Ok(_), NeverSent | Spread | Done | Rejected | Unknown | Undoing | Skipped) => {
            Meaning::Nothing
        }

        (Reply::Rejected { code, message }, InFlight | Backoff | Pending) => {
            Meaning::Rejected { code, message }
        }
        (Reply::Rejected { .. }, NeverSent | Repeated | Spread | GivenUp)
        | (Reply::Rejected { .. }, Done | Rejected | Unknown | Undoing | Skipped) => {
            Meaning::Nothing
        }

        (Reply::Retry { message, after }, InFlight | Pending) => {
            Meaning::Broke { message, after: *after }
        }
        (Reply::Retry { .. }, NeverSent | Repeated | Backoff | Spread | GivenUp)
        | (Reply::Retry { .. }, Done | Rejected | Unknown | Undoing | Skipped) => Meaning::Nothing,

        (Reply::Pending, InFlight) => Meaning::Accepted,
        (Reply::Pending, NeverSent | Repeated | Backoff | Pending | Spread | GivenUp)
        | (Reply::Pending, Done | Rejected | Unknown | Undoing | Skipped) => Meaning::Nothing,
    }
}

/// Records what a reply means.
fn take(turn: &mut TurnBuilder<'_>, at: usize, event: &ReplyEvent, meaning: Meaning<'_>) {
    let about = Some((at, event.op, event.attempt));
    match meaning {
        Meaning::Nothing => {}
        Meaning::Done(output) => turn.done(at, event.attempt, output),
        Meaning::Late(output) => late(turn, at, event.attempt, output),
        Meaning::Undone => turn.record(Kind::Done, about, None, None),
        Meaning::Rejected { code, message } => {
            turn.record(Kind::Rejected, about, Some(message_json(Some(code), message)), None);
            match event.op {
                Op::Action => turn.set_cause(at, code, message),
                Op::Compensation => {
                    turn.set_cause(at, code, &format!("the compensation was refused: {message}"));
                }
            }
        }
        Meaning::Broke { message, after } => turn.broke(at, event.op, Kind::Broke, message, after),
        Meaning::Accepted => turn.accepted(at, event.op),
    }
}

/// An effect of which the saga had no knowledge is undone, if its output can be read.
fn late(turn: &mut TurnBuilder<'_>, at: usize, attempt: u32, output: &Json) {
    if turn.check_output(at, output).is_err() {
        return;
    }
    turn.record(Kind::Late, Some((at, Op::Action, attempt)), Some(output.clone()), None);
    if turn.step(at).kind != StepKind::Compensatable {
        turn.set_cause(at, "late", "done after it was refused, and it has no compensation");
    }
}

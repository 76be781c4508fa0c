//! Waiting: for events, for time, for locks; and the saga's deadline.

use super::{
    Arrival, Decision, Kind, Next, Phase, State, Time, Unexpected, builder::TurnBuilder,
    fact::message_json,
};
use crate::{Definition, Json, Op, Task};

/// A step that waits for an event.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wait {
    /// The step's name.
    pub step: String,
    /// What the event must match.
    pub key: String,
}

/// The steps that wait for an event now.
#[must_use]
pub fn waits(definition: &Definition, state: &State) -> Vec<Wait> {
    let outline = definition.outline();
    // One that was given up behind the pivot is healed by an event that comes late.
    let waits = |phase| matches!(phase, Phase::Pending | Phase::GivenUp);
    let waiting = state.steps.iter().filter(|step| waits(step.action.phase));
    let wait = |step: &super::StepState| {
        let plan = outline.steps.get(step.plan)?;
        let Task::Event { .. } = plan.task else { return None };
        let key = step.input.as_ref()?.read().ok()?;
        Some(Wait { step: plan.name.clone(), key })
    };
    waiting.filter_map(wait).collect()
}

/// A kept event for a step. The saga takes each event once, and each step one event.
pub(super) fn arrived(
    definition: &Definition,
    state: &State,
    arrival: &Arrival,
    now: Time,
) -> Decision {
    let outline = definition.outline();
    let event = |at: &usize| matches!(outline.steps[*at].task, Task::Event { .. });
    let Some(at) = outline.position(&arrival.step).filter(event) else {
        return Decision::Unexpected(Unexpected::Step(arrival.step.to_string()));
    };
    let waits = matches!(state.steps[at].action.phase, Phase::Pending | Phase::GivenUp);
    let taken = state.taken.contains(&arrival.event);
    if !waits || taken {
        return Decision::Known(Vec::new());
    }
    let mut turn = TurnBuilder::new(definition, state.clone(), now);
    if let Err(error) = turn.check_output(at, &arrival.body) {
        return Decision::Refused(format!("the event does not fit its type: {error}"));
    }
    let next = Next { event: Some(arrival.event.clone()), ..Next::default() };
    let attempt = state.steps[at].action.attempt;
    let about = Some((at, Op::Action, attempt));
    turn.record_next(Kind::Done, about, Some(arrival.body.clone()), next);
    turn.decided()
}

/// The saga has its locks.
pub(super) fn granted(definition: &Definition, state: &State, now: Time) -> Decision {
    if !state.queued {
        return Decision::Known(Vec::new());
    }
    let mut turn = TurnBuilder::new(definition, state.clone(), now);
    turn.record(Kind::Granted, None, None, None);
    turn.decided()
}

/// A delay is over.
pub(super) fn elapsed(turn: &mut TurnBuilder<'_>, at: usize) {
    let attempt = turn.state.steps[at].action.attempt;
    turn.record(Kind::Done, Some((at, Op::Action, attempt)), Some(Json::null()), None);
}

/// The saga's deadline has passed: it turns the saga back while that is possible, and is only put on
/// record after that.
pub(super) fn deadline(turn: &mut TurnBuilder<'_>) {
    let no_way_back = turn.no_way_back();
    let detail = no_way_back.as_deref().map(|why| message_json(None, why));
    turn.record(Kind::Deadline, None, detail, None);
    if no_way_back.is_none() {
        turn.turn_back("deadline", "the saga's deadline has passed");
    }
}

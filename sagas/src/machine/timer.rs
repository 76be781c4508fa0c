//! What time decides: limits that have passed, and what goes on when its time has come.

use super::{
    Decision, Kind, OpState, Phase, State, Time,
    builder::TurnBuilder,
    fact::{TIMED_OUT, message_json},
    waits,
};
use crate::{Definition, Op, Task};

/// Decides what is due when the saga's timer fires. What goes on with time comes last: a limit that has
/// passed may stop the saga. While it is held nothing is due.
pub(super) fn fired(definition: &Definition, state: &State, now: Time) -> Decision {
    if state.paused {
        return Decision::Known(Vec::new());
    }
    decide(definition, state, now, now, true)
}

/// Decides which limits had passed `by` the time at which something else came: it is decided after them,
/// as if the timer had fired in time. Limits do not stand still in a pause.
pub(super) fn overdue(definition: &Definition, state: &State, by: Time, now: Time) -> Decision {
    decide(definition, state, by, now, false)
}

fn decide(
    definition: &Definition,
    state: &State,
    by: Time,
    now: Time,
    goes_on_too: bool,
) -> Decision {
    let mut turn = TurnBuilder::new(definition, state.clone(), now);
    if turn.state.deadline.is_some_and(|deadline| deadline <= by) {
        waits::deadline(&mut turn);
    }
    let due: Vec<_> = due_ops(&turn.state, by).collect();
    let (resumed, over): (Vec<_>, Vec<_>) =
        due.into_iter().partition(|(at, op, phase)| goes_on(&turn, *at, *op, *phase, by));
    for (at, op, phase) in over {
        time_out(&mut turn, at, op, phase);
    }
    for (at, op, phase) in resumed.into_iter().filter(|_| goes_on_too) {
        go_on(&mut turn, at, op, phase);
    }
    if turn.facts.is_empty() {
        return Decision::Known(Vec::new());
    }
    turn.decided()
}

/// Whether an operation that is due goes on: no limit of it has passed.
fn goes_on(turn: &TurnBuilder<'_>, at: usize, op: Op, phase: Phase, by: Time) -> bool {
    match turn.step(at).task {
        Task::Delay { .. } | Task::Until => true,
        _ => phase == Phase::Backoff && turn.give_up_at(at, op).is_none_or(|limit| by < limit),
    }
}

fn go_on(turn: &mut TurnBuilder<'_>, at: usize, op: Op, phase: Phase) {
    if phase != Phase::Backoff {
        return waits::elapsed(turn, at);
    }
    // What is about to be undone is not tried once more.
    if op == Op::Compensation || turn.cause().is_none() {
        let attempt = turn.state.steps[at].op(op).attempt;
        turn.record(Kind::Resumed, Some((at, op, attempt)), None, None);
        turn.send(at, op, None);
    }
}

fn due_ops(state: &State, now: Time) -> impl Iterator<Item = (usize, Op, Phase)> + '_ {
    let due = move |op: &OpState| op.due.is_some_and(|due| due <= now);
    state.steps.iter().enumerate().flat_map(move |(at, step)| {
        [(Op::Action, &step.action), (Op::Compensation, &step.compensation)]
            .into_iter()
            .filter(move |(_, state)| due(state))
            .map(move |(op, state)| (at, op, state.phase))
    })
}

fn time_out(turn: &mut TurnBuilder<'_>, at: usize, op: Op, phase: Phase) {
    if phase == Phase::InFlight {
        return turn.broke(at, op, Kind::TimedOut, "no reply in time", None);
    }
    let message = match (&turn.step(at).task, phase) {
        (Task::Event { .. }, _) => "the event did not come in time",
        (Task::Saga { .. }, _) => "the nested saga did not end in time",
        (_, Phase::Backoff) => "its time is over",
        _ => "the deferred reply did not come in time",
    };
    let attempt = turn.state.steps[at].op(op).attempt;
    let detail = message_json(Some(TIMED_OUT), message);
    turn.record(Kind::TimedOut, Some((at, op, attempt)), Some(detail), None);
    turn.set_cause_given_up(at, op, message);
}

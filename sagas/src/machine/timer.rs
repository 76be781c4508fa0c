//! What is due when a saga's timer fires.

use super::{
    Decision, Kind, OpState, Phase, State, Time, builder::TurnBuilder, fact::message_json, waits,
};
use crate::{Definition, Op, Task};

/// Decides what is due. Delays after broken attempts come last: what else is due may stop the saga.
pub(super) fn decide(definition: &Definition, state: &State, now: Time) -> Decision {
    if state.paused {
        return Decision::Known(Vec::new());
    }
    let mut turn = TurnBuilder::new(definition, state.clone(), now);
    waits::deadline(&mut turn);
    let due: Vec<_> = due_ops(&turn.state, now).collect();
    let (resumed, over): (Vec<_>, Vec<_>) = due.into_iter().partition(|(at, op, phase)| {
        let limit = turn.give_up_at(*at, *op);
        *phase == Phase::Backoff && limit.is_none_or(|limit| now < limit)
    });
    for (at, op, phase) in over {
        match turn.step(at).task {
            Task::Delay { .. } | Task::Until => waits::elapsed(&mut turn, at),
            _ => time_out(&mut turn, at, op, phase),
        }
    }
    for (at, op, _) in resumed {
        // What is about to be undone is not tried once more.
        if op == Op::Compensation || !turn.has_cause() {
            let attempt = turn.state.steps[at].op(op).attempt;
            turn.record(Kind::Resumed, Some((at, op, attempt)), None, None);
            turn.send(at, op, None);
        }
    }
    if turn.facts.is_empty() {
        return Decision::Known(Vec::new());
    }
    turn.decided()
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
    let detail = message_json(None, message);
    turn.record(Kind::TimedOut, Some((at, op, attempt)), Some(detail), None);
    turn.set_cause_given_up(at, op, message);
}

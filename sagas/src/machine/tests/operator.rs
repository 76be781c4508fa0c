//! An operator in the simulated world: acts at random while accidents happen, and ends what only a
//! person can end.

use super::{participant::Participant, plans::repaired, world::World};
use crate::{
    Json, Op, StepKind,
    machine::{Act, ActEvent, Decision, Event, Phase, State, Status, Turn, decide},
    wire::Reply,
};

/// A saga that they must get going more often than this does not end.
const CLOSED_MAX: u32 = 100;

/// What operators do in a run.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Operators {
    /// They act at random.
    pub(super) meddle: bool,
    /// In the end they have all services repaired, and get stuck sagas going.
    pub(super) heal: bool,
    /// How often they had to in this run.
    pub(super) closed: u32,
}

impl World {
    /// Someone looks at the saga and acts; it arrives later, if at all in time.
    pub(super) fn meddle(&mut self) -> ActEvent {
        let state = self.store.read();
        let at = self.some_step(&state);
        let step = if self.tape.pick(12) == 11 { "nobody".into() } else { self.name(at) };
        let act = match self.tape.pick(14) {
            0..=2 => Act::Retry,
            3..=5 => Act::Skip { step },
            6..=8 => Act::Resolve { step, outcome: self.outcome(at, &state) },
            9 => Act::Cancel,
            10..=11 => Act::Pause,
            _ => Act::Resume,
        };
        let ago = if self.tape.pick(6) == 5 { self.tape.pick(9) } else { 0 };
        let seen = state.seq.saturating_sub(u32::try_from(ago).unwrap());
        self.signed(act, seen)
    }

    fn signed(&mut self, act: Act, seen: u32) -> ActEvent {
        let by = ["alice", "bob"][self.tape.pick(2)].to_owned();
        ActEvent { act, by, reason: format!("looked at {seen} facts"), seen }
    }

    fn name(&self, at: usize) -> String {
        self.definition.outline().steps[at].name.clone()
    }

    /// Mostly one that waits for something.
    fn some_step(&mut self, state: &State) -> usize {
        let open: Vec<_> = (0..state.steps.len()).filter(|at| open(state, *at).is_some()).collect();
        if open.is_empty() || self.tape.pick(4) == 3 {
            return self.tape.pick(state.steps.len());
        }
        open[self.tape.pick(open.len())]
    }

    /// The truth about a step, or what is not an outcome of it.
    fn outcome(&mut self, at: usize, state: &State) -> Reply {
        let yes = self.tape.pick(3) < 2;
        let retriable = self.definition.outline().steps[at].kind == StepKind::Retriable;
        match open(state, at) {
            _ if self.tape.pick(9) == 8 => Reply::Pending,
            Some(op) if yes || (op == Op::Action && !retriable) => {
                self.participants[at].by_hand(op, yes)
            }
            Some(_) => Reply::Rejected { code: "no".into(), message: String::new() },
            None => Reply::Ok(Json::null()),
        }
    }

    /// What an accepted act says to whoever saw the same: no.
    pub(super) fn refuses_the_next(&self, event: &ActEvent, turn: &Turn) {
        for act in [event.act.clone(), Act::Retry, Act::Cancel, Act::Pause, Act::Resume] {
            let next = ActEvent { act, by: "second".into(), ..event.clone() };
            let decision = decide(&self.definition, &turn.next, &Event::Act(next), self.now);
            assert!(
                matches!(decision, Decision::Refused(_)),
                "two acts on {event:?}: {decision:?}"
            );
        }
    }

    /// Nothing will ever happen again by itself. False when nobody has anything to do.
    pub(super) fn close(&mut self) -> bool {
        let state = self.store.read();
        let act = if state.paused {
            Act::Resume
        } else if state.status == Status::Stuck && self.operators.heal {
            self.repair();
            self.last_resort(&state).map_or(Act::Retry, |at| Act::Skip { step: self.name(at) })
        } else {
            return false;
        };
        self.operators.closed += 1;
        assert!(self.operators.closed <= CLOSED_MAX, "nobody can end it: {state:#?}");
        let event = self.signed(act, state.seq);
        self.handle(&Event::Act(event));
        true
    }

    fn repair(&mut self) {
        let outline = self.definition.outline().clone();
        for (side, plan) in self.participants.iter_mut().zip(&outline.steps) {
            Participant::heal(side, plan.kind == StepKind::Retriable);
        }
        self.definition = repaired(outline);
    }

    /// A pivot that was done after its no: nothing can undo it.
    fn last_resort(&self, state: &State) -> Option<usize> {
        let steps = state.steps.iter().zip(&self.definition.outline().steps);
        steps.into_iter().position(|(step, plan)| {
            step.compensation.phase == Phase::GivenUp && plan.kind != StepKind::Compensatable
        })
    }
}

fn open(state: &State, at: usize) -> Option<Op> {
    let open =
        |phase| matches!(phase, Phase::InFlight | Phase::Backoff | Phase::Pending | Phase::GivenUp);
    let step = &state.steps[at];
    [Op::Compensation, Op::Action].into_iter().find(|op| open(step.op(*op).phase))
}

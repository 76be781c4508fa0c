//! A turn being decided: the facts so far, and the state after them.

use std::time::Duration;

use super::{Decision, Fact, Failure, Kind, Next, Send, State, Status, Time, Turn};
use crate::{Definition, Json, JsonError, Op, Outline, StepOutline, Task};

/// Records what a turn decides.
pub(super) struct TurnBuilder<'a> {
    pub(super) definition: &'a Definition,
    pub(super) now: Time,
    pub(super) state: State,
    pub(super) facts: Vec<Fact>,
    /// Why the saga turns back, or is stuck, if it is in this turn.
    cause: Option<Failure>,
}

impl<'a> TurnBuilder<'a> {
    pub(super) fn new(definition: &'a Definition, state: State, now: Time) -> Self {
        Self { definition, now, state, facts: Vec::new(), cause: None }
    }

    pub(super) fn outline(&self) -> &'a Outline {
        self.definition.outline()
    }

    /// The outline of the step, or of the list that it is an element of.
    pub(super) fn step(&self, at: usize) -> &'a StepOutline {
        &self.outline().steps[self.state.steps[at].plan]
    }

    pub(super) fn name(&self, at: usize) -> String {
        self.state.name(self.outline(), at)
    }

    /// Records what happened; `advance` adds what follows to the last fact.
    pub(super) fn record(
        &mut self,
        kind: Kind,
        about: Option<(usize, Op, u32)>,
        detail: Option<Json>,
        due: Option<Time>,
    ) {
        self.record_next(kind, about, detail, Next { due, ..Next::default() });
    }

    /// As [`TurnBuilder::record`], with what followed already.
    pub(super) fn record_next(
        &mut self,
        kind: Kind,
        about: Option<(usize, Op, u32)>,
        detail: Option<Json>,
        next: Next,
    ) {
        let fact = Fact {
            seq: self.state.seq,
            at: self.now,
            kind,
            step: about.map(|(step, ..)| step),
            op: about.map(|(_, op, _)| op),
            attempt: about.map_or(0, |(.., attempt)| attempt),
            detail,
            next,
        };
        self.state.apply_kind(self.outline(), &fact);
        self.facts.push(fact);
        self.state.seq = self.state.seq.saturating_add(1);
    }

    /// Notes with which step it began that the saga turns back or is stuck; the first cause counts.
    pub(super) fn set_cause(&mut self, step: usize, code: &str, message: &str) {
        if self.cause.is_none() {
            let step = self.name(step);
            self.cause = Some(Failure { step, code: code.into(), message: message.into() });
        }
    }

    /// As [`TurnBuilder::set_cause`], when it began with no step.
    pub(super) fn set_cause_of_saga(&mut self, code: &str, message: &str) {
        let (code, message) = (code.into(), message.into());
        self.cause.get_or_insert(Failure { step: String::new(), code, message });
    }

    /// What happened in this turn that stops the saga.
    pub(super) const fn cause(&self) -> Option<&Failure> {
        self.cause.as_ref()
    }

    /// Whether an output is of its step's type; of a whole list, whether it has those of its elements.
    pub(super) fn check_output(&self, at: usize, output: &Json) -> Result<(), JsonError> {
        let step = &self.state.steps[at];
        if self.step(at).each.is_none() || step.element.is_some() {
            return self.definition.check_output(step.plan, output);
        }
        let outputs: Vec<Json> = output.read()?;
        outputs.iter().try_for_each(|output| self.definition.check_output(step.plan, output))
    }

    /// The turn as it stands.
    pub(super) fn finished(self) -> Turn {
        Turn { facts: self.facts, next: self.state }
    }

    /// Goes on from what was recorded.
    pub(super) fn decided(mut self) -> Decision {
        self.advance();
        Decision::Turn(Box::new(self.finished()))
    }

    /// Sends the next attempt of an operation, as a consequence of the last fact.
    pub(super) fn send(&mut self, at: usize, op: Op, input: Option<Json>) {
        let state = self.state.steps[at].op(op);
        let over = self.over_at(at, input.as_ref());
        let due = over.into_iter().chain(self.give_up_at(at, op)).min();
        let send = Send { step: at, op, attempt: state.attempt.saturating_add(1), due, input };
        let outline = self.outline();
        self.consequence(|state, now| state.apply_send(outline, &send, now));
        if let Some(fact) = self.facts.last_mut() {
            fact.next.sends.push(send);
        }
    }

    /// When an action is given up, whatever attempts are left.
    pub(super) fn give_up_at(&self, at: usize, op: Op) -> Option<Time> {
        let within = if op == Op::Action { self.step(at).within_ms? } else { return None };
        let first_sent = self.state.steps[at].op(op).first_sent.unwrap_or(self.now);
        Some(first_sent + Duration::from_millis(within))
    }

    /// When an attempt counts as broken, or a wait is over.
    fn over_at(&self, at: usize, input: Option<&Json>) -> Option<Time> {
        let plan = self.step(at);
        match plan.task {
            Task::Call => Some(self.now + Duration::from_millis(plan.attempt_timeout_ms)),
            Task::Delay { ms } => Some(self.now + Duration::from_millis(ms)),
            // A time that has passed is over now; the far past could not even be stored.
            Task::Until => {
                let until = input.and_then(|until| until.read().ok());
                Some(until.map_or(self.now, |until: Time| until.max(self.now)))
            }
            Task::Event { .. } | Task::Saga { .. } => None,
        }
    }

    /// Changes the state as part of the last fact, under that fact's number.
    fn consequence(&mut self, change: impl FnOnce(&mut State, Time)) {
        let after = self.state.seq;
        self.state.seq = after.saturating_sub(1);
        change(&mut self.state, self.now);
        self.state.seq = after;
    }

    /// Sets the saga's status as part of the last fact, and its cause where the status has one.
    pub(super) fn set_status(&mut self, status: Status) {
        let has_error = match status {
            Status::Compensating | Status::Stuck => true,
            Status::Paused => self.turns_while_held(),
            Status::Running | Status::Completed | Status::Compensated | Status::Queued => false,
        };
        let error = if has_error { self.cause.clone() } else { None };
        let outline = self.outline();
        self.consequence(|state, _| state.apply_status(outline, status, error.is_some()));
        if let Some(fact) = self.facts.last_mut() {
            fact.next.status = Some(status);
            fact.next.error = error.or(fact.next.error.take());
        }
    }
}

//! What follows from a state: the next stage, the way back, the end.

use super::{Fact, Failure, Kind, Next, Phase, Send, State, Status, Time, message_json};
use crate::{Definition, Op, StepKind, StepOutline};
use std::time::Duration;

/// A turn being decided: facts so far, and the state after them.
pub(super) struct Draft<'a> {
    pub(super) definition: &'a Definition,
    pub(super) now: Time,
    pub(super) state: State,
    pub(super) facts: Vec<Fact>,
    /// Why the saga turns back, if it does in this turn.
    cause: Option<Failure>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(definition: &'a Definition, state: State, now: Time) -> Self {
        Self { definition, now, state, facts: Vec::new(), cause: None }
    }

    pub(super) fn step(&self, at: usize) -> &'a StepOutline {
        &self.definition.outline().steps[at]
    }

    /// Records what happened; `advance` adds what follows to the last fact.
    pub(super) fn record(
        &mut self,
        kind: Kind,
        about: Option<(usize, Op, u32)>,
        detail: Option<crate::Json>,
        due: Option<Time>,
    ) {
        let fact = Fact {
            seq: self.state.seq,
            at: self.now,
            kind,
            step: about.map(|(step, ..)| step),
            op: about.map(|(_, op, _)| op),
            attempt: about.map_or(0, |(.., attempt)| attempt),
            detail,
            next: Next { due, ..Next::default() },
        };
        self.state.happened(self.definition.outline(), &fact);
        self.facts.push(fact);
        self.state.seq = self.state.seq.saturating_add(1);
    }

    /// Notes why the saga turns back or is stuck; the first cause counts.
    pub(super) fn blame(&mut self, step: usize, code: &str, message: &str) {
        if self.cause.is_none() {
            let step = self.step(step).name.clone();
            self.cause = Some(Failure { step, code: code.into(), message: message.into() });
        }
    }

    /// Whether something happened in this turn that stops the saga.
    pub(super) const fn blamed(&self) -> bool {
        self.cause.is_some()
    }

    /// Sends the next attempt of an operation, as a consequence of the last fact.
    pub(super) fn send(&mut self, at: usize, op: Op, input: Option<crate::Json>) {
        let timeout = Duration::from_millis(self.step(at).attempt_timeout_ms);
        let state = self.state.steps[at].op(op);
        let mut due = self.now + timeout;
        if let Some(limit) = give_up_at(self.step(at), state.first_sent.unwrap_or(self.now), op) {
            due = due.min(limit);
        }
        let send = Send { step: at, op, attempt: state.attempt.saturating_add(1), due, input };
        self.consequence(|state, now| state.sent(&send, now));
        if let Some(fact) = self.facts.last_mut() {
            fact.next.sends.push(send);
        }
    }

    /// Changes the state as part of the last fact, under that fact's number.
    fn consequence(&mut self, change: impl FnOnce(&mut State, Time)) {
        let after = self.state.seq;
        self.state.seq = after.saturating_sub(1);
        change(&mut self.state, self.now);
        self.state.seq = after;
    }

    /// Goes on as far as the state allows, and sets the status that results.
    pub(super) fn advance(&mut self) {
        if self.state.paused {
            if self.turns_while_held() {
                self.enter(Status::Paused);
            }
            return self.settle_status();
        }
        if !self.state.turned && self.forward() == Forward::Blocked {
            self.enter(Status::Compensating);
        }
        if self.state.turned {
            self.backward();
        }
        self.settle_status();
    }

    /// Turns the saga back by an operator's word.
    pub(super) fn turn_back(&mut self, why: &str) {
        let failure =
            Failure { step: String::new(), code: "cancelled".into(), message: why.into() };
        self.cause.get_or_insert(failure);
        self.enter(Status::Compensating);
    }

    fn settle_status(&mut self) {
        let status = self.status();
        if status != self.state.status {
            self.enter(status);
        }
    }

    /// A pause withholds what is sent, not what is decided: the saga turns back at once, and undoes
    /// when it is resumed.
    fn turns_while_held(&self) -> bool {
        let no = |phase| matches!(phase, Phase::Rejected | Phase::Unknown);
        let blocked = self.state.steps.iter().any(|s| no(s.action.phase));
        self.state.paused && !self.state.turned && blocked && self.blamed()
    }

    fn enter(&mut self, status: Status) {
        let tells = match status {
            Status::Compensating | Status::Stuck => true,
            Status::Paused => self.turns_while_held(),
            _ => false,
        };
        let error = if tells { self.cause.clone() } else { None };
        self.consequence(|state, _| state.enter(status, error.is_some()));
        if let Some(fact) = self.facts.last_mut() {
            fact.next.status = Some(status);
            fact.next.error = error.or(fact.next.error.take());
        }
    }

    /// Sends the first stage that is not done. A step whose input cannot be computed is recorded as
    /// such: before and at the pivot nothing of its stage is sent, after it the others go on.
    fn forward(&mut self) -> Forward {
        for stage in self.definition.outline().stages() {
            let phases = || stage.clone().map(|at| self.state.steps[at].action.phase);
            if phases().all(settled) {
                continue;
            }
            if phases().any(|p| matches!(p, Phase::Rejected | Phase::Unknown)) {
                return Forward::Blocked;
            }
            let idle: Vec<_> = stage
                .clone()
                .filter(|at| self.state.steps[*at].action.phase == Phase::Idle)
                .collect();
            return self.dispatch(&idle);
        }
        self.finish()
    }

    fn dispatch(&mut self, steps: &[usize]) -> Forward {
        let mut inputs = Vec::with_capacity(steps.len());
        for at in steps {
            if self.state.steps[*at].input.is_some() {
                inputs.push((*at, None)); // sent before, and to be repeated: its input is fixed
                continue;
            }
            match self.definition.step_input(*at, &self.state) {
                Ok(input) => inputs.push((*at, Some(input))),
                Err(error) => {
                    self.unmappable(*at, &error.to_string());
                    if self.step(*at).kind != StepKind::Retriable {
                        return Forward::Blocked;
                    }
                }
            }
        }
        for (at, input) in inputs {
            self.send(at, Op::Action, input);
        }
        Forward::Waits
    }

    fn unmappable(&mut self, at: usize, message: &str) {
        let detail = message_json(Some("unmappable"), message);
        self.record(Kind::Unmappable, Some((at, Op::Action, 0)), Some(detail), None);
        self.blame(at, "unmappable", message);
    }

    /// All steps are done. With a pivot among them there is no way back.
    fn finish(&mut self) -> Forward {
        if self.state.no_output {
            return Forward::Waits;
        }
        match self.definition.output(&self.state) {
            Ok(output) => {
                if let Some(fact) = self.facts.last_mut() {
                    fact.next.output = Some(output);
                }
                Forward::Waits
            }
            Err(error) => {
                let message = error.to_string();
                let detail = message_json(Some("unmappable"), &message);
                self.record(Kind::Unmappable, None, Some(detail), None);
                let failure = Failure { step: String::new(), code: "unmappable".into(), message };
                self.cause.get_or_insert(failure);
                if self.passed_pivot() { Forward::Waits } else { Forward::Blocked }
            }
        }
    }

    fn passed_pivot(&self) -> bool {
        let steps = self.definition.outline().steps.iter().zip(&self.state.steps);
        steps.into_iter().any(|(plan, step)| {
            plan.kind != StepKind::Compensatable && step.action.phase == Phase::Done
        })
    }

    /// Compensates the last stage that is not undone. A sibling still in flight is settled first:
    /// its compensation must know what it undoes.
    fn backward(&mut self) {
        if self.state.steps.iter().any(|s| s.action.phase == Phase::InFlight) {
            return;
        }
        for stage in self.definition.outline().stages().rev() {
            let open: Vec<_> = stage.filter(|at| self.needs_undo(*at)).collect();
            for at in &open {
                if self.state.steps[*at].compensation.phase == Phase::Idle {
                    self.send(*at, Op::Compensation, None);
                }
            }
            if !open.is_empty() {
                return;
            }
        }
    }

    fn needs_undo(&self, at: usize) -> bool {
        let step = &self.state.steps[at];
        matches!(step.action.phase, Phase::Done | Phase::Unknown)
            && !settled(step.compensation.phase)
    }

    fn status(&self) -> Status {
        let steps = &self.state.steps;
        let given_up = |s: &super::StepState| {
            s.action.phase == Phase::GivenUp || s.compensation.phase == Phase::GivenUp
        };
        if steps.iter().any(given_up) || (self.state.no_output && !self.state.turned) {
            return Status::Stuck;
        }
        if self.state.paused {
            return Status::Paused;
        }
        let open = |s: &super::StepState| s.action.phase == Phase::InFlight;
        let ended = if self.state.turned {
            !steps.iter().any(open) && !(0..steps.len()).any(|at| self.needs_undo(at))
        } else {
            steps.iter().all(|s| settled(s.action.phase))
        };
        match (self.state.turned, ended) {
            (false, false) => Status::Running,
            (false, true) => Status::Completed,
            (true, false) => Status::Compensating,
            (true, true) => Status::Compensated,
        }
    }
}

/// Whether an operation needs nothing more.
const fn settled(phase: Phase) -> bool {
    matches!(phase, Phase::Done | Phase::Skipped)
}

#[derive(PartialEq, Eq)]
enum Forward {
    /// Something is under way, or all is done.
    Waits,
    /// There is no way forward.
    Blocked,
}

/// When an action is given up, whatever attempts are left.
pub(super) fn give_up_at(plan: &StepOutline, first_sent: Time, op: Op) -> Option<Time> {
    let within = if op == Op::Action { plan.within_ms? } else { return None };
    Some(first_sent + Duration::from_millis(within))
}

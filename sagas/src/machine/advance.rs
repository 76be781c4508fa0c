//! What follows from a state: the next stage, the way back, the end.

use super::{
    Decision, Fact, Failure, Kind, Next, Phase, Send, State, Status, Time, Turn, back, message_json,
};
use crate::{
    Definition, ELEMENTS_MAX, Json, JsonError, MapError, Op, Outline, StepKind, StepOutline, Task,
};
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

    /// As [`Draft::record`], with what followed already.
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
        self.state.happened(self.outline(), &fact);
        self.facts.push(fact);
        self.state.seq = self.state.seq.saturating_add(1);
    }

    /// Notes why the saga turns back or is stuck; the first cause counts.
    pub(super) fn blame(&mut self, step: usize, code: &str, message: &str) {
        if self.cause.is_none() {
            let step = self.name(step);
            self.cause = Some(Failure { step, code: code.into(), message: message.into() });
        }
    }

    /// Whether an output is of its step's type.
    pub(super) fn check_output(&self, at: usize, output: &Json) -> Result<(), JsonError> {
        self.definition.check_output(self.state.steps[at].plan, output)
    }

    /// The turn as it stands.
    pub(super) fn turn(self) -> Turn {
        Turn { facts: self.facts, next: self.state }
    }

    /// Goes on from what was recorded.
    pub(super) fn decided(mut self) -> Decision {
        self.advance();
        Decision::Turn(Box::new(self.turn()))
    }

    /// Whether something happened in this turn that stops the saga.
    pub(super) const fn blamed(&self) -> bool {
        self.cause.is_some()
    }

    /// Sends the next attempt of an operation, as a consequence of the last fact.
    pub(super) fn send(&mut self, at: usize, op: Op, input: Option<Json>) {
        let state = self.state.steps[at].op(op);
        let first_sent = state.first_sent.unwrap_or(self.now);
        let limit = give_up_at(self.step(at), first_sent, op);
        let over = self.over_at(at, input.as_ref());
        let due = over.into_iter().chain(limit).min();
        let send = Send { step: at, op, attempt: state.attempt.saturating_add(1), due, input };
        let outline = self.outline();
        self.consequence(|state, now| state.sent(outline, &send, now));
        if let Some(fact) = self.facts.last_mut() {
            fact.next.sends.push(send);
        }
    }

    /// When an attempt counts as broken, or a wait is over.
    fn over_at(&self, at: usize, input: Option<&Json>) -> Option<Time> {
        let plan = self.step(at);
        match plan.task {
            Task::Call => Some(self.now + Duration::from_millis(plan.attempt_timeout_ms)),
            Task::Delay { ms } => Some(self.now + Duration::from_millis(ms)),
            Task::Until => Some(input.and_then(|until| until.read().ok()).unwrap_or(self.now)),
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

    /// Goes on as far as the state allows, and sets the status that results.
    pub(super) fn advance(&mut self) {
        if self.state.paused {
            if self.turns_while_held() {
                self.enter(Status::Paused);
            }
            return self.settle_status();
        }
        if self.state.queued {
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

    /// Turns the saga back by somebody's word.
    pub(super) fn turn_back(&mut self, code: &str, why: &str) {
        let failure = Failure { step: String::new(), code: code.into(), message: why.into() };
        self.cause.get_or_insert(failure);
        self.enter(Status::Compensating);
    }

    /// Why the saga cannot be turned back, if it cannot.
    pub(super) fn no_way_back(&self) -> Option<String> {
        back::barred(self.outline(), &self.state)
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
        let outline = self.outline();
        self.consequence(|state, _| state.enter(outline, status, error.is_some()));
        if let Some(fact) = self.facts.last_mut() {
            fact.next.status = Some(status);
            fact.next.error = error.or(fact.next.error.take());
        }
    }

    /// Sends the first stage that is not done. A step whose input cannot be computed is recorded as
    /// such: before and at the pivot nothing of its stage is sent, after it the others go on.
    fn forward(&mut self) -> Forward {
        while let Some(stage) = self.next_stage() {
            if self.unfold(stage) == Forward::Blocked {
                return Forward::Blocked;
            }
            let members = self.state.members(self.outline(), stage);
            let phases = || members.iter().map(|at| self.state.steps[*at].action.phase);
            if phases().all(Phase::is_settled) {
                continue;
            }
            if phases().any(|p| matches!(p, Phase::Rejected | Phase::Unknown)) {
                return Forward::Blocked;
            }
            let idle = self.startable(&members, Op::Action);
            return self.dispatch(&idle);
        }
        self.finish()
    }

    /// The first stage that is not done.
    fn next_stage(&self) -> Option<u32> {
        let settled = |at: &usize| self.state.steps[*at].action.phase.is_settled();
        let open = (0..self.state.steps.len()).filter(|at| !settled(at));
        open.map(|at| self.step(at).stage).min()
    }

    /// What becomes of a stage's steps before any is sent: those are left out whose condition does
    /// not hold, and lists become elements.
    fn unfold(&mut self, stage: u32) -> Forward {
        let outline = self.outline();
        for (at, plan) in outline.steps.iter().enumerate().filter(|(_, p)| p.stage == stage) {
            let step = &self.state.steps[at].action;
            if step.phase != Phase::Idle || step.attempt > 0 {
                continue;
            }
            let wanted = if plan.condition.is_none() {
                Ok(true)
            } else {
                self.definition.condition(at, &self.state)
            };
            let unfolded = wanted.and_then(|wanted| {
                let inputs = (wanted && plan.each.is_some()).then(|| self.list(at));
                Ok((wanted, inputs.transpose()?))
            });
            match unfolded {
                Ok((false, _)) => self.record(Kind::Omitted, Some((at, Op::Action, 0)), None, None),
                Ok((true, Some(inputs))) => {
                    self.record(Kind::Expanded, Some((at, Op::Action, 0)), Some(inputs), None);
                }
                Ok((true, None)) => {}
                Err(error) => {
                    self.unmappable(at, &error.to_string());
                    if plan.kind != StepKind::Retriable {
                        return Forward::Blocked;
                    }
                }
            }
        }
        Forward::Waits
    }

    /// The inputs of a list's elements, as an array.
    fn list(&self, at: usize) -> Result<Json, MapError> {
        let inputs = self.definition.step_input(at, &self.state)?;
        let count = inputs.read::<Vec<Json>>().map(|inputs| inputs.len());
        let count = count.map_err(|error| MapError::of_list(error.to_string()))?;
        if count > ELEMENTS_MAX {
            let name = self.name(at);
            return Err(MapError::of_list(format!(
                "the list `{name}` has {count} elements; at most {ELEMENTS_MAX} are allowed"
            )));
        }
        Ok(inputs)
    }

    /// Which of these may begin: of a list, so many that no more than its plan allows run at once.
    fn startable(&self, members: &[usize], op: Op) -> Vec<usize> {
        let phase = |at: usize| self.state.steps[at].op(op).phase;
        let mut running = vec![0; self.outline().steps.len()];
        for at in members.iter().filter(|at| phase(**at).is_under_way()) {
            running[self.state.steps[*at].plan] += 1;
        }
        let may = |at: &usize| {
            let running = &mut running[self.state.steps[*at].plan];
            let room = self.step(*at).each.is_none_or(|at_once| *running < at_once);
            *running += u32::from(room);
            room
        };
        members.iter().copied().filter(|at| phase(*at) == Phase::Idle).filter(may).collect()
    }

    fn dispatch(&mut self, steps: &[usize]) -> Forward {
        let mut inputs = Vec::with_capacity(steps.len());
        for at in steps {
            let step = &self.state.steps[*at];
            if step.action.attempt > 0 {
                inputs.push((*at, None)); // sent before, and to be repeated: its input is fixed
                continue;
            }
            let input = match &step.input {
                Some(element) => Ok(element.clone()),
                None => self.definition.step_input(*at, &self.state),
            };
            match input {
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
        (0..self.state.steps.len()).any(|at| {
            self.step(at).kind != StepKind::Compensatable
                && self.state.steps[at].action.phase == Phase::Done
        })
    }

    /// Compensates the last stage that is not undone. A sibling still in flight is settled first:
    /// its compensation must know what it undoes.
    fn backward(&mut self) {
        let in_flight = self.state.steps.iter().any(|s| s.action.phase == Phase::InFlight);
        if in_flight {
            return;
        }
        let Some(stage) = self.to_undo().map(|at| self.step(at).stage).max() else { return };
        let mut open = back::stage(self.outline(), &self.state, stage);
        open.retain(|at| self.needs_undo(*at));
        for at in self.startable(&open, Op::Compensation) {
            self.send(at, Op::Compensation, None);
        }
    }

    fn to_undo(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.state.steps.len()).filter(|at| self.needs_undo(*at))
    }

    /// Whether a step has, or may have, an effect that stands.
    fn needs_undo(&self, at: usize) -> bool {
        let phase = self.state.steps[at].action.phase;
        matches!(phase, Phase::Done | Phase::Unknown)
            && back::undoable(self.outline(), &self.state, at)
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
        if self.state.queued {
            return Status::Queued;
        }
        let in_flight = |s: &super::StepState| s.action.phase == Phase::InFlight;
        let ended = if self.state.turned {
            !steps.iter().any(in_flight) && self.to_undo().next().is_none()
        } else {
            steps.iter().all(|s| s.action.phase.is_settled())
        };
        match (self.state.turned, ended) {
            (false, false) => Status::Running,
            (false, true) => Status::Completed,
            (true, false) => Status::Compensating,
            (true, true) => Status::Compensated,
        }
    }
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

//! A saga's state: the fold of its facts.

use super::{Fact, Kind, Send, Status, Time};
use crate::{Json, Op, Outline, SagaId, StepKind};

/// Where one operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// Not sent, or to be sent again.
    #[default]
    Idle,
    /// Sent; waits for a reply until `due`.
    InFlight,
    /// Broke; is sent again at `due`.
    Backoff,
    /// Accepted; waits for the real reply until `due`.
    Pending,
    /// Done.
    Done,
    /// Said no: nothing changed and nothing will.
    Rejected,
    /// Given up, and nobody knows whether it took effect: it is compensated.
    Unknown,
    /// Given up although it must happen: the saga is stuck.
    GivenUp,
    /// Left out by an operator, who answers for it.
    Skipped,
}

/// One operation of one step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpState {
    /// Where it stands.
    pub phase: Phase,
    /// The last attempt sent; 0 before the first.
    pub attempt: u32,
    /// Attempts before this one are not counted: an operator gave it fresh patience.
    pub counted_from: u32,
    /// The fact that sent the first attempt.
    pub asked_by: u32,
    /// When the first attempt that counts was sent.
    pub first_sent: Option<Time>,
    /// When the clock must look at it.
    pub due: Option<Time>,
    /// The fact that sent the last attempt.
    pub sent_by: u32,
    /// The fact that settled it.
    pub settled_by: u32,
    /// Replies to attempts below this one no longer settle it: they may have run before a late
    /// effect that they should have undone.
    pub settle_from: u32,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StepState {
    /// The action.
    pub action: OpState,
    /// The compensation.
    pub compensation: OpState,
    /// The action's input, once it was sent.
    pub input: Option<Json>,
    /// The action's output, once known.
    pub output: Option<Json>,
}

impl StepState {
    /// One of the two operations.
    #[must_use]
    pub const fn op(&self, op: Op) -> &OpState {
        match op {
            Op::Action => &self.action,
            Op::Compensation => &self.compensation,
        }
    }

    pub(super) const fn op_mut(&mut self, op: Op) -> &mut OpState {
        match op {
            Op::Action => &mut self.action,
            Op::Compensation => &mut self.compensation,
        }
    }
}

/// A saga's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The saga.
    pub id: SagaId,
    /// The next fact's number.
    pub seq: u32,
    /// Its status.
    pub status: Status,
    /// Whether it has turned back.
    pub turned: bool,
    /// Whether its output could not be computed.
    pub no_output: bool,
    /// Whether an operator holds it.
    pub paused: bool,
    /// The number after the last fact by an operator.
    pub acted: u32,
    /// The trigger's body.
    pub input: Json,
    /// The steps in order of the plan.
    pub steps: Vec<StepState>,
}

impl State {
    /// The state before the first fact.
    #[must_use]
    pub fn new(outline: &Outline, id: SagaId, input: Json) -> Self {
        let steps = vec![StepState::default(); outline.steps.len()];
        Self {
            id,
            seq: 0,
            status: Status::Running,
            turned: false,
            no_output: false,
            paused: false,
            acted: 0,
            input,
            steps,
        }
    }

    /// Takes a fact into the state. Total: a fact about a step that is not in the outline changes
    /// nothing but the number.
    pub fn apply(&mut self, outline: &Outline, fact: &Fact) {
        self.happened(outline, fact);
        if let Some(status) = fact.next.status {
            self.enter(status, fact.next.error.is_some());
        }
        for send in &fact.next.sends {
            self.sent(send, fact.at);
        }
        self.seq = self.seq.saturating_add(1);
    }

    /// What happened to the operation that a fact is about.
    pub(super) fn happened(&mut self, outline: &Outline, fact: &Fact) {
        let seq = self.seq;
        if fact.kind.is_act() {
            return self.acted_on(outline, fact);
        }
        let Some((at, op)) = fact.step.zip(fact.op) else {
            self.no_output |= fact.kind == Kind::Unmappable;
            return;
        };
        let (Some(step), Some(plan)) = (self.steps.get_mut(at), outline.steps.get(at)) else {
            return;
        };
        let compensatable = plan.kind == StepKind::Compensatable;
        let lost = if op == Op::Action && compensatable { Phase::Unknown } else { Phase::GivenUp };
        let state = step.op_mut(op);
        state.due = None;
        match fact.kind {
            Kind::Started
            | Kind::Resumed
            | Kind::Retry
            | Kind::Skip
            | Kind::Resolve
            | Kind::Cancel
            | Kind::Pause
            | Kind::Unpause => return,
            Kind::Done | Kind::Late => state.phase = Phase::Done,
            Kind::Rejected if op == Op::Action && plan.kind != StepKind::Retriable => {
                state.phase = Phase::Rejected;
            }
            Kind::Rejected => state.phase = Phase::GivenUp,
            Kind::Unmappable if plan.kind == StepKind::Retriable => state.phase = Phase::GivenUp,
            Kind::Unmappable => state.phase = Phase::Rejected,
            Kind::Broke | Kind::TimedOut | Kind::Pending => {
                state.due = fact.next.due;
                let waits =
                    if fact.kind == Kind::Pending { Phase::Pending } else { Phase::Backoff };
                state.phase = if state.due.is_some() { waits } else { lost };
            }
        }
        state.settled_by = seq;
        if op == Op::Action && matches!(fact.kind, Kind::Done | Kind::Late) {
            step.output.clone_from(&fact.detail);
        }
        if fact.kind == Kind::Late {
            step.late(compensatable);
        }
    }

    /// What an operator did. [`Kind::Resolve`] only says who and why: the outcome is the next fact.
    fn acted_on(&mut self, outline: &Outline, fact: &Fact) {
        self.acted = self.seq.saturating_add(1);
        match (fact.kind, fact.step.zip(fact.op)) {
            (Kind::Pause, _) => self.paused = true,
            (Kind::Unpause | Kind::Cancel, _) => self.paused = false,
            (Kind::Retry, _) => self.retried(outline),
            (Kind::Skip, Some((at, op))) => {
                if let Some(step) = self.steps.get_mut(at) {
                    let state = step.op_mut(op);
                    state.phase = Phase::Skipped;
                    state.due = None;
                    state.settled_by = self.seq;
                    if op == Op::Action {
                        step.output = Some(Json::null());
                    }
                }
            }
            _ => {}
        }
    }

    /// What was given up, or waits to be repeated, is sent again at once and counts from now.
    fn retried(&mut self, outline: &Outline) {
        self.no_output = false;
        for (at, op) in self.repeatable(outline) {
            let state = self.steps[at].op_mut(op);
            state.phase = Phase::Idle;
            state.due = None;
            state.counted_from = state.attempt;
            state.first_sent = None;
        }
    }

    /// What an operator can have repeated now.
    pub(super) fn repeatable(&self, outline: &Outline) -> Vec<(usize, Op)> {
        let waits = |phase| matches!(phase, Phase::GivenUp | Phase::Backoff);
        let mut found = Vec::new();
        for (at, (step, plan)) in self.steps.iter().zip(&outline.steps).enumerate() {
            if waits(step.action.phase) && !self.turned {
                found.push((at, Op::Action));
            }
            if waits(step.compensation.phase) && plan.kind == StepKind::Compensatable {
                found.push((at, Op::Compensation));
            }
        }
        found
    }

    /// Turning back leaves nothing waiting to be repeated: whatever was tried has an unknown
    /// outcome. A saga that is paused for a reason turned back while it was held.
    pub(super) fn enter(&mut self, status: Status, blamed: bool) {
        self.status = status;
        let turns = match status {
            Status::Compensating | Status::Compensated => true,
            Status::Paused => blamed,
            _ => false,
        };
        if !turns || self.turned {
            return;
        }
        self.turned = true;
        for step in &mut self.steps {
            if matches!(step.action.phase, Phase::Backoff | Phase::Pending) {
                step.action.phase = Phase::Unknown;
                step.action.due = None;
                step.action.settled_by = self.seq;
            }
        }
    }

    pub(super) fn sent(&mut self, send: &Send, at: Time) {
        let seq = self.seq;
        let Some(step) = self.steps.get_mut(send.step) else { return };
        if let Some(input) = &send.input {
            step.input = Some(input.clone());
        }
        let state = step.op_mut(send.op);
        state.phase = Phase::InFlight;
        if state.attempt == 0 {
            state.asked_by = seq;
        }
        state.attempt = send.attempt;
        state.first_sent = state.first_sent.or(Some(at));
        state.due = Some(send.due);
        state.sent_by = seq;
    }

    /// The earliest time at which the clock must look at this saga; none while it is held.
    #[must_use]
    pub fn due(&self) -> Option<Time> {
        if self.paused {
            return None;
        }
        let ops = self.steps.iter().flat_map(|s| [s.action.due, s.compensation.due]);
        ops.flatten().min()
    }
}

impl StepState {
    /// The fact since which an operation is what an operator can speak of. A compensation has another
    /// meaning after a late success.
    pub(super) fn asked_since(&self, op: Op) -> u32 {
        match op {
            Op::Action if self.action.attempt == 0 => self.action.settled_by,
            Op::Action => self.action.asked_by,
            Op::Compensation => self.action.settled_by.max(self.compensation.asked_by),
        }
    }

    /// A late effect must be undone by an attempt that is sent after it is known, unless an
    /// operator answers for it.
    fn late(&mut self, compensatable: bool) {
        let undo = &mut self.compensation;
        if undo.phase == Phase::Skipped {
            return;
        }
        if !compensatable {
            undo.phase = Phase::GivenUp;
        } else if undo.phase != Phase::Idle {
            undo.phase = Phase::Idle;
            undo.due = None;
            undo.settle_from = undo.attempt.saturating_add(1);
        }
    }
}

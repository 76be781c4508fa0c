//! A saga's state: the fold of its facts.

use std::time::Duration;

use super::{Fact, Kind, Send, Status, Time};
use crate::{Json, Op, Outline, SagaId, StepKind, StepOutline, outline::element_name};

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
    /// Accepted; waits for the real reply, an event, a time or a nested saga until `due`.
    Pending,
    /// A list whose elements are under way.
    Spread,
    /// Done.
    Done,
    /// Said no: nothing changed and nothing will.
    Rejected,
    /// Given up, and nobody knows whether it took effect: it is compensated.
    Unknown,
    /// Given up although it must happen: the saga is stuck.
    GivenUp,
    /// Left out: by its condition, or by an operator, who answers for it.
    Skipped,
}

impl Phase {
    /// Whether it waits to be settled.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::InFlight | Self::Backoff | Self::Pending | Self::GivenUp)
    }

    /// Whether it needs nothing more.
    #[must_use]
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Done | Self::Skipped)
    }

    /// Whether it counts among those that run at once.
    pub(super) const fn is_under_way(self) -> bool {
        matches!(self, Self::InFlight | Self::Backoff | Self::Pending)
    }
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

impl OpState {
    /// Whether an operator has it repeated, and it waits for its turn: for a later stage to be
    /// undone, or for room in its list. What was sent before can still be answered.
    pub(super) fn is_repeated(&self) -> bool {
        self.phase == Phase::Idle && self.attempt > 0
    }
}

/// One step, or one element of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StepState {
    /// The step's position in the outline.
    pub plan: usize,
    /// Which element of the list it is, from 0.
    pub element: Option<u32>,
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

    /// Whether its condition did not hold. What an operator skips has an output, `null`.
    #[must_use]
    pub fn omitted(&self) -> bool {
        self.action.phase == Phase::Skipped && self.output.is_none()
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
    /// Whether it waits for its locks.
    pub queued: bool,
    /// When it must have ended, until that time has passed.
    pub deadline: Option<Time>,
    /// The number after the last fact by an operator.
    pub acted: u32,
    /// The trigger's body.
    pub input: Json,
    /// The plan's steps in its order; after them the elements of lists, as the lists became known.
    pub steps: Vec<StepState>,
    /// The kept events that its steps took.
    pub taken: Vec<i64>,
}

impl State {
    /// The state before the first fact.
    #[must_use]
    pub fn new(outline: &Outline, id: SagaId, input: Json) -> Self {
        let step = |plan| StepState { plan, ..StepState::default() };
        Self {
            id,
            seq: 0,
            status: Status::Running,
            turned: false,
            no_output: false,
            paused: false,
            queued: false,
            deadline: None,
            acted: 0,
            input,
            steps: (0..outline.steps.len()).map(step).collect(),
            taken: Vec::new(),
        }
    }

    /// The name of the step at a position; empty when there is none.
    #[must_use]
    pub fn name(&self, outline: &Outline, at: usize) -> String {
        let Some(step) = self.steps.get(at) else { return String::new() };
        let name = outline.steps.get(step.plan).map_or("", |plan| plan.name.as_str());
        match step.element {
            None => name.to_owned(),
            Some(element) => element_name(name, element as usize),
        }
    }

    /// The position of the step of a name.
    #[must_use]
    pub fn position(&self, outline: &Outline, name: &str) -> Option<usize> {
        if let Some(at) = outline.position(name) {
            return Some(at);
        }
        let (list, element) = outline.element(name)?;
        let first = self.elements(list).next()?;
        let at = first.checked_add(element)?;
        self.steps.get(at).is_some_and(|s| s.plan == list && s.element.is_some()).then_some(at)
    }

    /// The positions of a stage's steps, and of their elements.
    pub(super) fn members(&self, outline: &Outline, stage: u32) -> Vec<usize> {
        let of_stage = |step: &StepState| outline.steps.get(step.plan).map(|plan| plan.stage);
        (0..self.steps.len()).filter(|at| of_stage(&self.steps[*at]) == Some(stage)).collect()
    }

    /// The positions of a list's elements, in order.
    pub(super) fn elements(&self, list: usize) -> impl Iterator<Item = usize> + '_ {
        let elements = self.steps.iter().enumerate();
        elements.filter(move |(_, s)| s.plan == list && s.element.is_some()).map(|(at, _)| at)
    }

    /// Takes a fact into the state. Total: a fact about a step that is not in the outline changes
    /// nothing but the number.
    pub fn apply(&mut self, outline: &Outline, fact: &Fact) {
        self.happened(outline, fact);
        if let Some(status) = fact.next.status {
            self.enter(outline, status, fact.next.error.is_some());
        }
        for send in &fact.next.sends {
            self.sent(outline, send, fact.at);
        }
        self.seq = self.seq.saturating_add(1);
    }

    /// What happened to the operation that a fact is about.
    pub(super) fn happened(&mut self, outline: &Outline, fact: &Fact) {
        if fact.kind.is_act() {
            return self.acted_on(outline, fact);
        }
        self.taken.extend(fact.next.event);
        match fact.kind {
            Kind::Started => {
                let limit = outline.deadline_ms.map(Duration::from_millis);
                self.deadline = limit.map(|limit| fact.at + limit);
            }
            Kind::Granted => self.queued = false,
            Kind::Deadline => self.deadline = None,
            Kind::UndoAsked => self.paused = false,
            Kind::Unmappable if fact.step.is_none() => self.no_output = true,
            _ => {}
        }
        if let Some((at, op)) = fact.step.zip(fact.op) {
            self.befell(outline, fact, at, op);
        }
    }

    /// What happened to one operation.
    fn befell(&mut self, outline: &Outline, fact: &Fact, at: usize, op: Op) {
        let seq = self.seq;
        let Some(step) = self.steps.get_mut(at) else { return };
        let Some(plan) = outline.steps.get(step.plan) else { return };
        let compensatable = plan.kind == StepKind::Compensatable;
        let lost = lost(plan, op);
        let state = step.op_mut(op);
        state.due = None;
        match fact.kind {
            Kind::Expanded => return self.expand(at, fact),
            Kind::Omitted => state.phase = Phase::Skipped,
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
            _ => return,
        }
        state.settled_by = seq;
        if op == Op::Action && matches!(fact.kind, Kind::Done | Kind::Late) {
            step.output.clone_from(&fact.detail);
        }
        if fact.kind == Kind::Late {
            step.late(compensatable);
        }
        self.collect(at);
    }

    /// A list is known: its elements are steps from now on.
    fn expand(&mut self, at: usize, fact: &Fact) {
        let inputs: Vec<Json> =
            fact.detail.as_ref().and_then(|inputs| inputs.read().ok()).unwrap_or_default();
        let plan = self.steps[at].plan;
        let element = |(n, input)| StepState {
            plan,
            element: u32::try_from(n).ok(),
            input: Some(input),
            ..StepState::default()
        };
        self.steps.extend(inputs.into_iter().enumerate().map(element));
        self.steps[at].input.clone_from(&fact.detail);
        self.steps[at].action.phase = Phase::Spread;
        self.collect(at);
    }

    /// A list is done when all its elements are: it answers what they answered.
    fn collect(&mut self, at: usize) {
        let list = self.steps[at].plan;
        if self.steps[list].action.phase != Phase::Spread {
            return;
        }
        let mut outputs = Vec::new();
        for element in self.elements(list) {
            let step = &self.steps[element];
            if !step.action.phase.is_settled() {
                return;
            }
            outputs.push(step.output.as_ref().map_or("null", Json::as_str));
        }
        let output = Json::trusted(&format!("[{}]", outputs.join(",")));
        let list = &mut self.steps[list];
        list.output = Some(output);
        list.action.phase = Phase::Done;
        list.action.settled_by = self.seq;
    }

    /// What an operator did. [`Kind::Resolved`] only says who and why: the outcome is the next fact.
    fn acted_on(&mut self, outline: &Outline, fact: &Fact) {
        self.acted = self.seq.saturating_add(1);
        match (fact.kind, fact.step.zip(fact.op)) {
            (Kind::Paused, _) => self.paused = true,
            (Kind::Unpaused | Kind::Cancelled, _) => self.paused = false,
            (Kind::Retried, _) => self.retried(outline),
            (Kind::Skipped, Some((at, op))) => {
                if let Some(step) = self.steps.get_mut(at) {
                    let state = step.op_mut(op);
                    state.phase = Phase::Skipped;
                    state.due = None;
                    state.settled_by = self.seq;
                    if op == Op::Action {
                        step.output = Some(Json::null());
                    }
                    self.collect(at);
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
        for (at, step) in self.steps.iter().enumerate() {
            let Some(plan) = outline.steps.get(step.plan) else { continue };
            if waits(step.action.phase) && !self.turned {
                found.push((at, Op::Action));
            }
            if waits(step.compensation.phase) && plan.kind == StepKind::Compensatable {
                found.push((at, Op::Compensation));
            }
        }
        found
    }

    /// Turning back leaves nothing waiting: whatever was tried has an unknown outcome, and nothing
    /// more is waited for. A saga that is paused for a reason turned back while it was held.
    pub(super) fn enter(&mut self, outline: &Outline, status: Status, blamed: bool) {
        self.status = status;
        let turns = match status {
            Status::Compensating | Status::Compensated => true,
            Status::Paused => blamed,
            _ => false,
        };
        self.queued = (self.queued || status == Status::Queued) && !turns;
        if status.ended() {
            self.deadline = None;
        }
        if !turns || self.turned {
            return;
        }
        self.turned = true;
        self.deadline = None;
        for step in &mut self.steps {
            if matches!(step.action.phase, Phase::Backoff | Phase::Pending)
                || step.action.is_repeated()
            {
                let effect = outline.steps.get(step.plan).is_none_or(|p| p.task.has_effect());
                step.action.phase = if effect { Phase::Unknown } else { Phase::Rejected };
                step.action.due = None;
                step.action.settled_by = self.seq;
            }
        }
    }

    pub(super) fn sent(&mut self, outline: &Outline, send: &Send, at: Time) {
        let seq = self.seq;
        let Some(step) = self.steps.get_mut(send.step) else { return };
        if let Some(input) = &send.input {
            step.input = Some(input.clone());
        }
        let is_call = outline.steps.get(step.plan).is_none_or(|plan| plan.task.is_call());
        let state = step.op_mut(send.op);
        state.phase = if is_call { Phase::InFlight } else { Phase::Pending };
        if state.attempt == 0 {
            state.asked_by = seq;
        }
        state.attempt = send.attempt;
        state.first_sent = state.first_sent.or(Some(at));
        state.due = send.due;
        state.sent_by = seq;
    }

    /// The earliest time at which the clock must look at this saga; none while it is held.
    #[must_use]
    pub fn due(&self) -> Option<Time> {
        if self.paused || self.status.ended() {
            return None;
        }
        let ops = self.steps.iter().flat_map(|s| [s.action.due, s.compensation.due]);
        ops.flatten().chain(self.deadline).min()
    }
}

/// Where an operation stands that is given up. Waiting has no effect that could be unknown.
fn lost(plan: &StepOutline, op: Op) -> Phase {
    match (op, plan.kind) {
        (Op::Action, StepKind::Compensatable) if plan.task.has_effect() => Phase::Unknown,
        (Op::Action, StepKind::Compensatable) => Phase::Rejected,
        _ => Phase::GivenUp,
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

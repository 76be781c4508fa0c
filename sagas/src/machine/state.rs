//! A saga's state: the fold of its facts.

use super::{Send, Status, Time};
use crate::{EventId, Json, Op, Outline, SagaId, StepKind, outline::element_name};

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
    /// Rejected: nothing changed and nothing will.
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

    /// The fact since which an operation is what an operator can speak of. A compensation has another
    /// meaning after a late success.
    pub(super) fn asked_since(&self, op: Op) -> u32 {
        match op {
            Op::Action if self.action.attempt == 0 => self.action.settled_by,
            Op::Action => self.action.asked_by,
            Op::Compensation => self.action.settled_by.max(self.compensation.asked_by),
        }
    }

    /// Whether its condition did not hold. What an operator skips has an output, `null`.
    #[must_use]
    pub fn omitted(&self) -> bool {
        self.action.phase == Phase::Skipped && self.output.is_none()
    }
}

/// Where the output of a saga stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutputState {
    /// It is computed at the end.
    #[default]
    Computed,
    /// It could not be computed.
    Missing,
    /// An operator gave it, or goes on without.
    Given,
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
    /// Where its output stands.
    pub output: OutputState,
    /// Whether an operator holds it.
    pub paused: bool,
    /// Whether it waits for its locks.
    pub queued: bool,
    /// When it must have ended, until that time has passed.
    pub deadline: Option<Time>,
    /// Whether an operator ever asked for something: there may be acts that are not decided.
    pub asked: bool,
    /// The number after the last fact by an operator.
    pub acted: u32,
    /// The trigger's body.
    pub input: Json,
    /// The plan's steps in its order; after them the elements of lists, as the lists became known.
    pub steps: Vec<StepState>,
    /// The events that its steps took.
    pub taken: Vec<EventId>,
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
            output: OutputState::default(),
            paused: false,
            queued: false,
            deadline: None,
            asked: false,
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

    /// What fact `seq` sent, as far as it is still in flight; nothing while the saga is held.
    pub(super) fn in_flight_since(&self, seq: u32) -> Vec<Send> {
        let mut sends = Vec::new();
        if self.paused {
            return sends;
        }
        for (at, step) in self.steps.iter().enumerate() {
            for op in [Op::Action, Op::Compensation] {
                let state = step.op(op);
                if let (Phase::InFlight, Some(due)) = (state.phase, state.due)
                    && state.sent_by == seq
                {
                    let (attempt, due) = (state.attempt, Some(due));
                    sends.push(Send { step: at, op, attempt, due, input: None });
                }
            }
        }
        sends
    }

    /// The earliest time at which the clock must look at this saga; none while it is held.
    #[must_use]
    pub fn due(&self) -> Option<Time> {
        if self.paused { None } else { self.limit() }
    }

    /// As [`State::due`], also while it is held: a limit passes in a pause too.
    pub(crate) fn limit(&self) -> Option<Time> {
        if self.status.ended() {
            return None;
        }
        let ops = self.steps.iter().flat_map(|s| [s.action.due, s.compensation.due]);
        ops.flatten().chain(self.deadline).min()
    }
}

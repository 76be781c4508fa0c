//! How a fact changes the state.

use std::time::Duration;

use super::{Fact, Kind, OutputState, Phase, Send, State, Status, StepState, Time};
use crate::{Json, Op, Outline, StepKind, StepOutline};

impl State {
    /// Takes a fact into the state. Total: a fact about a step that is not in the outline changes
    /// nothing but the number.
    pub fn apply(&mut self, outline: &Outline, fact: &Fact) {
        self.apply_kind(outline, fact);
        if let Some(status) = fact.next.status {
            self.apply_status(outline, status, fact.next.error.is_some());
        }
        for send in &fact.next.sends {
            self.apply_send(outline, send, fact.at);
        }
        self.seq = self.seq.saturating_add(1);
    }

    /// What happened to the operation that a fact is about.
    pub(super) fn apply_kind(&mut self, outline: &Outline, fact: &Fact) {
        if fact.kind.is_act() {
            return self.apply_command(outline, fact);
        }
        self.taken.extend(fact.next.event.clone());
        match fact.kind {
            Kind::Started => {
                let limit = outline.deadline_ms.map(Duration::from_millis);
                self.deadline = limit.map(|limit| fact.at + limit);
            }
            Kind::Granted => self.queued = false,
            Kind::Deadline => self.deadline = None,
            Kind::UndoAsked => self.paused = false,
            Kind::Unmappable if fact.step.is_none() => self.output = OutputState::Missing,
            Kind::Asked => self.asked = true,
            _ => {}
        }
        if let Some((at, op)) = fact.step.zip(fact.op) {
            self.apply_to_operation(outline, fact, at, op);
        }
    }

    /// What happened to one operation.
    fn apply_to_operation(&mut self, outline: &Outline, fact: &Fact, at: usize, op: Op) {
        let seq = self.seq;
        let Some(step) = self.steps.get_mut(at) else { return };
        let Some(plan) = outline.steps.get(step.plan) else { return };
        let compensatable = plan.kind == StepKind::Compensatable;
        let given_up = phase_when_given_up(plan, op);
        let state = step.op_mut(op);
        state.due = None;
        match fact.kind {
            Kind::Expanded => return self.expand_list(at, fact),
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
                state.phase = if state.due.is_some() { waits } else { given_up };
            }
            _ => return,
        }
        state.settled_by = seq;
        if op == Op::Action && matches!(fact.kind, Kind::Done | Kind::Late) {
            step.output.clone_from(&fact.detail);
        }
        if fact.kind == Kind::Late {
            step.reopen_compensation(compensatable);
        }
        self.collect_list(at);
    }

    /// A list is known: its elements are steps from now on.
    fn expand_list(&mut self, at: usize, fact: &Fact) {
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
        self.collect_list(at);
    }

    /// A list is done when all its elements are: it answers what they answered.
    fn collect_list(&mut self, at: usize) {
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
    fn apply_command(&mut self, outline: &Outline, fact: &Fact) {
        self.acted = self.seq.saturating_add(1);
        match (fact.kind, fact.step.zip(fact.op)) {
            (Kind::Paused, _) => self.paused = true,
            (Kind::Unpaused | Kind::Cancelled, _) => self.paused = false,
            (Kind::Retried, _) => self.repeat(outline),
            (Kind::Skipped | Kind::Resolved, None) => self.output = OutputState::Given,
            (Kind::Skipped, Some((at, op))) => {
                if let Some(step) = self.steps.get_mut(at) {
                    let state = step.op_mut(op);
                    state.phase = Phase::Skipped;
                    state.due = None;
                    state.settled_by = self.seq;
                    if op == Op::Action {
                        step.output = Some(Json::null());
                    }
                    self.collect_list(at);
                }
            }
            _ => {}
        }
    }

    /// What was given up, or waits to be repeated, is sent again at once and counts from now.
    fn repeat(&mut self, outline: &Outline) {
        self.output = OutputState::Computed;
        for (at, op) in self.repeatable(outline) {
            let state = self.steps[at].op_mut(op);
            state.phase = Phase::Idle;
            state.due = None;
            state.counted_from = state.attempt;
            state.first_sent = None;
        }
    }

    /// Turning back leaves nothing waiting: whatever was tried has an unknown outcome, and nothing
    /// more is waited for. A saga that is paused for a reason turned back while it was held.
    pub(super) fn apply_status(&mut self, outline: &Outline, status: Status, has_error: bool) {
        self.status = status;
        let turns = match status {
            Status::Compensating | Status::Compensated => true,
            Status::Paused => has_error,
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

    /// An attempt is under way.
    pub(super) fn apply_send(&mut self, outline: &Outline, send: &Send, at: Time) {
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
}

/// Where an operation stands that is given up. Waiting has no effect that could be unknown.
fn phase_when_given_up(plan: &StepOutline, op: Op) -> Phase {
    match (op, plan.kind) {
        (Op::Action, StepKind::Compensatable) if plan.task.has_effect() => Phase::Unknown,
        (Op::Action, StepKind::Compensatable) => Phase::Rejected,
        _ => Phase::GivenUp,
    }
}

impl StepState {
    /// A late effect must be undone by an attempt that is sent after it is known, unless an
    /// operator answers for it.
    fn reopen_compensation(&mut self, compensatable: bool) {
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

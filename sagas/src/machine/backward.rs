//! The way back, as a state has it: the machine goes it, and the preview of a cancellation shows it.

use std::cmp::Reverse;

use super::{Phase, State, builder::TurnBuilder};
use crate::{Op, Outline, StepKind};

/// Why a saga cannot be turned back, if it cannot: the pivot is done, or is being decided.
pub(crate) fn barred(outline: &Outline, state: &State) -> Option<String> {
    state.steps.iter().find_map(|step| {
        let plan = outline.steps.get(step.plan)?;
        let name = &plan.name;
        match step.action.phase {
            _ if plan.kind == StepKind::Compensatable => None,
            Phase::Rejected => None,
            // One that an operator has repeated was sent before.
            Phase::Idle if !step.action.is_repeated() => None,
            Phase::Done | Phase::Skipped => Some(format!("`{name}` is done: there is no way back")),
            _ => Some(format!(
                "the pivot `{name}` is being decided: wait for its outcome, or resolve it"
            )),
        }
    })
}

/// Whether a step can have an effect that is not undone. Waiting has none, and a list only what its
/// elements have.
pub(crate) fn undoable(outline: &Outline, state: &State, at: usize) -> bool {
    let Some(step) = state.steps.get(at) else { return false };
    let Some(plan) = outline.steps.get(step.plan) else { return false };
    let whole_list = plan.each.is_some() && step.element.is_none();
    plan.task.has_effect() && !whole_list && !step.compensation.phase.is_settled()
}

/// The steps of a stage in the order in which they are undone: side by side, and the last of a list
/// first, so that one that runs one at a time is undone in reverse.
pub(crate) fn stage(outline: &Outline, state: &State, stage: u32) -> Vec<usize> {
    let mut steps = state.members(outline, stage);
    steps.sort_by_key(|at| state.steps[*at].element.map(Reverse));
    steps
}

impl TurnBuilder<'_> {
    /// Compensates the last stage that is not undone. A sibling still in flight is settled first:
    /// its compensation must know what it undoes.
    pub(super) fn backward(&mut self) {
        let in_flight = self.state.steps.iter().any(|s| s.action.phase == Phase::InFlight);
        if in_flight {
            return;
        }
        let Some(last) = self.to_undo().map(|at| self.step(at).stage).max() else { return };
        let mut open = stage(self.outline(), &self.state, last);
        open.retain(|at| self.needs_undo(*at));
        for at in self.startable(&open, Op::Compensation) {
            self.send(at, Op::Compensation, None);
        }
    }

    pub(super) fn to_undo(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.state.steps.len()).filter(|at| self.needs_undo(*at))
    }

    /// Whether a step has, or may have, an effect that stands.
    fn needs_undo(&self, at: usize) -> bool {
        let phase = self.state.steps[at].action.phase;
        let stands = matches!(phase, Phase::Done | Phase::Unknown);
        stands && undoable(self.outline(), &self.state, at)
    }

    /// Why the saga cannot be turned back, if it cannot.
    pub(super) fn no_way_back(&self) -> Option<String> {
        barred(self.outline(), &self.state)
    }
}

//! The way forward: the next stage, and the end.

use super::{
    Kind, OutputState, Phase,
    builder::TurnBuilder,
    fact::{UNMAPPABLE, message_json},
    values::with_env,
    waits,
};
use crate::{ELEMENTS_MAX, Json, MapError, Op, StepKind};

/// Whether there is a way forward.
#[derive(PartialEq, Eq)]
pub(super) enum Forward {
    /// Something is under way, or all is done.
    Waits,
    /// There is no way forward.
    Blocked,
}

impl TurnBuilder<'_> {
    /// Sends the first stage that is not done. A step whose input cannot be computed is recorded as
    /// such: before and at the pivot nothing of its stage is sent, after it the others go on.
    pub(super) fn forward(&mut self) -> Forward {
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
            if !idle.is_empty() && self.is_too_late() {
                waits::deadline(self);
                return Forward::Waits;
            }
            return self.dispatch(&idle);
        }
        self.finish()
    }

    /// Whether the saga's deadline has passed, and the saga can be turned back. What came before it counts
    /// however late it is decided; what it would lead to is not sent any more.
    fn is_too_late(&self) -> bool {
        let passed = self.state.deadline.is_some_and(|deadline| deadline <= self.now);
        passed && self.no_way_back().is_none()
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
                with_env(&self.state, |env| self.definition.condition(at, env))
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
        let inputs = with_env(&self.state, |env| self.definition.step_input(at, env))?;
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
                None => with_env(&self.state, |env| self.definition.step_input(*at, env)),
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
        let detail = message_json(Some(UNMAPPABLE), message);
        self.record(Kind::Unmappable, Some((at, Op::Action, 0)), Some(detail), None);
        self.set_cause(at, UNMAPPABLE, message);
    }

    /// All steps are done. With a pivot among them there is no way back.
    fn finish(&mut self) -> Forward {
        if self.state.output != OutputState::Computed {
            return Forward::Waits;
        }
        match with_env(&self.state, |env| self.definition.output(env)) {
            Ok(output) => {
                if let Some(fact) = self.facts.last_mut() {
                    fact.next.output = Some(output);
                }
                Forward::Waits
            }
            Err(error) => {
                let message = error.to_string();
                let detail = message_json(Some(UNMAPPABLE), &message);
                self.record(Kind::Unmappable, None, Some(detail), None);
                self.set_cause_of_saga(UNMAPPABLE, &message);
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
}

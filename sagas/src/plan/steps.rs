//! The steps of a plan as they are written down: their outlines and their functions.

use std::time::Duration;

use crate::{
    Call, Each, Given, Retry, Step,
    definition::{Input, StepCode},
    duration::millis,
    given::Source,
    outline::{OWN_SERVICE, StepKind, StepOutline, Task},
    step::Policy,
};

/// Default of [`Call::attempt_timeout`].
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);

/// The steps written so far.
#[doc(hidden)]
#[derive(Default)]
pub struct PlanSteps {
    pub(crate) outlines: Vec<StepOutline>,
    pub(crate) code: Vec<StepCode>,
}

/// Where a part stands.
#[doc(hidden)]
pub struct Position {
    pub(super) stage: u32,
    pub(super) condition: Option<Given<bool>>,
}

/// A step as it is written into a plan.
pub(super) struct Written {
    pub(super) name: String,
    pub(super) kind: StepKind,
    pub(super) task: Task,
    pub(super) needs: Vec<String>,
    pub(super) within: Option<Duration>,
    pub(super) code: StepCode,
}

impl PlanSteps {
    pub(super) fn next_stage(&self) -> u32 {
        self.outlines.last().map_or(0, |s| s.stage + 1)
    }

    pub(super) fn needs<T>(&self, given: &Given<T>) -> Vec<String> {
        let name = |source: &Source| match source {
            Source::Input => "input".to_owned(),
            Source::Step(at) => self.outlines.get(*at).map_or_else(String::new, |s| s.name.clone()),
        };
        given.reads().map(name).collect()
    }

    pub(super) fn call<S: Step>(
        &mut self,
        call: Call<S>,
        kind: StepKind,
        place: Position,
    ) -> Given<S::Output> {
        let name = call.name.unwrap_or_else(|| S::NAME.to_owned());
        let output = Given::output_of(self.outlines.len(), &name);
        let needs = self.needs(&call.input);
        let input = Input::Eval(call.input.into_eval());
        self.act::<S>(name, kind, needs, input, call.policy, place);
        output
    }

    pub(super) fn list<S: Step>(
        &mut self,
        list: Each<S>,
        kind: StepKind,
        place: Position,
    ) -> Given<Vec<S::Output>> {
        let name = list.name.unwrap_or_else(|| S::NAME.to_owned());
        let output = Given::output_of(self.outlines.len(), &name);
        let needs = self.needs(&list.inputs);
        let inputs = Input::Eval(list.inputs.into_eval());
        self.act::<S>(name, kind, needs, inputs, list.policy, place);
        if let Some(step) = self.outlines.last_mut() {
            step.each = Some(list.at_once);
        }
        output
    }

    fn act<S: Step>(
        &mut self,
        name: String,
        kind: StepKind,
        needs: Vec<String>,
        input: Input,
        policy: Policy,
        place: Position,
    ) {
        let Policy { retry, compensation_retry, attempt_timeout, within } = policy;
        let code =
            StepCode { input, ..StepCode::new(|output| output.read::<S::Output>().map(drop)) };
        let task = Task::Call;
        self.push(Written { name, kind, task, needs, within, code }, place);
        let Some(step) = self.outlines.last_mut() else { return };
        let (service, operation) = S::NAME.split_once('.').unwrap_or((S::NAME, ""));
        service.clone_into(&mut step.service);
        operation.clone_into(&mut step.operation);
        step.retry = retry.unwrap_or(step.retry);
        step.compensation_retry = compensation_retry.unwrap_or(step.compensation_retry);
        step.attempt_timeout_ms = attempt_timeout.map_or(step.attempt_timeout_ms, millis);
    }

    /// Writes a step down, with the default policies of its kind.
    pub(super) fn push(&mut self, written: Written, place: Position) {
        let Written { name, kind, task, needs, within, mut code } = written;
        let retry = if kind == StepKind::Compensatable { Retry::ACTION } else { Retry::PERSISTENT };
        let condition = place.condition.as_ref().map(|condition| self.needs(condition));
        code.condition = place.condition.map(Given::into_eval);
        self.outlines.push(StepOutline {
            stage: place.stage,
            name,
            service: OWN_SERVICE.to_owned(),
            operation: task.operation().to_owned(),
            kind,
            needs,
            retry,
            compensation_retry: Retry::PERSISTENT,
            attempt_timeout_ms: millis(ATTEMPT_TIMEOUT),
            within_ms: within.map(millis),
            task,
            condition,
            each: None,
        });
        self.code.push(code);
    }
}

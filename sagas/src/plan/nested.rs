//! How a nested saga is written into a plan.

use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};

use super::{
    BeforePivot, Decides, Nested, Part, Saga,
    steps::{PlanSteps, Position, Written},
};
use crate::{
    Definition, Given,
    definition::{Input, StepCode},
    outline::{StepKind, Task},
};

impl<S: Saga> Nested<S>
where
    S::Input: Serialize,
    S::Output: DeserializeOwned,
{
    fn add(self, steps: &mut PlanSteps, kind: StepKind, place: Position) -> Given<S::Output> {
        let child = Definition::of::<S>();
        let name = self.name.unwrap_or_else(|| S::NAME.to_owned());
        let output = Given::output_of(steps.outlines.len(), &name);
        let needs = steps.needs(&self.input);
        let digest = child.as_ref().map_or_else(|_| String::new(), |c| c.digest().to_owned());
        let task = Task::Saga { definition: S::NAME.to_owned(), version: S::VERSION, digest };
        let code = StepCode {
            input: Input::Eval(self.input.into_eval()),
            child: Some(child.map(Arc::new)),
            ..StepCode::new(|output| output.read::<S::Output>().map(drop))
        };
        steps.push(Written { name, kind, task, needs, within: self.within, code }, place);
        output
    }
}

impl<S: Saga> Part<BeforePivot> for Nested<S>
where
    S::Input: Serialize,
    S::Output: DeserializeOwned,
{
    type Value = S::Output;

    fn write(self, steps: &mut PlanSteps, place: Position) -> Given<S::Output> {
        self.add(steps, StepKind::Compensatable, place)
    }
}

impl<S: Saga> Decides for Nested<S>
where
    S::Input: Serialize,
    S::Output: DeserializeOwned,
{
    type Value = S::Output;

    fn decide(self, steps: &mut PlanSteps, place: Position) -> Given<S::Output> {
        self.add(steps, StepKind::Pivot, place)
    }
}

//! A saga as a step of another.

use std::{marker::PhantomData, sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    BeforePivot, Decides, Given, Input, OnlyIf, Part, Place, Plan, Saga, StepCode, part::Written,
};
use crate::{
    Definition,
    outline::{StepKind, Task},
};

/// A saga as a step; see [`Saga::nested`].
///
/// ```
/// # use amends::{BeforePivot, Given, Plan, Saga};
/// # use serde::{Serialize, de::DeserializeOwned};
/// fn rent<Rental>(p: &mut Plan<BeforePivot>, days: Given<Rental::Input>) -> Given<Rental::Output>
/// where
///     Rental: Saga<Input: Serialize, Output: DeserializeOwned>,
/// {
///     p.step(Rental::nested(days).named("car"))
/// }
/// ```
#[must_use = "it does nothing until it is given to the plan"]
pub struct Nested<S: Saga> {
    input: Given<S::Input>,
    name: Option<String>,
    within: Option<Duration>,
    saga: PhantomData<fn() -> S>,
}

impl<S: Saga> Nested<S> {
    pub(super) const fn new(input: Given<S::Input>) -> Self {
        Self { input, name: None, within: None, saga: PhantomData }
    }

    /// A name for the step within its saga, in place of the nested definition's.
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// How long to wait for its end. Then it is given up: before the pivot it is compensated, as the
    /// pivot it leaves the saga stuck. Default: no limit but its own deadline.
    pub fn within(mut self, limit: Duration) -> Self {
        self.within = Some(limit);
        self
    }

    /// As [`Call::only_if`](crate::Call::only_if).
    pub fn only_if(self, condition: Given<bool>) -> OnlyIf<Self> {
        OnlyIf::new(self, condition)
    }
}

impl<S: Saga> Nested<S>
where
    S::Input: Serialize,
    S::Output: DeserializeOwned,
{
    fn add(self, plan: &mut Plan<BeforePivot>, kind: StepKind, place: Place) -> Given<S::Output> {
        let draft = &mut plan.draft;
        let child = Definition::of::<S>();
        let name = self.name.unwrap_or_else(|| S::NAME.to_owned());
        let output = Given::output_of(draft.steps.len(), &name);
        let needs = draft.needs(&self.input);
        let digest = child.as_ref().map_or_else(|_| String::new(), |c| c.digest().to_owned());
        let task = Task::Saga { definition: S::NAME.to_owned(), version: S::VERSION, digest };
        let code = StepCode {
            input: Input::Eval(self.input.into_eval()),
            child: Some(child.map(Arc::new)),
            ..StepCode::new(|output| output.read::<S::Output>().map(drop))
        };
        draft.push(Written { name, kind, task, needs, within: self.within, code }, place);
        output
    }
}

impl<S: Saga> Part<BeforePivot> for Nested<S>
where
    S::Input: Serialize,
    S::Output: DeserializeOwned,
{
    type Value = S::Output;

    fn write(self, plan: &mut Plan<BeforePivot>, place: Place) -> Given<S::Output> {
        self.add(plan, StepKind::Compensatable, place)
    }
}

impl<S: Saga> Decides for Nested<S>
where
    S::Input: Serialize,
    S::Output: DeserializeOwned,
{
    type Value = S::Output;

    fn decide(self, plan: &mut Plan<BeforePivot>, place: Place) -> Given<S::Output> {
        self.add(plan, StepKind::Pivot, place)
    }
}

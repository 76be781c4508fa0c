//! What may stand in a plan: calls, lists of calls, waits, nested sagas, each perhaps under a
//! condition.

use super::{AfterPivot, BeforePivot, Given, Plan, StandsIn, StepCode};
use crate::{
    outline::{StepKind, Task},
    step::{Call, Step},
};
use std::time::Duration;

/// A part of a plan, for [`Plan::step`] and [`Plan::together`].
pub trait Part<Phase>: Sized {
    /// What it answers.
    type Value: 'static;
    #[doc(hidden)]
    fn write(self, plan: &mut Plan<Phase>, place: Place) -> Given<Self::Value>;
}

/// A part that can be the pivot, for [`Plan::pivot`]: a call or a nested saga.
pub trait Decides: Sized {
    /// What it answers.
    type Value: 'static;
    #[doc(hidden)]
    fn decide(self, plan: &mut Plan<BeforePivot>, place: Place) -> Given<Self::Value>;
}

/// Where a part stands.
#[doc(hidden)]
pub struct Place {
    pub(super) stage: u32,
    pub(super) condition: Option<Given<bool>>,
}

/// The kind of whatever can stand in either phase, because it has nothing to undo and cannot be rejected.
#[doc(hidden)]
pub trait EitherPhase {
    const KIND: StepKind;
}

impl EitherPhase for BeforePivot {
    const KIND: StepKind = StepKind::Compensatable;
}

impl EitherPhase for AfterPivot {
    const KIND: StepKind = StepKind::Retriable;
}

impl<Phase, S: StandsIn<Phase>> Part<Phase> for Call<S> {
    type Value = S::Output;

    fn write(self, plan: &mut Plan<Phase>, place: Place) -> Given<S::Output> {
        plan.draft.call(self, S::KIND, place)
    }
}

impl<S: Step> Decides for Call<S> {
    type Value = S::Output;

    fn decide(self, plan: &mut Plan<BeforePivot>, place: Place) -> Given<S::Output> {
        plan.draft.call(self, StepKind::Pivot, place)
    }
}

/// A part that runs only under a condition; see [`Call::only_if`].
#[must_use = "it does nothing until it is given to the plan"]
pub struct OnlyIf<P> {
    part: P,
    condition: Given<bool>,
}

impl<P> OnlyIf<P> {
    pub(crate) const fn new(part: P, condition: Given<bool>) -> Self {
        Self { part, condition }
    }
}

impl<Phase, P: Part<Phase>> Part<Phase> for OnlyIf<P> {
    type Value = Option<P::Value>;

    fn write(self, plan: &mut Plan<Phase>, place: Place) -> Given<Self::Value> {
        let step = plan.draft.steps.len();
        let place = Place { condition: Some(self.condition), ..place };
        self.part.write(plan, place).unless_omitted(step)
    }
}

/// A step as it is written into the draft.
pub(super) struct Written {
    pub(super) name: String,
    pub(super) kind: StepKind,
    pub(super) task: Task,
    pub(super) needs: Vec<String>,
    pub(super) within: Option<Duration>,
    pub(super) code: StepCode,
}

//! What may stand in a plan: calls, lists of calls, waits, nested sagas, each perhaps under a
//! condition.

use super::{
    StandsIn,
    steps::{PlanSteps, Position},
};
use crate::{Call, Each, Given, OnlyIf, Step, outline::StepKind};

/// A part of a plan, for [`Plan::step`](crate::Plan::step) and
/// [`Plan::together`](crate::Plan::together).
pub trait Part<Phase>: Sized {
    /// What it answers.
    type Value: 'static;
    #[doc(hidden)]
    fn write(self, steps: &mut PlanSteps, place: Position) -> Given<Self::Value>;
}

/// A part that can be the pivot, for [`Plan::pivot`](crate::Plan::pivot): a call or a nested
/// saga.
pub trait Decides: Sized {
    /// What it answers.
    type Value: 'static;
    #[doc(hidden)]
    fn decide(self, steps: &mut PlanSteps, place: Position) -> Given<Self::Value>;
}

impl<Phase, S: StandsIn<Phase>> Part<Phase> for Call<S> {
    type Value = S::Output;

    fn write(self, steps: &mut PlanSteps, place: Position) -> Given<S::Output> {
        steps.call(self, S::KIND, place)
    }
}

impl<Phase, S: StandsIn<Phase>> Part<Phase> for Each<S> {
    type Value = Vec<S::Output>;

    fn write(self, steps: &mut PlanSteps, place: Position) -> Given<Vec<S::Output>> {
        steps.list(self, S::KIND, place)
    }
}

impl<S: Step> Decides for Call<S> {
    type Value = S::Output;

    fn decide(self, steps: &mut PlanSteps, place: Position) -> Given<S::Output> {
        steps.call(self, StepKind::Pivot, place)
    }
}

impl<Phase, P: Part<Phase>> Part<Phase> for OnlyIf<P> {
    type Value = Option<P::Value>;

    fn write(self, steps: &mut PlanSteps, place: Position) -> Given<Self::Value> {
        let step = steps.outlines.len();
        let place = Position { condition: Some(self.condition), ..place };
        self.part.write(steps, place).unless_omitted(step)
    }
}

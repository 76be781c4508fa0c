//! The phases of a plan: what may stand before the pivot, and what after it.

use std::convert::Infallible;

use crate::{Compensatable, Rejection, Step, outline::StepKind};

/// Phase of a plan before the pivot: each step can be undone.
pub struct BeforePivot;

/// Phase of a plan after the pivot: no step can be rejected.
pub struct AfterPivot;

/// Which steps may stand in which phase of a plan.
#[diagnostic::on_unimplemented(
    message = "the step `{Self}` cannot stand here: the plan is in its phase `{Phase}`",
    label = "not allowed in this phase",
    note = "`BeforePivot`, before the pivot: a step needs a compensation; write `impl Compensatable for {Self} {{}}` and a `Compensate` handler in its service, or make the step the pivot",
    note = "`AfterPivot`, after the pivot: a step must not be able to say no (`type Rejection = Infallible`)"
)]
pub trait StandsIn<Phase>: Step {
    #[doc(hidden)]
    const KIND: StepKind;
}

impl<S: Compensatable> StandsIn<BeforePivot> for S {
    const KIND: StepKind = StepKind::Compensatable;
}

impl<S: Step<Rejection: Never>> StandsIn<AfterPivot> for S {
    const KIND: StepKind = StepKind::Retriable;
}

/// A rejection that cannot happen. It is a trait for the sake of the compiler's words.
#[diagnostic::on_unimplemented(
    message = "a step that may say no (`{Self}`) cannot stand after the pivot",
    label = "its `Rejection` is `{Self}`",
    note = "after the pivot there is no way back: move the step before the pivot, or give it `type Rejection = Infallible`"
)]
#[doc(hidden)]
pub trait Never: Rejection {}

impl Never for Infallible {}

/// The kind of whatever can stand in either phase, because it has nothing to undo and cannot be
/// rejected.
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

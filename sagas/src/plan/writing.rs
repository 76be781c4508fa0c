//! A plan being written.

use std::marker::PhantomData;

use serde::Serialize;

use super::{AfterPivot, BeforePivot, Decides, Group, Part, Position, steps::PlanSteps};
use crate::{Given, given::Eval};

/// A plan being written: steps before the pivot, the pivot, steps after it, the end.
///
/// ```
/// # use std::convert::Infallible;
/// use amends::{BeforePivot, Compensatable, Finished, Given, Plan, Step};
/// # macro_rules! step { ($step:ident $name:literal) => {
/// #     pub struct $step;
/// #     impl Step for $step {
/// #         const NAME: &'static str = $name;
/// #         type Input = i64;
/// #         type Output = i64;
/// #         type Rejection = Infallible;
/// #     }
/// # } }
/// # step!(Hold "bank.hold");
/// # impl Compensatable for Hold {}
/// # step!(Take "bank.take");
/// # step!(Tell "mail.tell");
/// fn plan(mut p: Plan<BeforePivot>, amount: Given<i64>) -> Finished<i64> {
///     let held = p.step(Hold::with(amount)); // can be undone
///     let (mut p, taken) = p.pivot(Take::with(held)); // decides: `p` is another phase from here
///     p.step(Tell::with(taken.clone())); // cannot be refused, and is repeated until it is done
///     p.finish(taken)
/// }
/// ```
#[must_use = "a plan ends with `finish`"]
pub struct Plan<Phase> {
    steps: PlanSteps,
    phase: PhantomData<Phase>,
}

/// A finished plan.
pub struct Finished<T> {
    pub(crate) steps: PlanSteps,
    pub(crate) output: Eval,
    pub(crate) output_needs: Vec<String>,
    result: PhantomData<fn() -> T>,
}

impl Plan<BeforePivot> {
    pub(crate) fn new() -> Self {
        Self { steps: PlanSteps::default(), phase: PhantomData }
    }

    /// The step that decides: when it is done there is no way back. It may be rejected (the saga is
    /// then compensated), and needs no compensation. When nobody knows its outcome it is repeated, and
    /// at last the saga is stuck.
    pub fn pivot<P: Decides>(mut self, part: P) -> (Plan<AfterPivot>, Given<P::Value>) {
        let place = Position { stage: self.steps.next_stage(), condition: None };
        let output = part.decide(&mut self.steps, place);
        (Plan { steps: self.steps, phase: PhantomData }, output)
    }
}

impl<Phase> Plan<Phase> {
    /// The next step; it begins when all before it are done.
    pub fn step<P: Part<Phase>>(&mut self, part: P) -> Given<P::Value> {
        let place = Position { stage: self.steps.next_stage(), condition: None };
        part.write(&mut self.steps, place)
    }

    /// Steps that run in parallel, and are compensated in parallel: a tuple of 2 to 8 parts. None of
    /// them can read what another of them answers, for the outputs come after it.
    ///
    /// ```
    /// # use amends::{Compensatable, BeforePivot, Given, Plan, Step};
    /// # pub struct BookHotel;
    /// # impl Step for BookHotel {
    /// #     const NAME: &'static str = "hotel.book";
    /// #     type Input = u8;
    /// #     type Output = u64;
    /// #     type Rejection = std::convert::Infallible;
    /// # }
    /// # impl Compensatable for BookHotel {}
    /// fn two_hotels(p: &mut Plan<BeforePivot>, nights: &Given<u8>) -> (Given<u64>, Given<u64>) {
    ///     p.together((
    ///         BookHotel::with(nights.clone()).named("hotel.first"),
    ///         BookHotel::with(nights.map(|n| n / 2)).named("hotel.second"),
    ///     ))
    /// }
    /// ```
    pub fn together<G: Group<Phase>>(&mut self, parts: G) -> G::Outputs {
        parts.add(&mut self.steps)
    }

    /// The end: what the saga answers. Where that cannot be computed the saga
    /// [is stuck, or turns back if it has no pivot](Given#when-a-value-cannot-be-computed).
    pub fn finish<T: Serialize + 'static>(self, output: Given<T>) -> Finished<T> {
        let output_needs = self.steps.needs(&output);
        Finished {
            output: output.into_eval(),
            output_needs,
            steps: self.steps,
            result: PhantomData,
        }
    }
}

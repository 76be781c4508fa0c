//! What runs only under a condition.

use crate::Given;

/// A part that runs only under a condition; see [`Call::only_if`](crate::Call::only_if).
///
/// ```
/// # use amends::{BeforePivot, Compensatable, Given, Plan, Step};
/// # pub struct Insure;
/// # impl Step for Insure {
/// #     const NAME: &'static str = "insurance.take";
/// #     type Input = i64;
/// #     type Output = String;
/// #     type Rejection = std::convert::Infallible;
/// # }
/// # impl Compensatable for Insure {}
/// fn if_dear(p: &mut Plan<BeforePivot>, price: Given<i64>) -> Given<Option<String>> {
///     let dear = price.map(|price| price > 1_000);
///     p.step(Insure::with(price).only_if(dear)) // `None` when it was skipped
/// }
/// ```
#[must_use = "it does nothing until it is given to the plan"]
pub struct OnlyIf<P> {
    pub(crate) part: P,
    pub(crate) condition: Given<bool>,
}

impl<P> OnlyIf<P> {
    pub(crate) const fn new(part: P, condition: Given<bool>) -> Self {
        Self { part, condition }
    }
}

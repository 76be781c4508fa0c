//! What runs only under a condition.

use crate::Given;

/// A part that runs only under a condition; see [`Call::only_if`](crate::Call::only_if).
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

//! The same step for each element of a list.

use super::{Given, OnlyIf, Part, Place, Plan, StandsIn};
use crate::step::{Policy, Step, policies};

/// Elements of a list that run at once, unless the plan says otherwise.
const AT_ONCE: u32 = 16;

/// Most elements of a list: a saga's state is read and written whole.
pub const ELEMENTS_MAX: usize = 1000;

/// A step for each element of a list; see [`Step::each`].
///
/// ```
/// # use amends::{Compensatable, BeforePivot, Given, Plan, Step};
/// # pub struct BookHotel;
/// # impl Step for BookHotel {
/// #     const NAME: &'static str = "hotel.book";
/// #     type Input = String;
/// #     type Output = u64;
/// #     type Rejection = std::convert::Infallible;
/// # }
/// # impl Compensatable for BookHotel {}
/// fn all_hotels(p: &mut Plan<BeforePivot>, cities: Given<Vec<String>>) -> Given<Vec<u64>> {
///     p.step(BookHotel::each(cities).at_once(4))
/// }
/// ```
#[must_use = "it does nothing until it is given to the plan"]
pub struct Each<S: Step> {
    pub(super) inputs: Given<Vec<S::Input>>,
    pub(super) at_once: u32,
    pub(crate) name: Option<String>,
    pub(crate) policy: Policy,
}

impl<S: Step> Each<S> {
    pub(crate) fn new(inputs: Given<Vec<S::Input>>) -> Self {
        Self { inputs, at_once: AT_ONCE, name: None, policy: Policy::default() }
    }

    /// How many elements are asked for, or undone, at once; 0 counts as 1. They are asked for in the
    /// order of the list, and undone from its end. Default 16.
    pub fn at_once(mut self, elements: u32) -> Self {
        self.at_once = elements.max(1);
        self
    }

    /// As [`Call::only_if`](crate::Call::only_if).
    pub fn only_if(self, condition: Given<bool>) -> OnlyIf<Self> {
        OnlyIf::new(self, condition)
    }
}

policies!(Each);

impl<Phase, S: StandsIn<Phase>> Part<Phase> for Each<S> {
    type Value = Vec<S::Output>;

    fn write(self, plan: &mut Plan<Phase>, place: Place) -> Given<Vec<S::Output>> {
        plan.draft.list(self, S::KIND, place)
    }
}

//! A step: one unit of work at one service, as a type that both sides share.

use std::{convert::Infallible, marker::PhantomData, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use crate::{Given, OnlyIf, Retry};

/// Elements of a list that run at once, unless the plan says otherwise.
const AT_ONCE: u32 = 16;

/// One unit of work at one service. The type is the contract between plan and worker; it has no
/// behaviour of its own.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// #[derive(Serialize, Deserialize)] pub struct Parcel { pub country: String }
/// #[derive(Serialize, Deserialize)] pub struct Booked { pub parcel: String }
/// #[derive(Debug)] pub struct NoRoute;
/// impl amends::Rejection for NoRoute {
///     fn code(&self) -> &str { "no_route" }
/// }
/// pub struct BookParcel;
/// impl amends::Step for BookParcel {
///     const NAME: &'static str = "shipping.book"; // service.operation
///     type Input = Parcel;
///     type Output = Booked;
///     type Rejection = NoRoute;
/// }
/// impl amends::Compensatable for BookParcel {}
/// ```
pub trait Step: 'static {
    /// `<service>.<operation>`, each `[a-z0-9_-]+`.
    const NAME: &'static str;
    /// What the action is given.
    type Input: Serialize + DeserializeOwned + Send + 'static;
    /// What the action answers.
    type Output: Serialize + DeserializeOwned + Send + 'static;
    /// Why the service may reject the action. [`Infallible`] means: it cannot, so the step may stand
    /// after the pivot.
    type Rejection: Rejection;

    /// This step with the given input, and default policies. Of an input that cannot be computed nothing is sent:
    /// [the saga turns back, or is stuck](Given#when-a-value-cannot-be-computed).
    fn with(input: Given<Self::Input>) -> Call<Self>
    where
        Self: Sized,
    {
        Call { input, name: None, policy: Policy::default(), step: PhantomData }
    }

    /// This step once for each element of a list, side by side: what one needs of the others is not
    /// known to it, and each is compensated for itself. An element is named `<step>.<n>`, from 0. A
    /// list has at most [`ELEMENTS_MAX`](crate::ELEMENTS_MAX) elements; an empty one is done at once.
    fn each(inputs: Given<Vec<Self::Input>>) -> Each<Self>
    where
        Self: Sized,
    {
        Each::new(inputs)
    }
}

/// A step with a compensation: some worker implements `Compensate` for it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no compensation, so it cannot stand before the pivot",
    note = "write `impl Compensatable for {Self} {{}}` and a `Compensate` handler in its service, or make it the pivot; if it comes after the pivot, use the plan that `p.pivot(…)` returned"
)]
pub trait Compensatable: Step {}

/// Why a service rejects an action: nothing changed and nothing will. Never retried.
///
/// ```
/// pub enum NoStock { SoldOut { article: String }, Unknown }
///
/// impl amends::Rejection for NoStock {
///     fn code(&self) -> &str {
///         match self {
///             Self::SoldOut { .. } => "sold_out",
///             Self::Unknown => "unknown_article",
///         }
///     }
///
///     fn message(&self) -> String {
///         match self {
///             Self::SoldOut { article } => format!("no {article} is left"),
///             Self::Unknown => "there is no such article".to_owned(),
///         }
///     }
/// }
/// ```
pub trait Rejection: Send + 'static {
    /// A word for programs: at most 64 bytes, `[a-z0-9_]+` by habit.
    fn code(&self) -> &str;
    /// A sentence for people; empty by default.
    fn message(&self) -> String {
        String::new()
    }
}

impl Rejection for Infallible {
    fn code(&self) -> &str {
        match *self {}
    }
}

/// A step's place in a plan: its input and policies.
///
/// ```
/// # use std::time::Duration;
/// # use amends::{Call, Given, Retry, Step};
/// # pub struct BookHotel;
/// # impl Step for BookHotel {
/// #     const NAME: &'static str = "hotel.book";
/// #     type Input = u8;
/// #     type Output = u64;
/// #     type Rejection = std::convert::Infallible;
/// # }
/// fn patiently(nights: Given<u8>) -> Call<BookHotel> {
///     BookHotel::with(nights)
///         .named("hotel.patient")
///         .retry(Retry::exponential(Duration::from_secs(1), Duration::from_secs(60)).limit(20))
///         .compensation_retry(Retry::PERSISTENT)
///         .attempt_timeout(Duration::from_secs(30))
///         .within(Duration::from_secs(900))
/// }
/// ```
#[must_use = "a call does nothing until it is given to the plan"]
pub struct Call<S: Step> {
    pub(crate) input: Given<S::Input>,
    pub(crate) name: Option<String>,
    pub(crate) policy: Policy,
    step: PhantomData<fn() -> S>,
}

/// The policies that a call and a list of calls share.
macro_rules! policies {
    ($part:ident) => {
        impl<S: crate::Step> $part<S> {
            /// A name for the step within its saga (`[a-z0-9_.-]+`) in place of
            /// `service.operation`; needed when one operation is used twice.
            pub fn named(mut self, name: &str) -> Self {
                self.name = Some(name.to_owned());
                self
            }

            /// How the action is repeated. Default: [`Retry::ACTION`](crate::Retry::ACTION) before
            /// the pivot, [`Retry::PERSISTENT`](crate::Retry::PERSISTENT) from the pivot on.
            pub fn retry(mut self, retry: crate::Retry) -> Self {
                self.policy.retry = Some(retry);
                self
            }

            /// How the compensation is repeated. Default:
            /// [`Retry::PERSISTENT`](crate::Retry::PERSISTENT).
            pub fn compensation_retry(mut self, retry: crate::Retry) -> Self {
                self.policy.compensation_retry = Some(retry);
                self
            }

            /// How long one attempt may take until its outcome counts as broken and it is sent
            /// again. Default 15 s, which is above the fail-over time of a JetStream cluster.
            pub fn attempt_timeout(mut self, timeout: std::time::Duration) -> Self {
                self.policy.attempt_timeout = Some(timeout);
                self
            }

            /// How long the action may take with all its retries; then it is given up and its
            /// outcome is unknown. Default: no limit but the number of attempts.
            pub fn within(mut self, limit: std::time::Duration) -> Self {
                self.policy.within = Some(limit);
                self
            }
        }
    };
}

/// Policies as they are written in a plan; what is not said takes the default of the step's kind.
#[derive(Default)]
pub(crate) struct Policy {
    pub(crate) retry: Option<Retry>,
    pub(crate) compensation_retry: Option<Retry>,
    pub(crate) attempt_timeout: Option<Duration>,
    pub(crate) within: Option<Duration>,
}

impl<S: Step> Call<S> {
    /// Run it only if `condition` holds when its turn comes; else it is skipped, and there is nothing
    /// to compensate. What it answers is then `None`. A condition that cannot be computed has the
    /// [consequences of such an input](Given#when-a-value-cannot-be-computed).
    pub fn only_if(self, condition: Given<bool>) -> OnlyIf<Self> {
        OnlyIf::new(self, condition)
    }
}

policies!(Call);

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
    pub(crate) inputs: Given<Vec<S::Input>>,
    pub(crate) at_once: u32,
    pub(crate) name: Option<String>,
    pub(crate) policy: Policy,
}

impl<S: Step> Each<S> {
    fn new(inputs: Given<Vec<S::Input>>) -> Self {
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

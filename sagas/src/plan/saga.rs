//! A saga as a type: its name, what starts it, and its plan.

use std::{marker::PhantomData, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use super::{BeforePivot, Finished, Plan};
use crate::{Given, OnlyIf};

/// A saga: name, version, trigger and plan. The crate's [front page](crate) shows a whole one.
pub trait Saga: 'static {
    /// The definition's name, `[a-z0-9_-]+`.
    const NAME: &'static str;
    /// The version; a changed plan needs a new one.
    const VERSION: u32;
    /// The trigger's body.
    type Input: DeserializeOwned + 'static;
    /// The saga's result.
    type Output: Serialize + 'static;

    /// What starts it.
    fn trigger() -> Trigger<Self::Input>;
    /// The steps, written down once when the definition is built. No step runs here.
    fn plan(plan: Plan<BeforePivot>, input: Given<Self::Input>) -> Finished<Self::Output>;

    /// How long a saga may take, from its start: a second to a year. When the time is over and the
    /// pivot was not asked for, it turns back (code `deadline`); after that the deadline is only
    /// recorded, logged as an error and counted. Default: no limit.
    fn deadline() -> Option<Duration> {
        None
    }

    /// This saga as a step of another. Its id follows from that saga and the step; it begins in the
    /// same commit, and its end is the step's outcome: completed is ok, compensated is rejected.
    /// Undoing the step turns it back, also when it was completed; therefore before the pivot it
    /// needs a plan of compensatable steps only. It takes no locks: the outer saga does.
    fn nested(input: Given<Self::Input>) -> Nested<Self>
    where
        Self: Sized,
    {
        Nested::new(input)
    }
}

/// What starts a saga.
///
/// ```
/// use amends::Trigger;
/// #[derive(serde::Deserialize)]
/// struct OrderPlaced { order_id: u64 }
/// let trigger = Trigger::<OrderPlaced>::on("orders.placed").key(|order| order.order_id.to_string());
/// # drop(trigger);
/// ```
pub struct Trigger<T> {
    pub(crate) subject: String,
    pub(crate) key: Option<fn(&T) -> String>,
    pub(crate) locks: Vec<fn(&T) -> String>,
}

impl<T> Trigger<T> {
    /// Each message on this subject.
    #[must_use]
    pub fn on(subject: &str) -> Self {
        Self { subject: subject.to_owned(), key: None, locks: Vec::new() }
    }

    /// The business key (1 to 256 bytes): one saga per key, for ever. Without it each stored
    /// message starts a saga. Where `key` panics or returns no such key, no saga starts, and the trigger is a
    /// dead letter.
    #[must_use]
    pub fn key(self, key: fn(&T) -> String) -> Self {
        Self { key: Some(key), ..self }
    }

    /// A semantic lock, named by 1 to 256 bytes: sagas that name the same one take turns, in order of
    /// arrival, and wait as `queued`. It is held until the saga has ended, so until every effect is
    /// settled. A saga takes all its locks at once, up to 8: no two can wait for each other. Where `name` panics or
    /// returns no such name, no saga starts, and the trigger is a dead letter.
    #[must_use]
    pub fn lock(mut self, name: fn(&T) -> String) -> Self {
        self.locks.push(name);
        self
    }
}

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
    pub(super) input: Given<S::Input>,
    pub(super) name: Option<String>,
    pub(super) within: Option<Duration>,
    saga: PhantomData<fn() -> S>,
}

impl<S: Saga> Nested<S> {
    const fn new(input: Given<S::Input>) -> Self {
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

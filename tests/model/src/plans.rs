//! The sagas that are explored: few steps, two attempts each.

use std::{convert::Infallible, time::Duration};

use amends::{
    Await, BeforePivot, Call, Compensatable, Finished, Given, Plan, Rejection, Retry, Saga, Step,
    Trigger,
};

/// The subject of the event that a step waits for.
pub(crate) const PAID: &str = "orders.paid";

/// Two attempts, some seconds apart.
fn twice() -> Retry {
    let delay = Duration::from_secs(4);
    Retry::exponential(delay, delay).limit(2)
}

/// Why a service says no.
pub(crate) struct Refused;

impl Rejection for Refused {
    fn code(&self) -> &str {
        "refused"
    }
}

macro_rules! steps {
    ($($name:ident = $text:literal, rejects $rejection:ty;)+) => {
        $(
            pub(crate) struct $name;

            impl Step for $name {
                const NAME: &'static str = $text;
                type Input = u32;
                type Output = u32;
                type Rejection = $rejection;
            }
        )+
    };
}

steps! {
    Hold = "stock.hold", rejects Refused;
    Book = "parcel.book", rejects Refused;
    Charge = "card.charge", rejects Refused;
    Mail = "mail.send", rejects Infallible;
}

impl Compensatable for Hold {}
impl Compensatable for Book {}

fn call<S: Step<Input = u32>>(order: &Given<u32>) -> Call<S> {
    S::with(order.clone()).retry(twice()).compensation_retry(twice())
}

fn on_order() -> Trigger<u32> {
    Trigger::on("orders.placed")
}

macro_rules! saga {
    (
        $(#[$doc:meta])* $saga:ident = $text:literal, on $trigger:expr, within $deadline:expr,
        |$p:ident, $order:ident| $plan:block
    ) => {
        $(#[$doc])*
        pub(crate) struct $saga;

        impl Saga for $saga {
            const NAME: &'static str = $text;
            const VERSION: u32 = 1;
            type Input = u32;
            type Output = u32;

            fn trigger() -> Trigger<u32> {
                $trigger
            }

            fn deadline() -> Option<Duration> {
                $deadline
            }

            fn plan(mut $p: Plan<BeforePivot>, $order: Given<u32>) -> Finished<u32> $plan
        }
    };
}

saga! {
    /// One of each kind.
    Straight = "straight", on on_order(), within None, |p, order| {
        p.step(call::<Hold>(&order));
        let (mut p, paid) = p.pivot(call::<Charge>(&order));
        p.step(call::<Mail>(&order));
        p.finish(paid)
    }
}

saga! {
    /// Two stages that can be undone; what is done last may be undone first.
    Reversible = "reversible", on on_order(), within None, |p, order| {
        p.step(call::<Hold>(&order));
        let booked = p.step(call::<Book>(&order));
        p.finish(booked)
    }
}

saga! {
    /// Two steps side by side before the pivot.
    Parallel = "parallel", on on_order(), within None, |p, order| {
        p.together((call::<Hold>(&order), call::<Book>(&order)));
        let (p, paid) = p.pivot(call::<Charge>(&order));
        p.finish(paid)
    }
}

saga! {
    /// A list, one element at a time.
    Listed = "listed", on on_order(), within None, |p, order| {
        let both = order.map(|order| vec![order, order + 1]);
        let each = Hold::each(both).at_once(1).retry(twice()).compensation_retry(twice());
        p.step(each);
        let (p, paid) = p.pivot(call::<Charge>(&order));
        p.finish(paid)
    }
}

saga! {
    /// Longer than one attempt may take, shorter than two.
    Urgent = "urgent", on on_order(), within Some(Duration::from_secs(16)), |p, order| {
        p.step(call::<Hold>(&order));
        let (p, paid) = p.pivot(call::<Charge>(&order));
        p.finish(paid)
    }
}

saga! {
    /// Waits for an event before the pivot.
    Waiting = "waiting", on on_order(), within None, |p, order| {
        p.step(call::<Hold>(&order));
        let paid = Await::<u32>::on(PAID)
            .matching(|paid: &u32| paid.to_string())
            .key(order.map(|order| order.to_string()))
            .within(Duration::from_secs(20));
        p.step(paid);
        let (p, paid) = p.pivot(call::<Charge>(&order));
        p.finish(paid)
    }
}

saga! {
    /// One saga for each order.
    Keyed = "keyed", on on_order().key(|order| (order % 10).to_string()), within None, |p, order| {
        p.step(call::<Hold>(&order));
        let (p, paid) = p.pivot(call::<Charge>(&order));
        p.finish(paid)
    }
}

saga! {
    /// Takes turns with its like.
    Locked = "locked", on on_order().lock(|_| "stock".to_owned()), within None, |p, order| {
        let held = p.step(call::<Hold>(&order));
        p.finish(held)
    }
}

saga! {
    /// A saga within it.
    Outer = "outer", on on_order(), within None, |p, order| {
        p.step(Reversible::nested(order.clone()));
        let (p, paid) = p.pivot(call::<Charge>(&order));
        p.finish(paid)
    }
}

saga! {
    /// A saga as its pivot.
    Decided = "decided", on on_order(), within None, |p, order| {
        p.step(call::<Hold>(&order));
        let (p, booked) = p.pivot(Reversible::nested(order.clone()));
        p.finish(booked)
    }
}

//! The fault matrix: a saga and a model of its services, on a virtual clock and without servers,
//! under everything that can go wrong. The feature `testing` switches it on, for tests alone:
//!
//! ```toml
//! [dev-dependencies]
//! amends = { version = "0.1", features = ["testing"] }
//! ```
//!
//! One call in a `#[test]`:
//!
//! ```
//! # use std::convert::Infallible;
//! # use amends::{Compensatable, BeforePivot, Finished, Given, Plan, Rejection, Saga, Step, Trigger};
//! # pub struct Full;
//! # impl Rejection for Full { fn code(&self) -> &str { "full" } }
//! # pub struct BookHotel;
//! # impl Step for BookHotel {
//! #     const NAME: &'static str = "hotel.book";
//! #     type Input = u32;
//! #     type Output = u32;
//! #     type Rejection = Full;
//! # }
//! # impl Compensatable for BookHotel {}
//! # pub struct SendTickets;
//! # impl Step for SendTickets {
//! #     const NAME: &'static str = "mail.tickets";
//! #     type Input = u32;
//! #     type Output = ();
//! #     type Rejection = Infallible;
//! # }
//! # pub struct BookTrip;
//! # impl Saga for BookTrip {
//! #     const NAME: &'static str = "trip";
//! #     const VERSION: u32 = 1;
//! #     type Input = u32;
//! #     type Output = u32;
//! #     fn trigger() -> Trigger<u32> { Trigger::on("trips.wanted") }
//! #     fn plan(mut p: Plan<BeforePivot>, nights: Given<u32>) -> Finished<u32> {
//! #         let room = p.step(BookHotel::with(nights));
//! #         let (p, _) = p.pivot(SendTickets::with(room.clone()));
//! #         p.finish(room)
//! #     }
//! # }
//! use amends::{machine::Status, testing::FaultMatrix};
//!
//! #[derive(Clone)]
//! struct World { free: u32, mails: u32 }
//!
//! let coverage = FaultMatrix::of::<BookTrip>(3)            // the trigger's body
//!     .world(|| World { free: 10, mails: 0 })              // as each run begins
//!     .act::<BookHotel>(|world: &mut World, _, nights| {
//!         world.free = world.free.checked_sub(nights).ok_or(Full)?; // a rejection: rolled back, and final
//!         Ok(nights)
//!     })
//!     .compensate::<BookHotel>(|world, _, undo| world.free += undo.input)
//!     .act::<SendTickets>(|world, _, _| {
//!         world.mails += 1;
//!         Ok(())
//!     })
//!     .invariant("no room is lost", |world| world.free == 10 || world.mails == 1)
//!     .ends(Status::Compensated, "all is as before", |world| world.free == 10)
//!     .seeds(500)
//!     .run();
//! println!("{coverage}");
//! ```
//!
//! It runs every [`Fault`] at every step alone, all pairs of them, a crash of the orchestrator after
//! each write, alone and with every other fault, and mixtures drawn from seeds, in which messages are
//! lost, doubled, delayed and reordered, three orchestrators with outdated memories die at any moment,
//! timers fire late and operators act. The machine is the one that production runs; the
//! orchestrators, the pipe, the clock and the services' barrier are simulated. In the end the faults
//! stop, and an operator has tried again what is stuck.
//!
//! After each run the user's invariants and the guarantees must hold: each effect exactly once, or
//! undone exactly once and in reverse order; what is unknown, or done late, is undone; nothing is
//! published before it is committed or acked before it is published; the saga ends; its state is the
//! fold of its facts; the same event twice changes nothing. Otherwise [`FaultMatrix::run`] panics with
//! the faults, what broke, the saga's transcript and all messages, and with the line that repeats
//! the run: `.replay("lost_reply hotel.book:action + crash 7")` or `.replay("seed 17/240")`. It also
//! panics when faults that were planned did not happen, for then it proves nothing.
//!
//! That these checks can fail is tested too: `tests/mutants` builds these sources with some fifty
//! bugs of the protocol, and the runs find each.

mod account;
mod audit;
mod awaited;
mod barrier;
mod breach;
mod case;
mod checker;
mod database;

mod ends;
mod fault;
mod judge;
mod made;
mod matrix;
mod message;
mod model;
mod operators;
mod orchestrators;
mod outbox;
mod pipe;
mod random;
mod report;
mod saga;
mod schedule;
mod sends;
mod serve;
mod services;
mod sim;
mod store;
mod threads;
mod unused;

pub use fault::{Fault, Planned};
pub use made::{Admitting, Mapping, Matching, StepFunctions, definition};
pub use matrix::FaultMatrix;
pub use model::Effect;
pub use report::Coverage;

#[cfg(test)]
pub(crate) use {
    breach::{Breach, Guarantee, Kept},
    checker::Seen,
    fault::everywhere,
    random::{AccidentSource, SplitMix64},
    schedule::FaultSchedule,
    services::{Outcome, RandomAct, SagaView, Services, Work},
    sim::{End, External, Setting, Sim},
    threads::share,
};

#[cfg(test)]
mod tests;

//! Amends runs distributed transactions across services as sagas. With this crate you write a saga: its
//! steps ([`Step`]), their order and the values that flow between them ([`Plan`], [`Given`]), and the event
//! that starts it ([`Trigger`]). The orchestrator and the services share these types. The crate also holds
//! the pure core of Amends, the state machine of sagas and the format of messages. It does no I/O, reads no
//! clock and draws no random number.
//!
//! Three more crates make a program of it: `amends-workers` serves the steps, `amends-orchestrator` runs the
//! sagas, and `amends-app` puts both into one program with a command line.
//!
//! A whole saga: book a hotel, which can be cancelled; charge the card, which decides; send the
//! tickets, which must not fail.
//!
//! ```
//! use std::convert::Infallible;
//! use amends::{
//!     Compensatable, BeforePivot, Definition, Finished, Given, Plan, Rejection, Saga, Step, Trigger,
//!     Values,
//! };
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! pub struct TripWanted { pub trip: u64, pub nights: u8, pub card: String }
//!
//! pub struct Full;
//! impl Rejection for Full {
//!     fn code(&self) -> &str { "full" }
//! }
//! pub struct BookHotel;
//! impl Step for BookHotel {
//!     const NAME: &'static str = "hotel.book"; // service.operation
//!     type Input = u8;
//!     type Output = Booking;
//!     type Rejection = Full;
//! }
//! impl Compensatable for BookHotel {} // some worker can cancel it
//! #[derive(Serialize, Deserialize)]
//! pub struct Booking { pub room: u32, pub price: i64 }
//!
//! pub struct Declined;
//! impl Rejection for Declined {
//!     fn code(&self) -> &str { "declined" }
//! }
//! pub struct ChargeCard;
//! impl Step for ChargeCard {
//!     const NAME: &'static str = "card.charge";
//!     type Input = Charge;
//!     type Output = u64;
//!     type Rejection = Declined;
//! }
//! #[derive(Serialize, Deserialize)]
//! pub struct Charge { pub card: String, pub amount: i64 }
//!
//! pub struct SendTickets;
//! impl Step for SendTickets {
//!     const NAME: &'static str = "mail.tickets";
//!     type Input = u32;
//!     type Output = ();
//!     type Rejection = Infallible; // cannot be rejected
//! }
//!
//! pub struct BookTrip;
//! impl Saga for BookTrip {
//!     const NAME: &'static str = "trip";
//!     const VERSION: u32 = 1;
//!     type Input = TripWanted;
//!     type Output = u64;
//!
//!     fn trigger() -> Trigger<TripWanted> {
//!         Trigger::on("trips.wanted").key(|trip| trip.trip.to_string())
//!     }
//!
//!     fn plan(mut p: Plan<BeforePivot>, trip: Given<TripWanted>) -> Finished<u64> {
//!         let hotel = p.step(BookHotel::with(trip.map(|trip| trip.nights)));
//!         let charge = (trip, hotel.clone())
//!             .map(|trip, hotel| Charge { card: trip.card, amount: hotel.price });
//!         let (mut p, receipt) = p.pivot(ChargeCard::with(charge)); // no way back from here
//!         p.step(SendTickets::with(hotel.map(|hotel| hotel.room)));
//!         p.finish(receipt)
//!     }
//! }
//!
//! let definition = Definition::of::<BookTrip>()?;
//! assert_eq!(definition.outline().to_string(), "\
//! trip@1  on trips.wanted, one saga per key
//! ├─ hotel.book  compensatable, 10 attempts of 15 s, from input
//! ├─ card.charge  pivot, 30 attempts of 15 s, from input + hotel.book
//! └─ mail.tickets  retriable, 30 attempts of 15 s, from hotel.book
//! ");
//! # Ok::<(), amends::DefinitionError>(())
//! ```
//!
//! | to | start at |
//! |---|---|
//! | describe a step: service, operation, types, refusals | [`Step`], [`Rejection`], [`Compensatable`] |
//! | write a plan | [`Saga`], [`Plan`] |
//! | compute one value from others; what follows when that fails | [`Given`] |
//! | set retries and time limits of a step | [`Call`], [`Retry`] |
//! | run steps side by side, or one for each element of a list | [`Plan::together`], [`Step::each`] |
//! | leave a step out under a condition | [`OnlyIf`] |
//! | wait for an event or a time | [`Await`], [`Delay`] |
//! | run a saga as a step of another | [`Saga::nested`] |
//! | let sagas take turns | [`Trigger::lock`] |
//! | test a saga against every fault (feature `testing`) | [`testing::FaultMatrix`] |
//! | check a plan, compare two, draw one | [`check`], [`diff()`], [`svg`], [`mermaid`] |
//! | write a service without `amends-workers` | [`wire`] |
//! | read the state machine | [`machine::decide`]; for a batch of events [`turn`] |

mod cloudevent;
mod condition;
mod definition;
mod diff;
mod duration;
mod given;
mod graph;
mod handlers;
mod headers;
mod ids;
mod json;
pub mod machine;
mod members;
mod name;
mod outline;
mod panic;
mod plan;
pub mod preview;
mod printable;
mod record;
mod retry;
mod retry_loop;
#[cfg(test)]
mod sample;
mod soundness;
mod status_event;
mod step;
// Documentation shows it always; its examples run where it is switched on.
#[cfg(any(test, feature = "testing", all(doc, not(doctest))))]
pub mod testing;
mod trace;
pub mod transcript;
pub mod turn;
pub mod wire;

pub use cloudevent::{EventError, event_data};
pub use condition::OnlyIf;
pub use definition::{
    Admitted, AwaitedError, AwaitedErrorKind, Definition, DefinitionError, DefinitionErrorKind,
    InputError, KEY_BYTES_MAX, LOCKS_MAX, OutlineError, STEPS_MAX, read_outline, usable_key,
};
pub use diff::{Difference, DifferenceKind, diff};
pub use given::{Given, MapError, Values};
pub use graph::{mermaid, svg};
pub use handlers::Handler;
pub use headers::{HeaderError, Headers};
pub use ids::{AttemptId, EventId, IdError, Op, SagaId};
pub use json::{Json, JsonError, PAYLOAD_BYTES_MAX, PAYLOAD_DEPTH_MAX};
pub use name::{
    NAME_LEN_MAX, NameError, STEP_LEN_MAX, check_name, check_operation, check_step, check_subject,
};
pub use outline::{ELEMENTS_MAX, Outline, StepKind, StepOutline, Task};
pub use plan::{
    AfterPivot, Await, BeforePivot, Decides, Delay, Finished, Group, Nested, Part, Plan, Position,
    Saga, StandsIn, Trigger,
};
pub use record::{
    FactRow, NextColumns, NextRecord, Record, RecordError, SendRecord, UnreadableFact,
    UnreadableNext, fold,
};
pub use retry::Retry;
pub use retry_loop::RetryLoop;
pub use soundness::{Finding, Severity, check};
pub use status_event::{StatusChange, StatusEvent, status_event};
pub use step::{Call, Compensatable, Each, Rejection, Step};
pub use trace::{TraceContext, TraceError, TraceParent};

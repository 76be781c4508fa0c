//! Serves the steps of sagas. A service has handlers for its steps ([`Act`], [`Compensate`]). This crate
//! pulls the service's commands from NATS JetStream, runs each in a transaction of the service's Postgres
//! together with the barrier that makes it safe to repeat, sends the reply, and publishes the events that
//! the service emits.
//!
//! A whole service, with the contract of its one step:
//!
//! ```no_run
//! use std::convert::Infallible;
//!
//! use amends::{Compensatable, Rejection, Step, wire::Undo};
//! use amends_workers::{
//!     Act, Address, Attempt, Compensate, Database, Halt, SESSION, Service, migrate, reject,
//! };
//! use serde::{Deserialize, Serialize};
//! use tokio_util::sync::CancellationToken;
//!
//! // The contract, which the service shares with the saga.
//! #[derive(Serialize, Deserialize)]
//! pub struct Stay { pub guest: String, pub nights: i32 }
//! pub struct Full;
//! impl Rejection for Full {
//!     fn code(&self) -> &str { "full" }
//! }
//! pub struct BookRoom;
//! impl Step for BookRoom {
//!     const NAME: &'static str = "hotel.book"; // service.operation
//!     type Input = Stay;
//!     type Output = i32; // the number of the room
//!     type Rejection = Full;
//! }
//! impl Compensatable for BookRoom {}
//!
//! // The handlers. What they write in `cx.tx` commits together with the reply, exactly once.
//! struct Hotel;
//!
//! impl Act<BookRoom> for Hotel {
//!     async fn act(&self, cx: &mut Attempt<'_>, stay: Stay) -> Result<i32, Halt<Full>> {
//!         let book = "update hotel.room set guest = $1 where number =
//!             (select number from hotel.room where guest is null limit 1 for update skip locked)
//!             returning number";
//!         let booked = sqlx::query_scalar(book).bind(stay.guest);
//!         match booked.fetch_optional(&mut *cx.tx).await? { // an error is repeated
//!             Some(room) => Ok(room),
//!             None => reject(Full), // a refusal is final
//!         }
//!     }
//! }
//!
//! impl Compensate<BookRoom> for Hotel {
//!     async fn compensate(
//!         &self,
//!         cx: &mut Attempt<'_>,
//!         undo: Undo<Stay, i32>,
//!     ) -> Result<(), Halt<Infallible>> {
//!         let free = "update hotel.room set guest = null where number = $1";
//!         sqlx::query(free).bind(undo.output).execute(&mut *cx.tx).await?;
//!         Ok(())
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let address = "postgres://hotel@localhost/hotel".parse::<Address>()?.for_writing();
//!     let database = Database::new(address, &SESSION, 16);
//!     migrate(&database).await?; // the barrier; `migrate_schema` makes the service's own tables
//!     let hotel = Service::new("hotel", database, Hotel).step::<BookRoom>().build()?;
//!
//!     let stop = CancellationToken::new();
//!     let stopped = stop.clone();
//!     tokio::spawn(async move {
//!         if tokio::signal::ctrl_c().await.is_ok() {
//!             stopped.cancel(); // what is running is finished first
//!         }
//!     });
//!     hotel.serve(async_nats::connect("nats://localhost").await?, stop).await;
//!     Ok(())
//! }
//! ```
//!
//! | to | start at |
//! |---|---|
//! | write the handlers of a step | [`Act`], [`Compensate`], [`Attempt`] |
//! | refuse, repeat later, answer later | [`Halt`], [`reject`] |
//! | put a service together, and protect it from load | [`Service`], [`Builder`] |
//! | know whether it takes commands | [`Service::health`] |
//! | send an answer hours after its command | [`Halt::Pending`], then [`Replies`] |
//! | publish an event if and only if a transaction commits | [`Attempt::emit`], [`emit`] |
//! | emit events from a program without steps | [`Relay`] |
//! | make the tables of barrier and service | [`migrate`], [`migrate_schema`] |
//! | call the barrier by yourself | [`barrier`] |

mod attempt;
pub mod barrier;
mod circuit_breaker;
mod database_gate;
mod execution;
mod fault;
mod halt;
mod handler;
mod health;
mod meter;
mod outbox;
mod rate_limiter;
mod replies;
mod serve;
mod service;

pub use amends_postgres::{Address, Database};
pub use attempt::Attempt;
pub use barrier::migrate::{MigrationError, migrate, migrate_schema};
pub use halt::{Halt, reject};
pub use handler::{Act, Compensate};
pub use health::Health;
pub use outbox::{Hint, Relay, emit};
pub use replies::{Replies, ReplyError};
pub use service::{Builder, Service, ServiceError};

/// Settings that a service's sessions need. What an attempt whose worker is gone holds, others wait for: the
/// server ends it by these, or by its keepalives.
pub const SESSION: [(&str, &str); 5] = [
    ("lock_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "60s"),
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "2"),
    ("tcp_keepalives_count", "3"),
];

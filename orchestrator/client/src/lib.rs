//! Starts sagas and watches them from a Rust service, typed by the [`Saga`](amends::Saga). The client speaks SQL
//! alone: it needs the orchestrator's Postgres and the saga's contract, and neither NATS nor the saga's services.
//!
//! A whole program: a hotel books a room, and prints the outcome.
//!
//! ```no_run
//! use std::{convert::Infallible, time::Duration};
//!
//! use amends::{BeforePivot, Compensatable, Finished, Given, Plan, Rejection, Saga, Step, Trigger};
//! use amends_client::{Client, End};
//! use serde::{Deserialize, Serialize};
//!
//! // The contract, which is shared with the program that runs the saga.
//! #[derive(Serialize, Deserialize)]
//! pub struct StayWanted { pub stay: u64, pub nights: u8 }
//! pub struct Full;
//! impl Rejection for Full {
//!     fn code(&self) -> &str { "full" }
//! }
//! pub struct BookRoom;
//! impl Step for BookRoom {
//!     const NAME: &'static str = "hotel.book";
//!     type Input = u8;
//!     type Output = u32;
//!     type Rejection = Full;
//! }
//! pub struct BookStay;
//! impl Saga for BookStay {
//!     const NAME: &'static str = "stay";
//!     const VERSION: u32 = 1;
//!     type Input = StayWanted;
//!     type Output = u32;
//!
//!     fn trigger() -> Trigger<StayWanted> {
//!         Trigger::on("stays.wanted").key(|stay| stay.stay.to_string())
//!     }
//!     fn plan(p: Plan<BeforePivot>, stay: Given<StayWanted>) -> Finished<u32> {
//!         let (p, room) = p.pivot(BookRoom::with(stay.map(|stay| stay.nights)));
//!         p.finish(room)
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let client = Client::connect("postgres://shop@localhost/shop")?;
//!     let wanted = StayWanted { stay: 17, nights: 2 };
//!     // The same stay once more is the same saga.
//!     let stay = client.start::<BookStay>(&wanted).await?;
//!     match client.wait(&stay, Duration::from_secs(20)).await? {
//!         End::Completed(room) => println!("room {room}"),
//!         End::Compensated(why) if why.code == "full" => println!("we are full"),
//!         End::Compensated(why) => println!("turned back: {}", why.message),
//!         End::Stuck(why) => println!("saga {} needs a person: {}", stay.id(), why.message),
//!         End::TimedOut(status) => println!("still at it: {status:?}"),
//!     }
//!     Ok(())
//! }
//! ```
//!
//! | to | start at |
//! |---|---|
//! | start a saga, and know which it is | [`Client::start`] |
//! | start a saga if and only if a transaction commits | [`Client::start_in`], then [`Client::started`] |
//! | find a saga by its business key | [`Client::find`] |
//! | look at a saga | [`Client::status`] |
//! | wait for its end | [`Client::wait`] |
//! | keep a handle as an id, and have it again | [`Started::id`], [`Started::of`] |
//! | tell one failure from another | [`Error`] |
//!
//! # Rights
//!
//! The login needs no role of Amends. These are all the rights that the client asks for; they let it start sagas
//! of any definition, and see how they end, with their outputs:
//!
//! ```sql
//! grant usage on schema amends to shop;
//! grant execute on function amends.start to shop;
//! grant select on amends.starts, amends.sagas, amends.keys, amends.rights to shop;
//! grant amends_payload_reader to shop;
//! ```
//!
//! A login that only starts, by [`Client::start_in`], needs the first two. A member of `amends_operator` has all but
//! the last, and may cancel and resolve sagas beside; a member of `amends_viewer` may look, and not start. Without
//! `amends_payload_reader` a login sees that a saga is completed as [`Error::Hidden`].
//!
//! # Time
//!
//! Every wait has a bound. Each look is one statement, which [`Database`] bounds: 5 s for a session, 12 s for an
//! answer. Between two looks a wait pauses for 20 ms, then twice as long each time, up to 500 ms; a look under way
//! when the time is over is not cut off. A database that is away meanwhile is looked for again until then.

mod client;
mod error;
mod handle;
mod poll;
mod status;

pub use amends::{SagaId, machine::Failure};
pub use amends_postgres::{Address, AddressError, Database};
pub use client::Client;
pub use error::Error;
pub use handle::{Request, Started};
pub use status::{End, Status};

//! Runs sagas: the only crate that keeps their state. [`run`] takes the definitions of sagas, a Postgres and a
//! NATS client. It listens to triggers and replies, decides what they mean, commits that to Postgres,
//! publishes commands, and goes on until it is told to stop. Any number of replicas may run side by side.
//!
//! Most programs need no more than `amends-app`, which runs this crate behind a command line. A program that is an
//! orchestrator by itself, with a saga of one step:
//!
//! ```no_run
//! use std::{convert::Infallible, sync::Arc};
//!
//! use amends::{BeforePivot, Definition, Finished, Given, Plan, Saga, Step, Trigger};
//! use amends_orchestrator::{Address, Config, Database, Health, SESSION, migrate, run};
//! use tokio_util::sync::CancellationToken;
//!
//! pub struct Charge;
//! impl Step for Charge {
//!     const NAME: &'static str = "payment.charge"; // service.operation
//!     type Input = u64;
//!     type Output = ();
//!     type Rejection = Infallible;
//! }
//! pub struct PlaceOrder;
//! impl Saga for PlaceOrder {
//!     const NAME: &'static str = "order";
//!     const VERSION: u32 = 1;
//!     type Input = u64;
//!     type Output = ();
//!
//!     fn trigger() -> Trigger<u64> {
//!         Trigger::on("orders.placed").key(u64::to_string)
//!     }
//!     fn plan(p: Plan<BeforePivot>, order: Given<u64>) -> Finished<()> {
//!         let (p, charged) = p.pivot(Charge::with(order));
//!         p.finish(charged)
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let config = Config { lanes: 2, ..Config::default() };
//!     let address = "postgres://amends@localhost/shop".parse::<Address>()?.for_writing();
//!     // Two connections for each lane, and nine more.
//!     let database = Database::new(address, &SESSION, 13);
//!     migrate(&database).await?;
//!     let nats = async_nats::connect("nats://localhost").await?;
//!     let definitions = vec![Definition::of::<PlaceOrder>()?];
//!
//!     let health = Arc::new(Health::default()); // `health.ready()` answers a readiness probe
//!     let stop = CancellationToken::new();
//!     let stopped = stop.clone();
//!     tokio::spawn(async move {
//!         if tokio::signal::ctrl_c().await.is_ok() {
//!             stopped.cancel();
//!         }
//!     });
//!     run(config, database, nats, definitions, health, stop).await?;
//!     Ok(())
//! }
//! ```
//!
//! | to | start at |
//! |---|---|
//! | run an orchestrator | [`run`] |
//! | set lanes, sizes of streams, retention | [`Config`] |
//! | make or update the schema `amends` | [`migrate`] |
//! | know whether it is ready | [`Health::ready`] |
//! | tell why it does not run | [`RunError`] |
//! | look at the streams and consumers of an installation | [`survey`] |
//! | write a saga | the crate `amends` |
//! | start and watch sagas from another program | the crate `amends-client` |
//!
//! # How it works
//!
//! ```text
//! (bus) listen ─┐                                ┌─▶ handover: publish ─▶ ack (bus)
//!       clock ──┴─▶ lane: load ─ decide ─ commit ┘
//!      (store)           (store)         (store)
//! ```
//!
//! Commit, publish, ack, in this order, is the outbox: a crash anywhere leaves the message unacked
//! or the timer due, and the repeated turn finds its work done and publishes again. The core decides
//! the meaning of a batch of events, in [`amends::turn::Batch`]; this crate reads, writes and sends.
//!
//! Beside that way: `awaited` keeps events that steps wait for, `lead` says which replica takes the
//! messages, and `maintenance` looks after streams, tables and dead letters. `prepare` checks schema,
//! definitions and streams beforehand; `run` puts all of it together, and takes it apart again.

mod admission;
mod awaited;
mod burial;
mod bus;
mod clock;
mod config;
mod halves;
mod handover;
mod health;
mod lane;
mod lead;
mod letter;
mod listen;
mod maintenance;
mod prepare;
mod registry;
mod run;
mod store;
pub mod survey;
mod time;

pub use amends_postgres::{Address, AddressError, Database, MigrationError};
pub use bus::TopologyError;
pub use config::{Config, SESSION};
pub use health::Health;
pub use prepare::RunError;
pub use run::run;
pub use store::{RegisterError, SchemaError, is_not_migrated, migrate};

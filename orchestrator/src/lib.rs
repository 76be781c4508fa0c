//! The orchestrator: the only crate that keeps saga state.
//!
//! ```text
//! (bus) listen ─┐                                ┌─▶ handover: publish ─▶ ack (bus)
//!       clock ──┴─▶ lane: load ─ decide ─ commit ┘
//!      (store)           (store)         (store)
//! ```
//!
//! Commit, publish, ack, in this order, is the outbox: a crash anywhere leaves the message unacked
//! or the timer due, and the repeated turn finds its work done and publishes again. What a batch of
//! events means is decided by the core, in [`amends::turn::Batch`]; here is what it needs and does.
//!
//! Beside that way: `awaited` keeps events that steps wait for, `lead` says which replica takes the
//! messages, and `maintenance` looks after streams, tables and dead letters. `prepare` has ready what
//! must be there before; `run` puts all of it together, and takes it apart again.

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
mod time;

pub use amends_postgres::MigrationError;
pub use bus::TopologyError;
pub use config::{Config, SESSION};
pub use health::Health;
pub use prepare::RunError;
pub use run::run;
pub use store::{RegisterError, SchemaError, is_not_migrated, migrate};

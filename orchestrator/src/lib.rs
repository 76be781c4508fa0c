//! The orchestrator: the only crate that keeps saga state.
//!
//! ```text
//! listen ─┐                        ┌─▶ handover: publish ─▶ ack (bus)
//! clock ──┴─▶ lane: load ─ decide ─ commit (store)
//! ```
//!
//! Commit, publish, ack, in this order, is the outbox: a crash anywhere leaves the message unacked
//! or the timer due, and the repeated turn finds its work done and publishes again.

mod awaited;
mod bus;
mod clock;
mod config;
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

pub use bus::TopologyError;
pub use config::{Config, SESSION};
pub use health::Health;
pub use prepare::RunError;
pub use run::run;
pub use store::{MigrationError, RegisterError, SchemaError, is_not_migrated, migrate};

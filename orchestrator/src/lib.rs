//! The orchestrator: the only crate that keeps saga state.
//!
//! ```text
//! listen ─┐                        ┌─▶ bus: publish ─▶ ack
//! clock ──┴─▶ lane: load ─ decide ─ commit (store)
//! ```
//!
//! Commit, publish, ack, in this order, is the outbox: a crash anywhere leaves the message unacked
//! or the timer due, and the repeated turn finds its work done and publishes again.

mod bus;
mod clock;
mod health;
mod keep;
mod lane;
mod lead;
mod letter;
mod listen;
mod registry;
mod run;
mod store;

pub use bus::TopologyError;
pub use health::Health;
pub use run::{Config, RunError, SESSION, run};
pub use store::{MigrationError, RegisterError, SchemaError, is_not_migrated, migrate};

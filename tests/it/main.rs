//! Everything that needs the whole, in one binary.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so by a panic, in its helpers too"
)]

mod arrivals;
mod audit;
mod audit_chain;
mod barrier;
mod candidates;
mod compile_fail;
mod docs;
mod doubled;
mod fuzz;
mod golden;
mod held_up;
mod large;
mod letters;
mod live;
mod migrating;
mod model;
mod modules;
mod outbox;
mod packages;
mod payloads;
mod plans;
mod queries;
mod scenarios;
mod schema;
mod script;
mod shared_database;
mod silence;
mod statements;
mod support;
mod tidy;
mod timers;
mod walker;

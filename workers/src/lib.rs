//! What a service's author uses: handlers for the steps of a service, the barrier that makes them
//! safe to repeat, and a loop that serves them from NATS JetStream.
//!
//! | to read | start at |
//! |---|---|
//! | how a step is handled | [`Act`], [`Compensate`], [`Attempt`], [`Halt`] |
//! | how a service is put together and served | [`Service`] |
//! | what keeps effects apart | [`barrier`], and `migrations/participant/` for the SQL |
//! | how an event is published if and only if a transaction commits | [`Attempt::emit`], [`emit`] |
//! | how an answer comes later than its attempt | [`Halt::Pending`] and [`Replies`] |

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

//! The long-running roles, and what prepares their databases.
//!
//! | to read | start at |
//! |---|---|
//! | the roles | `orchestrator`, `worker`, `dev` |
//! | schemas brought up to date | `migrate` |
//! | connecting to Postgres and NATS | [`connect`] |
//! | what a monitor asks | `probes`, `telemetry` |
//! | how a role ends | `shutdown` |

pub mod connect;
pub(crate) mod dev;
pub(crate) mod migrate;
pub(crate) mod orchestrator;
mod probes;
mod shutdown;
pub(crate) mod telemetry;
pub(crate) mod worker;

pub use migrate::prepare;
pub use orchestrator::orchestrator;
pub use shutdown::stop_on_signal;
pub use telemetry::log_lines;
pub use worker::SERVICE_CONNECTIONS;

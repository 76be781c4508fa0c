//! The long-running roles, and what prepares their databases.
//!
//! | to read | start at |
//! |---|---|
//! | the roles | `orchestrator`, `worker`, both in one process: `all`, with private servers: `dev` |
//! | schemas brought up to date, and what a login needs in them | `migrate`, `grant` |
//! | connecting to Postgres, to NATS | [`connect`], [`nats`] |
//! | who logs in to NATS, by TLS, and whether they are let in | `credentials`, `nats_tls`, `login` |
//! | what a monitor asks | `probes`, `http`, `telemetry` |
//! | how a role ends | `shutdown` |

pub(crate) mod all;
pub mod connect;
mod credentials;
pub(crate) mod dev;
pub(crate) mod grant;
mod http;
mod login;
pub(crate) mod migrate;
pub mod nats;
mod nats_tls;
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

//! The embedded default: a real Postgres and a real nats-server as private children of this
//! process, on free loopback ports, with their data in a folder.
//!
//! Each server is the child of a *supervisor*: this same executable, started again with the
//! hidden sub-command `SUPERVISE`. The supervisor's standard input is a pipe from us, so that
//! our end, even by SIGKILL, reaches it as an end of file, upon which it stops its server. An
//! executable that starts servers therefore asks [`supervise_if_asked`] first thing in its `main`.
//!
//! In the data folder each server has a folder of its own: `lock` (held by the owner), `port`
//! (taken again by the next start), `server.log`, and its data.

mod binaries;
mod child;
mod error;
mod folder;
mod install;
mod leftover;
mod nats;
mod postgres;
mod recipe;
mod server;
mod servers;
mod supervise;
mod user;

pub use binaries::nats_server;
pub use error::{LocalError, NotInstalled, Unfit, VersionError};
pub use install::InstallError;
pub use nats::Nats;
pub use postgres::Postgres;
pub use servers::Local;
pub(crate) use servers::Ports;
pub use supervise::supervise_if_asked;

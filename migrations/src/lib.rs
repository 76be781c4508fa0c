//! Postgres as the orchestrator and the workers use it: sessions whose every wait is bounded, one answer to
//! what a refusal means, and the schemas.
//!
//! | to read | start at |
//! |---|---|
//! | where a database is, on one host or several | [`Address`] |
//! | a pool of sessions | [`Database`] |
//! | what is lent, and when it is closed instead of given back | [`Session`] |
//! | what an error means for whoever ran the statement | [`Class`] |
//! | the schemas, and how one is brought up to date | [`Schema`] |
//! | what a login needs in them | [`Right`] |
//! | what a login may do there, beside that | [`Privileges`] |
//!
//! Waiting for Postgres is bounded at each place where it can happen: for a free session, for a new
//! connection, for an answer. A session that was silent or refused to be written is closed, and so are
//! all that are as old: the network may have forgotten them, and a fail-over leaves them at a standby.
//! A future that is dropped half-way leaves a session that nobody gives back: it is closed, too.

mod address;
mod class;
mod connector;
mod database;
mod grants;
mod rights;
mod schema;
mod server;
mod session;
mod sqlstate;
mod suspicion;

pub use address::{Address, AddressError, is_loopback};
pub use class::{class_of, has_code, refuses_login, refuses_tls};
pub use connector::{Refusal, is_permanent, refusal};
pub use database::Database;
pub use grants::{GrantError, Granted, Participant, Right, Role, schemas};
pub use rights::{Login, Privileges};
pub use schema::{Applied, MigrationError, ORCHESTRATOR, PARTICIPANT, Schema, other};
pub use server::Unfit;
pub use session::{Session, Watch};
pub use sqlstate::Class;

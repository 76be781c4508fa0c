//! What Postgres and JetStream can do at most, written as plainly as possible against their clients.

mod jetstream;
mod postgres;

pub(super) use jetstream::JetStream;
pub(super) use postgres::{Limit, Postgres};

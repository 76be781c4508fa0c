//! What Postgres and JetStream can do at most, written as plainly as possible against their clients.

mod jetstream;
mod postgres;

pub(crate) use jetstream::JetStream;
pub(crate) use postgres::{Limit, Postgres};

//! Maintenance, beside the sagas: streams and the messages that the client cannot read, tables that
//! grow, replays of dead letters.

mod replays;
mod streams;
mod tables;
mod unreadable;

pub(crate) use replays::Replays;
pub(crate) use streams::Streams;
pub(crate) use tables::Tables;

//! What an orchestrator keeps in order beside its sagas: streams and the messages that nobody can
//! read, tables that grow, dead letters that are to be published once more.

mod replays;
mod streams;
mod tables;
mod unreadable;

pub(crate) use replays::Replays;
pub(crate) use streams::Streams;
pub(crate) use tables::Tables;

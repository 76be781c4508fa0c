//! Dead letters, from a batch to a row and a log line.

mod keeper;
mod summary;

pub(crate) use keeper::Burial;

//! Dead letters, from a batch to a row and a log line: they wait in the `queue`, the `keeper` writes them, and
//! the `summary` tells of them.

mod keeper;
mod queue;
mod summary;

pub(crate) use keeper::Keeper;
pub(crate) use queue::Burials;

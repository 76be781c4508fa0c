//! From a command to its answer: barrier, handler and remembered reply in one transaction, the
//! command's own or one that it shares.

mod answer;
mod handling;
mod shared;
mod single;

pub(crate) use answer::{Answer, Outcome};
pub(crate) use handling::Task;
pub(crate) use shared::{SharedTransactions, Sharing};
pub(crate) use single::execute;

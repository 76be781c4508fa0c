//! The commands and their flags, and nothing else: each hands over to the room that does it.

mod act;
mod command;
mod deploy;
mod help;
mod roles;
mod upkeep;
mod view;

pub use command::Commands;
pub use help::{GROUPS, with_groups};
pub use roles::OrchestratorArgs;

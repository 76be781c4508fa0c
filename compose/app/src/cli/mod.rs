//! The commands and their flags, and nothing else: each hands over to the room that does it.

mod act;
mod command;
mod deploy;
mod doctor;
mod help;
mod json;
mod matches;
mod parse;
mod roles;
mod shell;
mod upkeep;
mod view;

pub use command::Commands;
pub use help::{ENVIRONMENT, GROUPS, with_groups, with_services};
pub use matches::matches;
pub(crate) use parse::{Parsed, command, parse};
pub use roles::OrchestratorArgs;

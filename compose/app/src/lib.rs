//! What a program of sagas and services does when it runs: its roles, its operators' commands, what is
//! checked before a deploy, and private servers to try it. Which sagas and services those are, it is
//! told by an [`App`].
//!
//! | to read | start at |
//! |---|---|
//! | the commands and their flags | `cli` |
//! | a long-running role, and what it connects to | `run` |
//! | what operators look at, and do | `operate` |
//! | what is checked before a deploy | `deploy` |
//! | a private Postgres and nats-server | [`local`] |
//! | a program in a test, on real servers | [`testing`] |
//! | why a command fails, and how it says so | [`Failed`] |

mod age;
mod app;
mod cli;
mod complaint;
mod deploy;
mod example;
mod failed;
pub mod local;
mod operate;
mod print;
mod process;
mod program;
mod program_name;
mod run;
mod settings;
mod terminal;
pub mod testing;
mod tour;

pub use app::{App, NoFlags, WorkerFlags};
pub use cli::{
    Commands, ENVIRONMENT, GROUPS, OrchestratorArgs, matches, with_groups, with_services,
};
pub use failed::{BoxError, During, Failed};
pub use operate::transcript;
pub use print::print;
pub use process::{Workspace, ask_to_end, log_ends, main};
pub use run::{
    SERVICE_CONNECTIONS, connect, log_lines, nats, orchestrator, prepare, stop_on_signal,
};
pub use settings::{LogFormat, NatsSettings, Settings, database_variable};

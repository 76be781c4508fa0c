//! JetStream's side of the orchestrator: what it holds, what it sends, what it notices.

mod frozen;
mod held;
mod poison;
mod probe;
mod publishing;
mod settings;
mod shares;

use nix::{sys::signal::Signal, unistd::Pid};

fn signal(process: u32, signal: Signal) {
    nix::sys::signal::kill(Pid::from_raw(i32::try_from(process).unwrap()), signal).unwrap();
}

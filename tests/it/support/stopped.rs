//! Processes that hang: stopped by SIGSTOP, they keep their memory, ports and connections, and do nothing.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Goes on when this is dropped.
#[must_use]
pub(crate) struct Stopped(Vec<Pid>);

impl Stopped {
    /// Stops a process and the processes that it has started, e.g. a postmaster with all of its sessions.
    pub(crate) fn with_children(pid: u32) -> Self {
        let parent = Pid::from_raw(i32::try_from(pid).unwrap());
        // Stopped, it starts no more.
        let mut stopped = Self(vec![parent]);
        kill(parent, Signal::SIGSTOP).unwrap();
        for child in children(parent) {
            // One that has ended meanwhile needs not be stopped.
            if kill(child, Signal::SIGSTOP).is_ok() {
                stopped.0.push(child);
            }
        }
        stopped
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // The children first: a parent may wait for them.
        for pid in self.0.iter().rev() {
            let _ = kill(*pid, Signal::SIGCONT);
        }
    }
}

fn children(of: Pid) -> Vec<Pid> {
    let listed = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children"));
    let listed = listed.expect("this system lists the children of a process");
    listed.split_whitespace().map(|pid| Pid::from_raw(pid.parse().unwrap())).collect()
}

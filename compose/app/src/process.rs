//! This program as a process: how it begins and ends, what it keeps on disk meanwhile, and processes
//! that it starts.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use nix::{sys::signal, unistd::Pid};
use tempfile::TempDir;
use tokio::process::Child;

use crate::{
    complaint::complain,
    failed::{During as _, Failed},
    local,
    program_name::set_program_name,
};

/// Lines of each log that a failure shows.
const LOG_LINES: usize = 5;

/// The whole program of this name: parses the command line, runs one command, and says how it ended. 0: done; 1: it
/// failed, with one line on stderr that says why; 2: the command line is wrong.
#[must_use]
pub fn main<C>(
    name: &str,
    parse: impl FnOnce() -> C,
    run: impl AsyncFnOnce(C) -> Result<(), Failed>,
) -> ExitCode {
    if let Some(code) = local::supervise_if_asked() {
        return code;
    }
    set_program_name(name);
    let command = parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended = match runtime.during("the runtime cannot be started") {
        Ok(runtime) => runtime.block_on(run(command)),
        Err(failed) => Err(failed),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            complain(&failed);
            ExitCode::from(failed.exit_code())
        }
    }
}

/// A folder for data and logs: one that was named and stays, or one that is gone with this value.
#[derive(Debug)]
pub enum Workspace {
    /// The user's.
    Kept(PathBuf),
    /// The program's own.
    Temporary(TempDir),
}

impl Workspace {
    /// The folder that was named, or else a new one with a name that begins so.
    ///
    /// # Errors
    /// When a new one cannot be made.
    pub fn open(named: Option<&Path>, prefix: &str) -> Result<Self, Failed> {
        match named {
            Some(folder) => Ok(Self::Kept(folder.to_owned())),
            None => {
                let folder = tempfile::Builder::new().prefix(prefix).tempdir();
                folder.map(Self::Temporary).during("a folder")
            }
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Kept(folder) => folder,
            Self::Temporary(folder) => folder.path(),
        }
    }
}

/// Asks a process to end, by SIGTERM.
pub fn ask_to_end(child: &Child) {
    if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()) {
        // It may have ended meanwhile; then there is nobody to ask.
        let _ = signal::kill(Pid::from_raw(pid), signal::Signal::SIGTERM);
    }
}

/// The ends of the logs in a folder, for a failure: the folder may be about to go.
#[must_use]
pub fn log_ends(logs: &Path) -> String {
    let mut text = String::new();
    for file in std::fs::read_dir(logs).into_iter().flatten().flatten() {
        let log = std::fs::read_to_string(file.path()).unwrap_or_default();
        let end: Vec<_> = log.lines().rev().take(LOG_LINES).collect();
        text += &format!("\n--- {}\n", file.path().display());
        text.extend(end.iter().rev().map(|line| format!("{line}\n")));
    }
    text
}

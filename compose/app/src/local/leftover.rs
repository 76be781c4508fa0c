//! A server that outlived its supervisor, because that was killed: the next start ends it.

use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use tokio::process::Command;

use super::error::LocalError;
use super::recipe::Recipe;

/// How long even a SIGKILL may take.
const AT_LAST: Duration = Duration::from_secs(5);

/// Ends the server whose process the pid file names, if it still runs: it is known by the mark in
/// its command line, since the number may long be another process's.
pub(super) async fn end<R: Recipe>(recipe: &R) -> Result<(), LocalError> {
    let (name, pid_file, mark) = (R::NAME, &recipe.pid_file(), recipe.mark());
    let Some(pid) = recorded(pid_file) else { return Ok(()) };
    if !runs(pid, mark).await {
        return forget(pid_file);
    }
    tracing::info!(%pid, "stopping a {name} that an earlier run left behind");
    for (signal, patience) in R::KIND.stops() {
        // No such process is what is wanted; a lack of permission shows in its not ending.
        let _ = kill(pid, *signal);
        let until = Instant::now() + (*patience).min(AT_LAST);
        while Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if !runs(pid, mark).await {
                return forget(pid_file);
            }
        }
    }
    Err(LocalError::NotStopped { name, pid: pid.as_raw().unsigned_abs() })
}

/// The first line: Postgres's `postmaster.pid` has more.
fn recorded(pid_file: &Path) -> Option<Pid> {
    let text = std::fs::read_to_string(pid_file).ok()?;
    text.lines().next()?.trim().parse().ok().filter(|pid| *pid > 1).map(Pid::from_raw)
}

/// A pid file that names nobody's process must go: Postgres refuses to start as long as any
/// process has that number, and in a container the low numbers come round soon.
fn forget(pid_file: &Path) -> Result<(), LocalError> {
    match std::fs::remove_file(pid_file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(LocalError::file("remove", pid_file)(error))
        }
        _ => Ok(()),
    }
}

async fn runs(pid: Pid, mark: &Path) -> bool {
    if kill(pid, None) == Err(Errno::ESRCH) {
        return false;
    }
    let command = match std::fs::read(format!("/proc/{pid}/cmdline")) {
        Ok(command) => command,
        Err(_) if Path::new("/proc/self").exists() => return false,
        Err(_) => command_by_ps(pid).await,
    };
    // That of a zombie is empty.
    String::from_utf8_lossy(&command).contains(&*mark.to_string_lossy())
}

async fn command_by_ps(pid: Pid) -> Vec<u8> {
    let ps = Command::new("ps").args(["-ww", "-o", "command=", "-p", &pid.to_string()]).output();
    ps.await.map(|output| output.stdout).unwrap_or_default()
}

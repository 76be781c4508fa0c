//! The processes of a demo: orchestrator and services, each its own, so that each can be killed.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::process::{Child, Command};

use crate::{During as _, Failed, local::Local, services};

/// Processes by role.
pub(super) struct Crew {
    program: PathBuf,
    logs: PathBuf,
    database_url: String,
    nats_url: String,
    members: Vec<(Vec<String>, Child)>,
}

impl Crew {
    pub(super) fn new(local: &Local, logs: &Path) -> Result<Self, Failed> {
        Ok(Self {
            program: std::env::current_exe().during("this program's own file")?,
            logs: logs.to_owned(),
            database_url: local.database_url().to_owned(),
            nats_url: local.nats_url().to_owned(),
            members: Vec::new(),
        })
    }

    /// Starts a role, e.g. `["worker", "inventory"]`; its log goes to a file of its own.
    pub(super) fn start(&mut self, role: &[&str]) -> Result<(), Failed> {
        let path = self.logs.join(format!("{}.log", role.join("-")));
        let log = File::options().create(true).append(true).open(&path);
        let log = log.during(&format!("the log {}", path.display()))?;
        let child = Command::new(&self.program)
            .args(role)
            .env("DATABASE_URL", &self.database_url)
            .env("NATS_URL", &self.nats_url)
            .env_remove("NATS_CREDS")
            .env_remove("AMENDS_HTTP")
            .envs(services::names().map(|n| (format!("{}_DATABASE_URL", n.to_uppercase()), "")))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .during(&format!("the role {}", role.join(" ")))?;
        self.members.push((role.iter().map(|&r| r.to_owned()).collect(), child));
        Ok(())
    }

    /// Kills a role with SIGKILL: no drain, no good-bye.
    pub(super) async fn kill(&mut self, role: &[&str]) -> Result<(), Failed> {
        let Some(at) = self.members.iter().position(|(r, _)| r == role) else { return Ok(()) };
        let (_, mut child) = self.members.swap_remove(at);
        child.kill().await.during(&format!("killing {}", role.join(" ")))
    }

    /// The first role that ended although nobody asked it to.
    pub(super) fn ended(&mut self) -> Option<String> {
        self.members.iter_mut().find_map(|(role, child)| {
            let status = child.try_wait().ok().flatten()?;
            Some(format!("{} ended by itself: {status}", role.join(" ")))
        })
    }

    /// Asks all to end, and waits.
    pub(super) async fn stop(mut self) {
        for (_, child) in &self.members {
            let pid = child.id().and_then(|id| i32::try_from(id).ok());
            if let Some(pid) = pid {
                let pid = nix::unistd::Pid::from_raw(pid);
                // It may have ended meanwhile; then there is nobody to ask.
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
            }
        }
        for (_, child) in &mut self.members {
            let _ = child.wait().await;
        }
    }
}

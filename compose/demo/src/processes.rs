//! The processes of a demo: orchestrator and services, each its own, so that each can be killed.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
};

use amends_app::{
    App, During as _, Failed, NatsSettings, ask_to_end, database_variable, local::Local,
};
use tokio::process::{Child, Command};

/// Processes by role.
pub(crate) struct Processes {
    executable: PathBuf,
    logs: PathBuf,
    database_url: String,
    nats: NatsSettings,
    /// Variables that would send services to databases of their own.
    unset: Vec<String>,
    running: Vec<(Vec<String>, Child)>,
}

impl Processes {
    pub(crate) fn new(app: &App, local: &Local, logs: &Path) -> Result<Self, Failed> {
        Ok(Self {
            executable: std::env::current_exe().during("this program's own file")?,
            logs: logs.to_owned(),
            database_url: local.database_url().to_owned(),
            nats: NatsSettings::at(local.nats_url()),
            unset: app.service_names().map(database_variable).collect(),
            running: Vec::new(),
        })
    }

    /// Starts a role, e.g. `["worker", "inventory"]`; its log goes to a file of its own.
    pub(crate) fn start(&mut self, role: &[&str]) -> Result<(), Failed> {
        let path = self.logs.join(format!("{}.log", role.join("-")));
        let log = File::options().create(true).append(true).open(&path);
        let log = log.during(&format!("the log {}", path.display()))?;
        let mut command = Command::new(&self.executable);
        self.nats.pass_on(&mut command);
        let child = command
            .args(role)
            .env("DATABASE_URL", &self.database_url)
            .env_remove("AMENDS_HTTP")
            .envs(self.unset.iter().map(|variable| (variable, "")))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .during(&format!("the role {}", role.join(" ")))?;
        self.running.push((role.iter().map(|&r| r.to_owned()).collect(), child));
        Ok(())
    }

    /// Kills a role with SIGKILL: no drain, no good-bye.
    pub(crate) async fn kill(&mut self, role: &[&str]) -> Result<(), Failed> {
        let Some(at) = self.running.iter().position(|(r, _)| r == role) else { return Ok(()) };
        let (_, mut child) = self.running.swap_remove(at);
        child.kill().await.during(&format!("killing {}", role.join(" ")))
    }

    /// The first role that ended although nobody asked it to.
    pub(crate) fn ended(&mut self) -> Option<String> {
        self.running.iter_mut().find_map(|(role, child)| {
            let status = child.try_wait().ok().flatten()?;
            Some(format!("{} ended by itself: {status}", role.join(" ")))
        })
    }

    /// Asks all to end, and waits.
    pub(crate) async fn stop(mut self) {
        for (_, child) in &self.running {
            ask_to_end(child);
        }
        for (_, child) in &mut self.running {
            let _ = child.wait().await;
        }
    }
}

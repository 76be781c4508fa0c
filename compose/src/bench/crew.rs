//! Orchestrator and workers as processes of their own, so that each has its own figures.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use async_nats::jetstream::{self, consumer::PullConsumer};
use tokio::process::{Child, Command};

use super::saga::{Bench, SERVICES};
use crate::{During as _, Failed, cli::Settings};

/// Between two looks whether the orchestrator is ready.
const LOOK: Duration = Duration::from_millis(20);

/// Looks until it counts as not starting: half a minute.
const LOOKS: u32 = 1500;

pub(super) struct Crew {
    program: PathBuf,
    settings: Settings,
    logs: PathBuf,
    orchestrator: Option<Child>,
    workers: Option<Child>,
}

impl Crew {
    /// `settings` with the servers to use.
    pub(super) fn new(settings: Settings, logs: &Path) -> Result<Self, Failed> {
        std::fs::create_dir_all(logs).during("the folder for logs")?;
        Ok(Self {
            program: std::env::current_exe().during("this program's own file")?,
            settings,
            logs: logs.to_owned(),
            orchestrator: None,
            workers: None,
        })
    }

    /// Starts the orchestrator, and waits until it has created what workers pull from.
    pub(super) async fn orchestrator(
        &mut self,
        lanes: u16,
        client: &async_nats::Client,
    ) -> Result<(), Failed> {
        self.orchestrator =
            Some(self.start(&["bench-orchestrator", "--lanes", &lanes.to_string()])?);
        let jetstream = jetstream::new(client.clone());
        let trigger = format!("amends-{}", <Bench as amends::Saga>::NAME);
        for _ in 0..LOOKS {
            let consumer: Result<PullConsumer, _> =
                jetstream.get_consumer_from_stream(&trigger, amends::wire::EVENTS_STREAM).await;
            if consumer.is_ok() {
                return Ok(());
            }
            self.whole()?;
            tokio::time::sleep(LOOK).await;
        }
        Err(Failed(format!("the orchestrator is not ready{}", self.last_words())))
    }

    /// Starts the services, in place of those that run.
    pub(super) async fn workers(&mut self, barrier: bool) -> Result<(), Failed> {
        end(self.workers.take()).await;
        let role: &[&str] =
            if barrier { &["bench-workers", "--barrier", "--shared"] } else { &["bench-workers"] };
        self.workers = Some(self.start(role)?);
        Ok(())
    }

    fn start(&self, role: &[&str]) -> Result<Child, Failed> {
        let log = self.logs.join(format!("{}.log", role[0]));
        let log = std::fs::File::options().create(true).append(true).open(log).during("a log")?;
        let (database, nats) = (self.settings.database()?, self.settings.nats()?);
        let mut command = Command::new(&self.program);
        if let Some(creds) = &self.settings.nats_creds {
            command.env("NATS_CREDS", creds);
        } else {
            command.env_remove("NATS_CREDS");
        }
        if std::env::var_os("RUST_LOG").is_none() {
            // A line a saga would be measured, too.
            command.env("RUST_LOG", "warn");
        }
        let command = command.args(role).env("DATABASE_URL", database).env("NATS_URL", nats);
        let command = command.env_remove("AMENDS_HTTP").stdin(Stdio::null()).stdout(Stdio::null());
        let command = command.stderr(log).process_group(0).kill_on_drop(true);
        command.spawn().during(role[0])
    }

    /// The processes, by name.
    pub(super) fn pids(&self) -> Vec<(&'static str, u32)> {
        let pid = |name, child: &Option<Child>| Some((name, child.as_ref()?.id()?));
        [pid("orchestrator", &self.orchestrator), pid("workers", &self.workers)]
            .into_iter()
            .flatten()
            .collect()
    }

    /// Whether all that was started still runs.
    pub(super) fn whole(&mut self) -> Result<(), Failed> {
        let mut ended = false;
        for child in [&mut self.orchestrator, &mut self.workers].into_iter().flatten() {
            ended |= child.try_wait().ok().flatten().is_some();
        }
        if !ended {
            return Ok(());
        }
        let services = SERVICES.join(", ");
        let words = self.last_words();
        Err(Failed(format!("the orchestrator or the services {services} ended{words}")))
    }

    /// The ends of the logs.
    pub(super) fn last_words(&self) -> String {
        let mut text = String::new();
        for file in std::fs::read_dir(&self.logs).into_iter().flatten().flatten() {
            let log = std::fs::read_to_string(file.path()).unwrap_or_default();
            let tail: Vec<_> = log.lines().rev().take(5).collect();
            text += &format!("\n--- {}\n", file.path().display());
            text.extend(tail.iter().rev().map(|line| format!("{line}\n")));
        }
        text
    }

    /// Asks all to end, and waits.
    pub(super) async fn stop(mut self) {
        end(self.workers.take()).await;
        end(self.orchestrator.take()).await;
    }
}

async fn end(child: Option<Child>) {
    let Some(mut child) = child else { return };
    if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()) {
        let pid = nix::unistd::Pid::from_raw(pid);
        // It may have ended meanwhile; then there is nobody to ask.
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
    }
    let _ = child.wait().await;
}

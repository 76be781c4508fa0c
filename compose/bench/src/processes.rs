//! Orchestrator and workers as processes of their own, so that each has its own figures.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use amends_app::{During as _, Failed, Settings, ask_to_end, log_ends};
use async_nats::jetstream::{self, consumer::PullConsumer};
use tokio::process::{Child, Command};

use crate::{
    args::BenchArgs,
    saga::{Bench, SERVICES},
};

/// Between two questions whether the orchestrator is ready.
const INTERVAL: Duration = Duration::from_millis(20);

/// Questions until it counts as not starting: half a minute.
const TRIES: u32 = 1500;

/// What a benchmark measures, as it runs.
pub(crate) struct Processes {
    executable: PathBuf,
    settings: Settings,
    logs: PathBuf,
    lanes: u16,
    /// Whether the orchestrators know the other saga.
    other: bool,
    /// Whether many sagas are in flight because no service answers them.
    crowded: bool,
    /// Whether commands share transactions.
    pub(crate) shared: bool,
    orchestrators: Vec<Child>,
    workers: Option<Child>,
}

impl Processes {
    /// `settings` with the servers to use.
    pub(crate) fn new(settings: Settings, args: &BenchArgs, logs: &Path) -> Result<Self, Failed> {
        std::fs::create_dir_all(logs).during("the folder for logs")?;
        Ok(Self {
            executable: std::env::current_exe().during("this program's own file")?,
            settings,
            logs: logs.to_owned(),
            lanes: args.lanes,
            other: args.has_others(),
            crowded: args.neighbours.is_some() || args.recovery.is_some(),
            shared: !args.unshared,
            orchestrators: Vec::new(),
            workers: None,
        })
    }

    /// Starts so many orchestrators in place of those that run, and waits until one leads and
    /// pulls triggers; the others are there by the end of the warm-up.
    pub(crate) async fn orchestrators(
        &mut self,
        count: usize,
        client: &async_nats::Client,
    ) -> Result<(), Failed> {
        self.stop_orchestrators().await;
        for _ in 0..count {
            self.start_orchestrator()?;
        }
        let jetstream = jetstream::new(client.clone());
        let trigger = format!("amends-{}", <Bench as amends::Saga>::NAME);
        for _ in 0..TRIES {
            let consumer: Result<PullConsumer, _> =
                jetstream.get_consumer_from_stream(&trigger, amends::wire::EVENTS_STREAM).await;
            if consumer.is_ok_and(|consumer| consumer.cached_info().num_waiting > 0) {
                return Ok(());
            }
            self.check()?;
            tokio::time::sleep(INTERVAL).await;
        }
        Err(Failed::new(format!("the orchestrator is not ready{}", self.log_ends())))
    }

    /// Starts one orchestrator more, and does not wait for it.
    pub(crate) fn start_orchestrator(&mut self) -> Result<(), Failed> {
        let lanes = self.lanes.to_string();
        let mut role = vec!["bench-orchestrator", "--lanes", &lanes];
        role.extend(self.other.then_some("--other"));
        if self.crowded {
            role.extend(["--admission-max", "1000000"]);
        }
        let child = self.start(&role)?;
        self.orchestrators.push(child);
        Ok(())
    }

    /// How many orchestrators run.
    pub(crate) fn replicas(&self) -> usize {
        self.orchestrators.len()
    }

    /// Asks all orchestrators to end, and waits.
    pub(crate) async fn stop_orchestrators(&mut self) {
        for child in &self.orchestrators {
            ask_to_end(child);
        }
        for mut child in self.orchestrators.drain(..) {
            let _ = child.wait().await;
        }
    }

    /// SIGKILL for all orchestrators.
    pub(crate) async fn kill_orchestrators(&mut self) -> Result<(), Failed> {
        for child in &mut self.orchestrators {
            child.start_kill().during("an orchestrator cannot be killed")?;
        }
        for mut child in self.orchestrators.drain(..) {
            child.wait().await.during("an orchestrator does not end")?;
        }
        Ok(())
    }

    /// Starts the services, in place of those that run.
    pub(crate) async fn workers(&mut self, barrier: bool) -> Result<(), Failed> {
        self.stop_workers().await;
        let role: &[&str] = match (barrier, self.shared) {
            (true, true) => &["bench-workers", "--barrier", "--shared"],
            (true, false) => &["bench-workers", "--barrier"],
            (false, _) => &["bench-workers"],
        };
        self.workers = Some(self.start(role)?);
        Ok(())
    }

    /// Asks the services to end, and waits.
    pub(crate) async fn stop_workers(&mut self) {
        let Some(mut child) = self.workers.take() else { return };
        ask_to_end(&child);
        let _ = child.wait().await;
    }

    fn start(&self, role: &[&str]) -> Result<Child, Failed> {
        let log = self.logs.join(format!("{}.log", role[0]));
        let log = std::fs::File::options().create(true).append(true).open(log).during("a log")?;
        let database = self.settings.database()?;
        let mut command = Command::new(&self.executable);
        self.settings.nats.pass_on(&mut command);
        if std::env::var_os("RUST_LOG").is_none() {
            // A line a saga would be measured, too.
            command.env("RUST_LOG", "warn");
        }
        let command = command.args(role).env("DATABASE_URL", database);
        let command = command.env_remove("AMENDS_HTTP").stdin(Stdio::null()).stdout(Stdio::null());
        let command = command.stderr(log).process_group(0).kill_on_drop(true);
        command.spawn().during(role[0])
    }

    /// The processes, by name.
    pub(crate) fn pids(&self) -> Vec<(&'static str, u32)> {
        let orchestrators = self.orchestrators.iter().map(|child| ("orchestrator", child));
        let workers = self.workers.iter().map(|child| ("workers", child));
        orchestrators.chain(workers).filter_map(|(name, child)| Some((name, child.id()?))).collect()
    }

    /// Whether all that was started still runs.
    pub(crate) fn check(&mut self) -> Result<(), Failed> {
        let mut ended = false;
        for child in self.orchestrators.iter_mut().chain(&mut self.workers) {
            ended |= child.try_wait().ok().flatten().is_some();
        }
        if !ended {
            return Ok(());
        }
        let services = SERVICES.join(", ");
        let logs = self.log_ends();
        Err(Failed::new(format!("the orchestrator or the services {services} ended{logs}")))
    }

    /// The ends of the logs.
    pub(crate) fn log_ends(&self) -> String {
        log_ends(&self.logs)
    }

    /// Asks all to end, and waits.
    pub(crate) async fn stop(mut self) {
        self.stop_workers().await;
        self.stop_orchestrators().await;
    }
}

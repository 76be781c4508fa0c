//! Sagas that wait in the tables, and an orchestrator that starts beside them.

use std::time::{Duration, Instant};

use amends_app::{During as _, Failed};

use crate::{
    load::{Arrivals, Load, Workload},
    measure::memory,
    report::Start,
    session::Session,
    store,
};

/// Between two reads of how many sagas wait.
const INTERVAL: Duration = Duration::from_millis(50);

/// Sagas that do not come for so long never will.
const STUCK: Duration = Duration::from_secs(60);

impl Session<'_> {
    /// Stores so many sagas that wait, and starts the orchestrator anew.
    pub(crate) async fn wait(&mut self, waiting: u32) -> Result<(), Failed> {
        self.progress.say(&format!("storing {waiting} sagas that wait …"));
        // One real saga waits as long as nobody serves it, and is copied then.
        self.processes.stop_workers().await;
        let one = Load::start(self.client.clone(), Arrivals::Closed(1), Workload::HAPPY, self.next)
            .await?;
        self.all_wait(1).await?;
        store::wait(&self.meter.database, waiting).await?;
        self.processes.workers(false).await?;
        self.barrier = Some(false);
        self.next = one.stop().await?;
        self.start(waiting).await
    }

    async fn start(&mut self, waiting: u32) -> Result<(), Failed> {
        self.processes.stop_orchestrators().await;
        let began = Instant::now();
        self.processes.orchestrators(1, &self.client).await?;
        let one = Load::start(self.client.clone(), Arrivals::Closed(1), Workload::HAPPY, self.next)
            .await?;
        one.open.wait_for(Duration::ZERO, Some(1)).await?;
        let first_ended_s = began.elapsed().as_secs_f64();
        let rss_mib = self.orchestrator_mib();
        self.next = one.stop().await?;
        self.progress.say(&format!(
            "started beside {waiting} sagas that wait: the first saga has ended after {first_ended_s:.2} s, {rss_mib:.0} MiB"
        ));
        self.started = Some(Start { waiting, first_ended_s, rss_mib });
        Ok(())
    }

    /// Waits until so many sagas are in the tables and have not ended.
    pub(crate) async fn all_wait(&mut self, sagas: u64) -> Result<(), Failed> {
        let mut moved = (0, Instant::now());
        loop {
            let found = sqlx::query_scalar::<_, i64>("select count(*) from amends.timer");
            let found = found.fetch_one(&self.meter.database).await.during("sagas in flight")?;
            let found = u64::try_from(found).unwrap_or(0);
            if found >= sagas {
                return Ok(());
            }
            if found > moved.0 {
                moved = (found, Instant::now());
            } else if moved.1.elapsed() > STUCK {
                return Err(Failed::new(format!("only {found} of {sagas} sagas have begun")));
            }
            self.processes.check()?;
            tokio::time::sleep(INTERVAL).await;
        }
    }

    pub(crate) fn orchestrator_mib(&self) -> f64 {
        memory(&self.processes.pids()).get("orchestrator").copied().unwrap_or(0.0)
    }
}

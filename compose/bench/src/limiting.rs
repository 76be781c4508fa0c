//! Measuring the limits, right before and right after each run.

use std::time::Duration;

use amends_app::Failed;

use crate::{
    limits::{Limits, TURNS},
    measure::processors,
    session::Session,
};

/// In flight when the limit of JetStream is measured.
const RAW_IN_FLIGHT: usize = 256;

impl Session<'_> {
    /// Measures the limit of throughput or that of time.
    pub(crate) async fn limit(&mut self, one: bool) -> Result<f64, Failed> {
        if one { self.limit_of_time().await } else { self.limit_of_throughput().await }
    }

    async fn limit_of_time(&mut self) -> Result<f64, Failed> {
        let chain = self.jetstream.measure(1, self.plan.limit).await?.quantile(0.5);
        let commits = self.postgres.commits(self.plan.commits).await?;
        let commit = commits.get(commits.len() / 2).map_or(0.0, Duration::as_secs_f64) * 1000.0;
        self.progress.say(&format!("raw, one at a time: {chain:.2} ms, a commit {commit:.2} ms"));
        self.keep(Limits {
            jetstream_p50_ms: Some(chain),
            commit_p50_ms: Some(commit),
            ..Limits::default()
        });
        Ok(chain + TURNS * commit)
    }

    async fn limit_of_throughput(&mut self) -> Result<f64, Failed> {
        let pids = self.pids();
        let used = || processors(&pids).values().sum::<f64>();
        let before = used();
        let window = self.jetstream.measure(RAW_IN_FLIGHT, self.plan.limit).await?;
        let (per_s, all) = (window.per_s, window.all as f64);
        let cpu_s_per_1000 = (used() - before) / all * 1000.0;
        self.progress.say(&format!("raw JetStream: {per_s:.0} sagas/s"));
        self.keep(Limits {
            jetstream_per_s: Some(per_s),
            jetstream_cpu_s_per_1000: Some(cpu_s_per_1000),
            ..Limits::default()
        });
        Ok(per_s)
    }

    fn keep(&mut self, limits: Limits) {
        self.last = limits;
        self.limits.push(limits);
    }

    /// Measures what Postgres can write.
    pub(crate) async fn write(&mut self) -> Result<(), Failed> {
        let limit = self.postgres.measure(self.plan.limit.measured).await?;
        self.progress.say(&format!("raw Postgres: {:.0} sagas/s", limit.sagas_per_s));
        self.writes.push(limit);
        Ok(())
    }
}

//! The limits that runs are compared with, measured right before and right after each.

use std::time::Duration;

use super::{
    measure::processors,
    raw::Limit,
    report::{Raw, median},
    series::Series,
};
use crate::Failed;

/// In flight when the limit of JetStream is measured.
const RAW_IN_FLIGHT: usize = 256;

/// How many turns a saga of three steps has, each with a commit.
const TURNS: f64 = 4.0;

/// The limits at one time.
#[derive(Clone, Copy, Default)]
pub(super) struct Limits {
    pub(super) jetstream_per_s: Option<f64>,
    /// Of all processes, as nothing else runs then.
    pub(super) jetstream_cpu_s_per_1000: Option<f64>,
    pub(super) jetstream_p50_ms: Option<f64>,
    pub(super) commit_p50_ms: Option<f64>,
}

impl Limits {
    /// What a saga takes at least, one at a time.
    pub(super) fn chain_ms(&self) -> Option<f64> {
        Some(self.jetstream_p50_ms? + TURNS * self.commit_p50_ms?)
    }
}

impl Series<'_> {
    /// Measures the limit of throughput or that of time.
    pub(super) async fn limit(&mut self, one: bool) -> Result<f64, Failed> {
        let mut limits = Limits::default();
        let limit = if one {
            let chain = self.jetstream.measure(1, self.plan.limit).await?.quantile(0.5);
            let commits = self.postgres.commits(self.plan.commits).await?;
            let commit = commits.get(commits.len() / 2).map_or(0.0, Duration::as_secs_f64) * 1000.0;
            (limits.jetstream_p50_ms, limits.commit_p50_ms) = (Some(chain), Some(commit));
            self.progress
                .say(&format!("raw, one at a time: {chain:.2} ms, a commit {commit:.2} ms"));
            chain + TURNS * commit
        } else {
            let pids = self.pids();
            let used = || processors(&pids).values().sum::<f64>();
            let before = used();
            let window = self.jetstream.measure(RAW_IN_FLIGHT, self.plan.limit).await?;
            let (per_s, all) = (window.per_s, window.all as f64);
            limits.jetstream_per_s = Some(per_s);
            limits.jetstream_cpu_s_per_1000 = Some((used() - before) / all * 1000.0);
            self.progress.say(&format!("raw JetStream: {per_s:.0} sagas/s"));
            per_s
        };
        self.last = limits;
        self.limits.push(limits);
        Ok(limit)
    }
}

/// Medians of all.
pub(super) fn raw(limits: &[Limits], writes: &[Limit]) -> Result<Raw, Failed> {
    let middle = |figure: fn(&Limits) -> Option<f64>| {
        let found: Vec<_> = limits.iter().filter_map(figure).collect();
        median(&found, |f| *f).unwrap_or(0.0)
    };
    let throughput: Vec<_> = limits.iter().filter_map(|l| l.jetstream_per_s).collect();
    let lowest = throughput.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = throughput.iter().copied().fold(0.0, f64::max);
    let write = median(writes, |w| w.sagas_per_s);
    let write = write.ok_or_else(|| Failed("nothing was measured".into()))?;
    Ok(Raw {
        jetstream_per_s: middle(|l| l.jetstream_per_s),
        jetstream_per_s_range: (lowest, highest),
        jetstream_cpu_s_per_1000: middle(|l| l.jetstream_cpu_s_per_1000),
        jetstream_p50_ms: middle(|l| l.jetstream_p50_ms),
        commit_p50_ms: middle(|l| l.commit_p50_ms),
        postgres_per_s: write.sagas_per_s,
        postgres_wal_bytes_per_saga: write.wal_bytes_per_saga,
    })
}

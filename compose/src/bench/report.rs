//! What a benchmark found, as it is written with `--json`.

use std::collections::BTreeMap;

use serde::Serialize;

/// Everything.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) raw: Raw,
    pub(super) runs: Vec<Run>,
    /// With `--waiting`: the orchestrator's start beside sagas that wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) start: Option<Start>,
    /// With `--recovery`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) recovery: Vec<Recovery>,
}

/// How an orchestrator starts.
#[derive(Serialize, Clone)]
pub(super) struct Start {
    pub(super) waiting: u32,
    /// Until a saga that came then had ended, from the start of the process on.
    pub(super) first_ended_s: f64,
    pub(super) rss_mib: f64,
}

/// What became of sagas in flight when all orchestrators were killed. Seconds count from the start of
/// the one that came after them.
#[derive(Serialize, Clone)]
pub(super) struct Recovery {
    pub(super) barrier: bool,
    pub(super) in_flight: u64,
    /// How long after the first trigger.
    pub(super) killed_after_s: f64,
    /// Until one of them had a turn again.
    pub(super) first_moved_s: f64,
    /// Until each of them had had a turn again.
    pub(super) moving_s: f64,
    /// Until each of them had ended.
    pub(super) ended_s: f64,
    /// The memory of that orchestrator afterwards.
    pub(super) rss_mib: f64,
}

#[derive(Serialize)]
pub(super) struct Machine {
    pub(super) cores: usize,
    /// The one-minute load average before the benchmark began: what else runs here.
    pub(super) load_before: f64,
    pub(super) postgres: String,
    pub(super) nats: String,
}

/// The limits: medians over the whole benchmark.
#[derive(Serialize)]
pub(super) struct Raw {
    pub(super) jetstream_per_s: f64,
    /// The lowest and the highest, as the machine is not the same every minute.
    pub(super) jetstream_per_s_range: (f64, f64),
    /// Seconds of processor time for 1,000 sagas, of all processes: where others use the machine too,
    /// this tells more than how many a second go through.
    pub(super) jetstream_cpu_s_per_1000: f64,
    /// One chain of six messages at a time.
    pub(super) jetstream_p50_ms: f64,
    pub(super) commit_p50_ms: f64,
    pub(super) postgres_per_s: f64,
    pub(super) postgres_wal_bytes_per_saga: f64,
}

/// What was done, and how it went; of several rounds the one in the middle.
#[derive(Serialize, Clone)]
pub(super) struct Run {
    /// `happy`, `compensated`, `one`, `open`.
    pub(super) name: &'static str,
    /// Whether the workers had the SQL barrier.
    pub(super) barrier: bool,
    /// Whether commands that waited together shared a transaction.
    pub(super) shared: bool,
    /// Finished sagas in the tables beforehand, by `--stored`.
    pub(super) stored: u32,
    /// Sagas that wait in the tables, by `--waiting`.
    pub(super) waiting: u32,
    /// Orchestrators beside each other.
    pub(super) replicas: usize,
    /// With `--neighbours`: `nobody`, `failing`, `hanging`. What a saga costs is then with theirs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) beside: Option<&'static str>,
    /// Compared with the runs right before and right after, with one orchestrator or alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) of_pair: Option<OfPair>,
    /// None in an open loop.
    pub(super) in_flight: Option<usize>,
    /// Only in an open loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rate: Option<u32>,
    pub(super) sagas: usize,
    pub(super) sagas_per_s: f64,
    /// Of the raw limit beside it: sagas/s of JetStream's with many in flight; else the p50 of a
    /// chain of messages and four commits.
    pub(super) ratio: f64,
    /// The p99, where `ratio` is that of the p50.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ratio_p99: Option<f64>,
    /// The raw limit right before and right after, in what `ratio` compares.
    pub(super) raw_before: f64,
    pub(super) raw_after: f64,
    pub(super) p50_ms: f64,
    pub(super) p90_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
    pub(super) wal_bytes_per_saga: f64,
    /// Heap-only updates among all of the orchestrator's; none when nothing was updated.
    pub(super) hot_share: Option<f64>,
    pub(super) statements_per_saga: f64,
    pub(super) messages_per_saga: f64,
    /// Seconds of processor time, by process.
    pub(super) cpu_s_per_1000: BTreeMap<&'static str, f64>,
    pub(super) rss_mib: BTreeMap<&'static str, f64>,
}

/// A run's figures as shares of those that it is paired with.
#[derive(Serialize, Clone, Copy)]
pub(super) struct OfPair {
    pub(super) sagas_per_s: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
}

impl Run {
    /// Whether it compares times, not throughput.
    pub(super) fn is_of_time(&self) -> bool {
        self.ratio_p99.is_some()
    }
}

/// The one in the middle by some figure.
pub(super) fn median<T: Clone>(found: &[T], figure: impl Fn(&T) -> f64) -> Option<T> {
    let mut sorted: Vec<_> = found.iter().collect();
    sorted.sort_by(|a, b| figure(a).total_cmp(&figure(b)));
    sorted.get(sorted.len() / 2).map(|middle| (*middle).clone())
}

//! What a benchmark found, as it is written with `--json`.

use std::collections::BTreeMap;

use serde::Serialize;

/// Everything.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) raw: Raw,
    pub(crate) runs: Vec<Run>,
    /// With `--waiting`: the orchestrator's start beside sagas that wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) start: Option<Start>,
    /// With `--recovery`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) recovery: Vec<Recovery>,
}

/// How an orchestrator starts.
#[derive(Serialize, Clone)]
pub(crate) struct Start {
    pub(crate) waiting: u32,
    /// Until a saga that came then had ended, from the start of the process on.
    pub(crate) first_ended_s: f64,
    pub(crate) rss_mib: f64,
}

/// What became of sagas in flight when all orchestrators were killed. Seconds count from the start of
/// the one that came after them.
#[derive(Serialize, Clone)]
pub(crate) struct Recovery {
    pub(crate) barrier: bool,
    pub(crate) in_flight: u64,
    /// How long after the first trigger.
    pub(crate) killed_after_s: f64,
    /// Until one of them had a turn again.
    pub(crate) first_moved_s: f64,
    /// Until each of them had had a turn again.
    pub(crate) moving_s: f64,
    /// Until each of them had ended.
    pub(crate) ended_s: f64,
    /// The memory of that orchestrator afterwards.
    pub(crate) rss_mib: f64,
}

#[derive(Serialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    /// The one-minute load average before the benchmark began: what else runs here.
    pub(crate) load_before: f64,
    pub(crate) postgres: String,
    pub(crate) nats: String,
}

/// The limits: medians over the whole benchmark.
#[derive(Serialize)]
pub(crate) struct Raw {
    pub(crate) jetstream_per_s: f64,
    /// The lowest and the highest, as the machine is not the same every minute.
    pub(crate) jetstream_per_s_range: (f64, f64),
    /// Seconds of processor time for 1,000 sagas, of all processes: where others use the machine too,
    /// this tells more than how many a second go through.
    pub(crate) jetstream_cpu_s_per_1000: f64,
    /// One chain of six messages at a time.
    pub(crate) jetstream_p50_ms: f64,
    pub(crate) commit_p50_ms: f64,
    pub(crate) postgres_per_s: f64,
    pub(crate) postgres_wal_bytes_per_saga: f64,
}

/// What was done, and how it went; of several rounds the one in the middle.
#[derive(Serialize, Clone)]
pub(crate) struct Run {
    /// `happy`, `compensated`, `one`, `open`.
    pub(crate) name: &'static str,
    /// Whether the workers had the SQL barrier.
    pub(crate) barrier: bool,
    /// Whether commands that waited together shared a transaction.
    pub(crate) shared: bool,
    /// Finished sagas in the tables beforehand, by `--stored`.
    pub(crate) stored: u32,
    /// Sagas that wait in the tables, by `--waiting`.
    pub(crate) waiting: u32,
    /// Orchestrators beside each other.
    pub(crate) replicas: usize,
    /// With `--neighbours` and `--flood`: `nobody`, `failing`, `hanging`, `flooding`. What a saga costs is then with theirs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) beside: Option<&'static str>,
    /// Compared with the runs right before and right after, with one orchestrator or alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) of_pair: Option<OfPair>,
    /// None in an open loop.
    pub(crate) in_flight: Option<usize>,
    /// Only in an open loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<u32>,
    pub(crate) sagas: usize,
    pub(crate) sagas_per_s: f64,
    /// Of the raw limit beside it: sagas/s of JetStream's with many in flight; else the p50 of a
    /// chain of messages and four commits.
    pub(crate) ratio: f64,
    /// The p99, where `ratio` is that of the p50.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ratio_p99: Option<f64>,
    /// The raw limit right before and right after, in what `ratio` compares.
    pub(crate) raw_before: f64,
    pub(crate) raw_after: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p90_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
    pub(crate) wal_bytes_per_saga: f64,
    /// Heap-only updates among all of the orchestrator's; none when nothing was updated.
    pub(crate) hot_share: Option<f64>,
    pub(crate) statements_per_saga: f64,
    pub(crate) messages_per_saga: f64,
    /// Seconds of processor time, by process.
    pub(crate) cpu_s_per_1000: BTreeMap<&'static str, f64>,
    pub(crate) rss_mib: BTreeMap<&'static str, f64>,
}

/// A run's figures as shares of those that it is paired with.
#[derive(Serialize, Clone, Copy)]
pub(crate) struct OfPair {
    pub(crate) sagas_per_s: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

impl Run {
    /// Whether it compares times, not throughput.
    pub(crate) fn is_of_time(&self) -> bool {
        self.ratio_p99.is_some()
    }
}

/// The one in the middle by some figure.
pub(crate) fn median<T: Clone>(found: &[T], figure: impl Fn(&T) -> f64) -> Option<T> {
    let mut sorted: Vec<_> = found.iter().collect();
    sorted.sort_by(|a, b| figure(a).total_cmp(&figure(b)));
    sorted.get(sorted.len() / 2).map(|middle| (*middle).clone())
}

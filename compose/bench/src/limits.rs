//! The limits that runs are compared with, measured right before and right after each.

use amends_app::Failed;

use crate::{
    raw::Limit,
    report::{Raw, median},
};

/// How many turns a saga of three steps has, each with a commit.
pub(crate) const TURNS: f64 = 4.0;

/// The limits at one time.
#[derive(Clone, Copy, Default)]
pub(crate) struct Limits {
    pub(crate) jetstream_per_s: Option<f64>,
    /// Of all processes, as nothing else runs then.
    pub(crate) jetstream_cpu_s_per_1000: Option<f64>,
    pub(crate) jetstream_p50_ms: Option<f64>,
    pub(crate) commit_p50_ms: Option<f64>,
}

impl Limits {
    /// What a saga takes at least, one at a time.
    pub(crate) fn chain_ms(&self) -> Option<f64> {
        Some(self.jetstream_p50_ms? + TURNS * self.commit_p50_ms?)
    }
}

/// Medians of all.
pub(crate) fn raw(limits: &[Limits], writes: &[Limit]) -> Result<Raw, Failed> {
    let middle = |figure: fn(&Limits) -> Option<f64>| {
        let found: Vec<_> = limits.iter().filter_map(figure).collect();
        median(&found, |f| *f).unwrap_or(0.0)
    };
    let throughput: Vec<_> = limits.iter().filter_map(|l| l.jetstream_per_s).collect();
    let lowest = throughput.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = throughput.iter().copied().fold(0.0, f64::max);
    let write = median(writes, |w| w.sagas_per_s);
    let write = write.ok_or_else(|| Failed::new("nothing was measured"))?;
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

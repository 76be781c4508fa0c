//! Which kinds of runs there are, and how long each takes.

use std::time::Duration;

use super::{flight::Pace, load::Shape};
use crate::cli::BenchArgs;

/// How long each part takes, and how often it is done.
pub(super) struct Plan {
    pub(super) rounds: usize,
    pub(super) limit: Pace,
    pub(super) run: Pace,
    pub(super) commits: Duration,
}

impl Plan {
    pub(super) fn of(args: &BenchArgs) -> Self {
        let pace = |warm, measured| Pace {
            warm: Duration::from_millis(warm),
            measured: Duration::from_millis(measured),
            sagas: None,
        };
        let mut plan = if args.quick {
            let (limit, run) = (pace(300, 1_000), pace(1_000, 2_500));
            Self { rounds: 1, limit, run, commits: Duration::from_millis(500) }
        } else {
            let (limit, run) = (pace(500, 3_000), pace(2_000, 8_000));
            Self { rounds: 3, limit, run, commits: Duration::from_secs(1) }
        };
        plan.run.sagas = args.sagas;
        plan
    }
}

/// One kind of run.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) refuse: bool,
    pub(super) barrier: bool,
    pub(super) stored: u32,
}

impl Kind {
    /// Whether it compares times, not throughput.
    pub(super) fn is_of_time(&self) -> bool {
        matches!(self.shape, Shape::Closed(1) | Shape::Open(_))
    }
}

/// All that are asked for.
pub(super) fn kinds(args: &BenchArgs, barrier: bool, stored: u32) -> Vec<Kind> {
    let kind = |name, shape, refuse| Kind { name, shape, refuse, barrier, stored };
    let mut kinds = Vec::new();
    for &in_flight in &args.in_flight {
        kinds.push(kind("happy", Shape::Closed(in_flight), false));
    }
    for &in_flight in &args.in_flight {
        // A quick look has no time for each.
        if !args.quick || in_flight == args.in_flight[0] {
            kinds.push(kind("compensated", Shape::Closed(in_flight), true));
        }
    }
    if !(args.quick && barrier) {
        kinds.push(kind("one", Shape::Closed(1), false));
        kinds.push(kind("open", Shape::Open(args.rate), false));
    }
    kinds.retain(|kind| args.only.is_empty() || args.only.iter().any(|only| only == kind.name));
    kinds
}

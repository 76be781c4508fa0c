//! Which kinds of runs there are, and how long each takes.

use std::time::Duration;

use super::{
    flight::Pace,
    load::{Shape, Sort},
};
use crate::cli::BenchArgs;

/// How long each part takes, and how often it is done.
pub(super) struct Plan {
    pub(super) rounds: usize,
    pub(super) limit: Pace,
    pub(super) run: Pace,
    /// Beside neighbours: long enough that commands to a service that hangs time out once.
    pub(super) beside: Pace,
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
            let beside = pace(1_000, 5_000);
            Self { rounds: 1, limit, run, beside, commits: Duration::from_millis(500) }
        } else {
            let (limit, run) = (pace(500, 3_000), pace(2_000, 8_000));
            let beside = pace(2_000, 20_000);
            Self { rounds: 3, limit, run, beside, commits: Duration::from_secs(1) }
        };
        (plan.run.sagas, plan.beside.sagas) = (args.sagas, args.sagas);
        plan
    }
}

/// One kind of run.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) sort: Sort,
    pub(super) barrier: bool,
    pub(super) among: Among,
}

/// What else is there.
#[derive(Clone, Copy)]
pub(super) struct Among {
    /// Finished sagas in the tables.
    pub(super) stored: u32,
    /// Sagas in the tables that wait.
    pub(super) waiting: u32,
    /// Orchestrators that share the work.
    pub(super) replicas: usize,
    pub(super) beside: Option<Beside>,
}

impl Default for Among {
    fn default() -> Self {
        Self { stored: 0, waiting: 0, replicas: 1, beside: None }
    }
}

impl Among {
    /// What is not as it always is.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        if self.replicas > 1 {
            text += &format!(", {} orchestrators", self.replicas);
        }
        match self.beside {
            None => {}
            Some(Beside::Nobody) => text += ", alone",
            Some(Beside::Failing) => text += ", beside sagas that fail",
            Some(Beside::Hanging(n)) => text += &format!(", while {n} others hang"),
        }
        text
    }
}

/// Which sagas go on at the same time, where that is what is measured.
#[derive(Clone, Copy)]
pub(super) enum Beside {
    Nobody,
    /// A tenth as many, with attempts that break.
    Failing,
    /// So many that wait on a service which hangs.
    Hanging(u32),
}

impl Beside {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Failing => "failing",
            Self::Hanging(_) => "hanging",
        }
    }
}

impl Kind {
    /// Whether it compares times, not throughput.
    pub(super) fn is_of_time(&self) -> bool {
        matches!(self.shape, Shape::Closed(1) | Shape::Open(_))
    }
}

/// The plain runs.
pub(super) fn plain(args: &BenchArgs, among: Among) -> Vec<Kind> {
    args.barriers().iter().flat_map(|&barrier| with(args, barrier, among)).collect()
}

fn with(args: &BenchArgs, barrier: bool, among: Among) -> Vec<Kind> {
    let kind = |name, shape, sort| Kind { name, shape, sort, barrier, among };
    let mut kinds = Vec::new();
    for &in_flight in &args.in_flight {
        kinds.push(kind("happy", Shape::Closed(in_flight), Sort::HAPPY));
    }
    for &in_flight in &args.in_flight {
        // A quick look has no time for each.
        if !args.quick || in_flight == args.in_flight[0] {
            kinds.push(kind("compensated", Shape::Closed(in_flight), Sort::REFUSED));
        }
    }
    if !(args.quick && barrier) {
        kinds.push(kind("one", Shape::Closed(1), Sort::HAPPY));
        kinds.push(kind("open", Shape::Open(args.rate), Sort::HAPPY));
    }
    kinds.retain(|kind| args.only.is_empty() || args.only.iter().any(|only| only == kind.name));
    kinds
}

/// Happy runs with one orchestrator, and with more between them.
pub(super) fn replicas(args: &BenchArgs) -> Vec<Kind> {
    let more = args.replicas.iter().flat_map(|&more| [usize::from(more), 1]);
    let counts: Vec<_> = std::iter::once(1).chain(more).collect();
    let kind = |barrier, in_flight, replicas| Kind {
        name: "happy",
        shape: Shape::Closed(in_flight),
        sort: Sort::HAPPY,
        barrier,
        among: Among { replicas, ..Among::default() },
    };
    let mut kinds = Vec::new();
    for &barrier in args.barriers() {
        for &in_flight in &args.in_flight {
            kinds.extend(counts.iter().map(|&replicas| kind(barrier, in_flight, replicas)));
        }
    }
    kinds
}

/// Open loops, alone and beside sagas in trouble.
pub(super) fn neighbours(args: &BenchArgs, hanging: u32) -> Vec<Kind> {
    let beside = [Beside::Nobody, Beside::Failing, Beside::Hanging(hanging), Beside::Nobody];
    let kind = |barrier, beside| Kind {
        name: "open",
        shape: Shape::Open(args.rate),
        sort: Sort::HAPPY,
        barrier,
        among: Among { beside: Some(beside), ..Among::default() },
    };
    let each = |&barrier: &bool| beside.map(|beside| kind(barrier, beside));
    args.barriers().iter().flat_map(each).collect()
}

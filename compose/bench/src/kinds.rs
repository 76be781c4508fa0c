//! Which kinds of runs there are, and how long each takes.

use std::time::Duration;

use crate::{
    args::BenchArgs,
    load::{Arrivals, Workload},
    open_sagas::Timing,
};

/// How long each part takes, and how often it is done.
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) limit: Timing,
    pub(crate) run: Timing,
    /// Beside neighbours: long enough that commands to a service that hangs time out once.
    pub(crate) beside: Timing,
    pub(crate) commits: Duration,
}

impl Plan {
    pub(crate) fn of(args: &BenchArgs) -> Self {
        let timing = |warm_up, measured| Timing {
            warm_up: Duration::from_millis(warm_up),
            measured: Duration::from_millis(measured),
            sagas: None,
        };
        let mut plan = if args.quick {
            let (limit, run) = (timing(300, 1_000), timing(1_000, 2_500));
            let beside = timing(1_000, 5_000);
            Self { rounds: 1, limit, run, beside, commits: Duration::from_millis(500) }
        } else {
            let (limit, run) = (timing(500, 3_000), timing(2_000, 8_000));
            let beside = timing(2_000, 20_000);
            Self { rounds: 3, limit, run, beside, commits: Duration::from_secs(1) }
        };
        (plan.run.sagas, plan.beside.sagas) = (args.sagas, args.sagas);
        plan
    }
}

/// One kind of run.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) arrivals: Arrivals,
    pub(crate) workload: Workload,
    pub(crate) barrier: bool,
    pub(crate) conditions: Conditions,
}

/// What else is there.
#[derive(Clone, Copy)]
pub(crate) struct Conditions {
    /// Finished sagas in the tables.
    pub(crate) stored: u32,
    /// Sagas in the tables that wait.
    pub(crate) waiting: u32,
    /// Orchestrators that share the work.
    pub(crate) replicas: usize,
    pub(crate) beside: Option<Beside>,
}

impl Default for Conditions {
    fn default() -> Self {
        Self { stored: 0, waiting: 0, replicas: 1, beside: None }
    }
}

impl Conditions {
    /// What is not as it always is.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        if self.replicas > 1 {
            text += &format!(", {} orchestrators", self.replicas);
        }
        match self.beside {
            None => {}
            Some(Beside::Nobody) => text += ", alone",
            Some(Beside::Failing) => text += ", beside sagas that fail",
            Some(Beside::Hanging(n)) => text += &format!(", while {n} others hang"),
            Some(Beside::Flooding(n)) => text += &format!(", beside {n} others a second"),
        }
        text
    }
}

/// Which sagas go on at the same time, where that is what is measured.
#[derive(Clone, Copy)]
pub(crate) enum Beside {
    Nobody,
    /// A tenth as many, with attempts that break.
    Failing,
    /// So many that wait on a service which hangs.
    Hanging(u32),
    /// So many of another definition a second.
    Flooding(u32),
}

impl Beside {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Failing => "failing",
            Self::Hanging(_) => "hanging",
            Self::Flooding(_) => "flooding",
        }
    }
}

impl Kind {
    /// Whether it compares times, not throughput.
    pub(crate) fn is_of_time(&self) -> bool {
        matches!(self.arrivals, Arrivals::Closed(1) | Arrivals::Open(_))
    }
}

/// The plain runs.
pub(crate) fn plain(args: &BenchArgs, conditions: Conditions) -> Vec<Kind> {
    args.barriers().iter().flat_map(|&barrier| with(args, barrier, conditions)).collect()
}

fn with(args: &BenchArgs, barrier: bool, conditions: Conditions) -> Vec<Kind> {
    let kind = |name, arrivals, workload| Kind { name, arrivals, workload, barrier, conditions };
    let mut kinds = Vec::new();
    for &in_flight in &args.in_flight {
        kinds.push(kind("happy", Arrivals::Closed(in_flight), Workload::HAPPY));
    }
    for &in_flight in &args.in_flight {
        // A quick look has no time for each.
        if !args.quick || in_flight == args.in_flight[0] {
            kinds.push(kind("compensated", Arrivals::Closed(in_flight), Workload::REFUSED));
        }
    }
    if !(args.quick && barrier) {
        kinds.push(kind("one", Arrivals::Closed(1), Workload::HAPPY));
        kinds.push(kind("open", Arrivals::Open(args.rate), Workload::HAPPY));
    }
    kinds.retain(|kind| args.only.is_empty() || args.only.iter().any(|only| only == kind.name));
    kinds
}

/// Happy runs with one orchestrator, and with more between them.
pub(crate) fn replicas(args: &BenchArgs) -> Vec<Kind> {
    let more = args.replicas.iter().flat_map(|&more| [usize::from(more), 1]);
    let counts: Vec<_> = std::iter::once(1).chain(more).collect();
    let kind = |barrier, in_flight, replicas| Kind {
        name: "happy",
        arrivals: Arrivals::Closed(in_flight),
        workload: Workload::HAPPY,
        barrier,
        conditions: Conditions { replicas, ..Conditions::default() },
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
pub(crate) fn neighbours(args: &BenchArgs, hanging: u32) -> Vec<Kind> {
    open(args, &[Beside::Nobody, Beside::Failing, Beside::Hanging(hanging), Beside::Nobody])
}

/// Open loops, alone and beside more sagas of another definition.
pub(crate) fn flood(args: &BenchArgs, rate: u32) -> Vec<Kind> {
    open(args, &[Beside::Nobody, Beside::Flooding(rate), Beside::Nobody])
}

fn open(args: &BenchArgs, beside: &[Beside]) -> Vec<Kind> {
    let kind = |barrier, beside| Kind {
        name: "open",
        arrivals: Arrivals::Open(args.rate),
        workload: Workload::HAPPY,
        barrier,
        conditions: Conditions { beside: Some(beside), ..Conditions::default() },
    };
    let each = |&barrier: &bool| beside.iter().map(move |&beside| kind(barrier, beside));
    args.barriers().iter().flat_map(each).collect()
}

//! Random plans in a random world: every saga ends as promised, whatever goes wrong.

use std::{ops::Range, sync::Arc};

use super::{
    plans::{Drawn, Taste, plan},
    random_services::RandomServices,
};
use crate::{
    Json,
    machine::Status,
    testing::{
        AccidentSource, Breach, End, FaultSchedule, Guarantee, Kept, Planned, Seen, Setting, Sim,
        SplitMix64, everywhere, share,
    },
};

/// Seeded runs of the whole suite; `AMENDS_SEEDS` asks for more or fewer.
pub(crate) const SEEDS: u64 = 100_000;

/// Accidents of one run, at most.
const ACCIDENTS_MAX: usize = 400;

/// A run, drawn from its seed.
pub(crate) struct Run {
    plan: Arc<Drawn>,
    random: SplitMix64,
    faults: Vec<Planned>,
    accidents: u32,
    random_acts: bool,
    heal: bool,
    by_acts: bool,
    good: bool,
}

impl Run {
    pub(crate) fn draw(seed: u64) -> Self {
        let mut random = SplitMix64::new(seed);
        let plan = plan(&mut random, Taste { rich: !seed.is_multiple_of(4), patient: false });
        let all = everywhere(&plan.definition(), |_| false);
        let mut faults = Vec::new();
        for _ in 0..random.pick(4) {
            let crash = Planned::crash(u32::try_from(random.pick(60)).unwrap());
            let other = all.get(random.pick(all.len() + all.len() / 8 + 1)).cloned();
            faults.push(other.unwrap_or(crash));
        }
        Self {
            faults,
            accidents: u32::try_from(random.pick(ACCIDENTS_MAX)).unwrap(),
            random_acts: random.chance(2),
            heal: random.pick(4) > 0,
            by_acts: random.chance(3),
            good: random.chance(4),
            plan,
            random,
        }
    }

    fn setting<'a>(&self, services: &'a mut RandomServices, log: bool) -> Setting<'a> {
        let mut random = self.random.clone();
        Setting {
            definition: Arc::new(self.plan.definition()),
            input: Json::trusted("{}"),
            events: Drawn::events(&self.plan),
            services,
            schedule: FaultSchedule::new(&self.faults),
            random: AccidentSource::new(random.next(), self.accidents),
            random_acts: self.random_acts,
            heal: self.heal,
            by_acts: self.by_acts,
            log,
        }
    }

    pub(crate) fn run(&self, log: bool) -> (Kept<End>, String) {
        let mut services = RandomServices::new(self.random.clone(), self.good, &self.plan);
        let mut sim = Sim::new(self.setting(&mut services, log));
        let end = sim.run();
        let details = if log { sim.render(None) } else { String::new() };
        (end.and_then(|end| self.ended(end)), details)
    }

    fn ended(&self, end: End) -> Kept<End> {
        if end.status.ended() || !self.heal {
            return Ok(end);
        }
        let what = format!("operators healed it, and it is {}", end.status);
        Err(Breach::new(Guarantee::Ends, what))
    }

    /// The same run with the fewest accidents that still break something.
    fn smallest(mut self) -> Self {
        let all = self.accidents;
        for accidents in 0..all {
            self.accidents = accidents;
            if self.run(false).0.is_err() {
                return self;
            }
        }
        self.accidents = all;
        self
    }
}

/// What a failing seed looks like.
fn report(seed: u64) -> String {
    let run = Run::draw(seed).smallest();
    let (end, details) = run.run(true);
    let faults: Vec<_> = run.faults.iter().map(Planned::to_string).collect();
    let breach = end.err().map_or_else(String::new, |breach| breach.to_string());
    format!(
        "seed {seed}, {} accidents, operators {}, faults {faults:?}\n{breach}\n{}\n{details}",
        run.accidents, run.random_acts, run.plan.outline
    )
}

fn asked() -> Option<u64> {
    std::env::var("AMENDS_SEEDS").ok()?.parse().ok()
}

#[test]
fn every_saga_ends_as_promised() {
    if let Some(seed) = std::env::var("AMENDS_SEED").ok().and_then(|seed| seed.parse().ok()) {
        panic!("{}", report(seed));
    }
    let seeds = asked().unwrap_or(SEEDS);
    let parts: Vec<_> = (0..seeds).step_by(SEEDS_OF_PART).collect();
    let ends = share(&parts, |first| some(*first..seeds.min(first + SEEDS_OF_PART as u64)));
    let mut all = Sum::default();
    for sum in ends {
        match sum {
            Ok(sum) => all.add(sum.seen, sum.planned, sum.happened),
            Err(seed) => panic!("{}", report(seed)),
        }
    }
    let Sum { seen, planned, happened } = all;
    assert!(happened * 4 > planned, "{happened} of {planned} planned faults happened");
    assert_rich(&seen, usize::try_from(seeds).unwrap());
}

/// Seeds that one thread takes at a time.
const SEEDS_OF_PART: usize = 500;

/// What some runs have seen.
#[derive(Default)]
struct Sum {
    seen: Seen,
    planned: usize,
    happened: usize,
}

impl Sum {
    fn add(&mut self, seen: Seen, planned: usize, happened: usize) {
        self.planned += planned;
        self.happened += happened;
        for (what, times) in seen {
            *self.seen.entry(what).or_default() += times;
        }
    }
}

/// Some runs, or the first seed that breaks a promise.
fn some(seeds: Range<u64>) -> Result<Sum, u64> {
    let mut sum = Sum::default();
    for seed in seeds {
        let end = Run::draw(seed).run(false).0.map_err(|_| seed)?;
        let happened = end.happened.iter().filter(|happened| **happened).count();
        sum.add(end.seen, end.happened.len(), happened);
    }
    Ok(sum)
}

/// The runs are worth something: all that can happen does happen in them, so often in 10,000 runs.
fn assert_rich(seen: &Seen, runs: usize) {
    let rich = [
        ("completed", 1_000),
        ("compensated", 3_000),
        ("stuck", 300),
        ("done", 30_000),
        ("rejected", 1_500),
        ("broke", 2_000),
        ("timed_out", 15_000),
        ("pending", 1_000),
        ("resumed", 8_000),
        ("late", 1_500),
        ("late, not compensatable", 1),
        ("late, undoing skipped", 20),
        ("unmappable", 80),
        ("known", 30_000),
        ("version conflict", 10_000),
        ("outdated", 3_000),
        ("overdue", 2_000),
        ("asked", 1_000),
        ("ended by an act", 100),
        ("output given", 5),
        ("unknown", 4_000),
        ("stuck was healed", 2_000),
        ("reply too old", 500),
        ("retry", 1_500),
        ("skip", 250),
        ("resolve", 300),
        ("cancel", 250),
        ("pause", 500),
        ("resume", 500),
        ("refused act", 5_000),
        ("stale act", 1_500),
        ("turned back while paused", 50),
        ("expanded", 2_000),
        ("element", 4_000),
        ("omitted", 1_000),
        ("event", 1_000),
        ("event missed", 50),
        ("delay over", 1_000),
        ("child completed", 250),
        ("child turned back", 300),
        ("child undone", 600),
        ("child too slow", 100),
        ("undo", 400),
        ("granted", 400),
        ("deadline", 150),
        ("deadline too late", 30),
    ];
    for (what, least) in rich {
        let times = seen.get(what).copied().unwrap_or(0);
        assert!(times * 10_000 >= least * runs, "{what}: {times} times in {runs} runs: {seen:#?}");
    }
}

/// Faults one by one, and crashes after each write, where nothing else goes wrong.
#[test]
fn every_fault_alone_breaks_no_plan() {
    let plans: Vec<_> = (0..PLANS).collect();
    let broken = share(&plans, |seed| each_fault(*seed)).into_iter().flatten().next();
    if let Some((fault, breach, details)) = broken {
        panic!("{fault}\n{breach}\n{details}");
    }
}

/// Plans that each fault is tried on.
const PLANS: u64 = 60;

/// The first fault that breaks something.
fn each_fault(seed: u64) -> Option<(String, Breach, String)> {
    let mut run = Run::draw(seed);
    (run.faults, run.accidents, run.good) = (Vec::new(), 0, true);
    (run.random_acts, run.heal) = (false, true);
    let writes = run.run(false).0.map_or(0, |end| end.writes);
    let mut faults = everywhere(&run.plan.definition(), |_| false);
    faults.extend((0..=writes).map(Planned::crash));
    for fault in faults {
        run.faults = vec![fault];
        if run.run(false).0.is_err() {
            let (end, details) = run.run(true);
            let what = format!("plan {seed}, {}\n{}", run.faults[0], run.plan.outline);
            return Some((what, end.err()?, details));
        }
    }
    None
}

#[test]
fn without_accidents_a_good_saga_completes() {
    for seed in 0..1_000 {
        let mut run = Run::draw(seed);
        run.plan = plan(&mut SplitMix64::new(seed), Taste { rich: seed % 2 == 0, patient: true });
        (run.faults, run.accidents, run.good, run.random_acts) = (Vec::new(), 0, true, false);
        let (end, details) = run.run(true);
        let end = end.unwrap_or_else(|breach| panic!("seed {seed}\n{breach}\n{details}"));
        assert_eq!(end.status, Status::Completed, "seed {seed}\n{}\n{details}", run.plan.outline);
        let steps = run.plan.outline.steps.len();
        assert!(seed % 2 == 0 || end.seen["done"] == steps, "seed {seed}\n{details}");
    }
}

//! One call for all faults: singles, pairs, and mixtures drawn from seeds.

use std::{sync::Arc, time::Duration};

use serde::Serialize;

use super::{
    breach::{Breach, Guarantee, Kept},
    case::Case,
    fault::{Planned, everywhere},
    model::{Effect, Handlers, Invariant, Model},
    random::{AccidentSource, SplitMix64},
    report::{Coverage, Failed},
    schedule::FaultSchedule,
    sim::{End, External, Setting, Sim},
    threads, unused,
};
use crate::{Compensatable, Definition, Json, Saga, Step, machine::Status, wire::Undo};

/// Mixtures unless one asks for more or fewer.
const SEEDS: u64 = 10_000;

/// Of the faults that were planned, so many have to happen: one in so many.
const HAPPEN_ONE_IN: u64 = 4;

/// The fault matrix of a saga: see the [module](super).
#[must_use = "a fault matrix does nothing until it is `run`"]
pub struct FaultMatrix<W> {
    definition: Arc<Definition>,
    key: Option<String>,
    input: Json,
    events: Vec<External>,
    world: Arc<dyn Fn() -> W + Send + Sync>,
    handlers: Handlers<W>,
    invariants: Vec<Invariant<W>>,
    seeds: u64,
    replay: Option<String>,
}

impl FaultMatrix<()> {
    /// The matrix of the saga `S`, started with `input`.
    ///
    /// # Panics
    /// When the definition is wrong, or `input` does not fit it.
    pub fn of<S: Saga>(input: impl Serialize) -> Self {
        let definition = match Definition::of::<S>() {
            Ok(definition) => Arc::new(definition),
            Err(error) => fail(&error.to_string()),
        };
        let input = match Json::of(&input) {
            Ok(input) => input,
            Err(error) => fail(&error.to_string()),
        };
        let key = match definition.admit(&input) {
            Ok(admitted) => admitted.key,
            Err(error) => fail(&error.to_string()),
        };
        Self {
            definition,
            key,
            input,
            events: Vec::new(),
            world: Arc::new(|| ()),
            handlers: Handlers::new(),
            invariants: Vec::new(),
            seeds: SEEDS,
            replay: None,
        }
    }

    /// The world that the services act on, as each run begins. It is cloned for each transaction.
    pub fn world<W: Clone>(self, world: impl Fn() -> W + Send + Sync + 'static) -> FaultMatrix<W> {
        FaultMatrix {
            definition: self.definition,
            key: self.key,
            input: self.input,
            events: self.events,
            world: Arc::new(world),
            handlers: Handlers::new(),
            invariants: Vec::new(),
            seeds: self.seeds,
            replay: self.replay,
        }
    }
}

impl<W: Clone> FaultMatrix<W> {
    /// What a step's action does. What it did to the world before it rejects is rolled back, and it
    /// is called once per effect: a barrier stands before it, as at a worker.
    pub fn act<S: Step>(
        mut self,
        act: impl Fn(&mut W, &Effect, S::Input) -> Result<S::Output, S::Rejection>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.handlers.act::<S>(act);
        self
    }

    /// What a step's compensation does. It is called only for an action that took effect, and once.
    pub fn compensate<S: Compensatable>(
        mut self,
        compensate: impl Fn(&mut W, &Effect, Undo<S::Input, S::Output>) + Send + Sync + 'static,
    ) -> Self {
        self.handlers.compensate::<S>(compensate);
        self
    }

    /// This step's service answers `pending`, and does the action after `delay`.
    pub fn deferred<S: Step>(mut self, delay: Duration) -> Self {
        self.handlers.deferred::<S>(delay);
        self
    }

    /// An event that somebody publishes, for a step that waits for one. [`run`](Self::run) fails if no step can
    /// take it, or none does.
    ///
    /// # Panics
    /// When the body cannot be written.
    pub fn event(mut self, subject: &str, body: impl Serialize) -> Self {
        match Json::of(&body) {
            Ok(body) => self.events.push(External { subject: subject.to_owned(), body }),
            Err(error) => fail(&error.to_string()),
        }
        self
    }

    /// What must hold of the world after each run.
    pub fn invariant(
        mut self,
        name: &str,
        holds: impl Fn(&W) -> bool + Send + Sync + 'static,
    ) -> Self {
        let (name, holds) = (name.to_owned(), Box::new(holds));
        self.invariants.push(Invariant { name, status: None, holds });
        self
    }

    /// What must hold of the world after each run in which the saga ended with this status.
    /// [`run`](Self::run) fails if none did.
    pub fn ends(
        mut self,
        status: Status,
        name: &str,
        holds: impl Fn(&W) -> bool + Send + Sync + 'static,
    ) -> Self {
        let (name, holds) = (name.to_owned(), Box::new(holds));
        self.invariants.push(Invariant { name, status: Some(status), holds });
        self
    }

    /// How many mixtures to draw; 10,000 unless said otherwise.
    pub const fn seeds(mut self, seeds: u64) -> Self {
        self.seeds = seeds;
        self
    }

    /// Only the run that a failure named, for instance `seed 17/240` or
    /// `lost_reply inventory.reserve:action + crash 7`; it fails in any case, with all there is to read.
    pub fn replay(mut self, case: &str) -> Self {
        self.replay = Some(case.to_owned());
        self
    }

    /// Runs all of it on all processors.
    ///
    /// # Panics
    /// When a guarantee or an invariant is broken, with the faults or the seed that broke it, the
    /// saga's transcript and all messages; when the model does not fit the plan; when hardly any of
    /// the planned faults happened; when no run takes an event, or ends as a condition asks; and after a replay.
    #[track_caller]
    pub fn run(self) -> Coverage {
        let lacks = self.handlers.lacks(&self.definition);
        if !lacks.is_empty() {
            fail(&format!("the model does not fit the plan: {}", lacks.join(", ")));
        }
        let unawaited = unused::unawaited(&self.definition, &self.events);
        if !unawaited.is_empty() {
            fail(&unawaited.join("\n"));
        }
        let faults = everywhere(&self.definition, |step| self.handlers.never_rejects(step));
        let matrix = Ready {
            definition: self.definition,
            key: self.key,
            input: self.input,
            world: self.world,
            faults,
            events: self.events,
            handlers: Arc::new(self.handlers),
            invariants: self.invariants,
        };
        if let Some(case) = &self.replay {
            match case.parse() {
                Ok(case) => fail(&matrix.report(&case).to_string()),
                Err(error) => fail(&error),
            }
        }
        match matrix.all(self.seeds) {
            Ok(coverage) => coverage,
            Err(failed) => fail(&failed.to_string()),
        }
    }
}

/// Ends a user's test.
#[allow(clippy::panic, reason = "this is how a test fails")]
#[track_caller]
fn fail(why: &str) -> ! {
    panic!("{why}")
}

/// A matrix whose model is complete.
struct Ready<W> {
    /// All that can go wrong but crashes.
    faults: Vec<Planned>,
    definition: Arc<Definition>,
    key: Option<String>,
    input: Json,
    events: Vec<External>,
    world: Arc<dyn Fn() -> W + Send + Sync>,
    handlers: Arc<Handlers<W>>,
    invariants: Vec<Invariant<W>>,
}

impl<W: Clone> Ready<W> {
    fn all(&self, seeds: u64) -> Result<Coverage, Box<Failed>> {
        let mut coverage = Coverage::default();
        let plain = &self.each(&mut coverage, vec![Case::Faults(Vec::new())])?[0];
        let crashes = |writes: u32| (0..=writes).map(Planned::crash);
        let mut singles = self.faults.clone();
        let crash_free = singles.len();
        singles.extend(crashes(plain.writes));
        let cases = singles.iter().map(|fault| Case::Faults(vec![fault.clone()])).collect();
        let ends = self.each(&mut coverage, cases)?;
        let mut pairs = Vec::new();
        for (n, first) in singles.iter().enumerate() {
            // Two faults at two places, and a crash after each write that the first leads to.
            let others = singles[n + 1..].iter().take(crash_free.saturating_sub(n + 1)).cloned();
            for second in others.chain(crashes(ends[n].writes)) {
                pairs.push(Case::Faults(vec![first.clone(), second]));
            }
        }
        self.each(&mut coverage, pairs)?;
        // What a saga without faults does not come to, another fault may not bring about.
        singles.retain(|fault| plain.status == Status::Completed && fault.is_at(&plain.asked));
        let never = coverage.never_happened(&singles);
        if !never.is_empty() {
            return Err(Box::new(Failed::vacuous(format!(
                "these faults never happened: {}",
                never.join(", ")
            ))));
        }
        self.each(&mut coverage, (0..seeds).map(Case::seed).collect())?;
        let key = self.key.as_deref();
        let unused = unused::never_used(&coverage, &self.events, &self.invariants, key);
        if !unused.is_empty() {
            return Err(Box::new(Failed::vacuous(unused.join("\n"))));
        }
        if coverage.planned > coverage.happened * HAPPEN_ONE_IN {
            return Err(Box::new(Failed::vacuous(format!(
                "hardly any fault that was planned has happened: {coverage}"
            ))));
        }
        Ok(coverage)
    }

    /// Runs cases on all processors.
    fn each(&self, coverage: &mut Coverage, cases: Vec<Case>) -> Result<Vec<End>, Box<Failed>> {
        let mut ends = Vec::with_capacity(cases.len());
        for (case, end) in cases.iter().zip(threads::share(&cases, |case| self.case(case, false).0))
        {
            let Ok(end) = end else {
                return Err(Box::new(self.report(&self.smallest(case))));
            };
            coverage.count(case, &end);
            ends.push(end);
        }
        Ok(ends)
    }

    /// The same mixture with the fewest accidents that still break something.
    fn smallest(&self, case: &Case) -> Case {
        let smaller = case.smaller().into_iter().find(|case| self.case(case, false).0.is_err());
        smaller.unwrap_or_else(|| case.clone())
    }

    /// A run with its transcript and its messages.
    fn report(&self, case: &Case) -> Failed {
        let (end, details) = self.case(case, true);
        Failed { case: Some(case.to_string()), breach: end.err(), details }
    }

    fn case(&self, case: &Case, log: bool) -> (Kept<End>, String) {
        let mut model = Model { handlers: &self.handlers, world: (self.world)() };
        let (planned, seed, accidents) = match case {
            Case::Faults(faults) => (faults.clone(), 0, 0),
            Case::Seed(seed, accidents) => (self.some_faults(*seed), *seed, *accidents),
        };
        let mut sim = Sim::new(Setting {
            definition: Arc::clone(&self.definition),
            input: self.input.clone(),
            events: self.events.clone(),
            services: &mut model,
            schedule: FaultSchedule::new(&planned),
            random: AccidentSource::new(seed, accidents),
            random_acts: seed % 2 == 1,
            heal: true,
            by_acts: false,
            log,
        });
        let end = sim.run();
        let details = if log { sim.render(self.key.as_deref()) } else { String::new() };
        let end = end.and_then(|end| self.invariants(&model.world, end));
        (end, details)
    }

    /// Up to three faults, beside the accidents of a mixture.
    fn some_faults(&self, seed: u64) -> Vec<Planned> {
        let mut random = SplitMix64::new(seed.wrapping_mul(3));
        let some = (0..random.pick(4)).map(|_| random.pick(self.faults.len()));
        some.filter_map(|at| self.faults.get(at).cloned()).collect()
    }

    fn invariants(&self, world: &W, end: End) -> Kept<End> {
        for invariant in &self.invariants {
            let asked = invariant.status.is_none_or(|status| status == end.status);
            if asked && !(invariant.holds)(world) {
                let what = format!("`{invariant}` does not hold; the saga is {}", end.status);
                return Err(Breach::new(Guarantee::Invariant, what));
            }
        }
        Ok(end)
    }
}

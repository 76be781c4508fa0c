//! The plain saga that is measured: three steps at three services, each of which passes on what it
//! was given. And another beside it, at a service of its own.

use amends::{
    BeforePivot, Compensatable, Definition, Finished, Given, Plan, Rejection, Saga, Step, Trigger,
};
use amends_app::{During as _, Failed};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The services, in the plan's order.
pub(crate) const SERVICES: [&str; 3] = ["bench-one", "bench-two", "bench-three"];

/// The service of the other saga, which the plain one never meets.
pub(crate) const OTHER_SERVICE: &str = "bench-four";

const STEPS: [&str; 4] =
    ["bench-one.work", "bench-two.work", "bench-three.work", "bench-four.work"];

/// Where triggers are published.
pub(crate) const TRIGGER: &str = "bench.wanted";
pub(crate) const OTHER_TRIGGER: &str = "bench.other";

/// Makes each payload about 200 bytes long.
const NOTE_BYTES: usize = 150;

/// What goes through all steps.
#[derive(Serialize, Deserialize)]
pub(crate) struct Job {
    /// Which saga it is.
    pub(crate) n: u64,
    /// Whether the last step is to refuse.
    pub(crate) refuse: bool,
    /// How many attempts at the last step are to break.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) breaks: u32,
    note: String,
}

impl Job {
    pub(crate) fn body(n: u64, refuse: bool, breaks: u32) -> Result<Bytes, serde_json::Error> {
        let note = "n".repeat(NOTE_BYTES);
        serde_json::to_vec(&Self { n, refuse, breaks, note }).map(Bytes::from)
    }

    /// A plan's mapping reads and writes values, so this one does, too.
    fn on(self) -> Self {
        self
    }
}

/// What most do not say costs no byte.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(breaks: &u32) -> bool {
    *breaks == 0
}

/// The step at the service of this position.
pub(crate) struct PassOn<const AT: usize>;

impl<const AT: usize> Step for PassOn<AT> {
    const NAME: &'static str = STEPS[AT];
    type Input = Job;
    type Output = Job;
    type Rejection = Refused;
}

impl<const AT: usize> Compensatable for PassOn<AT> {}

/// The last step's no; its message says which saga it is.
pub(crate) struct Refused(pub(crate) u64);

impl Rejection for Refused {
    fn code(&self) -> &'static str {
        "refused"
    }

    fn message(&self) -> String {
        self.0.to_string()
    }
}

pub(crate) struct Bench;

impl Saga for Bench {
    const NAME: &'static str = "bench";
    const VERSION: u32 = 1;
    type Input = Job;
    type Output = Job;

    fn trigger() -> Trigger<Job> {
        Trigger::on(TRIGGER)
    }

    fn plan(mut p: Plan<BeforePivot>, job: Given<Job>) -> Finished<Job> {
        let first = p.step(PassOn::<0>::with(job.map(Job::on)));
        let second = p.step(PassOn::<1>::with(first.map(Job::on)));
        let (p, third) = p.pivot(PassOn::<2>::with(second.map(Job::on)));
        p.finish(third)
    }
}

/// One step, with the policies that a step has if nobody says anything.
pub(crate) struct Other;

impl Saga for Other {
    const NAME: &'static str = "bench-other";
    const VERSION: u32 = 1;
    type Input = Job;
    type Output = Job;

    fn trigger() -> Trigger<Job> {
        Trigger::on(OTHER_TRIGGER)
    }

    fn plan(mut p: Plan<BeforePivot>, job: Given<Job>) -> Finished<Job> {
        let done = p.step(PassOn::<3>::with(job));
        p.finish(done)
    }
}

/// What the orchestrator of a benchmark runs; the other saga only where it is measured, as each
/// definition costs something.
pub(crate) fn definitions(other: bool) -> Result<Vec<Definition>, Failed> {
    let mut all = vec![Definition::of::<Bench>().during("definition")?];
    if other {
        all.push(Definition::of::<Other>().during("definition")?);
    }
    Ok(all)
}

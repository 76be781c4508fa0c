//! Lists: how many elements run at once, and in which order they are undone.

use std::convert::Infallible;

use amends::{
    BeforePivot, Compensatable, Finished, Given, Plan, Rejection, Saga, Step, Trigger,
    machine::Status,
};

use crate::script::Script;

const CLIMB: &str = "tour.climb";
const SUMMIT: &str = "tour.summit";

struct Climb;

impl Step for Climb {
    const NAME: &'static str = CLIMB;
    type Input = u32;
    type Output = u32;
    type Rejection = Infallible;
}

impl Compensatable for Climb {}

struct Summit;

struct Storm;

impl Rejection for Storm {
    fn code(&self) -> &str {
        "storm"
    }
}

impl Step for Summit {
    const NAME: &'static str = SUMMIT;
    type Input = Vec<u32>;
    type Output = ();
    type Rejection = Storm;
}

/// One camp after the other.
struct Tour;

impl Saga for Tour {
    const NAME: &'static str = "tour";
    const VERSION: u32 = 1;
    type Input = Vec<u32>;
    type Output = ();

    fn trigger() -> Trigger<Self::Input> {
        Trigger::on("tours.wanted")
    }

    fn plan(mut p: Plan<BeforePivot>, camps: Given<Self::Input>) -> Finished<()> {
        let climbed = p.step(Climb::each(camps).at_once(1));
        let (p, reached) = p.pivot(Summit::with(climbed));
        p.finish(reached)
    }
}

#[test]
fn a_list_that_runs_one_at_a_time_is_undone_in_reverse() {
    let mut script = Script::given::<Tour>("[7,8,9]");
    for (camp, height) in [("tour.climb.0", "7"), ("tour.climb.1", "8"), ("tour.climb.2", "9")] {
        script = script.asks_with(camp, height).nothing_else().ok(camp, height);
    }
    script = script.asks_with(SUMMIT, "[7,8,9]").rejected(SUMMIT, "storm", "");
    for (camp, height) in [("tour.climb.2", "9"), ("tour.climb.1", "8"), ("tour.climb.0", "7")] {
        script = script.asks_undo(camp, height).nothing_else().undone(camp);
    }
    script.is(Status::Compensated);
}

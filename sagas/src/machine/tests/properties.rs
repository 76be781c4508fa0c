//! Random plans in a random world: every saga ends as promised, whatever goes wrong.

use std::collections::BTreeMap;

use proptest::{
    collection::vec,
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};

use super::{
    operator::Operators,
    participant::{Character, GOOD, character},
    plans::outline,
    world::World,
};
use crate::{Outline, machine::Status};

/// Steps of the largest plan.
const STEPS: usize = 24;

/// `PROPTEST_CASES` asks for more or fewer.
pub(super) fn cases(cases: u32) -> Config {
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    if asked { Config::default() } else { Config::with_cases(cases) }
}

fn runs() -> impl Strategy<Value = (Outline, Vec<Character>, Vec<u8>)> {
    (outline(), vec(character(), STEPS), vec(any::<u8>(), 0..400)).prop_map(
        |(outline, mut characters, accidents)| {
            characters.truncate(outline.steps.len());
            (outline, characters, accidents)
        },
    )
}

fn operators() -> impl Strategy<Value = Operators> {
    any::<bool>().prop_map(|heal| Operators { meddle: true, heal, ..Operators::default() })
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn every_saga_ends_as_promised((outline, characters, accidents) in runs()) {
        World::new(outline, &characters, accidents).run();
    }

    #[test]
    fn every_saga_ends_as_promised_whatever_operators_do(
        (outline, characters, accidents) in runs(),
        operators in operators(),
    ) {
        let end = World::new(outline, &characters, accidents).with(operators).run();
        prop_assert!(end.status.ended() || !operators.heal);
    }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn without_accidents_a_good_saga_completes(outline in outline()) {
        let steps = outline.steps.len();
        let end = World::new(outline, &vec![GOOD; steps], Vec::new()).run();
        prop_assert_eq!(end.status, Status::Completed);
        prop_assert_eq!(end.seen["done"], steps);
    }
}

/// The runs are worth something: all that can happen does happen in them.
#[test]
fn the_world_is_rich() {
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeMap::new();
    for run in 0..800 {
        let (outline, characters, accidents) = runs().new_tree(&mut runner).unwrap().current();
        let operators =
            Operators { meddle: run % 2 == 0, heal: run % 4 < 2, ..Operators::default() };
        let end = World::new(outline, &characters, accidents).with(operators).run();
        *seen.entry(end.status.as_str()).or_default() += 1;
        for (what, times) in end.seen {
            *seen.entry(what).or_default() += times;
        }
    }
    let rich = [
        ("completed", 40),
        ("compensated", 40),
        ("stuck", 40),
        ("done", 1_000),
        ("rejected", 20),
        ("broke", 100),
        ("timed_out", 100),
        ("pending", 40),
        ("resumed", 100),
        ("late", 10),
        ("late, not compensatable", 1),
        ("unmappable", 5),
        ("known", 100),
        ("version conflict", 40),
        ("outdated", 5),
        ("unknown", 40),
        ("stuck was healed", 3),
        ("reply too old", 1),
        ("retry", 50),
        ("skip", 20),
        ("resolve", 20),
        ("cancel", 10),
        ("pause", 50),
        ("resume", 50),
        ("refused act", 100),
        ("stale act", 100),
        ("late, undoing skipped", 1),
        ("turned back while paused", 3),
    ];
    for (what, least) in rich {
        let times = seen.get(what).copied().unwrap_or(0);
        assert!(times >= least, "{what}: {times} times in {seen:?}");
    }
}

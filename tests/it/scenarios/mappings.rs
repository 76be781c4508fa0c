//! Mappings that panic: before the pivot, at it, after it, and at the end.

use std::{convert::Infallible, sync::Arc};

use amends::{
    BeforePivot, Compensatable, Definition, Finished, Given, Json, Plan, Saga, Step, Trigger,
    machine::{OperatorCommand, Status},
};

use crate::script::Script;

const HOLD: &str = "bank.hold";
const TAKE: &str = "bank.take";
const TELL: &str = "mail.tell";
const COUNT: &str = "shop.count";

const STILL: &str = "the input of `mail.tell` cannot be computed, now as before: the mapping function panicked; resolve `mail.tell` with its output, or skip it";

/// Each step passes the number of the place on where a mapping panics.
macro_rules! steps {
    ($($step:ident $name:ident;)+) => {$(
        struct $step;
        impl Step for $step {
            const NAME: &'static str = $name;
            type Input = u8;
            type Output = u8;
            type Rejection = Infallible;
        }
    )+};
}

steps! {
    Hold HOLD;
    Take TAKE;
    Tell TELL;
    Count COUNT;
}

impl Compensatable for Hold {}

struct Pay;

impl Saga for Pay {
    const NAME: &'static str = "pay";
    const VERSION: u32 = 1;
    type Input = u8;
    type Output = u8;

    fn trigger() -> Trigger<u8> {
        Trigger::on("payments.wanted").key(|place| {
            assert_ne!(*place, 5);
            place.to_string()
        })
    }

    fn plan(mut p: Plan<BeforePivot>, place: Given<u8>) -> Finished<u8> {
        let held = p.step(Hold::with(place.map(|place| {
            assert_ne!(place, 1);
            place
        })));
        let (mut p, taken) = p.pivot(Take::with(held.map(|place| {
            assert_ne!(place, 2);
            place
        })));
        let told = taken.map(|place| {
            assert_ne!(place, 3);
            place
        });
        p.together((Tell::with(told), Count::with(taken.clone())));
        p.finish(taken.map(|place| {
            assert_ne!(place, 4);
            place
        }))
    }
}

/// The step and the code of the saga's last error.
fn error(script: &Script) -> (String, String) {
    let error = script.records().iter().rev().find_map(|record| record.next.error.clone()).unwrap();
    assert_eq!(error.message, "the mapping function panicked");
    (error.step, error.code)
}

fn unmappable(step: &str) -> (String, String) {
    (step.to_owned(), "unmappable".to_owned())
}

#[test]
fn before_the_pivot_the_saga_turns_back() {
    let script = Script::given::<Pay>("1").nothing_else().is(Status::Compensated);
    assert_eq!(error(&script), unmappable(HOLD));
}

#[test]
fn at_the_pivot_the_saga_turns_back() {
    let script = Script::given::<Pay>("2").asks(HOLD).ok(HOLD, "2").asks_undo(HOLD, "2");
    assert_eq!(error(&script), unmappable(TAKE));
    script.undone(HOLD).is(Status::Compensated);
}

fn taken(place: &str) -> Script {
    Script::given::<Pay>(place).asks(HOLD).ok(HOLD, place).asks(TAKE).ok(TAKE, place)
}

#[test]
fn after_the_pivot_the_saga_is_stuck_until_somebody_speaks() {
    let script = taken("3").asks(COUNT).nothing_else().is(Status::Stuck);
    assert_eq!(error(&script), unmappable(TELL));
    script
        .ok(COUNT, "3")
        .refuses(OperatorCommand::Retry, STILL)
        .operator(OperatorCommand::Skip { step: TELL.into() }, "told by telephone")
        .is(Status::Completed);
}

#[test]
fn an_output_after_the_pivot_leaves_the_saga_stuck() {
    let script = taken("4").asks(TELL).asks(COUNT).ok(TELL, "4").ok(COUNT, "4").is(Status::Stuck);
    assert_eq!(error(&script), unmappable(""));
}

#[test]
fn a_key_is_refused_before_a_saga_starts() {
    let definition = Arc::new(Definition::of::<Pay>().unwrap());
    let refused = definition.admit(&Json::of(&5).unwrap()).unwrap_err();
    assert!(refused.to_string().starts_with("the business key must have"), "{refused}");
}

//! Mappings that panic: before the pivot, at it, after it, and at the end.

use std::{convert::Infallible, sync::Arc};

use amends::{
    BeforePivot, Compensatable, Definition, Finished, Given, Json, Plan, Saga, Step, Trigger,
    machine::{Failure, OperatorCommand, Status},
    wire::MESSAGE_BYTES_MAX,
};

use crate::script::Script;

const HOLD: &str = "bank.hold";
const TAKE: &str = "bank.take";
const TELL: &str = "mail.tell";
const COUNT: &str = "shop.count";

const STILL: &str = "the input of `mail.tell` cannot be computed, now as before: the mapping function panicked: no mail from place 3; resolve `mail.tell` with its output, or skip it";

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
            assert!(place != 1, "no account");
            place
        })));
        let (mut p, taken) = p.pivot(Take::with(held.map(|place| {
            assert!(place != 2, "no\0 {}", "ä".repeat(MESSAGE_BYTES_MAX));
            place
        })));
        let told = taken.map(|place| {
            assert!(place != 3, "no mail from place {place}");
            place
        });
        p.together((Tell::with(told), Count::with(taken.clone())));
        p.finish(taken.map(|place| {
            if place == 4 {
                std::panic::panic_any(place);
            }
            place
        }))
    }
}

/// The saga's last error.
fn error(script: &Script) -> Failure {
    script.records().iter().rev().find_map(|record| record.next.error.clone()).unwrap()
}

fn unmappable(step: &str, message: &str) -> Failure {
    let message = format!("the mapping function panicked{message}");
    Failure { step: step.to_owned(), code: "unmappable".to_owned(), message }
}

#[test]
fn before_the_pivot_the_saga_turns_back() {
    let script = Script::given::<Pay>("1").nothing_else().is(Status::Compensated);
    assert_eq!(error(&script), unmappable(HOLD, ": no account"));
}

#[test]
fn at_the_pivot_the_saga_turns_back() {
    let script = Script::given::<Pay>("2").asks(HOLD).ok(HOLD, "2").asks_undo(HOLD, "2");
    let message = error(&script).message;
    assert!(message.starts_with("the mapping function panicked: no ää"), "{message}");
    assert!((MESSAGE_BYTES_MAX - 1..=MESSAGE_BYTES_MAX).contains(&message.len()));
    assert_eq!(error(&script), Failure { message, ..unmappable(TAKE, "") });
    script.undone(HOLD).is(Status::Compensated);
}

fn taken(place: &str) -> Script {
    Script::given::<Pay>(place).asks(HOLD).ok(HOLD, place).asks(TAKE).ok(TAKE, place)
}

#[test]
fn after_the_pivot_the_saga_is_stuck_until_somebody_speaks() {
    let script = taken("3").asks(COUNT).nothing_else().is(Status::Stuck);
    assert_eq!(error(&script), unmappable(TELL, ": no mail from place 3"));
    script
        .ok(COUNT, "3")
        .refuses(OperatorCommand::Retry, STILL)
        .operator(OperatorCommand::Skip { step: TELL.into() }, "told by telephone")
        .is(Status::Completed);
}

#[test]
fn an_output_after_the_pivot_leaves_the_saga_stuck() {
    let script = taken("4").asks(TELL).asks(COUNT).ok(TELL, "4").ok(COUNT, "4").is(Status::Stuck);
    assert_eq!(error(&script), unmappable("", ""));
}

#[test]
fn a_key_is_refused_before_a_saga_starts() {
    let definition = Arc::new(Definition::of::<Pay>().unwrap());
    let refused = definition.admit(&Json::of(&5).unwrap()).unwrap_err();
    let panicked = "the trigger's function `.key(…)` panicked: ";
    assert!(refused.to_string().starts_with(panicked), "{refused}");
}

//! Differences as people read them.

use std::time::Duration;

use super::*;
use crate::{
    Retry, Task,
    sample::{compensatable, outline, pivot, retriable, trip},
};

fn told(old: &Outline, new: &Outline) -> Vec<String> {
    diff(old, new).iter().map(ToString::to_string).collect()
}

fn changed(change: impl FnOnce(&mut Outline)) -> Vec<String> {
    let mut new = trip();
    new.version = 2;
    change(&mut new);
    told(&trip(), &new)
}

#[test]
fn a_new_version_alone_is_no_difference() {
    assert_eq!(changed(|_| {}), [""; 0]);
}

#[test]
fn steps_come_and_go() {
    let old = outline(vec![compensatable(0, "hotel.book"), pivot(1, "card.charge")]);
    let new = outline(vec![
        compensatable(0, "hotel.book"),
        compensatable(0, "flight.book"),
        pivot(1, "card.charge"),
        retriable(2, "mail.tickets"),
    ]);
    let come = [
        "+ flight.book: compensatable, 10 attempts of 15 s, from input; first, together with hotel.book
    mind: deploy the workers of `flight` that handle `book` first",
        "+ mail.tickets: retriable, 30 attempts of 15 s, from input; after card.charge
    mind: deploy the workers of `mail` that handle `tickets` first",
    ];
    assert_eq!(told(&old, &new), come);
    let go = [
        "- flight.book: is gone; was compensatable
    mind: keep the workers of `flight` that handle `book` until no saga of trip@1 is open",
        "- mail.tickets: is gone; was retriable
    mind: keep the workers of `mail` that handle `tickets` until no saga of trip@1 is open",
    ];
    assert_eq!(told(&new, &old), go);
}

#[test]
fn a_renamed_step_is_no_other_step() {
    let renamed = changed(|new| new.steps[0].name = "hotel.first".into());
    assert_eq!(renamed, ["~ hotel.first: renamed, was hotel.book"]);
    let waits = changed(|new| new.steps[4].name = "money".into());
    assert_eq!(
        waits,
        ["~ money: renamed, was payments.settled
    mind: an event that came before the deploy is kept for the old name only"]
    );
}

#[test]
fn only_what_moved_is_told() {
    let steps = |names: [&str; 4]| {
        outline((0..).zip(names).map(|(stage, name)| compensatable(stage, name)).collect())
    };
    let old = steps(["a.do", "b.do", "c.do", "d.do"]);
    let last = told(&old, &steps(["b.do", "c.do", "d.do", "a.do"]));
    assert_eq!(last, ["~ a.do: moved: first → after d.do"]);
    let mut beside = old.clone();
    beside.steps[2].stage = 1;
    beside.steps[3].stage = 2;
    let beside = told(&old, &beside);
    assert_eq!(beside, ["~ c.do: moved: after b.do → after a.do, together with b.do"]);
    let inserted = steps(["a.do", "z.do", "b.do", "c.do"]);
    assert!(told(&old, &inserted).iter().all(|line| !line.contains("moved")));
}

#[test]
fn policies_and_conditions() {
    let told = changed(|new| {
        let hotel = &mut new.steps[0];
        hotel.retry = Retry::exponential(Duration::from_secs(1), Duration::from_secs(8)).limit(3);
        hotel.compensation_retry = Retry::ACTION;
        hotel.attempt_timeout_ms = 5_000;
        hotel.within_ms = Some(60_000);
        hotel.condition = Some(vec!["input".into()]);
        new.steps[1].each = Some(8);
        new.steps[2].condition = None;
        new.steps[7].needs = vec!["hotel.book".into()];
    });
    let expected = [
        "~ hotel.book: always → only if input",
        "~ hotel.book: within: none → 60 s",
        "~ hotel.book: action: 10 attempts, 500 ms to 30 s apart → 3 attempts, 1 s to 8 s apart",
        "~ hotel.book: compensation: 30 attempts, 500 ms to 60 s apart → 10 attempts, 500 ms to 30 s apart",
        "~ hotel.book: attempt timeout: 15 s → 5 s",
        "~ flight.book: at once: 4 of a list → 8 of a list",
        "~ insurance.buy: only if input → always",
        "~ mail.tickets: input from input → hotel.book",
    ];
    assert_eq!(told, expected);
}

#[test]
fn the_work_of_a_step() {
    let told = changed(|new| {
        new.steps[0].operation = "reserve".into();
        if let Task::Saga { digest, .. } = &mut new.steps[3].task {
            *digest = "another".into();
        }
        new.steps[4].task = Task::Event { subject: "payments.done".into() };
        new.steps[6].task = Task::Delay { ms: 90_000 };
    });
    let expected = [
        "~ hotel.book: does hotel.book → hotel.reserve
    mind: deploy the workers of `hotel` that handle `reserve` first",
        "~ rental: the plan of the saga rental@1 changed",
        "~ payments.settled: a wait for payments.settled → a wait for payments.done",
        "~ cooling-off: a wait of 60 s → a wait of 90 s",
    ];
    assert_eq!(told, expected);
}

#[test]
fn the_saga_as_a_whole() {
    let told = changed(|new| {
        new.trigger = "trips.asked".into();
        new.keyed = false;
        new.locks = 1;
        new.deadline_ms = Some(3_600_000);
        new.output_needs = vec!["card.charge".into()];
    });
    let expected = [
        "~ saga: starts on trips.wanted → trips.asked
    mind: events on trips.wanted start no saga once only trip@2 runs",
        "~ saga: one saga per key → one per message
    mind: what is published twice starts two sagas",
        "~ saga: locks: 0 → 1
    mind: sagas of trip@1 and trip@2 do not take turns where their locks differ",
        "~ saga: deadline: none → 3600 s",
        "~ saga: output from input → card.charge
    mind: whoever reads the output of sagas meets both forms",
    ];
    assert_eq!(told, expected);
}

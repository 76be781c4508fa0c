//! Each rule, kept and broken.

use std::time::Duration;

use super::*;
use crate::{
    Outline, Retry, StepKind, Task,
    sample::{compensatable, definition, nested, outline, own, parent, pivot, retriable, trip},
};

fn handlers() -> Vec<Handler> {
    let both =
        ["hotel.book", "flight.book", "insurance.buy", "car.rent"].map(Handler::with_compensation);
    let one = ["card.charge", "mail.tickets"].map(Handler::action);
    both.into_iter().chain(one).collect()
}

fn found(definition: Definition) -> Vec<String> {
    check(&[definition], &handlers()).iter().map(ToString::to_string).collect()
}

#[track_caller]
fn finds(outline: Outline, words: &[&str]) {
    let found = found(definition(outline));
    assert_eq!(found.len(), words.len(), "{found:#?}");
    for (found, words) in found.iter().zip(words) {
        assert!(found.contains(words), "no {words:?} in {found:?}");
    }
}

#[test]
fn a_sound_plan_has_no_finding() {
    finds(trip(), &[]);
}

#[test]
fn the_pivot_stands_alone_between_the_others() {
    let after = "error: trip@1 hotel.book: is compensatable, but stands after the pivot";
    finds(outline(vec![pivot(0, "card.charge"), compensatable(1, "hotel.book")]), &[after]);
    finds(outline(vec![retriable(0, "mail.tickets"), compensatable(1, "hotel.book")]), &[after]);
    let two = outline(vec![pivot(0, "card.charge"), pivot(1, "hotel.book")]);
    finds(two, &["trip@1 hotel.book: is a second pivot"]);
    let beside = outline(vec![compensatable(0, "hotel.book"), pivot(0, "card.charge")]);
    finds(beside, &["trip@1 card.charge: is a pivot beside other steps"]);
    let mixed = outline(vec![compensatable(0, "hotel.book"), retriable(0, "mail.tickets")]);
    finds(mixed, &["trip@1 mail.tickets: cannot be undone, but runs beside"]);
    finds(outline(vec![retriable(0, "mail.tickets"), retriable(0, "card.charge")]), &[]);
}

#[test]
fn each_step_has_its_handlers() {
    let strange = outline(vec![
        compensatable(0, "hotel.burn"),
        compensatable(1, "spa.book"),
        compensatable(2, "mail.tickets"),
    ]);
    finds(
        strange,
        &[
            "error: trip@1 hotel.burn: `hotel` does not handle `burn`",
            "error: trip@1 mail.tickets: `mail` does not handle its compensation",
            "error: trip@1 spa.book: no worker does the service `spa`",
        ],
    );
    finds(outline(vec![pivot(0, "mail.tickets")]), &[]);
}

/// 10 attempts of 15 s with 0.5 s to 30 s between them: 121.5 s of delays.
#[test]
fn within_leaves_room_for_the_attempts() {
    let limited = |ms| {
        let mut step = compensatable(0, "hotel.book");
        step.within_ms = Some(ms);
        outline(vec![step])
    };
    finds(
        limited(14_999),
        &["error: trip@1 hotel.book: is given up after 14999 ms, before its first"],
    );
    finds(
        limited(15_500),
        &["error: trip@1 hotel.book: is given up after 15500 ms, before an attempt"],
    );
    finds(
        limited(15_501),
        &["warning: trip@1 hotel.book: is given up after 15501 ms, before its 10"],
    );
    finds(limited(271_499), &["(271500 ms)"]);
    finds(limited(271_500), &[]);
    let mut once = limited(15_000);
    once.steps[0].retry = Retry::ACTION.limit(1);
    finds(once, &[]);
}

#[test]
fn a_compensation_is_as_patient_as_its_action() {
    let with = |retry| {
        let mut step = compensatable(0, "hotel.book");
        step.compensation_retry = retry;
        outline(vec![step])
    };
    finds(with(Retry::ACTION), &[]);
    let hasty = "warning: trip@1 hotel.book: its compensation is given up after 214 s, sooner than";
    let nine = Retry::exponential(Duration::from_secs(1), Duration::from_secs(16)).limit(9);
    finds(with(nine), &[hasty]);
    let once = "its compensation is not repeated: one broken attempt leaves the saga stuck";
    finds(with(Retry::ACTION.limit(1)), &["its compensation is given up", once]);
    let mut decides = pivot(0, "card.charge");
    decides.retry = Retry::ACTION.limit(1);
    finds(outline(vec![decides]), &["warning: trip@1 card.charge: it is not repeated"]);
}

#[test]
fn the_deadline_has_room_for_the_way_to_the_pivot() {
    let due = |ms| {
        let flight = compensatable(1, "flight.book");
        let insurance = compensatable(1, "insurance.buy");
        let steps =
            vec![compensatable(0, "hotel.book"), flight, insurance, pivot(2, "card.charge")];
        Outline { deadline_ms: Some(ms), ..outline(steps) }
    };
    let short = "error: trip@1: its deadline of 542999 ms is shorter than what its steps may take until the pivot, with all their attempts (543 s)";
    finds(due(542_999), &[short]);
    finds(due(543_000), &[]);
}

#[test]
fn waits_end() {
    let waiting = |within, deadline_ms| {
        let task = Task::Event { subject: "payments.settled".into() };
        let mut step = own(0, "payments.settled", StepKind::Compensatable, task);
        step.within_ms = within;
        Outline { deadline_ms, ..outline(vec![step]) }
    };
    finds(waiting(None, None), &["warning: trip@1 payments.settled: may wait for ever"]);
    finds(waiting(None, Some(1000)), &[]);
    finds(waiting(Some(1000), None), &[]);
    let long = "error: trip@1 payments.settled: may take 2 s, and the saga's deadline is 1 s";
    finds(waiting(Some(2000), Some(1000)), &[long]);
}

#[test]
fn nested_sagas_have_time_and_are_checked_themselves() {
    let child = |steps| definition(Outline { name: "rental".into(), ..outline(steps) });
    let outer = |deadline_ms, within_ms| {
        let mut step = nested(0, "rental", StepKind::Compensatable);
        step.within_ms = within_ms;
        Outline { deadline_ms, ..outline(vec![step]) }
    };
    let car = || child(vec![compensatable(0, "car.rent")]);
    let long = "error: trip@1 rental: may take 271500 ms, and the saga's deadline is 60 s";
    assert_eq!(found(parent(outer(Some(60_000), None), vec![car()])), [long]);
    assert_eq!(found(parent(outer(Some(60_000), Some(50_000)), vec![car()])), [""; 0]);
    assert_eq!(found(parent(outer(Some(271_500), None), vec![car()])), [""; 0]);
    let unknown = child(vec![compensatable(0, "boat.rent")]);
    let found = found(parent(outer(None, None), vec![unknown]));
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("error: rental@1 boat.rent: no worker"), "{found:?}");
}

#[test]
fn a_nested_wait_ends_with_the_outer_deadline() {
    let child = || {
        let task = Task::Event { subject: "car.ready".into() };
        let wait = own(0, "car.ready", StepKind::Compensatable, task);
        definition(Outline { name: "rental".into(), ..outline(vec![wait]) })
    };
    let outer = |deadline_ms, kind| {
        let plan = Outline { deadline_ms, ..outline(vec![nested(0, "rental", kind)]) };
        found(parent(plan, vec![child()]))
    };
    assert_eq!(outer(Some(60_000), StepKind::Compensatable), [""; 0]);
    let endless = "warning: rental@1 car.ready: may wait for ever";
    assert!(outer(None, StepKind::Compensatable)[0].starts_with(endless));
    assert!(outer(Some(60_000), StepKind::Pivot)[0].starts_with(endless));
}

#[test]
fn one_version_has_one_plan() {
    let same = [definition(trip()), definition(trip())];
    assert_eq!(check(&same, &handlers()), []);
    let other = definition(outline(vec![compensatable(0, "hotel.book")]));
    let found = check(&[definition(trip()), other], &handlers());
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].severity, Severity::Error);
    assert!(found[0].message.starts_with("two different plans"), "{found:?}");
}

//! Time limits hold whatever is decided first: each event meets the limits that had passed when it came.
//! So it makes no difference whether the timer fires before an event is decided or after it.

use super::*;
use crate::{
    EventId, Outline, StepKind, StepOutline, Task,
    definition::{Input as StepInput, StepCode},
    machine::{Arrival, Event, OperatorAct, OperatorCommand, Status},
    sample::own,
};

/// The [`trip`], which must have ended after a minute.
fn hurried() -> Arc<Definition> {
    let steps =
        vec![compensatable(0, "hotel.book"), compensatable(1, "car.book"), pivot(2, "card.charge")];
    Arc::new(definition(Outline { deadline_ms: Some(60_000), ..outline(steps) }))
}

fn came(item: Item, seconds: i64) -> Item {
    let Input::Reply(reply, _) = item.input else { panic!("{item:?}") };
    Item { input: Input::Reply(reply, at(seconds)), ..item }
}

fn all_kinds(outcome: &Outcome) -> Vec<Kind> {
    outcome.rows.sagas.iter().flat_map(|(_, change)| kinds(change)).collect()
}

#[test]
fn a_reply_in_time_that_is_decided_after_the_deadline_counts_and_sends_nothing_forward() {
    let instance = after(&hurried(), vec![done(1, "hotel.book")]);
    let item = came(done(1, "car.book"), 10);
    let (dispositions, outcome) = run(read(100, instance), &[item]);
    assert_eq!(all_kinds(&outcome), [Kind::Done, Kind::Deadline]);
    let sent = published(&dispositions[0]);
    assert_eq!(sent, ["amends.saga.trip.compensating", "car.book:compensation:1"]);
}

#[test]
fn a_reply_after_the_deadline_comes_too_late_also_when_it_is_decided_first() {
    for timer_first in [false, true] {
        let instance = after(&hurried(), vec![done(1, "hotel.book")]);
        let late = came(reply(1, "car.book", 1, Reply::Pending), 61);
        let timer = fired(1, 100);
        let items = if timer_first { [timer, late] } else { [late, timer] };
        let (_, outcome) = run(read(100, instance), &items);
        let kinds = all_kinds(&outcome);
        assert_eq!(kinds[0], Kind::Deadline, "{kinds:?}");
        let instance = &outcome.instances[&id(1)];
        assert_eq!(instance.state.status, Status::Compensating);
        let charged = instance.state.steps[2].action.attempt;
        assert_eq!(charged, 0, "the pivot is not sent: {kinds:?}");
    }
}

#[test]
fn a_saga_whose_last_step_was_done_in_time_completes_after_its_deadline() {
    let instance = after(&hurried(), vec![done(1, "hotel.book"), done(1, "car.book")]);
    let (dispositions, outcome) = run(read(100, instance), &[came(done(1, "card.charge"), 14)]);
    assert_eq!(all_kinds(&outcome), [Kind::Done]);
    assert_eq!(published(&dispositions[0]), ["amends.saga.trip.completed"]);
}

fn act(command: OperatorCommand, seen: u32, seconds: i64) -> OpenAct {
    let (by, reason) = ("alice".to_owned(), "a look".to_owned());
    let event = Ok(Event::Act(OperatorAct { command, by, reason, seen }));
    OpenAct { id: 7, came: at(seconds), event, exact: false }
}

#[test]
fn a_saga_that_is_resumed_after_its_deadline_turns_back() {
    let mut batch = read(5, after(&hurried(), vec![done(1, "hotel.book")]));
    batch.inbox(id(1)).acts.push(act(OperatorCommand::Pause, 2, 5));
    let instance = run(batch, &[fired(1, 5)]).1.instances.remove(&id(1)).unwrap();
    let mut batch = read(6, instance);
    let paused = batch.decide(&came(done(1, "car.book"), 6));
    assert!(published(&paused).is_empty());
    let instance = batch.finish().instances.remove(&id(1)).unwrap();

    let mut batch = read(100, instance);
    batch.inbox(id(1)).acts.push(act(OperatorCommand::Resume, 4, 99));
    let (dispositions, outcome) = run(batch, &[fired(1, 100)]);
    assert_eq!(all_kinds(&outcome), [Kind::Deadline, Kind::Unpaused]);
    assert!(!published(&dispositions[0]).contains(&"card.charge:action:1".to_owned()));
}

/// A pivot that is to be repeated may have taken effect: there is no way back from it, deadline or not.
#[test]
fn a_pivot_that_is_repeated_after_the_deadline_is_not_turned_back() {
    let broke = Reply::Retry { message: "connection reset".to_owned(), after: None };
    let items = ["hotel.book", "car.book"].map(|step| done(1, step)).into_iter();
    let items = items.chain([reply(1, "card.charge", 1, broke)]).collect();
    let mut batch = read(100, after(&hurried(), items));
    batch.inbox(id(1)).acts.push(act(OperatorCommand::Retry, 9, 59));
    let (dispositions, outcome) = run(batch, &[fired(1, 100)]);
    assert_eq!(all_kinds(&outcome), [Kind::Retried, Kind::Deadline]);
    assert_eq!(published(&dispositions[0]), ["card.charge:action:2"]);
    assert_eq!(outcome.instances[&id(1)].state.status, Status::Running);
}

#[test]
fn a_reply_after_its_attempt_timed_out_does_not_defer_it() {
    let instance = after(&trip(), vec![]);
    let late = came(reply(1, "hotel.book", 1, Reply::Pending), 16);
    let (_, outcome) = run(read(20, instance.clone()), &[late]);
    assert_eq!(all_kinds(&outcome), [Kind::TimedOut]);
    let in_time = came(reply(1, "hotel.book", 1, Reply::Pending), 14);
    let (_, outcome) = run(read(20, instance), &[in_time]);
    assert_eq!(all_kinds(&outcome), [Kind::Pending]);
}

#[test]
fn a_delay_that_is_over_is_not_hurried_by_what_comes_first() {
    let steps = vec![
        own(0, "cooling-off", StepKind::Compensatable, Task::Delay { ms: 10_000 }),
        pivot(1, "card.charge"),
    ];
    let mut batch = read(20, after(&Arc::new(definition(outline(steps))), vec![]));
    batch.inbox(id(1)).acts.push(act(OperatorCommand::Cancel, 1, 15));
    let (_, outcome) = run(batch, &[fired(1, 20)]);
    assert_eq!(all_kinds(&outcome), [Kind::Cancelled], "a person speaks before time does");
}

/// A saga that waits side by side for two events with the same key on one subject, a minute at most.
fn two_waits() -> Arc<Definition> {
    let wait = |name| {
        let task = Task::Event { subject: "payments.settled".into() };
        let step = own(0, name, StepKind::Compensatable, task);
        StepOutline { within_ms: Some(60_000), ..step }
    };
    let steps = vec![wait("first"), wait("second"), pivot(1, "card.charge")];
    let key = || StepInput::Eval(Box::new(|_| Ok(Json::trusted(r#""k""#))));
    let code = || StepCode { input: key(), ..StepCode::new(|_| Ok(())) };
    let code = vec![code(), code(), StepCode::new(|_| Ok(()))];
    Arc::new(Definition::of_parts(outline(steps), code, Box::new(|_| Ok(Json::null()))))
}

/// The event is kept for each step that it may be for, as a store does it.
fn kept(events: &[(u64, i64)]) -> Vec<Arrival> {
    let each = events.iter().flat_map(|event| ["first", "second"].map(|step| (step, *event)));
    let arrival = |(step, (sequence, seconds)): (&str, _)| Arrival {
        step: step.into(),
        event: EventId::of_message("EVENTS", sequence, at(seconds)),
        body: Json::null(),
    };
    each.map(arrival).collect()
}

fn after_events(seconds: i64, events: &[(u64, i64)]) -> Outcome {
    let mut batch = read(seconds, after(&two_waits(), vec![]));
    batch.inbox(id(1)).arrivals = kept(events);
    run(batch, &[fired(1, seconds)]).1
}

#[test]
fn one_event_serves_one_step_of_a_saga() {
    let outcome = after_events(10, &[(1, 5)]);
    assert_eq!(all_kinds(&outcome), [Kind::Done]);
    assert_eq!(outcome.rows.waits_over, [(id(1), "first".to_owned())]);
    let outcome = after_events(10, &[(1, 5), (2, 6)]);
    assert_eq!(all_kinds(&outcome), [Kind::Done, Kind::Done], "each takes its own");
}

#[test]
fn an_event_in_time_counts_however_late_it_is_decided() {
    let outcome = after_events(100, &[(1, 59), (2, 59)]);
    assert_eq!(all_kinds(&outcome), [Kind::Done, Kind::Done]);
    let outcome = after_events(100, &[(1, 60), (2, 60)]);
    assert!(all_kinds(&outcome).iter().all(|kind| *kind == Kind::TimedOut), "a minute is over");
}

//! What sagas wait for besides replies and time: events, locks, nested sagas, operators.

use super::*;
use crate::{
    EventId, StepKind, Task,
    definition::{Input as StepInput, StepCode},
    machine::{Arrival, Event, OperatorAct, OperatorCommand, Wait},
    sample::{nested, own, parent},
};

/// A saga whose first step waits for a payment with the key `k`.
fn awaiting() -> Arc<Definition> {
    let task = Task::Event { subject: "payments.settled".into() };
    let steps = vec![own(0, "payment", StepKind::Compensatable, task), pivot(1, "card.charge")];
    let key = || StepInput::Eval(Box::new(|_| Ok(Json::trusted(r#""k""#))));
    let code =
        vec![StepCode { input: key(), ..StepCode::new(|_| Ok(())) }, StepCode::new(|_| Ok(()))];
    Arc::new(Definition::of_parts(outline(steps), code, Box::new(|_| Ok(Json::null()))))
}

fn payment() -> Inbox {
    let event = EventId::of_message("EVENTS", 1, at(0));
    let arrival = Arrival { step: "payment".into(), event, body: Json::null() };
    Inbox { arrivals: vec![arrival], ..Inbox::default() }
}

fn wait(step: &str) -> Wait {
    Wait { step: step.into(), key: "k".into() }
}

#[test]
fn who_begins_to_wait_looks_at_once_whether_it_is_there() {
    let (_, outcome) = run(Batch::new(at(0)), &[trigger_with(1, start_of(&awaiting()))]);
    let [new] = &outcome.rows.waits[..] else { panic!("{:?}", outcome.rows) };
    assert_eq!((new.saga, new.definition.as_str(), &new.wait), (id(1), "trip", &wait("payment")));
    assert_eq!(outcome.rows.sagas[0].1.timer, Timer::Set(Some(at(0))));
}

#[test]
fn an_event_that_comes_ends_the_wait_and_moves_the_saga_on() {
    let instance = after(&awaiting(), vec![]);
    let mut batch = read(1, instance);
    assert_eq!(batch.inbox_query(&[id(1)]).waiting, [id(1)]);
    *batch.inbox(id(1)) = payment();
    let (dispositions, outcome) = run(batch, &[fired(1, 1)]);
    assert_eq!(published(&dispositions[0]), ["card.charge:action:1"]);
    assert_eq!(outcome.rows.waits_over, [(id(1), "payment".to_owned())]);
}

#[test]
fn a_wait_that_begins_and_is_over_in_one_batch_leaves_one_row() {
    let mut batch = Batch::new(at(0));
    *batch.inbox(id(1)) = payment();
    let (_, outcome) = run(batch, &[trigger_with(1, start_of(&awaiting())), fired(1, 0)]);
    assert!(outcome.rows.waits.is_empty());
    assert_eq!(outcome.rows.waits_over, [(id(1), "payment".to_owned())]);
}

#[test]
fn a_wait_that_is_over_and_begins_again_leaves_one_row() {
    let mut rows = Rows::default();
    rows.wait_over(id(1), "payment");
    rows.wait_over(id(1), "other");
    rows.wait(id(1), "trip", wait("payment"));
    assert_eq!(rows.waits.len(), 1);
    assert_eq!(rows.waits_over, [(id(1), "other".to_owned())], "other steps are left alone");
}

#[test]
fn locks_are_asked_for_with_the_start_and_looked_for_after_it() {
    let mut outline = outline(vec![compensatable(0, "hotel.book"), pivot(1, "card.charge")]);
    outline.locks = 1;
    let definition = Arc::new(definition(outline));
    let start = Start { locks: vec!["room 7".into()], ..start_of(&definition) };
    let (dispositions, outcome) = run(Batch::new(at(0)), &[trigger_with(1, start)]);
    assert_eq!(outcome.rows.locks, [(id(1), "room 7".to_owned())]);
    assert_eq!(outcome.rows.sagas[0].1.timer, Timer::Set(Some(at(0))));
    assert_eq!(published(&dispositions[0]), ["amends.saga.trip.queued"], "it waits for them");

    let mut batch = read(1, outcome.instances[&id(1)].clone());
    assert_eq!(batch.inbox_query(&[id(1)]).queued, [id(1)]);
    batch.inbox(id(1)).granted = true;
    let (dispositions, _) = run(batch, &[fired(1, 1)]);
    assert_eq!(published(&dispositions[0]), ["amends.saga.trip.running", "hotel.book:action:1"]);
}

/// A saga whose first step is a saga of one step.
fn outer() -> Arc<Definition> {
    let mut inner = outline(vec![compensatable(0, "car.rent")]);
    inner.name = "rental".into();
    let steps = vec![nested(0, "rental", StepKind::Compensatable), pivot(1, "card.charge")];
    Arc::new(parent(outline(steps), vec![definition(inner)]))
}

#[test]
fn a_nested_saga_begins_in_the_commit_of_its_outer_one() {
    let (dispositions, outcome) = run(Batch::new(at(0)), &[trigger_with(1, start_of(&outer()))]);
    let inner = SagaId::nested(id(1), "rental");
    let (_, change) = outcome.rows.sagas.iter().find(|(id, _)| *id == inner).unwrap();
    let new = change.start.as_ref().unwrap();
    assert_eq!(new.parent, Some((id(1), "rental".to_owned())));
    assert!(published(&dispositions[0]).contains(&"car.rent:action:1".to_owned()));
}

#[test]
fn the_end_of_a_nested_saga_wakes_the_outer_one() {
    let (_, outcome) = run(Batch::new(at(0)), &[trigger_with(1, start_of(&outer()))]);
    let inner = SagaId::nested(id(1), "rental");
    let mut end = done(2, "car.rent");
    end.saga = inner;

    let mut batch = Batch::new(at(1));
    batch.put(inner, outcome.instances[&inner].clone());
    let (_, alone) = run(batch, std::slice::from_ref(&end));
    assert_eq!(alone.rows.wakes, [id(1)]);
    assert_eq!(alone.alarms, [at(1), at(1)], "its own inbox, and the outer one's");

    // The outer saga moves in the same batch: its own row carries the wake.
    let items = [trigger_with(1, start_of(&outer())), end];
    let (_, together) = run(Batch::new(at(0)), &items);
    assert!(together.rows.wakes.is_empty());
    let (_, change) = together.rows.sagas.iter().find(|(saga, _)| *saga == id(1)).unwrap();
    assert_eq!(change.timer, Timer::Set(Some(at(0))));
}

/// What becomes of a pause by somebody who saw no fact of a saga that has two.
fn paused(exact: bool) -> DecidedAct {
    let instance = after(&trip(), vec![done(1, "hotel.book")]);
    let (by, reason) = ("alice".to_owned(), "a look".to_owned());
    // The act's own fact would be the third.
    let act = OperatorAct { command: OperatorCommand::Pause, by, reason, seen: 0 };
    let mut batch = read(1, instance);
    batch.inbox(id(1)).acts.push(OpenAct { id: 7, came: at(1), event: Ok(Event::Act(act)), exact });
    let (_, mut outcome) = run(batch, &[fired(1, 1)]);
    assert_eq!(outcome.rows.sagas.len(), usize::from(!exact), "a refusal moves nothing");
    outcome.rows.acts.remove(0)
}

#[test]
fn an_act_that_is_exact_is_refused_when_the_saga_has_moved_on() {
    assert_eq!(paused(false), DecidedAct { id: 7, saga: id(1), refusal: None });
    let why = paused(true).refusal.unwrap();
    assert!(why.contains("moved on"), "{why}");
}

#[test]
fn an_act_that_cannot_be_read_is_refused() {
    let mut batch = read(1, after(&trip(), vec![]));
    let event = Err(UnreadableAct::Unknown("merge".to_owned()));
    batch.inbox(id(1)).acts.push(OpenAct { id: 7, came: at(1), event, exact: false });
    let (_, outcome) = run(batch, &[fired(1, 1)]);
    assert_eq!(
        outcome.rows.acts[0].refusal.as_deref(),
        Some("this version does not know the act `merge`")
    );
}

#[test]
fn acts_are_decided_before_what_is_due() {
    let act = OperatorAct {
        command: OperatorCommand::Pause,
        by: "alice".into(),
        reason: "a look".into(),
        seen: 1,
    };
    let mut batch = read(15, after(&trip(), vec![]));
    batch.inbox(id(1)).acts.push(OpenAct {
        id: 7,
        came: at(14),
        event: Ok(Event::Act(act)),
        exact: true,
    });
    let (_, outcome) = run(batch, &[fired(1, 15)]);
    assert_eq!(kinds(&outcome.rows.sagas[0].1), [Kind::Paused], "nothing times out in a pause");
}

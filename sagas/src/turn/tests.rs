//! What the turn of a batch promises to whoever drives it, rule by rule.

mod limits;
mod requested;
mod status;
mod timer;
mod waiting;

use std::sync::Arc;

use super::*;
use crate::{
    Definition, Json, Op, SagaId, StatusEvent,
    machine::{Kind, ReplyEvent, State, Time},
    sample::{compensatable, definition, outline, pivot, retriable},
    wire::Reply,
};

/// A hotel, then the pivot, then the tickets.
fn trip() -> Arc<Definition> {
    Arc::new(definition(outline(vec![
        compensatable(0, "hotel.book"),
        pivot(1, "card.charge"),
        retriable(2, "mail.tickets"),
    ])))
}

fn id(n: u128) -> SagaId {
    SagaId(uuid::Uuid::from_u128(n))
}

/// So many seconds after the start of the test.
fn at(seconds: i64) -> Time {
    Time::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
}

fn start_of(definition: &Arc<Definition>) -> Start {
    let (definition, input) = (Arc::clone(definition), Json::trusted("{}"));
    Start { definition, key: None, locks: Vec::new(), input, trace: None }
}

fn trigger_with(n: u128, start: Start) -> Item {
    Item { saga: id(n), input: Input::Start(Box::new(start)) }
}

fn trigger(n: u128) -> Item {
    trigger_with(n, start_of(&trip()))
}

fn reply(n: u128, step: &str, attempt: u32, reply: Reply) -> Item {
    let service = step.split('.').next().unwrap().to_owned();
    let reply = ReplyEvent { step: step.into(), op: Op::Action, attempt, service, reply };
    Item { saga: id(n), input: Input::Reply(reply, at(0)) }
}

fn done(n: u128, step: &str) -> Item {
    reply(n, step, 1, Reply::Ok(Json::null()))
}

fn rejected(n: u128, step: &str) -> Item {
    reply(n, step, 1, Reply::Rejected { code: "full".into(), message: String::new() })
}

/// A timer that was due at `seconds`, and its lease.
fn due(n: u128, seconds: i64) -> Due {
    Due { saga: id(n), leased_until: at(seconds + 10), now: at(seconds) }
}

fn fired(n: u128, seconds: i64) -> Item {
    Item { saga: id(n), input: Input::Timer(due(n, seconds)) }
}

/// Decides all items.
fn run(mut batch: Batch, items: &[Item]) -> (Vec<Disposition>, Outcome) {
    let dispositions = items.iter().map(|item| batch.decide(item)).collect();
    (dispositions, batch.finish())
}

/// The saga 1 after these items, as it is kept at hand.
fn after(definition: &Arc<Definition>, items: Vec<Item>) -> Instance {
    let mut all = vec![trigger_with(1, start_of(definition))];
    all.extend(items);
    run(Batch::new(at(0)), &all).1.instances.remove(&id(1)).unwrap()
}

/// A batch for which the saga 1 was read.
fn read(seconds: i64, instance: Instance) -> Batch {
    let mut batch = Batch::new(at(seconds));
    batch.put(id(1), instance);
    batch
}

/// The attempts that are sent, and the changes of status that are announced.
fn published(disposition: &Disposition) -> Vec<String> {
    let Disposition::Publish(messages) = disposition else { panic!("{disposition:?}") };
    let name = |message: &Message| match message {
        Message::Command(command, _) => {
            format!("{}:{}:{}", command.id.step, command.id.op, command.id.attempt)
        }
        Message::Status(StatusEvent { subject, .. }, _) => subject.clone(),
    };
    messages.iter().map(name).collect()
}

fn kinds(change: &Change) -> Vec<Kind> {
    change.facts.iter().map(|fact| fact.kind).collect()
}

#[test]
fn a_trigger_gives_a_saga_its_first_fact_a_command_and_a_timer() {
    let (dispositions, outcome) = run(Batch::new(at(0)), &[trigger(1)]);
    assert_eq!(published(&dispositions[0]), ["hotel.book:action:1"]);
    let [(saga, change)] = &outcome.rows.sagas[..] else { panic!("{:?}", outcome.rows) };
    let new = change.start.as_ref().unwrap();
    assert_eq!((*saga, new.definition.as_str(), new.version), (id(1), "trip", 1));
    assert_eq!(kinds(change), [Kind::Started]);
    // An attempt may take 15 s.
    assert_eq!(change.timer, Timer::Set(Some(at(15))));
    assert_eq!(outcome.alarms, [at(15)]);
}

#[test]
fn the_same_trigger_twice_in_one_batch_begins_one_saga() {
    let (dispositions, outcome) = run(Batch::new(at(0)), &[trigger(1), trigger(1)]);
    assert_eq!(outcome.rows.sagas.len(), 1);
    assert_eq!(outcome.rows.facts(), 1);
    assert_eq!(
        published(&dispositions[1]),
        published(&dispositions[0]),
        "under the same message ids"
    );
}

#[test]
fn two_items_of_one_saga_in_one_batch_build_on_each_other() {
    let items = [trigger(1), done(1, "hotel.book"), done(1, "card.charge")];
    let (dispositions, outcome) = run(Batch::new(at(0)), &items);
    let [(_, change)] = &outcome.rows.sagas[..] else { panic!("{:?}", outcome.rows) };
    assert_eq!(kinds(change), [Kind::Started, Kind::Done, Kind::Done]);
    assert_eq!(published(&dispositions[1]), ["card.charge:action:1"]);
    assert_eq!(published(&dispositions[2]), ["mail.tickets:action:1"]);
}

#[test]
fn a_reply_that_comes_again_writes_nothing_and_publishes_again() {
    let instance = after(&trip(), vec![done(1, "hotel.book")]);
    let (dispositions, outcome) = run(read(1, instance), &[done(1, "hotel.book")]);
    assert!(outcome.rows.is_empty());
    assert!(published(&dispositions[0]).contains(&"card.charge:action:1".to_owned()));
}

#[test]
fn a_reply_of_an_unknown_saga_is_buried() {
    let (dispositions, outcome) = run(Batch::new(at(0)), &[done(1, "hotel.book")]);
    let Disposition::Bury(why) = &dispositions[0] else { panic!("{dispositions:?}") };
    assert_eq!(*why, format!("there is no saga {}", id(1)));
    assert!(outcome.rows.is_empty());
}

#[test]
fn a_reply_that_contradicts_a_state_at_hand_is_decided_again_on_what_is_stored() {
    let never_sent = [done(1, "card.charge")];
    let instance = after(&trip(), vec![]);
    let mut batch = Batch::new(at(1));
    let missing = batch.gather(&never_sent, true, |_| Some(instance.clone()));
    assert_eq!(missing, Missing::default(), "the saga is at hand");
    assert!(matches!(batch.decide(&never_sent[0]), Disposition::Recheck));

    let mut batch = Batch::new(at(1));
    let missing = batch.gather(&never_sent, false, |_| Some(instance.clone()));
    assert_eq!(missing.sagas, [id(1)], "what is at hand is not trusted");
    batch.put(id(1), instance);
    assert!(matches!(batch.decide(&never_sent[0]), Disposition::Bury(_)));
}

#[test]
fn a_timer_is_only_decided_on_what_was_read() {
    let instance = after(&trip(), vec![]);
    let missing = Batch::new(at(15)).gather(&[fired(1, 15)], true, |_| Some(instance.clone()));
    assert_eq!((&missing.sagas[..], &missing.woken[..]), (&[id(1)][..], &[id(1)][..]));
}

#[test]
fn a_saga_of_an_unknown_version_is_left_to_others() {
    let mut batch = Batch::new(at(0));
    batch.put_foreign(id(1));
    let (dispositions, outcome) = run(batch, &[trigger(1), done(1, "hotel.book"), fired(1, 0)]);
    assert!(matches!(dispositions[0], Disposition::Leave), "the trigger is not acked");
    assert!(matches!(dispositions[1], Disposition::Park), "the reply waits in the saga's mailbox");
    assert!(published(&dispositions[2]).is_empty());
    assert!(outcome.rows.is_empty() && outcome.rearm.is_empty(), "its lease runs out");
}

fn keyed(n: u128, body: &str) -> Item {
    let start = Start { key: Some("k".into()), input: Json::trusted(body), ..start_of(&trip()) };
    trigger_with(n, start)
}

/// A batch that knows that the saga 9 has the key, from the body `{}`.
fn held() -> Batch {
    let mut batch = Batch::new(at(0));
    let digest = Json::trusted("{}").digest();
    batch.put_key("trip".into(), "k".into(), KeyHolder { id: id(9), digest });
    batch
}

#[test]
fn a_business_key_that_is_held_begins_no_second_saga() {
    let (dispositions, outcome) = run(held(), &[keyed(1, "{}")]);
    assert!(published(&dispositions[0]).is_empty(), "with the same body it is silent");
    assert!(outcome.rows.is_empty());

    let (dispositions, outcome) = run(held(), &[keyed(1, "[]")]);
    let Disposition::Bury(why) = &dispositions[0] else { panic!("{dispositions:?}") };
    assert!(why.contains("`k`") && why.contains(&id(9).to_string()), "{why}");
    assert!(outcome.rows.is_empty());
}

#[test]
fn a_business_key_is_held_from_the_moment_that_it_is_taken() {
    let (dispositions, outcome) = run(Batch::new(at(0)), &[keyed(1, "{}"), keyed(2, "{}")]);
    assert!(published(&dispositions[1]).is_empty());
    assert_eq!(outcome.rows.sagas.len(), 1);
}

#[test]
fn rows_come_in_the_order_of_ids() {
    let items: Vec<_> = [3, 1, 4, 2].map(trigger).into();
    let (_, outcome) = run(Batch::new(at(0)), &items);
    let ids: Vec<_> = outcome.rows.sagas.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, [1, 2, 3, 4].map(id));
}

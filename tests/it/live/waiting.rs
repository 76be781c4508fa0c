//! What a saga can wait for, on real servers: events, time, locks, other sagas, its deadline.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use amends::{
    Await, BeforePivot, Compensatable, Definition, Delay, Finished, Given, Plan, Rejection, Saga,
    Step, Trigger, Values as _,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::support::{Stage, eventually};

#[derive(Serialize, Deserialize)]
struct Wanted {
    id: String,
    #[serde(default)]
    owner: String,
    #[serde(default)]
    rooms: Vec<String>,
    #[serde(default)]
    nested: bool,
}

struct No(String);

impl Rejection for No {
    fn code(&self) -> &str {
        &self.0
    }
}

struct Book;

impl Step for Book {
    const NAME: &'static str = "hotel.book";
    type Input = String;
    type Output = u64;
    type Rejection = No;
}

impl Compensatable for Book {}

struct Charge;

impl Step for Charge {
    const NAME: &'static str = "card.charge";
    type Input = u64;
    type Output = ();
    type Rejection = No;
}

struct Tell;

impl Step for Tell {
    const NAME: &'static str = "mail.tell";
    type Input = u64;
    type Output = ();
    type Rejection = Infallible;
}

#[derive(Serialize, Deserialize)]
struct Paid {
    id: String,
    amount: u64,
}

/// Books one room, as a saga of its own.
struct Inner;

impl Saga for Inner {
    const NAME: &'static str = "inner";
    const VERSION: u32 = 1;
    type Input = String;
    type Output = u64;

    fn trigger() -> Trigger<String> {
        Trigger::on("inner.wanted")
    }

    fn plan(mut p: Plan<BeforePivot>, room: Given<String>) -> Finished<u64> {
        let booked = p.step(Book::with(room).named("hotel.inner"));
        p.finish(booked)
    }
}

struct Outer;

impl Saga for Outer {
    const NAME: &'static str = "outer";
    const VERSION: u32 = 1;
    type Input = Wanted;
    type Output = u64;

    fn trigger() -> Trigger<Wanted> {
        Trigger::<Wanted>::on("outer.wanted")
            .key(|w| w.id.clone())
            .lock(|w| format!("owner/{}", w.owner))
    }

    fn plan(mut p: Plan<BeforePivot>, wanted: Given<Wanted>) -> Finished<u64> {
        let rooms = p.step(Book::each(wanted.map(|w| w.rooms)).at_once(2));
        let inner = p.step(Inner::nested(wanted.map(|w| w.id)).only_if(wanted.map(|w| w.nested)));
        let paid = p.step(Await::<Paid>::on("outer.paid").matching(|paid| paid.id.clone()));
        p.step(Delay::of("rest", Duration::from_millis(300)));
        let sum = (rooms, inner, paid)
            .map(|rooms, inner, paid| rooms.iter().sum::<u64>() + inner.unwrap_or(0) + paid.amount);
        let (mut p, _) = p.pivot(Charge::with(sum.clone()));
        p.step(Tell::with(sum.clone()));
        p.finish(sum)
    }

    fn deadline() -> Option<Duration> {
        Some(Duration::from_secs(45))
    }
}

/// Waits behind the pivot, and not for long.
struct Receipt;

impl Saga for Receipt {
    const NAME: &'static str = "receipt";
    const VERSION: u32 = 1;
    type Input = Wanted;
    type Output = u64;

    fn trigger() -> Trigger<Wanted> {
        Trigger::on("receipt.wanted").key(|w| w.id.clone())
    }

    fn plan(p: Plan<BeforePivot>, wanted: Given<Wanted>) -> Finished<u64> {
        let (mut p, _) = p.pivot(Charge::with(wanted.map(|_| 1)));
        let paid = Await::<Paid>::on("outer.paid")
            .matching(|paid| paid.id.clone())
            .within(Duration::from_secs(1));
        let paid = p.step(paid);
        p.finish(paid.map(|paid| paid.amount))
    }
}

/// A saga that has nothing to do: it ends in the turn that begins it.
struct Idle;

impl Saga for Idle {
    const NAME: &'static str = "idle";
    const VERSION: u32 = 1;
    type Input = String;
    type Output = String;

    fn trigger() -> Trigger<String> {
        Trigger::on("idle.wanted")
    }

    fn plan(mut p: Plan<BeforePivot>, name: Given<String>) -> Finished<String> {
        p.step(Book::with(name.clone()).only_if(name.map(|_| false)));
        p.finish(name)
    }
}

/// Begins to wait in the turn in which its nested saga ends.
struct Twin;

impl Saga for Twin {
    const NAME: &'static str = "twin";
    const VERSION: u32 = 1;
    type Input = Wanted;
    type Output = u64;

    fn trigger() -> Trigger<Wanted> {
        Trigger::on("twin.wanted").key(|w| w.id.clone())
    }

    fn plan(mut p: Plan<BeforePivot>, wanted: Given<Wanted>) -> Finished<u64> {
        let (paid, _) = p.together((
            Await::<Paid>::on("outer.paid").matching(|paid| paid.id.clone()),
            Idle::nested(wanted.map(|w| w.id)),
        ));
        p.finish(paid.map(|paid| paid.amount))
    }
}

/// Rooms are named by their price; `full` is refused, `slow` is answered later. What was done and
/// undone is counted.
async fn stage(card: &'static str) -> (Stage, Arc<Mutex<BTreeMap<String, i64>>>) {
    let mut stage = Stage::set().await;
    let definitions =
        [Definition::of::<Outer>(), Definition::of::<Receipt>(), Definition::of::<Twin>()];
    stage.enter("one", definitions.into_iter().map(Result::unwrap).collect()).await;
    let rooms = Arc::new(Mutex::new(BTreeMap::new()));
    let booked = Arc::clone(&rooms);
    stage
        .serve("hotel", move |_, half, body| {
            let room = if half == "action" { &body } else { &body["input"] };
            let room = room.as_str().unwrap().to_owned();
            if room == "full" {
                return Some(json!({"outcome": "rejected", "code": "full"}));
            }
            if room == "slow" && half == "action" {
                return Some(json!({"outcome": "pending"}));
            }
            *booked.lock().unwrap().entry(room.clone()).or_insert(0) +=
                if half == "action" { 1 } else { -1 };
            Some(json!({"outcome": "ok", "output": room.parse().unwrap_or(7_u64)}))
        })
        .await;
    stage.serve("card", move |_, _, _| Some(json!({"outcome": card, "code": "declined"}))).await;
    stage.serve("mail", |_, _, _| Some(json!({"outcome": "ok"}))).await;
    (stage, rooms)
}

async fn steps(stage: &Stage, key: &str) -> Value {
    sqlx::query_scalar(
        "select coalesce(json_object_agg(t.step, t.status), '{}') from amends.steps t
         join amends.sagas s on s.id = t.saga_id
         where s.key = $1 and t.status <> 'not reached'",
    )
    .bind(key)
    .fetch_one(&stage.shop.pool)
    .await
    .unwrap()
}

async fn status(stage: &Stage, key: &str, status: &str) {
    eventually(&format!("{key} {status}"), async || {
        let found: Option<String> =
            sqlx::query_scalar("select status from amends.sagas where key = $1")
                .bind(key)
                .fetch_optional(&stage.shop.pool)
                .await
                .unwrap();
        (found.as_deref() == Some(status)).then_some(())
    })
    .await;
}

/// A timer that led to no saga is deleted after what became of it is written.
async fn no_timer(stage: &Stage) {
    const TIMERS: &str = "select count(*) from amends.timer";
    eventually("no timer", async || (stage.shop.number(TIMERS).await == 0).then_some(())).await;
}

#[tokio::test]
async fn a_saga_waits_for_all_it_can_wait_for() {
    let (stage, rooms) = stage("ok").await;
    // The payment comes before the order.
    stage.publish("outer.paid", json!({"id": "a", "amount": 1000})).await;
    stage.shop.at_least("select count(*) from amends.events", 1).await;
    let wanted = json!({"id": "a", "owner": "ann", "rooms": ["10", "20", "30"], "nested": true});
    stage.publish("outer.wanted", wanted).await;
    assert_eq!(stage.shop.fate("a").await, "completed");
    let (output, id): (Value, uuid::Uuid) =
        sqlx::query_as("select output, id from amends.sagas where key = 'a'")
            .fetch_one(&stage.shop.pool)
            .await
            .unwrap();
    assert_eq!(output, json!(1067));
    let all = steps(&stage, "a").await;
    let done = ["hotel.book.0", "hotel.book.1", "hotel.book.2", "inner", "outer.paid", "rest"];
    for step in done {
        assert_eq!(all[step], "done", "{step} in {all}");
    }
    let tree: Vec<(String, i32)> =
        sqlx::query_as("select definition, depth from amends.tree where root = $1 order by depth")
            .bind(id)
            .fetch_all(&stage.shop.pool)
            .await
            .unwrap();
    assert_eq!(tree, [("outer".into(), 0), ("inner".into(), 1)]);
    assert_eq!(rooms.lock().unwrap().values().sum::<i64>(), 4);
    let left = "select (select count(*) from amends.locks) + (select count(*) from amends.waits)";
    eventually("no lock and no wait", async || (stage.shop.number(left).await == 0).then_some(()))
        .await;
}

#[tokio::test]
async fn what_was_nested_or_listed_is_undone() {
    let (stage, rooms) = stage("rejected").await;
    let wanted = json!({"id": "a", "owner": "ann", "rooms": ["10", "20", "30"], "nested": true});
    stage.publish("outer.wanted", wanted).await;
    stage.shop.at_least("select count(*) from amends.waits", 1).await;
    assert_eq!(steps(&stage, "a").await["outer.paid"], "waiting");
    stage.publish("outer.paid", json!({"id": "a", "amount": 1000})).await;
    assert_eq!(stage.shop.fate("a").await, "compensated");
    let all = steps(&stage, "a").await;
    for step in ["hotel.book.0", "hotel.book.1", "hotel.book.2", "inner"] {
        assert_eq!(all[step], "compensated", "{step} in {all}");
    }
    let inner = "select count(*) from amends.sagas
        where definition = 'inner' and status = 'compensated' and parent_step = 'inner'";
    assert_eq!(stage.shop.number(inner).await, 1);
    assert_eq!(rooms.lock().unwrap().values().sum::<i64>(), 0);
}

#[tokio::test]
async fn a_full_room_undoes_its_neighbours() {
    let (stage, rooms) = stage("ok").await;
    let wanted = json!({"id": "a", "owner": "ann", "rooms": ["10", "full", "30"]});
    stage.publish("outer.wanted", wanted).await;
    assert_eq!(stage.shop.fate("a").await, "compensated");
    let all = steps(&stage, "a").await;
    assert_eq!(all["hotel.book.1"], "rejected", "{all}");
    assert_eq!(rooms.lock().unwrap().values().sum::<i64>(), 0);
}

#[tokio::test]
async fn cancelling_a_saga_turns_its_nested_saga_back() {
    let (stage, rooms) = stage("ok").await;
    let wanted = json!({"id": "slow", "owner": "ann", "rooms": ["10"], "nested": true});
    stage.publish("outer.wanted", wanted).await;
    stage.shop.at_least("select count(*) from amends.steps where status = 'pending'", 1).await;
    let cancel = "select amends.cancel(id, 'the guest changed their mind') from amends.sagas
        where key = 'slow'";
    sqlx::query(cancel).execute(&stage.shop.pool).await.unwrap();
    assert_eq!(stage.shop.fate("slow").await, "compensated");
    let inner: Value = sqlx::query_scalar(
        "select error from amends.sagas where definition = 'inner' and status = 'compensated'",
    )
    .fetch_one(&stage.shop.pool)
    .await
    .unwrap();
    assert_eq!(inner["code"], "undone", "{inner}");
    // Whether the slow room was booked nobody knows: it was undone.
    assert_eq!(*rooms.lock().unwrap(), BTreeMap::from([("10".into(), 0), ("slow".into(), -1)]));
}

#[tokio::test]
async fn an_event_that_comes_too_late_still_heals() {
    let (stage, _) = stage("ok").await;
    stage.publish("receipt.wanted", json!({"id": "a"})).await;
    assert_eq!(stage.shop.fate("a").await, "stuck");
    stage.publish("outer.paid", json!({"id": "a", "amount": 5})).await;
    status(&stage, "a", "completed").await;
}

#[tokio::test]
async fn a_nested_saga_may_end_as_it_begins() {
    let (stage, _) = stage("ok").await;
    stage.publish("twin.wanted", json!({"id": "a"})).await;
    stage.shop.at_least("select count(*) from amends.waits", 1).await;
    stage.publish("outer.paid", json!({"id": "a", "amount": 5})).await;
    assert_eq!(stage.shop.fate("a").await, "completed");
}

/// A deploy that was taken back leaves its version behind. What waits under the others goes on.
#[tokio::test]
async fn a_version_that_nobody_knows_keeps_no_event_from_the_others() {
    let (stage, _) = stage("ok").await;
    let left = "insert into amends.definition (name, version, digest, outline)
        select name, 9, 'another', outline from amends.definition where name = 'twin'";
    sqlx::query(left).execute(&stage.shop.pool).await.unwrap();
    stage.publish("twin.wanted", json!({"id": "a"})).await;
    stage.publish("outer.paid", json!({"id": "a", "amount": 5})).await;
    assert_eq!(stage.shop.fate("a").await, "completed");
    let events: async_nats::jetstream::consumer::PullConsumer = stage
        .shop
        .jetstream
        .get_consumer_from_stream("amends-twin~outer~paid", "AMENDS_EVENTS")
        .await
        .unwrap();
    let unacked = async || events.clone().info().await.unwrap().num_ack_pending;
    assert_eq!(unacked().await, 1, "it is there for the version that nobody knows");
    sqlx::query("select amends.retire('twin', 9, 'taken back')")
        .execute(&stage.shop.pool)
        .await
        .unwrap();
    eventually("an ack", async || (unacked().await == 0).then_some(())).await;
}

#[tokio::test]
async fn a_nested_saga_is_not_started_by_itself() {
    let (stage, _) = stage("ok").await;
    sqlx::query("select amends.start('inner', '\"a room\"')")
        .execute(&stage.shop.pool)
        .await
        .unwrap();
    let refused = "select count(*) from amends.starts
        where not accepted and answer like '%as a step of another saga only'";
    stage.shop.at_least(refused, 1).await;
    no_timer(&stage).await;
}

#[tokio::test]
async fn sagas_take_turns_at_a_lock() {
    let (stage, _) = stage("ok").await;
    let wanted = |id: &str| json!({"id": id, "owner": "ann"});
    stage.publish("outer.wanted", wanted("a")).await;
    stage.shop.at_least("select count(*) from amends.locks where status = 'held'", 1).await;
    // One after the other: those of one millisecond come in the order of their ids' random bits.
    stage.publish("outer.wanted", wanted("b")).await;
    stage.shop.at_least("select count(*) from amends.locks where status = 'waiting'", 1).await;
    stage.publish("outer.wanted", wanted("c")).await;
    stage.shop.at_least("select count(*) from amends.locks where status = 'waiting'", 2).await;
    status(&stage, "b", "queued").await;
    stage.publish("outer.paid", json!({"id": "c", "amount": 1})).await;
    stage.publish("outer.paid", json!({"id": "a", "amount": 1})).await;
    assert_eq!(stage.shop.fate("a").await, "completed");
    status(&stage, "b", "running").await;
    status(&stage, "c", "queued").await;
    sqlx::query("select amends.break_lock('owner/ann', 'b waits for a payment that is late')")
        .execute(&stage.shop.pool)
        .await
        .unwrap();
    assert_eq!(stage.shop.fate("c").await, "completed");
    let broken = "select count(*) from amends.acts a join amends.sagas s on s.id = a.saga_id
        where a.act = 'break_lock' and a.accepted and s.key = 'b'";
    stage.shop.at_least(broken, 1).await;
    // Nobody pays for b: its deadline turns it back.
    assert_eq!(stage.shop.fate("b").await, "compensated");
    let why = "select count(*) from amends.sagas where key = 'b' and error ->> 'code' = 'deadline'
        and deadline_at = started_at + interval '45 s'";
    assert_eq!(stage.shop.number(why).await, 1);
}

#[tokio::test]
async fn a_saga_starts_with_the_transaction_that_asks_for_it() {
    let (stage, _) = stage("ok").await;
    stage.publish("outer.paid", json!({"id": "a", "amount": 1})).await;
    let mut gone = stage.shop.pool.begin().await.unwrap();
    let start = "select amends.start('outer', $1::json)";
    sqlx::query(start).bind(json!({"id": "gone"})).execute(&mut *gone).await.unwrap();
    gone.rollback().await.unwrap();
    let id: uuid::Uuid = sqlx::query_scalar(start)
        .bind(json!({"id": "a", "owner": "ann"}))
        .fetch_one(&stage.shop.pool)
        .await
        .unwrap();
    let bad: uuid::Uuid = sqlx::query_scalar(start)
        .bind(json!({"name": "no id"}))
        .fetch_one(&stage.shop.pool)
        .await
        .unwrap();
    assert_eq!(stage.shop.fate("a").await, "completed");
    // The key once more: with the same input nothing new, with another an answer.
    for owner in ["ann", "bob"] {
        let input = json!({"id": "a", "owner": owner});
        sqlx::query(start).bind(input).execute(&stage.shop.pool).await.unwrap();
    }
    stage.shop.at_least("select count(*) from amends.starts where accepted is not null", 4).await;
    let answers: Vec<(uuid::Uuid, Option<uuid::Uuid>, bool)> =
        sqlx::query_as("select id, saga_id, accepted from amends.starts order by at")
            .fetch_all(&stage.shop.pool)
            .await
            .unwrap();
    assert_eq!(answers[..2], [(id, Some(id), true), (bad, None, false)]);
    // Both are told which saga has the key.
    let later: Vec<_> = answers[2..].iter().map(|(_, saga, accepted)| (*saga, *accepted)).collect();
    assert_eq!(later, [(Some(id), true), (Some(id), false)]);
    no_timer(&stage).await;
    assert_eq!(stage.shop.number("select count(*) from amends.sagas").await, 1);
}

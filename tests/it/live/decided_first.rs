//! Whatever is decided first: time limits hold, what a person committed is not overtaken, and an event is
//! one event. On real servers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use amends::{Await, BeforePivot, Definition, Finished, Given, Plan, Saga, Step, Trigger};
use serde_json::json;
use uuid::Uuid;

use crate::support::{Book, Charge, Stage, Tell, Wanted, eventually};

/// A hotel, then the card, within two seconds.
struct Hurried;

impl Saga for Hurried {
    const NAME: &'static str = "hurried";
    const VERSION: u32 = 1;
    type Input = Wanted;
    type Output = ();

    fn trigger() -> Trigger<Wanted> {
        Trigger::on("hurried.wanted").key(|w: &Wanted| w.id.clone())
    }

    fn plan(mut p: Plan<BeforePivot>, wanted: Given<Wanted>) -> Finished<()> {
        let booked = p.step(Book::with(wanted.map(|w| w.id)));
        let (p, paid) = p.pivot(Charge::with(booked));
        p.finish(paid)
    }

    fn deadline() -> Option<Duration> {
        Some(Duration::from_secs(2))
    }
}

/// The same at leisure.
struct Calm;

impl Saga for Calm {
    const NAME: &'static str = "calm";
    const VERSION: u32 = 1;
    type Input = Wanted;
    type Output = ();

    fn trigger() -> Trigger<Wanted> {
        Trigger::on("calm.wanted").key(|w: &Wanted| w.id.clone())
    }

    fn plan(mut p: Plan<BeforePivot>, wanted: Given<Wanted>) -> Finished<()> {
        let booked = p.step(Book::with(wanted.map(|w| w.id)));
        let (p, paid) = p.pivot(Charge::with(booked));
        p.finish(paid)
    }
}

/// Two payments of the same kind, one after the other.
struct Instalments;

impl Saga for Instalments {
    const NAME: &'static str = "instalments";
    const VERSION: u32 = 1;
    type Input = Wanted;
    type Output = ();

    fn trigger() -> Trigger<Wanted> {
        Trigger::on("instalments.wanted").key(|w: &Wanted| w.id.clone())
    }

    fn plan(mut p: Plan<BeforePivot>, wanted: Given<Wanted>) -> Finished<()> {
        let paid = || Await::<Wanted>::on("instalments.paid").matching(|paid| paid.id.clone());
        p.step(paid().named("first"));
        p.step(paid().named("second"));
        let (p, charged) = p.pivot(Charge::with(wanted.map(|w| w.id)));
        p.finish(charged)
    }
}

/// Behind its pivot it tells more than a message can hold.
struct Verbose;

impl Saga for Verbose {
    const NAME: &'static str = "verbose";
    const VERSION: u32 = 1;
    type Input = Wanted;
    type Output = usize;

    fn trigger() -> Trigger<Wanted> {
        Trigger::on("verbose.wanted")
            .key(|w: &Wanted| w.id.clone())
            .lock(|w| format!("teller/{}", &w.id[..1]))
    }

    fn plan(p: Plan<BeforePivot>, wanted: Given<Wanted>) -> Finished<usize> {
        let (mut p, _) = p.pivot(Charge::with(wanted.map(|w| w.id)));
        let told = p.step(Tell::with(wanted.map(|w| w.id.repeat(300 * 1024))));
        p.finish(told.map(|told: String| told.len()))
    }
}

/// A saga that has [`Book`] refuse to be undone as a step.
struct Outer;

impl Saga for Outer {
    const NAME: &'static str = "outer-booking";
    const VERSION: u32 = 1;
    type Input = Wanted;
    type Output = ();

    fn trigger() -> Trigger<Wanted> {
        Trigger::on("outer-booking.wanted").key(|w: &Wanted| w.id.clone())
    }

    fn plan(mut p: Plan<BeforePivot>, wanted: Given<Wanted>) -> Finished<()> {
        p.step(Room::nested(wanted.map(|w| w.id)));
        let (p, charged) = p.pivot(Charge::with(wanted.map(|w| w.id)));
        p.finish(charged)
    }
}

struct Room;

impl Saga for Room {
    const NAME: &'static str = "room";
    const VERSION: u32 = 1;
    type Input = String;
    type Output = String;

    fn trigger() -> Trigger<String> {
        Trigger::on("room.wanted")
    }

    fn plan(mut p: Plan<BeforePivot>, room: Given<String>) -> Finished<String> {
        let booked = p.step(Book::with(room));
        p.finish(booked)
    }
}

async fn stage() -> Stage {
    let mut stage = Stage::set().await;
    enter(&mut stage).await;
    stage
}

async fn enter(stage: &mut Stage) {
    let definitions = [
        Definition::of::<Hurried>(),
        Definition::of::<Calm>(),
        Definition::of::<Instalments>(),
        Definition::of::<Verbose>(),
        Definition::of::<Outer>(),
    ];
    stage.enter("one", definitions.into_iter().map(Result::unwrap).collect()).await;
}

/// A card that takes what is charged, and counts it.
async fn card(stage: &Stage) -> Arc<AtomicU32> {
    let charged = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&charged);
    stage
        .serve("card", move |_, _, _| {
            counted.fetch_add(1, Ordering::Relaxed);
            Some(json!({"outcome": "ok"}))
        })
        .await;
    charged
}

async fn id(stage: &Stage, key: &str) -> Uuid {
    eventually("a saga", async || {
        sqlx::query_scalar("select id from amends.sagas where key = $1")
            .bind(key)
            .fetch_optional(&stage.shop.pool)
            .await
            .unwrap()
    })
    .await
}

async fn acts(stage: &Stage, act: &'static str, key: &str) {
    sqlx::query(act).bind(key).execute(&stage.shop.pool).await.unwrap();
}

const BOOKED: &str = r#"{"outcome":"ok","output":"a room"}"#;

async fn deadline_has_passed(stage: &Stage) {
    let passed = "select count(*) from amends.sagas where deadline_at < clock_timestamp()";
    stage.shop.at_least(passed, 1).await;
}

/// It turned back by its deadline, and nobody was asked for money.
async fn was_too_late(stage: &Stage, charged: &AtomicU32) {
    stage.serve("hotel", |_, _, _| Some(json!({"outcome": "ok"}))).await;
    assert_eq!(stage.shop.fate("a").await, "compensated");
    let why = "select count(*) from amends.sagas where error ->> 'code' = 'deadline'";
    assert_eq!(stage.shop.number(why).await, 1);
    let sent = "select count(*) from amends.sends where step = 'card.charge'";
    assert_eq!(stage.shop.number(sent).await, 0);
    assert_eq!(charged.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_deadline_that_passed_in_an_outage_stops_the_pivot() {
    let mut stage = stage().await;
    let charged = card(&stage).await;
    stage.publish("hurried.wanted", json!({"id": "a"})).await;
    let saga = id(&stage, "a").await;
    stage.leave("one").await;
    // In time, and decided too late.
    let booked = serde_json::from_str(BOOKED).unwrap();
    stage.reply("hotel", &format!("{saga}:hotel.book:action:1"), booked).await;
    deadline_has_passed(&stage).await;
    enter(&mut stage).await;
    was_too_late(&stage, &charged).await;
}

#[tokio::test]
async fn a_deadline_that_passed_in_a_pause_stops_the_pivot() {
    let stage = stage().await;
    let charged = card(&stage).await;
    stage.publish("hurried.wanted", json!({"id": "a"})).await;
    let saga = id(&stage, "a").await;
    let pause = "select amends.pause(id, 'a look') from amends.sagas where key = $1";
    acts(&stage, pause, "a").await;
    let booked = serde_json::from_str(BOOKED).unwrap();
    stage.reply("hotel", &format!("{saga}:hotel.book:action:1"), booked).await;
    deadline_has_passed(&stage).await;
    acts(&stage, "select amends.resume(id, 'seen') from amends.sagas where key = $1", "a").await;
    was_too_late(&stage, &charged).await;
}

#[tokio::test]
async fn one_event_serves_one_step_of_a_saga() {
    let stage = stage().await;
    card(&stage).await;
    stage.publish("instalments.wanted", json!({"id": "a"})).await;
    stage.publish("instalments.paid", json!({"id": "a"})).await;
    let done = "select count(*) from amends.steps where step = 'first' and status = 'done'";
    stage.shop.at_least(done, 1).await;
    let waits = "select count(*) from amends.waits where step = 'second'";
    stage.shop.at_least(waits, 1).await;
    // Another saga of the same kind begins and ends meanwhile: whoever looks has looked.
    stage.publish("instalments.wanted", json!({"id": "b"})).await;
    for _ in 0..2 {
        stage.publish("instalments.paid", json!({"id": "b"})).await;
    }
    assert_eq!(stage.shop.fate("b").await, "completed");
    assert_eq!(stage.shop.number(waits).await, 1, "the first event is the first step's");
    stage.publish("instalments.paid", json!({"id": "a"})).await;
    assert_eq!(stage.shop.fate("a").await, "completed");
    let events = "select count(distinct source) from amends.events where key = 'a'";
    assert_eq!(stage.shop.number(events).await, 2);
}

/// The reply that would send the pivot comes right after the act is committed, of many sagas at once.
#[tokio::test]
async fn a_committed_act_is_not_overtaken() {
    const SAGAS: usize = 40;
    let stage = stage().await;
    let charged = card(&stage).await;
    let keys: Vec<_> = (0..SAGAS).map(|n| format!("s-{n}")).collect();
    for key in &keys {
        stage.publish("calm.wanted", json!({"id": key})).await;
    }
    stage.shop.at_least("select count(*) from amends.sends where step = 'hotel.book'", 40).await;
    for (n, key) in keys.iter().enumerate() {
        let act = match n % 2 {
            0 => "select amends.cancel(id, 'changed my mind') from amends.sagas where key = $1",
            _ => "select amends.pause(id, 'a look') from amends.sagas where key = $1",
        };
        let saga = id(&stage, key).await;
        let booked = serde_json::from_str(BOOKED).unwrap();
        acts(&stage, act, key).await;
        stage.reply("hotel", &format!("{saga}:hotel.book:action:1"), booked).await;
    }
    let decided = "select count(*) from amends.acts where accepted";
    stage.shop.at_least(decided, 40).await;
    let done = "select count(*) from amends.history where kind in ('done', 'late')";
    stage.shop.at_least(done, 40).await;
    assert_eq!(stage.shop.number("select count(*) from amends.acts where not accepted").await, 0);
    let sent = "select count(*) from amends.sends where step = 'card.charge'";
    assert_eq!(stage.shop.number(sent).await, 0);
    assert_eq!(charged.load(Ordering::Relaxed), 0);
    let asked = "select count(*) from amends.history where kind = 'asked'
        and detail ->> 'by' is not null and detail ->> 'reason' is not null";
    assert_eq!(stage.shop.number(asked).await, 40);
}

#[tokio::test]
async fn an_act_on_an_ended_saga_is_refused_at_once_and_leaves_nothing() {
    let stage = stage().await;
    card(&stage).await;
    stage.serve("hotel", |_, _, _| Some(json!({"outcome": "ok", "output": "a room"}))).await;
    stage.publish("calm.wanted", json!({"id": "a"})).await;
    assert_eq!(stage.shop.fate("a").await, "completed");
    let facts = stage.shop.number("select count(*) from amends.facts").await;
    let cancel = "select amends.cancel(id, 'too late') from amends.sagas where key = 'a'";
    let refused = sqlx::query(cancel).execute(&stage.shop.pool).await.unwrap_err();
    assert!(refused.to_string().contains("the saga has ended: completed"), "{refused}");
    assert_eq!(stage.shop.number("select count(*) from amends.facts").await, facts);
    assert_eq!(stage.shop.number("select count(*) from amends.acts").await, 0);
}

/// A lock that an ended saga still holds, because whoever was to release it died, is taken from it.
#[tokio::test]
async fn a_lock_is_taken_from_a_saga_that_has_ended() {
    let stage = stage().await;
    card(&stage).await;
    stage.serve("hotel", |_, _, _| Some(json!({"outcome": "ok", "output": "a room"}))).await;
    stage.publish("calm.wanted", json!({"id": "a"})).await;
    assert_eq!(stage.shop.fate("a").await, "completed");
    let left = "insert into amends.lock (name, saga_id, held_since)
        select 'teller/x', id, now() from amends.sagas";
    sqlx::query(left).execute(&stage.shop.pool).await.unwrap();
    let said = stage.shop.done(&["break-lock", "teller/x", "--reason", "it has ended"]).await;
    assert!(said.contains("break-lock: accepted"), "{said}");
    assert_eq!(stage.shop.number("select count(*) from amends.locks").await, 0);
}

async fn refused(stage: &Stage, args: &[&str]) -> String {
    let output = stage.shop.run(args).await;
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn what_cannot_be_computed_behind_the_pivot_is_ended_by_acts() {
    let stage = stage().await;
    card(&stage).await;
    stage.publish("verbose.wanted", json!({"id": "a"})).await;
    assert_eq!(stage.shop.fate("a").await, "stuck");
    let why = refused(&stage, &["retry", "a", "--reason", "perhaps"]).await;
    assert!(why.contains("resolve `mail.tell` with its output, or skip it"), "{why}");
    let not_yet = refused(&stage, &["skip", "a", "--output", "--reason", "perhaps"]).await;
    assert!(not_yet.contains("does not lack its output"), "{not_yet}");
    // Nothing was told: the output, its length, is not there either.
    stage.shop.done(&["skip", "a", "mail.tell", "--reason", "told by telephone"]).await;
    let lacks =
        "select count(*) from amends.sagas where status = 'stuck' and error ->> 'step' = ''";
    stage.shop.at_least(lacks, 1).await;
    let why = refused(&stage, &["retry", "a", "--reason", "perhaps"]).await;
    assert!(why.contains("the saga's output cannot be computed"), "{why}");
    stage.shop.done(&["resolve", "a", "--output", "--ok", "7", "--reason", "counted"]).await;
    assert_eq!(stage.shop.fate("a").await, "completed");
    let output = "select count(*) from amends.sagas where output::text = '7'";
    assert_eq!(stage.shop.number(output).await, 1);
    let told = stage.shop.done(&["show", "a"]).await;
    assert!(told.contains("gives its output") && told.contains("counted"), "{told}");
    let locks = "select count(*) from amends.locks";
    eventually("no lock", async || (stage.shop.number(locks).await == 0).then_some(())).await;

    stage.publish("verbose.wanted", json!({"id": "b"})).await;
    assert_eq!(stage.shop.fate("b").await, "stuck");
    let told = r#""as agreed""#;
    stage.shop.done(&["resolve", "b", "mail.tell", "--ok", told, "--reason", "by hand"]).await;
    assert_eq!(stage.shop.fate("b").await, "completed");
}

#[tokio::test]
async fn a_retry_reaches_the_nested_saga_that_is_stuck() {
    let stage = stage().await;
    stage.serve("card", |_, _, _| Some(json!({"outcome": "rejected", "code": "no"}))).await;
    let mended = Arc::new(AtomicU32::new(0));
    let works = Arc::clone(&mended);
    stage
        .serve("hotel", move |_, half, _| {
            Some(match (half, works.load(Ordering::Relaxed)) {
                ("compensation", 0) => json!({"outcome": "rejected", "code": "closed"}),
                _ => json!({"outcome": "ok", "output": "a room"}),
            })
        })
        .await;
    stage.publish("outer-booking.wanted", json!({"id": "a"})).await;
    stage.shop.at_least("select count(*) from amends.stuck where definition = 'room'", 1).await;
    mended.store(1, Ordering::Relaxed);
    let said = stage.shop.done(&["retry", "a", "--reason", "the hotel is open"]).await;
    assert!(said.contains("retry: accepted"), "{said}");
    assert_eq!(stage.shop.fate("a").await, "compensated");
}

#[tokio::test]
async fn a_pause_reaches_the_nested_saga_and_so_does_its_end() {
    let stage = stage().await;
    card(&stage).await;
    stage.publish("outer-booking.wanted", json!({"id": "a"})).await;
    let outer = id(&stage, "a").await;
    stage.shop.at_least("select count(*) from amends.sends where step = 'hotel.book'", 1).await;
    let resolve = ["resolve", "a", "room", "--rejected", "no", "--reason", "I think so"];
    let refused = refused(&stage, &resolve).await;
    assert!(refused.contains("which goes on: act on that one"), "{refused}");
    acts(&stage, "select amends.pause(id, 'a look') from amends.sagas where key = $1", "a").await;
    let paused = "select count(*) from amends.sagas where status = 'paused'";
    stage.shop.at_least(paused, 2).await;
    let inner: Uuid = sqlx::query_scalar("select id from amends.sagas where parent_id = $1")
        .bind(outer)
        .fetch_one(&stage.shop.pool)
        .await
        .unwrap();
    let booked = serde_json::from_str(BOOKED).unwrap();
    stage.reply("hotel", &format!("{inner}:hotel.book:action:1"), booked).await;
    let done = "select count(*) from amends.history where kind = 'done'";
    stage.shop.at_least(done, 1).await;
    assert_eq!(stage.shop.number(paused).await, 2);
    acts(&stage, "select amends.resume(id, 'seen') from amends.sagas where key = $1", "a").await;
    assert_eq!(stage.shop.fate("a").await, "completed");
}

#[tokio::test]
async fn a_saga_that_is_paused_in_a_queue_lets_others_go_first() {
    let stage = stage().await;
    for id in ["t-1", "t-2", "t-3"] {
        stage.publish("verbose.wanted", json!({"id": id})).await;
        stage.shop.at_least("select count(*) from amends.locks", id[2..].parse().unwrap()).await;
    }
    let pause = "select amends.pause(id, 'a look') from amends.sagas where key = $1";
    acts(&stage, pause, "t-2").await;
    let paused = "select count(*) from amends.sagas where status = 'paused'";
    stage.shop.at_least(paused, 1).await;
    let (holder, third) = (id(&stage, "t-1").await, id(&stage, "t-3").await);
    let rejected = json!({"outcome": "rejected", "code": "no"});
    stage.reply("card", &format!("{holder}:card.charge:action:1"), rejected.clone()).await;
    assert_eq!(stage.shop.fate("t-1").await, "compensated");
    let holds = "select count(*) from amends.locks where status = 'held' and key = 't-3'";
    stage.shop.at_least(holds, 1).await;
    acts(&stage, "select amends.resume(id, 'seen') from amends.sagas where key = $1", "t-2").await;
    stage.reply("card", &format!("{third}:card.charge:action:1"), rejected).await;
    let next = "select count(*) from amends.locks where status = 'held' and key = 't-2'";
    stage.shop.at_least(next, 1).await;
}

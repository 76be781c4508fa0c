//! Awkward moments, on real servers: what comes in the moment in which it is waited for, after it was
//! waited for, or after the end; sessions that break under a lock; clocks of other zones.

use std::time::Duration;

use amends::{
    Await, BeforePivot, Definition, Delay, Finished, Given, Plan, Retry, Saga, Step, Trigger,
    machine::Time,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::support::{Book, Charge, Stage, Tell, Wanted, eventually};

fn paid() -> Await<Wanted> {
    Await::<Wanted>::on("awkward.paid").matching(|paid| paid.id.clone())
}

/// Waits from its first moment on.
struct Prompt;

impl Saga for Prompt {
    const NAME: &'static str = "prompt";
    const VERSION: u32 = 1;
    type Input = Wanted;
    type Output = String;

    fn trigger() -> Trigger<Wanted> {
        Trigger::on("prompt.wanted").key(|w: &Wanted| w.id.clone())
    }

    fn plan(mut p: Plan<BeforePivot>, _: Given<Wanted>) -> Finished<String> {
        let paid = p.step(paid());
        p.finish(paid.map(|paid| paid.id))
    }
}

/// Two payments behind the pivot, the first of which is soon given up.
struct Late;

impl Saga for Late {
    const NAME: &'static str = "late";
    const VERSION: u32 = 1;
    type Input = Wanted;
    type Output = String;

    fn trigger() -> Trigger<Wanted> {
        Trigger::on("late.wanted").key(|w: &Wanted| w.id.clone())
    }

    fn plan(p: Plan<BeforePivot>, wanted: Given<Wanted>) -> Finished<String> {
        let (mut p, _) = p.pivot(Charge::with(wanted.map(|w| w.id)));
        p.step(paid().named("first").within(Duration::from_millis(500)));
        let second = p.step(paid().named("second"));
        p.finish(second.map(|paid| paid.id))
    }
}

/// A room, booked and confirmed.
struct Room;

impl Saga for Room {
    const NAME: &'static str = "awkward-room";
    const VERSION: u32 = 1;
    type Input = String;
    type Output = String;

    fn trigger() -> Trigger<String> {
        Trigger::on("awkward-room.wanted")
    }

    fn plan(mut p: Plan<BeforePivot>, room: Given<String>) -> Finished<String> {
        let booked = p.step(Book::with(room));
        let again = p.step(Book::with(booked).named("hotel.confirm"));
        p.finish(again)
    }
}

/// A guest of a hotel that takes one after the other.
struct Stay;

impl Saga for Stay {
    const NAME: &'static str = "stay";
    const VERSION: u32 = 1;
    type Input = Wanted;
    type Output = String;

    fn trigger() -> Trigger<Wanted> {
        Trigger::on("stay.wanted").key(|w: &Wanted| w.id.clone()).lock(|_| "hotel".to_owned())
    }

    fn plan(mut p: Plan<BeforePivot>, wanted: Given<Wanted>) -> Finished<String> {
        let room = p.step(Room::nested(wanted.map(|w| w.id)));
        let (mut p, _) = p.pivot(Charge::with(room.clone()));
        let told = p.step(Tell::with(room));
        p.finish(told)
    }
}

#[derive(Serialize, Deserialize)]
struct Alarm {
    at: Time,
}

/// Waits for a time, and then fails three times.
struct Early;

impl Saga for Early {
    const NAME: &'static str = "early";
    const VERSION: u32 = 1;
    type Input = Alarm;
    type Output = String;

    fn trigger() -> Trigger<Alarm> {
        Trigger::on("early.wanted").key(|_| "early".to_owned())
    }

    fn plan(mut p: Plan<BeforePivot>, alarm: Given<Alarm>) -> Finished<String> {
        p.step(Delay::until("morning", alarm.map(|alarm| alarm.at)));
        let second = Duration::from_secs(1);
        let booked = Book::with(alarm.map(|_| "broken".to_owned()))
            .retry(Retry::exponential(second, second).limit(3));
        let booked = p.step(booked);
        p.finish(booked)
    }

    fn deadline() -> Option<Duration> {
        Some(Duration::from_secs(3600))
    }
}

/// A hotel, a card and a mailbox. The room `broken` breaks.
async fn stage() -> Stage {
    let mut stage = Stage::set().await;
    let definitions = [
        Definition::of::<Prompt>(),
        Definition::of::<Late>(),
        Definition::of::<Stay>(),
        Definition::of::<Early>(),
    ];
    stage.enter("one", definitions.into_iter().map(Result::unwrap).collect()).await;
    let hotel = |_: &str, half: &str, body: Value| match (half, body.as_str()) {
        ("action", Some("broken")) => Some(json!({"outcome": "retry", "message": "no line"})),
        _ => Some(json!({"outcome": "ok", "output": "a room"})),
    };
    stage.serve("hotel", hotel).await;
    stage.serve("card", |_, _, _| Some(json!({"outcome": "ok"}))).await;
    stage.serve("mail", |_, _, _| Some(json!({"outcome": "ok", "output": "told"}))).await;
    stage
}

async fn none(stage: &Stage, of: &'static str) {
    eventually(of, async || (stage.shop.number(of).await == 0).then_some(())).await;
}

/// The event comes in just the moment in which its saga begins to wait, before or after it.
#[tokio::test]
async fn an_event_that_comes_as_its_saga_begins_to_wait_is_not_missed() {
    const SAGAS: i64 = 200;
    let stage = stage().await;
    for n in 0..SAGAS {
        let body = json!({"id": format!("s-{n}")});
        let (trigger, event) = ("prompt.wanted", "awkward.paid");
        let (first, second) = if n % 2 == 0 { (trigger, event) } else { (event, trigger) };
        tokio::join!(stage.publish(first, body.clone()), stage.publish(second, body));
    }
    stage.shop.settled(SAGAS).await;
    none(&stage, "select count(*) from amends.sagas where status <> 'completed'").await;
    none(&stage, "select count(*) from amends.waits").await;
}

/// What a step no longer waits for is the next one's.
#[tokio::test]
async fn a_wait_that_was_given_up_and_skipped_takes_no_event() {
    let stage = stage().await;
    stage.publish("late.wanted", json!({"id": "a"})).await;
    assert_eq!(stage.shop.fate("a").await, "stuck");
    stage.shop.done(&["skip", "a", "first", "--reason", "it was paid in cash"]).await;
    stage.shop.at_least("select count(*) from amends.waits where step = 'second'", 1).await;
    none(&stage, "select count(*) from amends.waits where step = 'first'").await;
    stage.publish("awkward.paid", json!({"id": "a"})).await;
    assert_eq!(stage.shop.fate("a").await, "completed");
    let skipped = "select count(*) from amends.steps where step = 'first' and status = 'skipped'";
    assert_eq!(stage.shop.number(skipped).await, 1);
}

/// Late copies, late contradictions, events and triggers: an ended saga is over, and so is the one in it.
#[tokio::test]
async fn nothing_moves_a_saga_that_has_ended() {
    let stage = stage().await;
    stage.publish("stay.wanted", json!({"id": "a"})).await;
    stage.publish("late.wanted", json!({"id": "b"})).await;
    assert_eq!(stage.shop.fate("a").await, "completed");
    assert_eq!(stage.shop.fate("b").await, "stuck");
    none(
        &stage,
        "select count(*) from amends.timer t join amends.sagas s on s.id = t.saga_id
        where s.status = 'completed'",
    )
    .await;
    let facts = "select count(*) from amends.history h join amends.sagas s on s.id = h.saga_id
        where s.status = 'completed'";
    let before = stage.shop.number(facts).await;
    let sent: Vec<(Uuid, String, String)> = sqlx::query_as(
        "select t.saga_id, t.step, t.service from amends.steps t
         join amends.sagas s on s.id = t.saga_id
         where s.status = 'completed' and t.service in ('hotel', 'card', 'mail')",
    )
    .fetch_all(&stage.shop.pool)
    .await
    .unwrap();
    assert_eq!(sent.len(), 4, "{sent:?}");
    for (saga, step, service) in sent {
        for body in [
            json!({"outcome": "ok", "output": "another room"}),
            json!({"outcome": "rejected", "code": "no"}),
            json!({"outcome": "retry"}),
            json!({"outcome": "pending"}),
        ] {
            stage.reply(&service, &format!("{saga}:{step}:action:1"), body).await;
        }
    }
    stage.publish("stay.wanted", json!({"id": "a"})).await;
    stage.publish("awkward.paid", json!({"id": "a"})).await;
    // What came after all of that was decided.
    stage.publish("stay.wanted", json!({"id": "c"})).await;
    assert_eq!(stage.shop.fate("c").await, "completed");
    eventually("no reply", async || {
        let replies = stage.shop.jetstream.get_stream("AMENDS_REPLIES").await.ok()?;
        (replies.get_info().await.ok()?.state.messages == 0).then_some(())
    })
    .await;
    let after = "select count(*) from amends.history h join amends.sagas s on s.id = h.saga_id
        where s.status = 'completed' and not exists (
            select from amends.sagas o where o.key = 'c' and (o.id = s.id or o.id = s.parent_id))";
    assert_eq!(stage.shop.number(after).await, before);
    assert_eq!(stage.shop.number("select count(*) from amends.dead_letters").await, 0);
    assert_eq!(stage.shop.number("select count(*) from amends.sagas").await, 5);
}

/// A lock goes on to the next, though every session of Postgres breaks again and again.
#[tokio::test]
async fn broken_sessions_leave_no_lock_behind() {
    const STAYS: i64 = 12;
    let stage = stage().await;
    let mut own = PgConnection::connect(stage.shop.local.database_url()).await.unwrap();
    for n in 0..STAYS {
        let moved = "select count(*) from amends.fact";
        let before: i64 = sqlx::query_scalar(moved).fetch_one(&mut own).await.unwrap();
        stage.publish("stay.wanted", json!({"id": format!("s-{n}")})).await;
        stage.shop.at_least(moved, before + 1).await;
        let broken = "select count(pg_terminate_backend(pid)) from pg_stat_activity
            where datname = current_database() and pid <> pg_backend_pid()";
        sqlx::query(broken).execute(&mut own).await.unwrap();
    }
    // With the room of each.
    stage.shop.settled(2 * STAYS).await;
    none(&stage, "select count(*) from amends.locks").await;
    none(&stage, "select count(*) from amends.sagas where status <> 'completed'").await;
}

/// A database, an operator's session and a trigger, each in a time zone of its own.
#[tokio::test]
async fn no_time_zone_makes_a_delay_longer_or_shorter() {
    let mut stage = Stage::set().await;
    let mut session = PgConnection::connect(stage.shop.local.database_url()).await.unwrap();
    let zone = "do $$ begin
        execute format('alter database %I set timezone = ''Asia/Kathmandu''', current_database());
    end $$";
    sqlx::query(zone).execute(&mut session).await.unwrap();
    stage.enter("one", vec![Definition::of::<Early>().unwrap()]).await;
    stage
        .serve("hotel", |_, half, _| {
            Some(json!({"outcome": if half == "action" { "retry" } else { "ok" }}))
        })
        .await;
    sqlx::query("set time zone 'Pacific/Kiritimati'").execute(&mut session).await.unwrap();
    let start =
        "select amends.start('early', json_build_object('at', clock_timestamp() + interval '1 s'))";
    let id: Uuid = sqlx::query_scalar(start).fetch_one(&mut session).await.unwrap();
    stage.shop.at_least("select count(*) from amends.sagas", 1).await;
    sqlx::query("select amends.pause($1, 'a look')").bind(id).execute(&mut session).await.unwrap();
    stage.shop.at_least("select count(*) from amends.acts where accepted", 1).await;
    sqlx::query("select amends.resume($1, 'seen')").bind(id).execute(&mut session).await.unwrap();
    assert_eq!(stage.shop.fate("early").await, "compensated");
    let times: (f64, f64, i64, bool) = sqlx::query_as(
        "select extract(epoch from w.finished_at - s.started_at)::float8,
                extract(epoch from b.finished_at - b.started_at)::float8,
                (select count(*) from amends.sends x where x.step = 'hotel.book'),
                s.id >= amends.first_id(s.started_at - interval '2 s')
                    and s.id < amends.first_id(s.started_at + interval '2 s')
         from amends.sagas s
         join amends.steps w on w.saga_id = s.id and w.step = 'morning'
         join amends.steps b on b.saga_id = s.id and b.step = 'hotel.book'",
    )
    .fetch_one(&mut session)
    .await
    .unwrap();
    let (waited, tried, sent, in_order) = times;
    // Three attempts, half a second to one second apart, and one compensation.
    assert!((0.5..60.0).contains(&waited) && (1.0..60.0).contains(&tried), "{times:?}");
    assert_eq!((sent, in_order), (4, true));
}

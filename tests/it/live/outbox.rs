//! Events from a service's own transaction: published if and only if it commits, and each starts one
//! saga, whatever dies meanwhile.

use std::time::Duration;

use amends::{
    BeforePivot, Definition, Finished, Given, Plan, Rejection, Saga, Step, Trigger, wire,
};
use amends_workers::{Act, Attempt, Halt, Relay, Service, emit, reject};
use async_nats::{HeaderMap, jetstream::stream};
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio_util::sync::CancellationToken;

use crate::support::{SERVICES, Shop, eventually, order};

const SAGAS: &str = "select count(*) from amends.saga";
const WAITING: &str = "select count(*) from amends_barrier.outbox";
const OUTBOX: &str = include_str!("../../../migrations/participant/0002_outbox.sql");

/// Places an order as a service would: its own row and the event in one transaction; tried again as
/// long as the database is away.
async fn place(shop: &Shop, id: &str, commit: bool) {
    let placed = async || {
        let mut tx = shop.pool.begin().await.ok()?;
        emit(&mut tx, "orders.placed", Some(id), &order(id)).await.ok()?;
        if commit { tx.commit().await.ok() } else { tx.rollback().await.ok() }
    };
    eventually("a transaction", placed).await;
}

async fn relayed(shop: &Shop) {
    eventually("an empty outbox", async || (shop.number(WAITING).await == 0).then_some(())).await;
}

#[tokio::test]
async fn a_committed_order_starts_one_saga_and_another_none() {
    let shop = Shop::open(&SERVICES).await;
    place(&shop, "o-1", true).await;
    place(&shop, "o-2", false).await;
    place(&shop, "o-1", true).await;
    place(&shop, "o-3", true).await;
    assert_eq!(shop.fate("o-1").await, "completed");
    assert_eq!(shop.fate("o-3").await, "completed");
    relayed(&shop).await;
    assert_eq!(shop.number(SAGAS).await, 2);
    let stream = shop.jetstream.get_stream(wire::EVENTS_STREAM).await.unwrap();
    assert_eq!(stream.cached_info().state.last_sequence, 2);
    shop.audit().await;
}

/// Until JetStream has forgotten the message ids that it knows now.
async fn window_over(shop: &Shop) {
    let publish = async || {
        let mut headers = HeaderMap::new();
        headers.insert(wire::NATS_MSG_ID, "probe");
        let ack = shop.jetstream.publish_with_headers("orders.probe", headers, "".into());
        ack.await.unwrap().await.unwrap()
    };
    assert!(!publish().await.duplicate);
    eventually("an end of the window", async || (!publish().await.duplicate).then_some(())).await;
}

/// The worker dies when JetStream has stored the event and its row is not removed yet.
#[tokio::test]
async fn killed_between_publication_and_removal() {
    let mut shop = Shop::closed().await;
    // Nothing is to rely on JetStream's memory of message ids.
    let own = stream::Config {
        name: "SHOP".into(),
        subjects: vec!["orders.>".into()],
        duplicate_window: Duration::from_millis(100),
        ..Default::default()
    };
    shop.jetstream.create_stream(own).await.unwrap();
    shop.start("orchestrator", &["orchestrator"]);
    shop.start_worker("inventory");
    shop.says("inventory", "serving commands").await;
    // Removals wait for this session.
    let mut gate = PgConnection::connect(shop.local.database_url()).await.unwrap();
    gate.execute(
        "create function public.wait() returns trigger language plpgsql as
             'begin perform pg_advisory_xact_lock(7); return old; end';
         create trigger wait before delete on amends_barrier.event
             for each row execute function public.wait();",
    )
    .await
    .unwrap();
    gate.execute("select pg_advisory_lock(7)").await.unwrap();
    place(&shop, "o-1", true).await;
    shop.at_least("select count(*) from pg_locks where locktype = 'advisory' and not granted", 1)
        .await;
    shop.kill("inventory").await;
    gate.execute("select pg_advisory_unlock(7)").await.unwrap();
    assert_eq!(shop.number(WAITING).await, 1);
    gate.execute("alter table amends_barrier.event disable trigger wait").await.unwrap();
    window_over(&shop).await;
    for service in SERVICES {
        shop.start_worker(service);
    }
    assert_eq!(shop.fate("o-1").await, "completed");
    relayed(&shop).await;
    let stream = shop.jetstream.get_stream("SHOP").await.unwrap();
    let last = stream.cached_info().state.last_sequence;
    let (first, again) = (stream.get_raw_message(1), stream.get_raw_message(last));
    let (first, again) = (first.await.unwrap(), again.await.unwrap());
    assert_eq!((first.subject.as_str(), last > 1), ("orders.placed", true), "published once");
    assert_eq!((first.subject, first.payload), (again.subject, again.payload));
    assert_eq!(first.headers.get("Nats-Msg-Id"), again.headers.get("Nats-Msg-Id"));
    assert_eq!(shop.number(SAGAS).await, 1);
    shop.audit().await;
}

#[tokio::test]
async fn workers_and_nats_killed_while_orders_are_placed() {
    const ORDERS: i64 = 300;
    let mut shop = Shop::open(&SERVICES).await;
    let place_some = async |shop: &Shop, from: i64, to: i64| {
        for n in from..to {
            place(shop, &format!("o-{n}"), true).await;
            place(shop, &format!("never-{n}"), false).await;
        }
    };
    let mut placed = 0;
    for service in SERVICES {
        place_some(&shop, placed, placed + 50).await;
        placed += 50;
        shop.kill(service).await;
        shop.start_worker(service);
    }
    // With NATS away, orders are placed all the same.
    shop.local.nats.kill().await.unwrap();
    place_some(&shop, placed, ORDERS).await;
    assert!(shop.number(WAITING).await > 0, "nothing had to wait");
    shop.local.nats.restart().await.unwrap();
    relayed(&shop).await;
    shop.settled(ORDERS).await;
    assert_eq!(shop.number(SAGAS).await, ORDERS);
    assert_eq!(shop.audit().await.count("completed"), ORDERS);
}

#[tokio::test]
async fn a_subject_without_a_stream_holds_up_no_others() {
    let shop = Shop::open(&SERVICES).await;
    let told = || {
        let logs = SERVICES.map(|service| shop.log_of(service));
        logs.iter().map(|log| log.matches("JetStream does not store events").count()).sum::<usize>()
    };
    amends_workers::migrate(&shop.database()).await.unwrap();
    let mut tx = shop.pool.begin().await.unwrap();
    for n in 0..300 {
        emit(&mut tx, "nobody.listens", None, &json!(n)).await.unwrap();
    }
    tx.commit().await.unwrap();
    place(&shop, "o-1", true).await;
    assert_eq!(shop.fate("o-1").await, "completed");
    const SAID: &str = "select count(*) from amends_barrier.outbox
        where last_error = 'no stream captures this subject, or this user may not publish on it'";
    shop.at_least(SAID, 300).await;
    let tried = "select count(*) from amends_barrier.outbox where attempts > 1";
    shop.at_least(tried, 1).await;
    let told = told();
    assert!((1..=SERVICES.len()).contains(&told), "said {told} times");
    let late = stream::Config {
        name: "LATE".into(),
        subjects: vec!["nobody.listens".into()],
        ..Default::default()
    };
    shop.jetstream.create_stream(late).await.unwrap();
    relayed(&shop).await;
    let stream = shop.jetstream.get_stream("LATE").await.unwrap();
    assert_eq!(stream.cached_info().state.messages, 300);
}

/// A stream of the user's own takes only small messages.
#[tokio::test]
async fn a_large_event_holds_up_no_others_of_its_subject() {
    let shop = Shop::closed().await;
    amends_workers::migrate(&shop.database()).await.unwrap();
    let small = stream::Config {
        name: "SMALL".into(),
        subjects: vec!["small.events".into()],
        max_message_size: 1000,
        ..Default::default()
    };
    shop.jetstream.create_stream(small).await.unwrap();
    for size in [2000, 10, 2000, 10] {
        let mut tx = shop.pool.begin().await.unwrap();
        emit(&mut tx, "small.events", None, &"x".repeat(size)).await.unwrap();
        tx.commit().await.unwrap();
    }
    let stop = CancellationToken::new();
    let relay = Relay::new("till", shop.database(), shop.jetstream.client());
    let running = tokio::spawn(relay.run(stop.clone()));
    let refused = "select count(*) from amends_barrier.outbox
        where attempts = 1 and last_error like '%message size exceeds maximum%'";
    shop.at_least(refused, 2).await;
    let stream = shop.jetstream.get_stream("SMALL").await.unwrap();
    assert_eq!(stream.cached_info().state.messages, 2);
    assert_eq!(shop.number(WAITING).await, 2);
    stop.cancel();
    running.await.unwrap();
}

/// JetStream does not answer for this subject (its user may not publish there, or its stream has no
/// leader): most events are set aside without each waiting for its own ack.
#[tokio::test]
async fn a_subject_without_an_answer_holds_up_no_others() {
    let mut shop = Shop::open(&[]).await;
    shop.start_worker("inventory");
    amends_workers::migrate(&shop.database()).await.unwrap();
    // Someone listens, and says nothing.
    let _listener = shop.jetstream.client().subscribe("nobody.answers").await.unwrap();
    let mut tx = shop.pool.begin().await.unwrap();
    for n in 0..2000 {
        emit(&mut tx, "nobody.answers", None, &json!(n)).await.unwrap();
    }
    tx.commit().await.unwrap();
    place(&shop, "o-1", true).await;
    shop.at_least(SAGAS, 1).await;
    let aside = "select count(*) from amends_barrier.outbox
        where attempts = 0 and last_error like 'no ack within%'";
    shop.at_least(aside, 1000).await;
    // The order's event is removed after its saga has begun.
    eventually("all but the order's event to wait", async || {
        (shop.number(WAITING).await == 2000).then_some(())
    })
    .await;
}

/// A database that was migrated before there was an outbox.
#[tokio::test]
async fn without_an_outbox_commands_are_served() {
    let mut shop = Shop::open(&SERVICES[1..]).await;
    shop.start_worker("inventory");
    shop.says("inventory", "serving commands").await;
    let missing = "events wait in the outbox";
    sqlx::query("drop function amends_barrier.relay_claim").execute(&shop.pool).await.unwrap();
    shop.says("inventory", missing).await;
    shop.says("inventory", "run `migrate --participant URL` of the orchestrator's program").await;
    shop.publish_order(&order("o-1")).await;
    assert_eq!(shop.fate("o-1").await, "completed");
    sqlx::raw_sql(OUTBOX).execute(&shop.pool).await.unwrap();
    shop.says("inventory", "events are relayed again").await;
    assert_eq!(shop.log_of("inventory").matches(missing).count(), 1);
}

/// A program that serves no steps, and relays what it emits.
#[tokio::test]
async fn a_relay_alone() {
    let shop = Shop::open(&[]).await;
    amends_workers::migrate(&shop.database()).await.unwrap();
    let stop = CancellationToken::new();
    let relay = Relay::new("till", shop.database(), shop.jetstream.client());
    let hint = relay.hint();
    let running = tokio::spawn(relay.run(stop.clone()));
    for n in 0..1000 {
        place(&shop, &format!("o-{n}"), true).await;
    }
    hint.give();
    shop.at_least(SAGAS, 1000).await;
    relayed(&shop).await;
    stop.cancel();
    running.await.unwrap();
    assert_eq!(shop.number(SAGAS).await, 1000);
}

struct Close;

impl Step for Close {
    const NAME: &'static str = "till.close";
    type Input = Value;
    type Output = ();
    type Rejection = Empty;
}

struct Empty;

impl Rejection for Empty {
    fn code(&self) -> &str {
        "empty"
    }
}

struct Checkout;

impl Saga for Checkout {
    const NAME: &'static str = "checkout";
    const VERSION: u32 = 1;
    type Input = Value;
    type Output = ();

    fn trigger() -> Trigger<Value> {
        Trigger::on("baskets.full").key(|basket| basket["order_id"].to_string())
    }

    fn plan(p: Plan<BeforePivot>, basket: Given<Value>) -> Finished<()> {
        let (p, closed) = p.pivot(Close::with(basket));
        p.finish(closed)
    }
}

struct Till;

impl Act<Close> for Till {
    async fn act(&self, cx: &mut Attempt<'_>, order: Value) -> Result<(), Halt<Empty>> {
        let key = order["order_id"].as_str().unwrap_or_default();
        cx.emit("orders.placed", Some(key), &order).await?;
        if order["items"].as_array().is_none_or(Vec::is_empty) {
            return reject(Empty);
        }
        Ok(())
    }
}

/// A handler's event starts a saga when its attempt commits, and none when it rejects.
#[tokio::test]
async fn a_handler_emits() {
    let shop = Shop::closed().await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(amends_orchestrator::run(
        amends_orchestrator::Config::default(),
        shop.database(),
        shop.jetstream.client(),
        vec![Definition::of::<Checkout>().unwrap(), Definition::of::<order::PlaceOrder>().unwrap()],
        std::sync::Arc::default(),
        stop.clone(),
    ));
    shop.listening().await;
    amends_workers::migrate(&shop.database()).await.unwrap();
    let till = Service::new("till", shop.database(), Till).forward::<Close>().build().unwrap();
    let serving = tokio::spawn(till.serve(shop.jetstream.client(), stop.clone()));
    let mut empty = order("empty");
    empty["items"] = json!([]);
    for basket in [empty, order("full")] {
        let ack = shop.jetstream.publish("baskets.full", basket.to_string().into());
        ack.await.unwrap().await.unwrap();
    }
    shop.at_least("select count(*) from amends.saga where finished_at is not null", 2).await;
    shop.at_least("select count(*) from amends.saga where definition = 'order'", 1).await;
    relayed(&shop).await;
    let orders: Vec<String> =
        sqlx::query_scalar("select key from amends.sagas where definition = 'order'")
            .fetch_all(&shop.pool)
            .await
            .unwrap();
    assert_eq!(orders, ["full"]);
    stop.cancel();
    running.await.unwrap().unwrap();
    serving.await.unwrap();
}

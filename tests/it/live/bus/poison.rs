//! Large events that cannot be used, beside orders that can.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use amends::wire;
use async_nats::jetstream::{
    self,
    consumer::{AckPolicy, pull},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::time::MissedTickBehavior;

use crate::support::{SERVICES, Shop, eventually, order};

/// Poison, of so many bytes each.
const POISON: usize = 2000;
const POISON_BYTES: usize = 250 * 1024;

/// Between two of them: as fast as JetStream both stores and hands out, or as fast as it stores.
const PACED: Duration = Duration::from_millis(2);
const AT_ONCE: Duration = Duration::from_micros(1);

/// Orders, one each [`PAUSE`].
const ORDERS: usize = 200;
const PAUSE: Duration = Duration::from_millis(25);

/// Much longer than an order takes on a busy machine, and much shorter than a statement may wait for a lock.
const TOOK_MAX: Duration = Duration::from_secs(5);

/// Publishes orders at a steady pace; when each was published.
async fn publish_orders(jetstream: &jetstream::Context, name: &str) -> Vec<f64> {
    let mut beat = tokio::time::interval(PAUSE);
    let mut at = Vec::new();
    for n in 0..ORDERS {
        beat.tick().await;
        let body = order(&format!("{name}-{n}")).to_string();
        at.push(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64());
        jetstream.publish("orders.placed", body.into()).await.unwrap().await.unwrap();
    }
    at
}

/// How long orders took, from their publication to their end, in order of that time.
async fn took(shop: &Shop, name: &str, published: &[f64]) -> Vec<Duration> {
    let mut took = Vec::new();
    for (n, at) in published.iter().enumerate() {
        let key = format!("{name}-{n}");
        assert_eq!(shop.fate(&key).await, "completed");
        let ended =
            "select extract(epoch from finished_at)::float8 from amends.sagas where key = $1";
        let ended: f64 = sqlx::query_scalar(ended).bind(&key).fetch_one(&shop.pool).await.unwrap();
        took.push(Duration::from_secs_f64((ended - at).max(0.0)));
    }
    took.sort();
    took
}

/// Letters that are kept, and those that are only counted as too many are of their kind.
const COUNTED: &str = "select (select count(*) from amends.dead_letters)
    + coalesce((select sum(letters) from amends.dropped_letters), 0)::bigint";

/// No JSON, and nothing that Postgres could compress.
fn noise(seed: usize) -> String {
    let mut state = seed as u64 + 1;
    let letters = (0..POISON_BYTES).map(|_| {
        // Xorshift.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'!' + (state % 94) as u8)
    });
    letters.collect()
}

/// A connection of its own: what is measured is not how long orders wait behind poison there.
#[derive(Clone)]
struct Sender {
    jetstream: jetstream::Context,
    bodies: Vec<Bytes>,
}

impl Sender {
    async fn connect(shop: &Shop) -> Self {
        let client = async_nats::connect(shop.local.nats_url()).await.unwrap();
        let bodies = (0..16).map(|seed| noise(seed).into()).collect();
        Self { jetstream: jetstream::new(client), bodies }
    }
}

/// Publishes poison: one in each `gap`, and at most 64 at a time.
async fn poison(sender: Sender, subject: &'static str, gap: Duration) {
    let Sender { jetstream, bodies } = sender;
    let mut beat = tokio::time::interval(gap);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let beats = stream::unfold(beat, async |mut beat| {
        beat.tick().await;
        Some(((), beat))
    });
    let sent = beats.take(POISON).enumerate().map(|(n, ())| {
        let body = bodies[n % bodies.len()].clone();
        let jetstream = jetstream.clone();
        async move {
            jetstream.publish(subject, body).await.unwrap().await.unwrap();
        }
    });
    sent.buffer_unordered(64).for_each(|()| async {}).await;
}

/// How long the same messages wait for a reader that does nothing with them, on a stream of their own: so long
/// an event waits behind them in JetStream, whoever reads. The p99.
async fn plain_wait(shop: &Shop, sender: Sender) -> Duration {
    let stream = jetstream::stream::Config {
        name: "PLAIN".to_owned(),
        subjects: vec!["plain".to_owned()],
        ..Default::default()
    };
    let reader = jetstream::new(async_nats::connect(shop.local.nats_url()).await.unwrap());
    let stream = reader.create_stream(stream).await.unwrap();
    let unacked = pull::Config { ack_policy: AckPolicy::None, ..Default::default() };
    let consumer = stream.create_consumer(unacked).await.unwrap();
    let sent = tokio::spawn(poison(sender, "plain", AT_ONCE));
    let messages = consumer.messages().await.unwrap().take(POISON);
    let waits = messages.map(|message| {
        let stored = message.unwrap().info().unwrap().published.unix_timestamp_nanos();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        Duration::from_nanos(now.saturating_sub(stored as u128) as u64)
    });
    let mut waits: Vec<_> = waits.collect().await;
    sent.await.unwrap();
    waits.sort();
    p99(&waits)
}

/// Of sorted times.
fn p99(sorted: &[Duration]) -> Duration {
    sorted[sorted.len() * 99 / 100]
}

/// Not one can be kept, and all are held: orders go on beside them.
#[tokio::test(flavor = "multi_thread")]
async fn poison_holds_nobody_up() {
    let shop = Shop::open(&SERVICES).await;
    let sender = Sender::connect(&shop).await;
    let alone = publish_orders(&shop.jetstream, "alone").await;
    let alone = p99(&took(&shop, "alone", &alone).await);
    let plain = plain_wait(&shop, sender.clone()).await;

    let mut holder = PgConnection::connect(shop.local.database_url()).await.unwrap();
    holder.execute("begin; lock table amends.dead_letter in exclusive mode").await.unwrap();
    let mut beside = Vec::new();
    for (name, gap) in [("paced", PACED), ("at once", AT_ONCE)] {
        let poisoned = tokio::spawn(poison(sender.clone(), "orders.placed", gap));
        let orders = publish_orders(&shop.jetstream, name).await;
        poisoned.await.unwrap();
        beside.push(p99(&took(&shop, name, &orders).await));
    }
    holder.execute("rollback").await.unwrap();
    let told = format!(
        "p99 of orders: alone {alone:.0?}, beside poison, paced {:.0?}, at once {:.0?}; a plain \
         reader of the latter waits {plain:.0?}",
        beside[0], beside[1]
    );
    println!("{told}");
    assert!(beside.iter().all(|took| *took < TOOK_MAX), "{told}");

    shop.at_least(COUNTED, i64::try_from(2 * POISON).unwrap()).await;
    let consumer = eventually("all acked", async || {
        let events = shop.jetstream.get_stream(wire::EVENTS_STREAM).await.ok()?;
        let consumer = events.consumer_info("amends-order").await.ok()?;
        (consumer.num_pending == 0 && consumer.num_ack_pending == 0).then_some(consumer)
    })
    .await;
    assert_eq!(consumer.delivered.consumer_sequence, (3 * ORDERS + 2 * POISON) as u64);
    // Those that are kept are kept as they came, also where they had to be read once more.
    let cut = "select count(*) from amends.dead_letters where length(body) <> 256000";
    assert_eq!(shop.number(cut).await, 0);
    shop.audit().await;
}

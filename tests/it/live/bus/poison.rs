//! Large events that cannot be used, beside orders that can.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use amends::wire;
use async_nats::jetstream;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use crate::support::{SERVICES, Shop, eventually, order};

/// Poison, of so many bytes each.
const POISON: usize = 2000;
const POISON_BYTES: usize = 250 * 1024;

/// Orders, one each [`PAUSE`].
const ORDERS: usize = 200;
const PAUSE: Duration = Duration::from_millis(25);

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

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// Letters that are kept, and those that are only counted as too many are of their kind.
const COUNTED: &str = "select (select count(*) from amends.dead_letters)
    + coalesce((select sum(letters) from amends.dropped_letters), 0)::bigint";

/// Whoever waits for longer is held up.
const HELD_UP: Duration = Duration::from_secs(3);

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

/// Publishes poison as fast as JetStream takes it.
async fn poison(jetstream: jetstream::Context, bodies: Vec<Bytes>) {
    let sent = stream::iter(0..POISON).map(|n| {
        let body = bodies[n % bodies.len()].clone();
        let jetstream = jetstream.clone();
        async move {
            jetstream.publish("orders.placed", body).await.unwrap().await.unwrap();
        }
    });
    sent.buffer_unordered(64).for_each(|()| async {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_holds_nobody_up() {
    let shop = Shop::open(&SERVICES).await;
    shop.publish_order(&order("first")).await;
    assert_eq!(shop.fate("first").await, "completed");
    let alone = publish_orders(&shop.jetstream, "alone").await;
    let alone = took(&shop, "alone", &alone).await;

    let bodies = (0..16).map(|seed| noise(seed).into()).collect();
    let began = std::time::Instant::now();
    // On a connection of its own: what is measured is not how long orders wait behind it there.
    let other = jetstream::new(async_nats::connect(shop.local.nats_url()).await.unwrap());
    let poisoned = tokio::spawn(poison(other, bodies));
    let beside = publish_orders(&shop.jetstream, "beside").await;
    poisoned.await.unwrap();
    let published = began.elapsed();
    let beside = took(&shop, "beside", &beside).await;
    let ended = began.elapsed();
    shop.at_least(COUNTED, i64::try_from(POISON).unwrap()).await;
    let buried = began.elapsed();
    let consumer = eventually("all acked", async || {
        let events = shop.jetstream.get_stream(wire::EVENTS_STREAM).await.ok()?;
        let consumer = events.consumer_info("amends-order").await.ok()?;
        (consumer.num_pending == 0 && consumer.num_ack_pending == 0).then_some(consumer)
    })
    .await;
    let (delivered, messages) =
        (consumer.delivered.consumer_sequence, consumer.delivered.stream_sequence);
    println!(
        "alone p50 {:?} p99 {:?}; beside p50 {:?} p99 {:?}; delivered {delivered} of {messages}; published {published:?} ended {ended:?} buried {buried:?}",
        percentile(&alone, 50),
        percentile(&alone, 99),
        percentile(&beside, 50),
        percentile(&beside, 99),
    );
    assert!(delivered <= messages + messages / 20, "{delivered} deliveries of {messages} messages");
    // On two cores nats-server itself is slow while it takes half a gigabyte.
    assert!(percentile(&beside, 99) <= (3 * percentile(&alone, 99)).max(HELD_UP));
}

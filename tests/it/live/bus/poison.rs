//! Large events that cannot be used, beside orders that can.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use amends::wire;
use async_nats::jetstream;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::support::{SERVICES, Shop, eventually, order};

/// Poison, of so many bytes each.
const POISON: usize = 2000;
const POISON_BYTES: usize = 250 * 1024;

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

/// Publishes poison as fast as JetStream takes it.
async fn poison(jetstream: jetstream::Context, subject: &'static str, bodies: Vec<Bytes>) {
    let sent = stream::iter(0..POISON).map(|n| {
        let body = bodies[n % bodies.len()].clone();
        let jetstream = jetstream.clone();
        async move {
            jetstream.publish(subject, body).await.unwrap().await.unwrap();
        }
    });
    sent.buffer_unordered(64).for_each(|()| async {}).await;
}

/// Not one can be kept, and all are held: orders go on beside them.
#[tokio::test(flavor = "multi_thread")]
async fn poison_holds_nobody_up() {
    let shop = Shop::open(&SERVICES).await;
    let alone = publish_orders(&shop.jetstream, "alone").await;
    let alone = took(&shop, "alone", &alone).await;

    // What the load itself costs, where nobody reads it.
    let unread = jetstream::stream::Config {
        name: "UNREAD".to_owned(),
        subjects: vec!["unread".to_owned()],
        ..Default::default()
    };
    shop.jetstream.create_stream(unread).await.unwrap();
    let bodies: Vec<Bytes> = (0..16).map(|seed| noise(seed).into()).collect();
    // On a connection of its own: what is measured is not how long orders wait behind it there.
    let other = jetstream::new(async_nats::connect(shop.local.nats_url()).await.unwrap());
    let loaded = tokio::spawn(poison(other.clone(), "unread", bodies.clone()));
    let loading = publish_orders(&shop.jetstream, "load").await;
    loaded.await.unwrap();
    let loading = took(&shop, "load", &loading).await;

    let mut holder = PgConnection::connect(shop.local.database_url()).await.unwrap();
    holder.execute("begin; lock table amends.dead_letter in exclusive mode").await.unwrap();
    let poisoned = tokio::spawn(poison(other, "orders.placed", bodies));
    let beside = publish_orders(&shop.jetstream, "beside").await;
    poisoned.await.unwrap();
    let beside = took(&shop, "beside", &beside).await;
    holder.execute("rollback").await.unwrap();
    let [alone, loading, beside] =
        [alone, loading, beside].map(|sorted| sorted[sorted.len() * 99 / 100]);
    println!("p99 alone {alone:.0?}, beside unread load {loading:.0?}, beside poison {beside:.0?}");
    assert!(beside < TOOK_MAX, "p99 alone {alone:.0?}, beside poison {beside:.0?}");

    shop.at_least(COUNTED, i64::try_from(POISON).unwrap()).await;
    let consumer = eventually("all acked", async || {
        let events = shop.jetstream.get_stream(wire::EVENTS_STREAM).await.ok()?;
        let consumer = events.consumer_info("amends-order").await.ok()?;
        (consumer.num_pending == 0 && consumer.num_ack_pending == 0).then_some(consumer)
    })
    .await;
    assert_eq!(consumer.delivered.consumer_sequence, (3 * ORDERS + POISON) as u64);
    // Those that are kept are kept as they came, also where they had to be read once more.
    let cut = "select count(*) from amends.dead_letters where length(body) <> 256000";
    assert_eq!(shop.number(cut).await, 0);
    shop.audit().await;
}

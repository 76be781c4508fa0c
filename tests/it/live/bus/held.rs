//! What a replica holds for long because it cannot go on is not given to it again and again.

use amends::wire;
use async_nats::jetstream::consumer::{self, pull};
use futures_util::StreamExt as _;
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::support::{SERVICES, Shop, eventually, order};

const ORDERS: usize = 100;

async fn triggers(shop: &Shop) -> consumer::Info {
    let stream = shop.jetstream.get_stream(wire::EVENTS_STREAM).await.unwrap();
    stream.consumer_info("amends-order").await.unwrap()
}

/// Until the server has twice delivered again what somebody holds in silence, under the same settings.
async fn somebody_else_lost_patience_twice(shop: &Shop) {
    let ours = triggers(shop).await.config;
    let config = pull::Config { ack_wait: ours.ack_wait, ..Default::default() };
    let stream = shop.jetstream.get_stream(wire::EVENTS_STREAM).await.unwrap();
    let other = stream.create_consumer(config).await.unwrap();
    let mut messages = other.stream().max_messages_per_batch(1).messages().await.unwrap();
    loop {
        let message = messages.next().await.unwrap().unwrap();
        if message.info().unwrap().delivered == 3 {
            return;
        }
    }
}

#[tokio::test]
async fn what_is_in_hand_is_delivered_once_however_long_it_is_held() {
    let shop = Shop::open(&SERVICES).await;
    shop.publish_order(&order("before")).await;
    assert_eq!(shop.fate("before").await, "completed");
    // No saga can be written.
    let mut holder = PgConnection::connect(shop.local.database_url()).await.unwrap();
    holder.execute("begin; lock table amends.saga in exclusive mode").await.unwrap();
    for n in 0..ORDERS {
        shop.publish_order(&order(&format!("o-{n}"))).await;
    }
    eventually("all orders in hand", async || {
        (triggers(&shop).await.num_ack_pending == ORDERS).then_some(())
    })
    .await;
    somebody_else_lost_patience_twice(&shop).await;
    let held = triggers(&shop).await;
    holder.execute("rollback").await.unwrap();
    assert_eq!((held.num_ack_pending, held.num_redelivered), (ORDERS, 0));
    assert_eq!(held.delivered.consumer_sequence, 1 + ORDERS as u64);
    for n in 0..ORDERS {
        assert_eq!(shop.fate(&format!("o-{n}")).await, "completed");
    }
    assert_eq!(triggers(&shop).await.delivered.consumer_sequence, 1 + ORDERS as u64);
    shop.audit().await;
}

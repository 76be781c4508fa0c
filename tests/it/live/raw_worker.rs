//! A worker that knows nothing of Amends: a NATS client and two SQL functions, as any language has
//! them. It serves `inventory` beside the other services.

use async_nats::jetstream::{self, consumer::PullConsumer};
use futures_util::StreamExt as _;
use serde_json::Value;
use sqlx::{PgPool, Row as _};

use crate::support::{SERVICES, Shop, order};

/// The worker, in full: pull, enter, business SQL, leave, commit, reply, ack.
async fn serve(client: async_nats::Client, pool: PgPool) {
    let jetstream = jetstream::new(client);
    let consumer: PullConsumer =
        jetstream.get_consumer_from_stream("inventory", "AMENDS_COMMANDS").await.unwrap();
    let mut commands = consumer.messages().await.unwrap();
    while let Some(Ok(command)) = commands.next().await {
        let id = command.headers.as_ref().unwrap().get("Amends-Id").unwrap().to_string();
        let body: Value = serde_json::from_slice(&command.payload).unwrap();
        let mut tx = pool.begin().await.unwrap();
        let entered = sqlx::query("select verdict, reply::text from amends_barrier.enter($1)")
            .bind(&id)
            .fetch_one(&mut *tx)
            .await
            .unwrap();
        let reply = if entered.get::<String, _>("verdict") == "run" {
            let reply = work(&mut tx, &id, &body).await;
            sqlx::query("select amends_barrier.leave($1, $2::json)")
                .bind(&id)
                .bind(&reply)
                .execute(&mut *tx)
                .await
                .unwrap();
            reply
        } else {
            entered.get::<String, _>("reply")
        };
        tx.commit().await.unwrap();
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Amends-Id", id.as_str());
        let ack = jetstream.publish_with_headers("amends.reply.inventory", headers, reply.into());
        ack.await.unwrap().await.unwrap();
        command.ack().await.unwrap();
    }
}

/// The business: takes stock, or gives it back.
async fn work(tx: &mut sqlx::PgConnection, id: &str, body: &Value) -> String {
    let parts: Vec<_> = id.split(':').collect();
    let saga: uuid::Uuid = parts[0].parse().unwrap();
    let undo = parts[2] == "compensation";
    let (items, op) =
        if undo { (&body["input"]["items"], "release") } else { (&body["items"], "reserve") };
    sqlx::query("savepoint business").execute(&mut *tx).await.unwrap();
    for item in items.as_array().unwrap() {
        let (sku, quantity) = (item["sku"].as_str().unwrap(), item["quantity"].as_i64().unwrap());
        let change = if undo { quantity } else { -quantity };
        let taken = sqlx::query(
            "update inventory.stock set available = available + $2 where sku = $1 and available + $2 >= 0",
        )
        .bind(sku)
        .bind(change)
        .execute(&mut *tx)
        .await
        .unwrap();
        if taken.rows_affected() == 0 {
            sqlx::query("rollback to savepoint business").execute(&mut *tx).await.unwrap();
            return r#"{"outcome":"rejected","code":"out_of_stock","message":"too little is left"}"#.into();
        }
        sqlx::query(
            "insert into inventory.ledger (saga_id, op, sku, quantity) values ($1, $2, $3, $4)",
        )
        .bind(saga)
        .bind(op)
        .bind(sku)
        .bind(quantity)
        .execute(&mut *tx)
        .await
        .unwrap();
    }
    if undo {
        r#"{"outcome":"ok"}"#.into()
    } else {
        format!(r#"{{"outcome":"ok","output":{{"reservation":"raw-{saga}"}}}}"#)
    }
}

#[tokio::test]
async fn a_worker_of_another_language_serves_inventory() {
    // The real service sets up its schema and the stock once, and is never seen again.
    let mut shop = Shop::open(&SERVICES).await;
    shop.at_least("select count(*) from inventory.stock", 2).await;
    shop.kill("inventory").await;
    let worker = tokio::spawn(serve(shop.jetstream.client(), shop.pool.clone()));
    for n in 0..60 {
        let mut order = order(&format!("o-{n}"));
        match n % 6 {
            1 => order["items"][0]["sku"] = "lamp".into(),
            2 => order["country"] = "AQ".into(),
            _ => {}
        }
        order["items"][0]["quantity"] = 3.into();
        shop.publish_order(&order).await;
    }
    shop.settled(60).await;
    let audit = shop.audit().await;
    // Twenty lamps serve six of ten orders of three; ten orders have no route.
    assert_eq!((audit.count("completed"), audit.count("compensated")), (46, 14), "{audit:?}");
    assert!(!worker.is_finished(), "the worker failed: {:?}", worker.await);
    let output: String =
        sqlx::query_scalar("select output ->> 'reservation' from amends.sagas where key = 'o-0'")
            .fetch_one(&shop.pool)
            .await
            .unwrap();
    assert!(output.starts_with("raw-"));
}

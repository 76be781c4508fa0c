//! A trigger starts at most one saga, for ever, and none is lost.

use serde_json::{Value, json};

use crate::support::{SERVICES, Shop, eventually, order};

const SAGAS: &str = "select count(*) from amends.saga";
const LETTERS: &str = "select count(*) from amends.dead_letters";

#[tokio::test]
async fn published_five_times_one_saga() {
    let mut shop = Shop::open(&SERVICES).await;
    for _ in 0..5 {
        shop.publish_order(&order("o-1")).await;
    }
    assert_eq!(shop.fate("o-1").await, "completed");
    // The same body with other white space is the same body.
    shop.publish(serde_json::to_string_pretty(&order("o-1")).unwrap()).await;
    // Delivered once more from the first message, by a consumer that starts over.
    shop.kill("orchestrator").await;
    let stream = shop.jetstream.get_stream("AMENDS_EVENTS").await.unwrap();
    stream.delete_consumer("amends-order").await.unwrap();
    shop.start("orchestrator", &["orchestrator"]);
    consumed(&shop).await;
    assert_eq!(shop.number(SAGAS).await, 1);
    assert_eq!(shop.number(LETTERS).await, 0);
    shop.audit().await;
}

/// Until every stored trigger was taken and acked.
async fn consumed(shop: &Shop) {
    eventually("the consumption of all triggers", async || {
        let stream = shop.jetstream.get_stream("AMENDS_EVENTS").await.ok()?;
        let info = stream.consumer_info("amends-order").await.ok()?;
        (info.delivered.consumer_sequence > 0 && info.num_pending == 0 && info.num_ack_pending == 0)
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn same_key_with_another_body_is_a_dead_letter() {
    let shop = Shop::open(&SERVICES).await;
    shop.publish_order(&order("o-1")).await;
    assert_eq!(shop.fate("o-1").await, "completed");
    let mut other = order("o-1");
    other["country"] = "FR".into();
    shop.publish_order(&other).await;
    shop.at_least(LETTERS, 1).await;
    let (subject, reason, body): (String, String, String) =
        sqlx::query_as("select subject, reason, body from amends.dead_letters")
            .fetch_one(&shop.pool)
            .await
            .unwrap();
    assert_eq!(subject, "orders.placed");
    assert!(
        reason.contains("the key `o-1` of `order` was used before with another body"),
        "{reason}"
    );
    assert_eq!(body, other.to_string());
    assert_eq!(shop.number(SAGAS).await, 1);
}

#[tokio::test]
async fn an_existing_stream_keeps_its_triggers() {
    let mut shop = Shop::closed().await;
    let own = async_nats::jetstream::stream::Config {
        name: "SHOP".into(),
        subjects: ["orders.>", "trips.>", "rentals.>", "visas.>"].map(Into::into).into(),
        ..Default::default()
    };
    shop.jetstream.create_stream(own).await.unwrap();
    shop.publish_order(&order("before")).await;
    shop.start("orchestrator", &["orchestrator"]);
    for service in SERVICES {
        shop.start_worker(service);
    }
    assert_eq!(shop.fate("before").await, "completed");
    assert!(shop.jetstream.get_stream("AMENDS_EVENTS").await.is_err());
}

#[tokio::test]
async fn cloud_events_are_understood() {
    let shop = Shop::open(&SERVICES).await;
    let event = json!({
        "specversion": "1.0", "id": "e-1", "source": "/shop", "type": "orders.placed",
        "datacontenttype": "application/json", "data": order("structured"),
    });
    shop.publish(event.to_string()).await;
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("ce-specversion", "1.0");
    headers.insert("ce-id", "e-2");
    headers.insert("ce-source", "/shop");
    headers.insert("ce-type", "orders.placed");
    shop.publish_with(headers, order("binary").to_string()).await;
    assert_eq!(shop.fate("structured").await, "completed");
    assert_eq!(shop.fate("binary").await, "completed");
    let input: String =
        sqlx::query_scalar("select input::text from amends.sagas where key = 'structured'")
            .fetch_one(&shop.pool)
            .await
            .unwrap();
    assert_eq!(serde_json::from_str::<Value>(&input).unwrap(), order("structured"));
}

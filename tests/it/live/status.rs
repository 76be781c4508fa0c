//! What the world hears of a saga, and what an operator sees of one that cannot go on.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use amends::wire;
use async_nats::{HeaderMap, jetstream};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::support::{Agency, SERVICES, Shop, eventually, order, trip};

/// All changes of status that were published, in order, each once.
async fn news(shop: &Shop, count: usize) -> Vec<(String, Value)> {
    let stream = shop.jetstream.get_stream("AMENDS_SAGAS").await.unwrap();
    let config = jetstream::consumer::pull::OrderedConfig::default();
    let consumer = stream.create_consumer(config).await.unwrap();
    let messages = consumer.messages().await.unwrap().take(count);
    // A change whose first publication a crash cut off is told again after the redelivery.
    let read = messages.map(|message| {
        let message = message.unwrap();
        (message.subject.to_string(), serde_json::from_slice(&message.payload).unwrap())
    });
    tokio::time::timeout(Duration::from_secs(90), read.collect()).await.expect("news is missing")
}

#[tokio::test]
async fn each_change_of_status_is_a_cloud_event() {
    let shop = Shop::open(&SERVICES).await;
    shop.publish_order(&order("good")).await;
    assert_eq!(shop.fate("good").await, "completed");
    let mut lost = order("lost");
    lost["country"] = "AQ".into();
    shop.publish_order(&lost).await;
    assert_eq!(shop.fate("lost").await, "compensated");
    let news = news(&shop, 3).await;
    let told: Vec<_> =
        news.iter().map(|(subject, event)| (subject.as_str(), &event["data"])).collect();
    assert_eq!(told[0].0, "amends.saga.order.completed");
    assert_eq!(told[0].1["key"], "good");
    assert_eq!(told[0].1["output"]["order_id"], "good");
    assert_eq!(told[1].0, "amends.saga.order.compensating");
    assert_eq!(told[1].1["error"]["code"], "no_route");
    assert_eq!(told[2].0, "amends.saga.order.compensated");
    assert_eq!(told[2].1["error"], told[1].1["error"], "an end tells what led to it");
    let event = &news[2].1;
    assert_eq!(event["specversion"], "1.0");
    assert_eq!(event["type"], "amends.saga.compensated");
    assert_eq!(event["source"], "amends/order");
    assert_eq!(event["subject"], event["data"]["saga"]);
}

/// Also of sagas that others wait for, which look into their inboxes after their ends: nested ones, and such
/// that hold locks. What a timer caused would be published again, were it not known to be stored.
#[tokio::test]
async fn each_change_of_status_is_published_once() {
    let mut agency = Agency::open().await;
    let client = agency.jetstream.client();
    let mut seen = client.subscribe("amends.saga.>").await.unwrap();
    let ages = [("t-1", 40, "completed"), ("t-2", 40, "completed"), ("t-3", 20, "compensated")];
    for (id, age, _) in ages {
        let mut trip = trip(id, id);
        trip["car"] = json!({"class": "compact", "days": 2, "age": age});
        agency.wants(&trip).await;
    }
    for (id, _, status) in ages {
        assert_eq!(agency.fate(id).await, status);
    }
    eventually("an end to all timers", async || {
        (agency.number("select count(*) from amends.timer").await == 0).then_some(())
    })
    .await;
    assert_eq!(agency.terminate("orchestrator").await, Some(0));
    client.publish("amends.saga.nothing.more", "".into()).await.unwrap();
    let mut told: BTreeMap<_, Vec<_>> = BTreeMap::new();
    while let Some(message) = seen.next().await
        && message.subject.as_str() != "amends.saga.nothing.more"
    {
        let event: Value = serde_json::from_slice(&message.payload).unwrap();
        told.entry(message.subject.to_string()).or_default().push(event["id"].to_string());
    }
    for (subject, ids) in &told {
        let each: BTreeSet<_> = ids.iter().collect();
        assert_eq!(ids.len(), each.len(), "{subject}: {ids:?}");
    }
    for (subject, count) in [
        ("amends.saga.trip.completed", 2),
        ("amends.saga.trip.compensated", 1),
        ("amends.saga.rental.completed", 2),
    ] {
        assert_eq!(told.get(subject).map(Vec::len), Some(count), "{told:?}");
    }
}

async fn reply(shop: &Shop, step: &str, body: &'static str) {
    let saga: uuid::Uuid =
        sqlx::query_scalar("select id from amends.sagas").fetch_one(&shop.pool).await.unwrap();
    let mut headers = HeaderMap::new();
    headers.insert(wire::AMENDS_ID, format!("{saga}:{step}:action:1"));
    let service = step.split('.').next().unwrap();
    let subject = wire::reply_subject(service);
    let ack = shop.jetstream.publish_with_headers(subject, headers, body.into());
    ack.await.unwrap().await.unwrap();
}

/// A step after the pivot that says no, which it must not: an operator sees it, also after a
/// restart; and when the service comes to its senses the saga goes on by itself.
#[tokio::test]
async fn a_stuck_saga_is_seen_and_heals() {
    let mut shop = Shop::open(&["payment", "inventory", "shipping"]).await;
    shop.publish_order(&order("o-1")).await;
    shop.at_least(
        "select count(*) from amends.steps where step = 'notification.send' and attempts > 0",
        1,
    )
    .await;
    reply(&shop, "notification.send", r#"{"outcome":"rejected","code":"no_such_mailbox"}"#).await;
    assert_eq!(shop.fate("o-1").await, "stuck");
    shop.kill("orchestrator").await;
    shop.start("orchestrator", &["orchestrator"]);
    let (step, code): (String, String) =
        sqlx::query_as("select step, error ->> 'code' from amends.stuck")
            .fetch_one(&shop.pool)
            .await
            .unwrap();
    assert_eq!((step.as_str(), code.as_str()), ("notification.send", "no_such_mailbox"));
    let list = shop.done(&["list", "--status", "stuck"]).await;
    assert!(list.contains("notification.send: no_such_mailbox"), "{list}");
    let told = shop.done(&["show", "o-1"]).await;
    assert!(told.contains("STUCK") && told.contains("no_such_mailbox"), "{told}");
    shop.says("orchestrator", "orchestrator runs").await;
    reply(&shop, "notification.send", r#"{"outcome":"ok","output":{}}"#).await;
    shop.at_least("select count(*) from amends.sagas where status = 'completed'", 1).await;
    assert_eq!(shop.number("select count(*) from amends.stuck").await, 0);
    let mut subjects: Vec<_> =
        news(&shop, 2).await.into_iter().map(|(subject, _)| subject).collect();
    subjects.sort();
    assert_eq!(subjects, ["amends.saga.order.completed", "amends.saga.order.stuck"]);
}

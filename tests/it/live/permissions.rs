//! The `nats.conf` that is shipped: with its permissions everybody can do all of their work.

use amends::wire;
use async_nats::jetstream;

use super::transport::publish_raw;
use crate::support::{Agency, Guarded, SERVICES, Shop, eventually, order, trip};

const LETTERS: &str = "select count(*) from amends.dead_letters";

/// Each role as its own user: orders and a trip run, an unreadable message is buried and removed, and a stream
/// of triggers that fills gets room again.
#[tokio::test]
async fn everybody_works_with_the_permissions_that_are_shipped() {
    let mut shop = Shop::closed().await;
    let guarded = Guarded::as_shipped(&shop.folder.path().join("guarded")).await;
    // What the shop publishes and looks at from now on is on the guarded server.
    shop.jetstream = jetstream::new(guarded.login("admin").await);
    let url = guarded.url("orchestrator");
    let small = ["orchestrator", "--nats-url", &url, "--stream-bytes-max", "1048576"];
    shop.start("orchestrator", &small);
    for service in SERVICES.into_iter().chain(Agency::SERVICES) {
        let stock = shop.folder.path().join("stock.json");
        let (stock, url) = (stock.to_str().unwrap().to_owned(), guarded.url(service));
        shop.start(service, &["worker", service, "--nats-url", &url, "--seed-stock", &stock]);
    }
    shop.listening().await;

    publish_raw(&guarded.url("shop"), b"orders.placed", b"Foo: caf\xe9", b"{}").await;
    publish_raw(&guarded.url("payment"), b"amends.reply.payment", b"no colon", b"{}").await;
    shop.publish_order(&order("o-1")).await;
    assert_eq!(shop.fate("o-1").await, "completed");
    let agency = jetstream::new(guarded.login("agency").await);
    let mut wanted = trip("t-1", "ada");
    wanted["visa"] = true.into();
    for (subject, body) in [
        ("visas.granted", serde_json::json!({"trip_id": "t-1", "visa": "v-1"})),
        ("trips.wanted", wanted),
    ] {
        agency.publish(subject, body.to_string().into()).await.unwrap().await.unwrap();
    }
    assert_eq!(shop.fate("t-1").await, "completed");
    shop.at_least(LETTERS, 2).await;
    eventually("an end to redelivery", async || {
        let replies = shop.jetstream.get_stream(wire::REPLIES_STREAM).await.ok()?;
        let events = shop.jetstream.get_stream(wire::EVENTS_STREAM).await.ok()?;
        let waits = events.consumer_info("amends-order").await.ok()?.num_ack_pending;
        (replies.cached_info().state.messages == 0 && waits == 0).then_some(())
    })
    .await;

    // More than the stream can hold.
    let bulk = "x".repeat(60_000);
    for n in 0..20 {
        shop.publish(format!("no order {n} {bulk}")).await;
    }
    shop.at_least(LETTERS, 2 + 20).await;
    // What an operator replays is published by the orchestrator.
    let garbage = shop.jetstream.publish("amends.reply.payment", "garbage".into());
    garbage.await.unwrap().await.unwrap();
    shop.at_least(LETTERS, 2 + 20 + 1).await;
    for last in [
        "select max(id) from amends.dead_letters where subject = 'orders.placed'",
        "select max(id) from amends.dead_letters where subject = 'amends.reply.payment'",
    ] {
        let letter = shop.number(last).await.to_string();
        shop.done(&["letters", "replay", &letter, "--reason", "once more"]).await;
    }
    let log = shop.log_of("orchestrator");
    assert!(!log.contains("Permissions Violation"), "{log}");
    shop.audit().await;
}

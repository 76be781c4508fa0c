//! Settings of consumers and streams that somebody changed: put right, or told.

use std::time::Duration;

use amends::wire;
use async_nats::{
    datetime,
    jetstream::{
        consumer::{self, DeliverPolicy},
        stream::{self, DiscardPolicy},
    },
};

use crate::support::{SERVICES, Shop, eventually, order};

const HOUR: Duration = Duration::from_secs(3600);

async fn change_consumer(
    shop: &Shop,
    on: &str,
    name: &str,
    change: impl FnOnce(&mut consumer::Config),
) {
    let stream = shop.jetstream.get_stream(on).await.unwrap();
    let mut config = stream.consumer_info(name).await.unwrap().config;
    change(&mut config);
    stream.update_consumer(config).await.unwrap();
}

async fn change_stream(shop: &Shop, name: &str, change: impl FnOnce(&mut stream::Config)) {
    let mut config = config_of(shop, name).await;
    change(&mut config);
    shop.jetstream.update_stream(config).await.unwrap();
}

async fn config_of(shop: &Shop, name: &str) -> stream::Config {
    shop.jetstream.get_stream(name).await.unwrap().cached_info().config.clone()
}

async fn pause(shop: &Shop, on: &str, name: &str) {
    let until = datetime::add_std_duration(datetime::now(), HOUR).unwrap();
    let stream = shop.jetstream.get_stream(on).await.unwrap();
    assert!(stream.pause_consumer(name, until).await.unwrap().paused);
}

/// While an orchestrator runs: each is put right within a look of its maintenance, with a line that names
/// it.
#[tokio::test]
async fn a_consumer_that_somebody_changed_is_put_right() {
    let shop = Shop::open(&SERVICES).await;
    shop.publish_order(&order("before")).await;
    assert_eq!(shop.fate("before").await, "completed");
    let (events, commands) = (wire::EVENTS_STREAM, wire::COMMANDS_STREAM);
    change_consumer(&shop, events, "amends-order", |config| {
        config.ack_wait = HOUR;
        config.inactive_threshold = HOUR;
        config.max_ack_pending = 1;
        config.description = Some("ours".to_owned());
    })
    .await;
    change_consumer(&shop, commands, "payment", |config| {
        config.max_deliver = 1;
        config.max_batch = 1;
        config.headers_only = true;
    })
    .await;
    pause(&shop, wire::REPLIES_STREAM, "orchestrator").await;
    pause(&shop, commands, "inventory").await;
    for told in [
        "the consumer `AMENDS_EVENTS amends-order` had ack wait 3600s, which Amends has put right: it is 3s now",
        "the consumer `AMENDS_EVENTS amends-order` had inactive threshold 3600s",
        "the consumer `AMENDS_EVENTS amends-order` had max ack pending 1, ",
        "the consumer `AMENDS_COMMANDS payment` had max deliver 1, which Amends has put right: it is no limit now",
        "the consumer `AMENDS_COMMANDS payment` had max batch 1",
        "the consumer `AMENDS_COMMANDS payment` had headers only true",
        "the consumer `AMENDS_REPLIES orchestrator` had a pause until ",
        "the consumer `AMENDS_COMMANDS inventory` had a pause until ",
    ] {
        shop.says("orchestrator", told).await;
        assert_eq!(shop.log_of("orchestrator").matches(told).count(), 1, "{told}");
    }
    shop.publish_order(&order("after")).await;
    assert_eq!(shop.fate("after").await, "completed");
    let stream = shop.jetstream.get_stream(events).await.unwrap();
    let config = stream.consumer_info("amends-order").await.unwrap().config;
    assert_eq!(config.description.as_deref(), Some("ours"));
    assert_eq!(config.inactive_threshold, Duration::ZERO);
    shop.audit().await;
}

/// Limits that drop messages, or refuse them, in silence.
#[tokio::test]
async fn a_stream_that_somebody_changed_is_put_right() {
    let shop = Shop::open(&SERVICES).await;
    shop.says("orchestrator", "orchestrator runs").await;
    change_stream(&shop, wire::COMMANDS_STREAM, |config| {
        config.discard = DiscardPolicy::Old;
        config.max_age = HOUR;
        config.description = Some("ours".to_owned());
    })
    .await;
    change_stream(&shop, wire::REPLIES_STREAM, |config| {
        config.max_messages = 1;
        config.max_message_size = 1;
    })
    .await;
    change_stream(&shop, wire::EVENTS_STREAM, |config| config.max_messages_per_subject = 1).await;
    change_stream(&shop, wire::SAGAS_STREAM, |config| config.no_ack = true).await;
    for told in [
        "the stream `AMENDS_COMMANDS` had discard old, which Amends has put right: it is new now",
        "the stream `AMENDS_COMMANDS` had max age 3600s",
        "the stream `AMENDS_REPLIES` had max messages 1, ",
        "the stream `AMENDS_REPLIES` had max message size 1, ",
        "the stream `AMENDS_EVENTS` had max messages per subject 1, ",
        "the stream `AMENDS_SAGAS` had no_ack true",
    ] {
        shop.says("orchestrator", told).await;
    }
    let commands = config_of(&shop, wire::COMMANDS_STREAM).await;
    assert_eq!(commands.description.as_deref(), Some("ours"));
    for n in 0..3 {
        shop.publish_order(&order(&format!("o-{n}"))).await;
    }
    for n in 0..3 {
        assert_eq!(shop.fate(&format!("o-{n}")).await, "completed");
    }
    shop.audit().await;
}

/// While none runs: what waits for an hour is not waited for.
#[tokio::test]
async fn settings_are_put_right_at_the_start() {
    let mut shop = Shop::open(&SERVICES).await;
    shop.says("orchestrator", "orchestrator runs").await;
    assert_eq!(shop.terminate("orchestrator").await, Some(0));
    change_consumer(&shop, wire::EVENTS_STREAM, "amends-order", |c| c.ack_wait = HOUR).await;
    pause(&shop, wire::EVENTS_STREAM, "amends-order").await;
    shop.publish_order(&order("o-1")).await;
    shop.start("orchestrator", &["orchestrator"]);
    assert_eq!(shop.fate("o-1").await, "completed");
    let log = shop.log_of("orchestrator");
    let told = "the consumer `AMENDS_EVENTS amends-order` had ack wait 3600s";
    assert_eq!(log.matches(told).count(), 1, "{log}");
}

/// What no update changes is told, and keeps the rest from nothing.
#[tokio::test]
async fn a_consumer_that_cannot_be_put_right_is_told() {
    let shop = Shop::open(&SERVICES).await;
    shop.publish_order(&order("o-1")).await;
    assert_eq!(shop.fate("o-1").await, "completed");
    let stream = shop.jetstream.get_stream(wire::EVENTS_STREAM).await.unwrap();
    let mut config = stream.consumer_info("amends-trip").await.unwrap().config;
    config.deliver_policy = DeliverPolicy::New;
    // The orchestrator makes it anew, too.
    eventually("a consumer that begins with what is new", async || {
        stream.delete_consumer("amends-trip").await.ok();
        stream.create_consumer_strict(config.clone()).await.ok()
    })
    .await;
    pause(&shop, wire::REPLIES_STREAM, "orchestrator").await;
    let told =
        "the consumer `AMENDS_EVENTS amends-trip` has deliver policy new, but Amends needs all";
    shop.says("orchestrator", told).await;
    shop.publish_order(&order("o-2")).await;
    assert_eq!(shop.fate("o-2").await, "completed");
}

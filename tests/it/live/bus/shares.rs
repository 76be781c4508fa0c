//! A service that reads nothing uses its share of the stream of commands, and no more.

use std::time::Duration;

use amends::{BeforePivot, Definition, Finished, Given, Plan, Retry, Saga, Step, Trigger, wire};
use serde_json::{Value, json};

use super::super::traces::{address, get};
use crate::support::{Agency, Cash, Shop, Stage, eventually, order, trip};

/// Commands for several times as much as the stream holds.
const ORDERS: usize = 4000;
const TRIPS: usize = 20;

const STREAM_BYTES_MAX: u64 = 1024 * 1024;

async fn unread(shop: &Shop, service: &str) -> (u64, u64) {
    let stream = shop.jetstream.get_stream(wire::COMMANDS_STREAM).await.unwrap();
    let consumer = stream.consumer_info(service).await.unwrap();
    (stream.cached_info().state.bytes, consumer.num_pending)
}

#[tokio::test]
async fn a_dead_service_does_not_fill_the_stream_for_others() {
    let mut shop = Shop::closed().await;
    let max = STREAM_BYTES_MAX.to_string();
    let max = ["orchestrator", "--stream-bytes-max", &max, "--http", "127.0.0.1:0"];
    shop.start("orchestrator", &max);
    let probes = address(&shop, "orchestrator").await;
    for service in Agency::SERVICES {
        shop.start_worker(service);
    }
    shop.listening().await;
    for n in 0..ORDERS {
        shop.publish_order(&order(&format!("o-{n}"))).await;
    }
    let started = "select count(*) from amends.sagas where definition = 'order'";
    shop.at_least(started, i64::try_from(ORDERS).unwrap()).await;

    for n in 0..TRIPS {
        let wanted = trip(&format!("t-{n}"), "ada");
        shop.publish_on("trips.wanted", wanted.to_string()).await;
    }
    for n in 0..TRIPS {
        assert_eq!(shop.fate(&format!("t-{n}")).await, "completed");
    }
    let (bytes, orders) = unread(&shop, "payment").await;
    assert!(orders > 0 && bytes < STREAM_BYTES_MAX / 2, "{bytes} bytes, {orders} orders");
    let metrics = get(&probes, "/metrics").await.1;
    assert!(metrics.contains(r#"amends_service_share_full{service="payment"} 1"#), "{metrics}");
    assert!(metrics.contains(r#"amends_service_share_full{service="hotel"} 0"#), "{metrics}");
    assert!(metrics.contains(r#"amends_commands_withheld_total{service="payment"}"#), "{metrics}");
    shop.says("orchestrator", "the service's share of the stream of commands lies unread").await;
    // A line when it begins, however many commands are withheld.
    let lines = shop.log_of("orchestrator").matches("lies unread").count();
    assert_eq!(lines, 1);

    for service in ["payment", "inventory", "shipping", "notification"] {
        shop.start_worker(service);
    }
    shop.says("orchestrator", "the service's share has room again").await;
    shop.settled(i64::try_from(ORDERS + TRIPS).unwrap()).await;
    let ended = shop.audit().await;
    assert_eq!(ended.count("completed"), i64::try_from(ORDERS).unwrap());
}

/// A sale that is tried again and again.
struct Sale;

impl Saga for Sale {
    const NAME: &'static str = "sale";
    const VERSION: u32 = 1;
    type Input = Value;
    type Output = Value;

    fn trigger() -> Trigger<Value> {
        Trigger::on("sales.made")
    }

    fn plan(p: Plan<BeforePivot>, sale: Given<Value>) -> Finished<Value> {
        let often = Retry::exponential(Duration::from_millis(50), Duration::from_millis(100));
        let pay = Cash::with(sale).retry(often.limit(1000));
        let (p, paid) = p.pivot(pay.attempt_timeout(Duration::from_millis(300)));
        p.finish(paid)
    }
}

const SALES: u64 = 20;

/// Attempts of the sale that was tried least often.
async fn attempts(stage: &Stage) -> i64 {
    stage.shop.number("select min(attempts)::bigint from amends.steps").await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_again_does_not_pile_up() {
    let mut stage = Stage::set().await;
    stage.enter("one", vec![Definition::of::<Sale>().unwrap()]).await;
    for n in 0..SALES {
        stage.publish("sales.made", json!({ "n": n })).await;
    }
    eventually("fifteen attempts of each", async || (attempts(&stage).await >= 15).then_some(()))
        .await;
    let (_, before) = unread(&stage.shop, "till").await;
    eventually("thirty attempts of each", async || (attempts(&stage).await >= 30).then_some(()))
        .await;
    let (_, after) = unread(&stage.shop, "till").await;
    assert_eq!(before, after, "the copies grow");
    assert!(after >= SALES);
    // The service is there: what waits for it does, and what was withheld is sent.
    let services =
        stage.serve("till", |_, _, sale| Some(json!({ "outcome": "ok", "output": sale }))).await;
    stage.shop.settled(i64::try_from(SALES).unwrap()).await;
    stage.leave("one").await;
    services.abort();
}

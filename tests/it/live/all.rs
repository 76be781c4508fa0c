//! An orchestrator and all services in one process.

use std::time::Duration;

use amends::Handler;
use amends_app::{App, testing::Live};
use order::PlaceOrder;
use serde_json::json;

use crate::support::{Probe, Shop, amends, eventually, order};

const ORDERS: i64 = 100;

#[tokio::test]
async fn orders_are_carried_out_and_the_process_drains() {
    let mut shop = Shop::closed().await;
    let stock = shop.stock();
    let all = ["all", "--http", "127.0.0.1:0", "--seed-stock", &stock];
    shop.start("all", &all);
    Probe::of(&shop, "all").await.is_ready().await;
    shop.says("all", "the orchestrator and all services are ready").await;
    for n in 0..ORDERS {
        shop.publish_order(&order(&format!("o-{n}"))).await;
    }
    // In the middle of it: what it leaves, the next one ends.
    assert_eq!(shop.terminate("all").await, Some(0), "{}", shop.log_of("all"));
    shop.start("all", &all);
    shop.settled(ORDERS).await;
    shop.audit().await;
}

/// A step that nobody handles would wait for ever.
#[tokio::test]
async fn a_program_without_its_handlers_is_refused() {
    let app = || App::new("shop").saga::<PlaceOrder>();
    let refused = Live::start(app(), amends()).await.err().unwrap().to_string();
    assert!(refused.starts_with("the program is not sound: error: order@1 "), "{refused}");
    assert!(refused.contains("no worker does the service `payment`"), "{refused}");
    let live = Live::start(app().elsewhere(elsewhere()), amends()).await.unwrap();
    live.stop().await.unwrap();
}

/// Services that never answer.
fn elsewhere() -> [Handler; 5] {
    [
        Handler::with_compensation("payment.authorize"),
        Handler::with_compensation("inventory.reserve"),
        Handler::with_compensation("shipping.book"),
        Handler::action("payment.capture"),
        Handler::action("notification.send"),
    ]
}

#[tokio::test]
async fn a_test_hears_why_its_saga_does_not_end() {
    let app = App::new("shop").saga::<PlaceOrder>().elsewhere(elsewhere());
    let live = Live::start(app, amends()).await.unwrap();
    let why = async |definition: &str, key: &str| {
        let ended = live.ended_within(definition, key, Duration::ZERO).await;
        ended.unwrap_err().to_string()
    };
    let unknown = why("ordre", "o-1").await;
    assert_eq!(unknown, "the program has no saga definition `ordre`: it has order");

    let begun = |text: &str| text.contains("asked           payment.authorize");
    live.publish("orders.placed", &order("o-1")).await.unwrap();
    let waiting = eventually("the saga", async || {
        let waiting = why("order", "o-1").await;
        begun(&waiting).then_some(waiting)
    })
    .await;
    assert!(waiting.starts_with("the saga order o-1 has not ended after 0ns: "), "{waiting}");
    assert!(waiting.contains("\nno dead letter is open on orders.placed, amends.reply.payment, "));

    live.publish("orders.placed", &json!({"order_id": "o-2"})).await.unwrap();
    let unusable = eventually("the dead letter", async || {
        let unusable = why("order", "o-2").await;
        unusable.contains("open dead letters on orders.placed").then_some(unusable)
    })
    .await;
    for part in [
        "there is no saga",
        "orders.placed: the body does not fit the definition's input: missing field",
        r#"{"order_id":"o-2"}"#,
        "`select * from amends.dead_letters order by id`",
    ] {
        assert!(unusable.contains(part), "no {part:?} in\n{unusable}");
    }
    live.stop().await.unwrap();
}

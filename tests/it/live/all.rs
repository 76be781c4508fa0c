//! An orchestrator and all services in one process.

use amends::Handler;
use amends_app::{App, testing::Live};
use order::PlaceOrder;

use crate::support::{Probe, Shop, amends, order};

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
    let elsewhere = [
        Handler::with_compensation("payment.authorize"),
        Handler::with_compensation("inventory.reserve"),
        Handler::with_compensation("shipping.book"),
        Handler::action("payment.capture"),
        Handler::action("notification.send"),
    ];
    let live = Live::start(app().elsewhere(elsewhere), amends()).await.unwrap();
    live.stop().await.unwrap();
}

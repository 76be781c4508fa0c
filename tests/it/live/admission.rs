//! A definition whose sagas are many holds up no other: what is beyond its share waits in its stream.

use crate::support::{SERVICES, Shop, order, trip};

const ORDERS: &str = "select count(*) from amends.sagas where definition = 'order'";
const TRIPS: &str = "select count(*) from amends.sagas where definition = 'trip'";

#[tokio::test]
async fn a_flood_of_orders_waits_in_its_stream() {
    let mut shop = Shop::closed().await;
    shop.start("orchestrator", &["orchestrator", "--admission-max", "8"]);
    shop.listening().await;
    for n in 0..60 {
        shop.publish_order(&order(&format!("o-{n}"))).await;
    }
    // No service answers: some begin.
    shop.at_least(ORDERS, 8).await;
    shop.publish_on("trips.wanted", trip("t-1", "ada").to_string()).await;
    shop.at_least(TRIPS, 1).await;
    let begun = shop.number(ORDERS).await;
    assert!(begun < 60, "{begun} orders began before the trip");
    // None is lost, and those that wait for a service that is silent leave room to others.
    for service in SERVICES {
        shop.start_worker(service);
    }
    for n in 0..60 {
        let fate = shop.fate(&format!("o-{n}")).await;
        assert!(matches!(fate.as_str(), "completed" | "compensated"), "{fate}");
    }
    assert_eq!(shop.number(ORDERS).await, 60);
}

//! Each part is killed with SIGKILL while 500 orders run, and starts again. Afterwards every order
//! has ended, and the services' own ledgers balance.

use std::time::Duration;

use crate::support::{SERVICES, Shop, order};

const ORDERS: i64 = 500;

const STARTED: &str = "select count(*) from amends.saga";
const OPEN: &str = "select count(*) from amends.saga where finished_at is null";
const ENDED: &str = "select count(*) from amends.saga where finished_at is not null";

/// A mix of fates: most go well; some cards are declined, some have no route, lamps run out.
async fn publish(shop: &Shop, range: std::ops::Range<i64>) {
    for n in range {
        let mut order = order(&format!("o-{n}"));
        match n % 10 {
            3 => order["card"] = "tok_declined".into(),
            5 => order["country"] = "AQ".into(),
            7 => order["items"][0]["sku"] = "lamp".into(),
            _ => {}
        }
        shop.publish_order(&order).await;
    }
}

/// Publishes half of the orders, does `fault` while they run, publishes the rest, and judges.
async fn storm(mut shop: Shop, fault: impl AsyncFnOnce(&mut Shop)) {
    publish(&shop, 0..ORDERS / 2).await;
    shop.at_least(ENDED, 20).await;
    let open = shop.number(OPEN).await;
    fault(&mut shop).await;
    publish(&shop, ORDERS / 2..ORDERS).await;
    shop.settled(ORDERS).await;
    let audit = shop.audit().await;
    assert_eq!(audit.count("completed") + audit.count("compensated"), ORDERS, "{audit:?}");
    assert!(audit.count("compensated") >= ORDERS / 5, "a storm without compensations: {audit:?}");
    // What was killed had something to do: a storm that hits nothing proves nothing.
    assert!(open > 0, "the fault hit nothing");
}

async fn all() -> Shop {
    Shop::open(&SERVICES).await
}

#[tokio::test]
async fn orchestrator_killed() {
    storm(all().await, async |shop| {
        shop.kill("orchestrator").await;
        publish(shop, 0..20).await;
        shop.start("orchestrator", &["orchestrator"]);
    })
    .await;
}

#[tokio::test]
async fn each_worker_killed() {
    storm(all().await, async |shop| {
        for service in SERVICES {
            shop.kill(service).await;
            shop.start_worker(service);
        }
    })
    .await;
}

#[tokio::test]
async fn nats_server_killed() {
    storm(all().await, async |shop| {
        shop.local.nats.kill().await.unwrap();
        shop.local.nats.restart().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn postgres_killed() {
    storm(all().await, async |shop| {
        shop.local.postgres.kill().await.unwrap();
        shop.local.postgres.restart().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn two_replicas_one_killed() {
    let mut shop = all().await;
    shop.start("replica", &["orchestrator"]);
    shop.says("replica", "orchestrator runs").await;
    storm(shop, async |shop| shop.kill("replica").await).await;
}

/// The transport is disposable: everything in flight is lost with it, and sent again.
#[tokio::test]
async fn jetstream_store_deleted() {
    let mut shop = Shop::open(&[]).await;
    publish(&shop, 0..ORDERS).await;
    shop.at_least(STARTED, ORDERS).await;
    for service in SERVICES {
        shop.start_worker(service);
    }
    shop.at_least(ENDED, 20).await;
    shop.local.nats.wipe().await.unwrap();
    let lost = shop.number(OPEN).await;
    assert!(lost > 0, "nothing was in flight");
    shop.settled(ORDERS).await;
    let audit = shop.audit().await;
    assert_eq!(audit.count("completed") + audit.count("compensated"), ORDERS, "{audit:?}");
    // And the shop is open again, on streams that were made anew.
    shop.listening().await;
    shop.publish_order(&order("after")).await;
    assert_eq!(shop.fate("after").await, "completed");
}

/// A drain ends in seconds with exit code 0, and the next start finds everything as it was.
#[tokio::test]
async fn terminated_and_started_again() {
    let mut shop = all().await;
    publish(&shop, 0..100).await;
    for role in ["orchestrator", "inventory"] {
        let began = std::time::Instant::now();
        assert_eq!(shop.terminate(role).await, Some(0), "{}", shop.log_of(role));
        assert!(began.elapsed() < Duration::from_secs(12), "{role} took {:?}", began.elapsed());
    }
    shop.start("orchestrator", &["orchestrator"]);
    shop.start_worker("inventory");
    shop.settled(100).await;
    shop.audit().await;
}

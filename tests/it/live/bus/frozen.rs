//! A replica that is frozen: what it holds comes back, and is carried on by another.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::signal;
use crate::support::{SERVICES, Shop, eventually, order};

/// From the time when a message is published until a replica that is not frozen has taken it: one that the
/// frozen one was given waits for three seconds, and the other looks once a second.
const BACK: Duration = Duration::from_secs(7);

#[tokio::test]
async fn what_a_frozen_replica_holds_comes_back() {
    let mut shop = Shop::open(&SERVICES).await;
    shop.says("orchestrator", "this replica leads").await;
    shop.start("other", &["orchestrator"]);
    shop.says("other", "orchestrator runs").await;
    shop.publish_order(&order("before")).await;
    assert_eq!(shop.fate("before").await, "completed");
    signal(shop.pid("orchestrator"), Signal::SIGSTOP);
    // The first of them are delivered to the one that is frozen: it has asked for some.
    let mut published = Vec::new();
    let mut beat = tokio::time::interval(Duration::from_millis(100));
    for n in 0..50 {
        beat.tick().await;
        shop.publish_order(&order(&format!("o-{n}"))).await;
        published.push(Instant::now());
    }
    let mut slowest = Duration::ZERO;
    for (n, at) in published.iter().enumerate() {
        let key = format!("o-{n}");
        eventually("the saga of an order", async || {
            let saga = "select id from amends.sagas where key = $1";
            let saga = sqlx::query_scalar::<_, uuid::Uuid>(saga).bind(&key);
            saga.fetch_optional(&shop.pool).await.ok()?
        })
        .await;
        slowest = slowest.max(at.elapsed());
    }
    signal(shop.pid("orchestrator"), Signal::SIGCONT);
    assert!(slowest < BACK, "{slowest:?}");
    for n in 0..published.len() {
        assert_eq!(shop.fate(&format!("o-{n}")).await, "completed");
    }
    shop.audit().await;
}

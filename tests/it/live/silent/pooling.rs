//! pgbouncer: one that hands sessions around between transactions is refused, one that keeps them is as good
//! as none.

use crate::support::{Pooler, SERVICES, Shop, order};

#[tokio::test]
async fn transaction_pooling_is_refused_with_a_sentence() {
    let mut shop = Shop::closed().await;
    let pooler = Pooler::before(&shop, "transaction").await;
    let variables = [("DATABASE_URL", pooler.url.as_str())];
    shop.start_with("orchestrator", &["orchestrator"], &variables);
    shop.start_with("payment", &["worker", "payment"], &variables);
    for role in ["orchestrator", "payment"] {
        let code = shop.ends_soon(role).await;
        let log = shop.log_of(role);
        let last = log.lines().last().unwrap_or_default();
        assert_eq!(code, Some(1), "{role}: {log}");
        assert!(last.contains("transaction") && last.contains("session"), "{role}: {last}");
    }
}

#[tokio::test]
async fn session_pooling_is_as_good_as_none() {
    let mut shop = Shop::closed().await;
    let pooler = Pooler::before(&shop, "session").await;
    let variables = [("DATABASE_URL", pooler.url.as_str())];
    shop.start_with("orchestrator", &["orchestrator"], &variables);
    let stock = shop.stock();
    for service in SERVICES {
        shop.start_with(service, &["worker", service, "--seed-stock", &stock], &variables);
    }
    shop.listening().await;
    for n in 0..100 {
        let mut order = order(&format!("o-{n}"));
        if n % 4 == 0 {
            order["country"] = "AQ".into();
        }
        shop.publish_order(&order).await;
    }
    shop.settled(100).await;
    let audit = shop.audit().await;
    assert_eq!((audit.count("completed"), audit.count("compensated")), (75, 25), "{audit:?}");
    assert_eq!(shop.number("select count(*) from amends.dead_letters").await, 0);
}

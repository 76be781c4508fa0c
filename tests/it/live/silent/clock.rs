//! The clock of the database jumps back an hour: what waits for a time goes on as if it had not.

use std::time::Duration;

use amends_demo::audit::TripAudit;

use crate::support::{Agency, FakedClock, SERVICES, Shop, folder, order, trip, within};

const HOUR: i64 = 3600;

/// How long what is due in a few seconds may take.
const SOON: Duration = Duration::from_secs(20);

async fn open() -> (Shop, FakedClock) {
    let folder = folder();
    let (local, clock) = FakedClock::of_servers(&folder).await;
    let mut shop = Shop::closed_on(folder, local).await;
    shop.start("orchestrator", &["orchestrator"]);
    for service in SERVICES.iter().chain(&Agency::SERVICES) {
        shop.start_worker(service);
    }
    shop.listening().await;
    (shop, clock)
}

/// An order whose card works at the third attempt, a trip that cools off, one that waits for its visa.
async fn place(shop: &Shop, name: &str) -> [String; 3] {
    let keys = ["flaky", "cooling", "visa"].map(|kind| format!("{name}-{kind}"));
    let mut flaky = order(&keys[0]);
    flaky["card"] = "tok_flaky".into();
    shop.publish_order(&flaky).await;
    for key in &keys[1..] {
        let mut trip = trip(key, key);
        trip["visa"] = key.ends_with("visa").into();
        shop.publish_on("trips.wanted", trip.to_string()).await;
    }
    keys
}

async fn end(shop: &Shop, bound: Duration, keys: &[String]) {
    const OPEN: &str = "select count(*) from unnest($1::text[]) k
        where not exists (select from amends.sagas where key = k and finished_at is not null)";
    within(bound, &format!("the end of {keys:?}"), async || {
        let open =
            sqlx::query_scalar::<_, i64>(OPEN).bind(keys).fetch_one(&shop.pool).await.ok()?;
        (open == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_hour_back_stops_nothing() {
    let (shop, clock) = open().await;
    end(&shop, Duration::from_secs(60), &place(&shop, "before").await).await;
    let under_way = place(&shop, "under-way").await;
    shop.at_least("select count(*) from amends.sagas where key like 'under-way-%'", 3).await;
    let time = "select extract(epoch from clock_timestamp())::bigint";
    let before = shop.number(time).await;
    clock.set_off(-HOUR);
    assert!(shop.number(time).await < before - HOUR / 2, "the clock of Postgres did not jump");
    let after = place(&shop, "after").await;
    end(&shop, SOON, &under_way).await;
    end(&shop, SOON, &after).await;
    // It is put right: forward is no trouble either.
    clock.set_off(0);
    end(&shop, SOON, &place(&shop, "right").await).await;
    shop.audit().await;
    let trips = TripAudit::of(&shop.database()).await.unwrap();
    assert!(trips.balanced(), "{:#?}", trips.problems);
    assert_eq!((trips.count("completed"), trips.count("compensated")), (4, 4), "{trips:?}");
}

//! Orchestrator, a worker and nats-server are killed with SIGKILL while a hundred trips run, and start
//! again. Afterwards every trip has ended, the ledgers balance, and travellers took turns.

use serde_json::{Value, json};

use crate::support::{Agency, trip};

const TRIPS: i64 = 100;

const OPEN: &str =
    "select count(*) from amends.saga where definition = 'trip' and finished_at is null";
const ENDED: &str =
    "select count(*) from amends.saga where definition = 'trip' and finished_at is not null";

/// A mix of fates; each tenth traveller wants three trips.
fn mixed(n: i64) -> Value {
    let traveller = if n % 10 < 3 { format!("busy-{}", n / 10) } else { format!("p-{n}") };
    let mut trip = trip(&format!("t-{n}"), &traveller);
    if n % 3 > 0 {
        let age = if n % 9 == 4 { 20 } else { 40 };
        let class = if n % 7 == 0 { "cabrio" } else { "compact" };
        trip["car"] = json!({"class": class, "days": 2, "age": age});
    }
    trip["insured"] = (n % 2 == 0).into();
    trip["visa"] = (n % 5 == 3).into();
    match n % 10 {
        4 => trip["card"] = "tok_declined".into(),
        7 => trip["stays"][1]["hotel"] = "attic".into(),
        _ => {}
    }
    trip
}

/// Visas come before or after their trips; each fourth never.
async fn publish(agency: &Agency, range: std::ops::Range<i64>) {
    for n in range {
        let visa = n % 5 == 3;
        if visa && n % 20 == 3 {
            agency.grants(&format!("t-{n}")).await;
        }
        agency.wants(&mixed(n)).await;
        if visa && (n % 20 == 8 || n % 20 == 13) {
            agency.grants(&format!("t-{n}")).await;
        }
    }
}

#[tokio::test]
async fn everything_is_killed_once() {
    let mut agency = Agency::open().await;
    publish(&agency, 0..40).await;
    agency.at_least(ENDED, 5).await;
    let mut open = vec![agency.number(OPEN).await];
    agency.kill("orchestrator").await;
    publish(&agency, 40..60).await;
    agency.start("orchestrator", &["orchestrator"]);
    agency.at_least(ENDED, 20).await;
    open.push(agency.number(OPEN).await);
    agency.kill("hotel").await;
    publish(&agency, 60..80).await;
    agency.start_worker("hotel");
    open.push(agency.number(OPEN).await);
    agency.local.nats.kill().await.unwrap();
    agency.local.nats.restart().await.unwrap();
    publish(&agency, 80..TRIPS).await;
    agency.at_least("select count(*) from amends.saga where definition = 'trip'", TRIPS).await;
    agency.settled(TRIPS).await;
    let audit = agency.trips().await;
    assert_eq!(audit.count("completed") + audit.count("compensated"), TRIPS, "{audit:?}");
    assert!(audit.count("completed") >= TRIPS / 4, "{audit:?}");
    assert!(audit.count("compensated") >= TRIPS / 4, "{audit:?}");
    assert_eq!(audit.busy_travellers, 10);
    // What was killed had something to do: a storm that hits nothing proves nothing.
    assert!(open.iter().all(|open| *open > 0), "a fault hit nothing: {open:?}");
}

//! The orchestrator that leads hangs, with all of its connections open: the other one takes its place.

use std::time::Duration;

use super::roles::{Open, orchestrator};
use crate::support::{SERVICES, Shop, Stopped};

/// How long it hangs.
const HANGS: Duration = Duration::from_secs(30);

/// Within what 99 of 100 orders end that are placed meanwhile.
const P99: Duration = Duration::from_secs(4);

#[tokio::test]
async fn the_next_one_leads_within_seconds() {
    let mut shop = Shop::closed().await;
    let database = shop.local.database_url().to_owned();
    orchestrator(&mut shop, "leader", &database).await;
    shop.says("leader", "this replica leads").await;
    let probe = orchestrator(&mut shop, "standby", &database).await;
    for service in SERVICES {
        shop.start_worker(service);
    }
    let open = Open::at(shop, vec![probe]).await;
    let (lookout, before) = (open.look_out(), open.published().len());
    let stopped = Stopped::with_children(open.shop.pid("leader"));
    tokio::time::sleep(HANGS).await;
    let sights = lookout.end();
    let meanwhile = open.published().split_off(before);
    drop(stopped);
    let times = open.times_of(&meanwhile).await;
    let at = |percent: usize| times[(times.len() * percent).div_ceil(100) - 1];
    println!("{} orders: p50 {:.1?}, p99 {:.1?}, max {:.1?}", times.len(), at(50), at(99), at(100));
    assert!(times.len() >= 300, "{} orders are too few to tell", times.len());
    assert!(at(99) <= P99, "p50 {:?}, p99 {:?}, max {:?}; {sights:?}", at(50), at(99), at(100));
    // What it was doing when it was stopped it does now, on sagas that went on without it.
    open.shop.says("leader", "this replica stands by").await;
    open.closes().await;
}

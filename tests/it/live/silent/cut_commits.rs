//! Connections that are reset between a commit and its answer: who asked cannot know, and nothing is done
//! twice or not at all.

use std::time::Duration;

use super::roles::{ENDED, Open, orchestrator, worker};
use crate::support::{Proxy, SERVICES, Shop, eventually};

/// Commits that are not answered.
const CUT: u64 = 20;

#[tokio::test]
async fn commits_without_an_answer_are_done_once() {
    let mut shop = Shop::closed().await;
    let database = shop.local.database_url().to_owned();
    let (own, services) = (Proxy::before(&database).await, Proxy::before(&database).await);
    orchestrator(&mut shop, "orchestrator", own.url()).await;
    for service in SERVICES {
        worker(&mut shop, service, services.url()).await;
    }
    let open = Open::at(shop, Vec::new()).await;
    own.cut_every(10);
    services.cut_every(10);
    eventually("commits without an answer", async || {
        (own.cut() >= CUT && services.cut() >= CUT).then_some(())
    })
    .await;
    own.pass();
    services.pass();
    let ended = open.shop.number(ENDED).await;
    open.shop.at_least(ENDED, ended + 20).await;
    let shop = open.closes().await;
    // An answer that is lost spends an attempt at most, never an order.
    let rejected = "select count(*) from amends.sagas where status = 'compensated'
        and error ->> 'code' not in ('card_declined', 'no_route')";
    assert_eq!(shop.number(rejected).await, 0);
}

/// Each answer late by more than a round trip around the world: slow, and nothing else.
#[tokio::test]
async fn a_slow_network_is_no_fault() {
    let mut shop = Shop::closed().await;
    let database = shop.local.database_url().to_owned();
    let proxy = Proxy::before(&database).await;
    let probe = orchestrator(&mut shop, "orchestrator", proxy.url()).await;
    for service in SERVICES {
        shop.start_worker(service);
    }
    let open = Open::at(shop, vec![probe]).await;
    let course = open
        .struck(Duration::from_secs(20), async || proxy.delay(Duration::from_millis(150)))
        .await;
    course.assert_moving_within(Duration::from_secs(20));
    assert!(course.sights.iter().all(|sight| sight.changes == 0), "{course}");
    open.closes().await;
}

//! Connections to Postgres that are open and dead: of all orchestrators, of the one that leads, of a
//! service.

use std::time::Duration;

use amends_app::SERVICE_CONNECTIONS;
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::roles::{Open, orchestrator, start_workers_but, worker};
use crate::support::{Proxy, SERVICES, Shop};

/// From the fault until orders go through again.
const MOVING: Duration = Duration::from_secs(20);

/// A shop with so many orchestrators, each behind a proxy of its own; the first leads.
async fn behind_proxies(orchestrators: usize) -> (Open, Vec<Proxy>) {
    let mut shop = Shop::closed().await;
    let (mut proxies, mut probes) = (Vec::new(), Vec::new());
    for n in 0..orchestrators {
        let proxy = Proxy::before(shop.local.database_url()).await;
        let name = format!("orchestrator-{n}");
        probes.push(orchestrator(&mut shop, &name, proxy.url()).await);
        proxies.push(proxy);
        shop.says(&name, if n == 0 { "this replica leads" } else { "orchestrator runs" }).await;
    }
    for service in SERVICES {
        shop.start_worker(service);
    }
    (Open::at(shop, probes).await, proxies)
}

async fn recovers(open: Open, strike: impl FnOnce()) {
    let course = open.struck(MOVING, async || strike()).await;
    course.assert_moving_within(MOVING);
    open.closes().await;
}

#[tokio::test]
async fn the_only_orchestrators_connections_are_swallowed() {
    let (open, proxies) = behind_proxies(1).await;
    recovers(open, || proxies[0].swallow()).await;
    assert!(proxies[0].swallowed() > 0);
}

#[tokio::test]
async fn the_only_orchestrators_connections_vanish() {
    let (open, proxies) = behind_proxies(1).await;
    recovers(open, || proxies[0].vanish()).await;
}

#[tokio::test]
async fn both_orchestrators_connections_are_swallowed() {
    let (open, proxies) = behind_proxies(2).await;
    recovers(open, || proxies.iter().for_each(Proxy::swallow)).await;
    assert!(proxies.iter().all(|proxy| proxy.swallowed() > 0));
}

#[tokio::test]
async fn the_leaders_connections_are_swallowed() {
    let (mut open, proxies) = behind_proxies(2).await;
    // The other is right to be ready: it is about to lead.
    open.probes.truncate(1);
    recovers(open, || proxies[0].swallow()).await;
    assert!(proxies[0].swallowed() > 0);
}

/// The leader's way to Postgres is gone; the other replica's is not.
#[tokio::test]
async fn the_leader_alone_loses_the_host() {
    let (mut open, proxies) = behind_proxies(2).await;
    open.probes.truncate(1);
    recovers(open, || proxies[0].vanish_all()).await;
}

async fn service_behind_a_proxy() -> (Open, Proxy) {
    let mut shop = Shop::closed().await;
    let proxy = Proxy::before(shop.local.database_url()).await;
    shop.start("orchestrator", &["orchestrator"]);
    let probe = worker(&mut shop, "payment", proxy.url()).await;
    start_workers_but(&mut shop, "payment");
    (Open::at(shop, vec![probe]).await, proxy)
}

/// Strikes when each connection of the service has a statement under way.
async fn recovers_at_work(open: Open, strike: impl FnOnce()) {
    const AT_WORK: &str = "select count(*) from pg_stat_activity
        where wait_event_type = 'Lock' and query like '%payment.ledger%'";
    let mut holder = PgConnection::connect(open.shop.local.database_url()).await.unwrap();
    let mut lock = holder.begin().await.unwrap();
    lock.execute("lock table payment.ledger in exclusive mode").await.unwrap();
    open.shop.at_least(AT_WORK, SERVICE_CONNECTIONS.into()).await;
    let course = open
        .struck(MOVING, async || {
            strike();
            lock.rollback().await.unwrap();
        })
        .await;
    course.assert_moving_within(MOVING);
    open.closes().await;
}

#[tokio::test]
async fn a_services_connections_are_swallowed() {
    let (open, proxy) = service_behind_a_proxy().await;
    recovers_at_work(open, || proxy.swallow()).await;
    assert!(proxy.swallowed() > 0);
}

#[tokio::test]
async fn a_services_connections_vanish() {
    let (open, proxy) = service_behind_a_proxy().await;
    recovers_at_work(open, || proxy.vanish()).await;
}

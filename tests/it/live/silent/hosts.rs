//! Addresses of Postgres as libpq reads them: IPv6, and several hosts of which one takes writes.

use std::time::Duration;

use super::roles::{Open, orchestrator, worker};
use crate::support::{Proxy, SERVICES, Shop, order, postgres, spell};

/// How long a start may take.
const START: Duration = Duration::from_secs(30);

/// The address of the database at these hosts.
fn url(hosts: &str, rest: &str) -> String {
    format!("postgres://amends@{hosts}/amends{rest}")
}

fn host(address: &str) -> &str {
    address.rsplit(['@', '/']).nth(1).unwrap()
}

async fn all_at(shop: &mut Shop, database: &str) {
    orchestrator(shop, "orchestrator", database).await.is_ready_within(START).await;
    for service in SERVICES {
        worker(shop, service, database).await;
    }
}

async fn an_order_completes_at(database: impl AsyncFnOnce(&Shop) -> String) {
    let mut shop = Shop::closed().await;
    let database = database(&shop).await;
    all_at(&mut shop, &database).await;
    shop.publish_order(&order("o-1")).await;
    assert_eq!(shop.fate("o-1").await, "completed");
}

#[tokio::test]
async fn an_ipv6_literal_is_an_address() {
    let mut proxy = None;
    an_order_completes_at(async |shop| {
        let proxy = proxy.insert(Proxy::on_ipv6_before(shop.local.database_url()).await);
        assert!(proxy.url().contains("@[::1]:"), "{}", proxy.url());
        proxy.url().to_owned()
    })
    .await;
}

#[tokio::test]
async fn the_first_host_that_answers_is_taken() {
    an_order_completes_at(async |shop| {
        let own = host(shop.local.database_url());
        url(&format!("127.0.0.1:1,{own}"), "?target_session_attrs=read-write")
    })
    .await;
}

#[tokio::test]
async fn a_host_that_takes_no_writes_is_passed_over() {
    let standby = postgres().await;
    spell::command(
        &standby.url,
        &["alter system set default_transaction_read_only = on", "select pg_reload_conf()"],
    )
    .await;
    an_order_completes_at(async |shop| {
        let hosts = format!("{},{}", host(&standby.url), host(shop.local.database_url()));
        url(&hosts, "?target_session_attrs=read-write")
    })
    .await;
}

/// A fail-over: the host that is in use goes, and the next one of the list is there.
#[tokio::test]
async fn the_next_host_is_taken_when_one_goes() {
    let mut shop = Shop::closed().await;
    let database = shop.local.database_url().to_owned();
    let (first, second) = (Proxy::before(&database).await, Proxy::before(&database).await);
    let hosts = format!("{},{}", host(first.url()), host(second.url()));
    let database = url(&hosts, "?target_session_attrs=read-write");
    let mut probes = vec![orchestrator(&mut shop, "orchestrator", &database).await];
    for service in SERVICES {
        probes.push(worker(&mut shop, service, &database).await);
    }
    probes[0].is_ready_within(START).await;
    let open = Open::at(shop, probes).await;
    assert_eq!(second.connections(), 0, "the first host of the list comes first");
    let course = open.struck(Duration::from_secs(20), async || first.refuse()).await;
    course.assert_moving_within(Duration::from_secs(20));
    assert!(second.connections() > 0);
    open.closes().await;
}

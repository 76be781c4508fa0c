//! Whether an orchestrator knows that JetStream stores nothing.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{
    super::traces::{address, get},
    signal,
};
use crate::support::{Shop, eventually};

/// From the fault until the probe says so.
const KNOWN: Duration = Duration::from_secs(5);

async fn until(probes: &str, status: u16) {
    eventually(&format!("/readyz with {status}"), async || {
        (get(probes, "/readyz").await.0 == status).then_some(())
    })
    .await;
}

async fn idle() -> (Shop, String) {
    let mut shop = Shop::closed().await;
    shop.start("orchestrator", &["orchestrator", "--http", "127.0.0.1:0"]);
    let probes = address(&shop, "orchestrator").await;
    until(&probes, 200).await;
    (shop, probes)
}

/// A server that hangs, and an orchestrator that has nothing to do.
#[tokio::test]
async fn an_idle_orchestrator_knows_that_nats_hangs() {
    let (shop, probes) = idle().await;
    signal(shop.local.nats.pid().unwrap(), Signal::SIGSTOP);
    let began = Instant::now();
    until(&probes, 503).await;
    let known = began.elapsed();
    signal(shop.local.nats.pid().unwrap(), Signal::SIGCONT);
    until(&probes, 200).await;
    assert!(known < KNOWN, "{known:?}");
}

/// A server that answers, and stores nothing: its disk takes no more.
#[tokio::test]
async fn an_idle_orchestrator_knows_that_nats_stores_nothing() {
    let (shop, probes) = idle().await;
    let pid = shop.local.nats.pid().unwrap().to_string();
    let limit = |bytes: &'static str| {
        let pid = pid.clone();
        async move {
            let done = tokio::process::Command::new("prlimit")
                .args(["--pid", &pid, &format!("--fsize={bytes}")])
                .status()
                .await;
            assert!(done.unwrap().success());
        }
    };
    limit("0:unlimited").await;
    let began = Instant::now();
    until(&probes, 503).await;
    let known = began.elapsed();
    limit("unlimited:unlimited").await;
    assert!(known < KNOWN, "{known:?}");
}

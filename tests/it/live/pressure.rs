//! A service that must not press what it needs: circuit breaker, rate limit and database gate of `amends-workers`.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use amends::{BeforePivot, Definition, Finished, Given, Plan, Retry, Saga, Step, Trigger, wire};
use amends_workers::{Act, Attempt, Builder, Halt, Health, Service};
use serde_json::Value;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::traces::{address, get};
use crate::support::{Pay, Shop, eventually, order};

struct PayOrder;

impl Saga for PayOrder {
    const NAME: &'static str = "pay";
    const VERSION: u32 = 1;
    type Input = Value;
    type Output = ();

    fn trigger() -> Trigger<Self::Input> {
        Trigger::on("orders.placed")
    }

    fn plan(p: Plan<BeforePivot>, order: Given<Self::Input>) -> Finished<()> {
        let soon = Retry::exponential(Duration::from_millis(20), Duration::from_millis(100));
        let (p, paid) = p.pivot(Pay::with(order).retry(soon.limit(1000)));
        p.finish(paid)
    }
}

/// A bank that may be away, and notes when it was called.
#[derive(Clone, Default)]
struct Bank {
    away: Arc<AtomicBool>,
    calls: Arc<Mutex<Vec<Instant>>>,
}

impl Bank {
    fn calls(&self) -> Vec<Instant> {
        self.calls.lock().unwrap().clone()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the bank does not answer")]
struct Away;

impl Act<Pay> for Bank {
    async fn act(&self, _: &mut Attempt<'_>, _: Value) -> Result<(), Halt<Infallible>> {
        self.calls.lock().unwrap().push(Instant::now());
        if self.away.load(Ordering::Relaxed) { Err(Away.into()) } else { Ok(()) }
    }
}

/// An orchestrator and the bank's service in this process.
struct Branch {
    shop: Shop,
    health: watch::Receiver<Health>,
    stop: CancellationToken,
    parts: JoinSet<()>,
}

impl Branch {
    async fn open(bank: &Bank, like: impl FnOnce(Builder<Bank>) -> Builder<Bank>) -> Self {
        let (shop, stop, mut parts) =
            (Shop::closed().await, CancellationToken::new(), JoinSet::new());
        let run = amends_orchestrator::run(
            amends_orchestrator::Config::default(),
            shop.database(),
            shop.jetstream.client(),
            vec![Definition::of::<PayOrder>().unwrap()],
            Arc::default(),
            stop.clone(),
        );
        parts.spawn(async { run.await.unwrap() });
        amends_workers::migrate(&shop.database()).await.unwrap();
        let service = like(Service::new("bank", shop.database(), bank.clone()).forward::<Pay>());
        let service = service.build().unwrap();
        let health = service.health();
        parts.spawn(service.serve(shop.jetstream.client(), stop.clone()));
        shop.listening().await;
        Self { shop, health, stop, parts }
    }

    async fn publish(&self, orders: usize) {
        for n in 0..orders {
            self.shop.publish_order(&order(&format!("o-{n}"))).await;
        }
    }

    /// Until the circuit breaker opens (again).
    async fn opens(&mut self) {
        let words = "no commands";
        let opened = |h: &Health| h.circuit_breaker.as_ref().is_some_and(|why| why.contains(words));
        loop {
            self.health.changed().await.unwrap();
            if opened(&self.health.borrow_and_update()) {
                return;
            }
        }
    }

    async fn close(mut self) {
        self.stop.cancel();
        while let Some(part) = self.parts.join_next().await {
            part.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_that_break_in_a_row_get_a_rest() {
    let bank = Bank::default();
    bank.away.store(true, Ordering::Relaxed);
    let mut branch = Branch::open(&bank, |builder| builder.circuit_breaker(5)).await;
    branch.publish(10).await;
    branch.opens().await;
    assert!(bank.calls().len() >= 5);
    let why = branch.health.borrow().ready().unwrap_err();
    assert!(why.contains("break in a row") && why.contains("the bank does not answer"), "{why}");
    // What the first pull brought has ended when the first trial begins. Then each pause ends with
    // one call, however many commands wait.
    branch.opens().await;
    let before = bank.calls();
    branch.opens().await;
    branch.opens().await;
    let after = bank.calls();
    assert_eq!(after.len() - before.len(), 2);
    let pause = after[after.len() - 1] - after[after.len() - 2];
    assert!(pause >= Duration::from_millis(1900), "{pause:?}");
    bank.away.store(false, Ordering::Relaxed);
    branch.shop.settled(10).await;
    assert_eq!(branch.health.borrow().ready(), Ok(()));
    branch.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_attempts_a_second_than_allowed() {
    let bank = Bank::default();
    let branch = Branch::open(&bank, |builder| builder.rate_limit(10)).await;
    branch.publish(40).await;
    branch.shop.settled(40).await;
    let calls = bank.calls();
    assert_eq!(calls.len(), 40);
    // Ten at once, then one each tenth of a second; the rest is the scheduler's freedom.
    let took = calls[39] - calls[0];
    assert!(took >= Duration::from_millis(2800), "{took:?}");
    branch.close().await;
}

/// A service whose database is away is alive, and says that it is not ready, and why.
#[tokio::test]
async fn a_service_without_its_database_is_not_ready() {
    let mut shop = Shop::open(&[]).await;
    shop.start("payment", &["worker", "payment", "--http", "127.0.0.1:0"]);
    let probes = address(&shop, "payment").await;
    let ready = async || get(&probes, "/readyz").await;
    eventually("readiness", async || (ready().await.0 == 200).then_some(())).await;
    shop.local.postgres.kill().await.unwrap();
    // It is a command that notices.
    let mut headers = async_nats::HeaderMap::new();
    headers.insert(wire::AMENDS_ID, format!("{}:pay:action:1", uuid::Uuid::now_v7()));
    let subject = wire::command_subject("payment", "authorize");
    let sent = shop.jetstream.publish_with_headers(subject, headers, "{}".into());
    sent.await.unwrap().await.unwrap();
    eventually("unreadiness", async || {
        let (status, body) = ready().await;
        (status == 503 && body.starts_with("payment: its database does not answer")).then_some(())
    })
    .await;
    let gauge = r#"amends_worker_database_away{service="payment"}"#;
    let metrics = get(&probes, "/metrics").await.1;
    assert!(metrics.contains(&format!("{gauge} 1")), "{metrics}");
    shop.local.postgres.restart().await.unwrap();
    eventually("readiness", async || (ready().await.0 == 200).then_some(())).await;
    let metrics = get(&probes, "/metrics").await.1;
    assert!(metrics.contains(&format!("{gauge} 0")), "{metrics}");
}

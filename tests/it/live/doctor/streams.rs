//! Streams and consumers that are gone, or that somebody changed; consumers that nobody reads.

use std::time::Duration;

use async_nats::jetstream::stream::StorageType;

use super::{Findings, healthy};
use crate::support::{Shop, eventually, order};

const LEADER: &str = "orchestrator: leader";

/// An installation whose orchestrator, which would put things right, is stopped.
async fn without_an_orchestrator() -> Shop {
    let mut shop = healthy().await;
    shop.terminate("orchestrator").await;
    eventually("the end of the lead", async || {
        (Findings::of(&shop, &[]).await.with("failed") == [LEADER]).then_some(())
    })
    .await;
    shop
}

#[tokio::test]
async fn a_stream_with_other_settings() {
    let shop = without_an_orchestrator().await;
    let stream = shop.jetstream.get_stream("AMENDS_COMMANDS").await.unwrap();
    let made = stream.cached_info().config.clone();
    let mut changed = made.clone();
    changed.max_age = Duration::from_secs(3600);
    changed.max_messages = 7;
    shop.jetstream.update_stream(&changed).await.unwrap();
    let findings = Findings::of(&shop, &[]).await;
    findings.fails(&["nats: stream AMENDS_COMMANDS", LEADER]);
    let (found, advice) = findings.said("nats: stream AMENDS_COMMANDS");
    assert_eq!(
        found,
        "max age is 3600s, and must be no limit; max messages is 7, and must be no limit"
    );
    assert!(advice.starts_with("an orchestrator puts it right"), "{advice}");
    shop.jetstream.update_stream(&made).await.unwrap();

    // Its size is its owner's to choose; that it fills is told.
    let mut small =
        shop.jetstream.get_stream("AMENDS_EVENTS").await.unwrap().cached_info().config.clone();
    small.max_bytes = 60_000;
    shop.jetstream.update_stream(&small).await.unwrap();
    for _ in 0..5 {
        shop.publish("x".repeat(10_000)).await;
    }
    let findings = Findings::of(&shop, &[]).await;
    assert!(
        findings.with("warning").contains(&"nats: stream AMENDS_EVENTS".to_owned()),
        "{findings:?}"
    );
    assert!(findings.said("nats: stream AMENDS_EVENTS").0.ends_with("it fills"), "{findings:?}");
    // And nobody reads what lies there.
    findings.fails(&[LEADER, "orchestrator: consumer amends-order"]);
}

#[tokio::test]
async fn a_stream_and_consumers_that_are_gone() {
    let shop = without_an_orchestrator().await;
    let commands = shop.jetstream.get_stream("AMENDS_COMMANDS").await.unwrap();
    commands.delete_consumer("payment").await.unwrap();
    let findings = Findings::of(&shop, &[]).await;
    findings.fails(&[LEADER, "workers: payment"]);
    assert_eq!(findings.said("workers: payment").0, "it is not there");

    shop.jetstream.delete_stream("AMENDS_SAGAS").await.unwrap();
    Findings::of(&shop, &[]).await.fails(&[
        "nats: stream AMENDS_SAGAS",
        LEADER,
        "workers: payment",
    ]);
    shop.jetstream.delete_stream("AMENDS_EVENTS").await.unwrap();
    let findings = Findings::of(&shop, &[]).await;
    let failed = findings.with("failed");
    for name in ["nats: stream AMENDS_EVENTS", "orchestrator: consumer amends-order"] {
        assert!(failed.contains(&name.to_owned()), "{findings:?}");
    }
}

/// What is lost with the server's memory is told.
#[tokio::test]
async fn a_stream_in_memory() {
    let shop = without_an_orchestrator().await;
    let made =
        shop.jetstream.get_stream("AMENDS_SAGAS").await.unwrap().cached_info().config.clone();
    shop.jetstream.delete_stream("AMENDS_SAGAS").await.unwrap();
    let changed = async_nats::jetstream::stream::Config {
        storage: StorageType::Memory,
        max_bytes: 1 << 20,
        ..made
    };
    shop.jetstream.create_stream(changed).await.unwrap();
    let findings = Findings::of(&shop, &[]).await;
    findings.fails(&[LEADER]);
    let (found, _) = findings.said("nats: stream AMENDS_SAGAS");
    assert!(found.contains("storage is memory, not file"), "{found}");
}

/// A service without a worker: a warning while nothing waits, and a failure once something does.
#[tokio::test]
async fn a_worker_that_is_absent() {
    let mut shop = healthy().await;
    shop.terminate("services").await;
    let rest = ["shipping", "notification", "hotel", "car", "insurance", "card", "mail"];
    let stock = shop.stock();
    let args = [&["worker", "inventory"], &rest[..], &["--seed-stock", &stock]].concat();
    shop.start("rest", &args);
    eventually("all services but one", async || {
        let findings = Findings::of(&shop, &[]).await;
        (findings.code == Some(0) && findings.with("warning") == ["workers: payment"]).then_some(())
    })
    .await;
    shop.publish_order(&order("o-1")).await;
    shop.at_least("select count(*) from amends.sagas", 1).await;
    eventually("a command that waits", async || {
        let findings = Findings::of(&shop, &[]).await;
        (findings.with("failed") == ["workers: payment"]).then_some(())
    })
    .await;
    let findings = Findings::of(&shop, &[]).await;
    findings.fails(&["workers: payment"]);
    let (found, advice) = findings.said("workers: payment");
    assert!(found.starts_with("no worker reads: 1 unread"), "{found}");
    assert!(advice.starts_with("`amends worker payment`"), "{advice}");
}

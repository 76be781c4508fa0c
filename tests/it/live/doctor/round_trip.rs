//! The saga that the doctor starts.

use std::process::Output;

use serde_json::Value;
use tokio::process::{Child, Command};

use crate::support::{Shop, eventually};

/// A command of a program that has such a saga, and nothing else.
fn checked(shop: &Shop, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_amends-with-round-trip"));
    command
        .args(args)
        .env("DATABASE_URL", shop.local.database_url())
        .env("NATS_URL", shop.local.nats_url())
        .kill_on_drop(true);
    command
}

fn orchestrator(shop: &Shop) -> Child {
    checked(shop, &["orchestrator"]).stderr(std::process::Stdio::null()).spawn().unwrap()
}

/// How the round trip came out, and what was found.
async fn round_trip(shop: &Shop, flags: &[&str]) -> (String, String, Output) {
    let output = checked(shop, &[&["doctor", "--json"], flags].concat()).output().await.unwrap();
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = all["checks"].as_array().unwrap();
    let its = checks.iter().find(|check| check["group"] == "saga").unwrap();
    let text = |field: &str| its[field].as_str().unwrap().to_owned();
    (text("verdict"), text("found"), output)
}

#[tokio::test]
async fn a_saga_goes_all_the_way_and_leaves_one_row() {
    let shop = Shop::closed().await;
    let orchestrator = orchestrator(&shop);
    eventually("a round trip", async || (round_trip(&shop, &[]).await.0 == "ok").then_some(()))
        .await;
    let sagas = "select count(*) from amends.sagas";
    let before = shop.number(sagas).await;
    let (verdict, found, output) = round_trip(&shop, &[]).await;
    assert_eq!((verdict.as_str(), output.status.code()), ("ok", Some(0)), "{found}");
    let parts: Vec<_> = found.split(", ").map(|part| part.split(' ').next().unwrap()).collect();
    assert_eq!(parts, ["stored", "begun", "ended", "told"], "{found}");
    assert_eq!(shop.number(sagas).await, before + 1);
    for nothing in [
        "select count(*) from amends.sagas where status <> 'completed'",
        "select count(*) from amends.business_key",
        "select count(*) from amends.dead_letters",
        "select count(*) from amends.mailbox",
    ] {
        assert_eq!(shop.number(nothing).await, 0, "{nothing}");
    }
    let (verdict, _, _) = round_trip(&shop, &["--read-only"]).await;
    assert_eq!(verdict, "skipped");
    assert_eq!(shop.number(sagas).await, before + 1);

    // A saga that does not begin is told, with how far it came.
    let retire = ["retire", "amends-doctor", "1", "--reason", "to see"];
    assert!(checked(&shop, &retire).output().await.unwrap().status.success());
    eventually("an orchestrator that starts none", async || {
        let (verdict, found, output) = round_trip(&shop, &[]).await;
        (verdict == "failed").then(|| {
            assert!(found.starts_with("stored after"), "{found}");
            assert!(found.ends_with("ms, and nothing more within 5s"), "{found}");
            assert_eq!(output.status.code(), Some(1));
        })
    })
    .await;
    drop(orchestrator);
}

/// Programs that have no such saga are none the worse, nor is one whose orchestrator is older.
#[tokio::test]
async fn who_has_no_such_saga_starts_none() {
    let mut shop = Shop::closed().await;
    shop.start("orchestrator", &["orchestrator"]);
    shop.listening().await;
    eventually("a leader of another program", async || {
        let (verdict, found, _) = round_trip(&shop, &[]).await;
        let told = found.starts_with("no orchestrator that runs knows");
        (verdict == "skipped" && told).then_some(())
    })
    .await;
    assert_eq!(shop.number("select count(*) from amends.sagas").await, 0);
}

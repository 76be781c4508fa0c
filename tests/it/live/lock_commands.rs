//! Locks, on the command line.

use std::convert::Infallible;

use amends::{BeforePivot, Compensatable, Definition, Finished, Given, Plan, Saga, Step, Trigger};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::support::{Shop, Stage, eventually};

async fn refused(shop: &Shop, args: &[&str]) -> String {
    let output = shop.run(args).await;
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

async fn json(shop: &Shop, args: &[&str]) -> Value {
    serde_json::from_str(&shop.done(args).await).unwrap()
}

#[derive(Serialize, Deserialize)]
struct Doubt {
    id: String,
    shelf: String,
}

struct CountShelf;
impl Step for CountShelf {
    const NAME: &'static str = "shelf.count";
    type Input = Doubt;
    type Output = u32;
    type Rejection = Infallible;
}
impl Compensatable for CountShelf {}

/// One at a time for each shelf.
struct Stocktaking;
impl Saga for Stocktaking {
    const NAME: &'static str = "stocktaking";
    const VERSION: u32 = 1;
    type Input = Doubt;
    type Output = u32;

    fn trigger() -> Trigger<Doubt> {
        Trigger::on("stock.doubted")
            .key(|doubt: &Doubt| doubt.id.clone())
            .lock(|doubt| format!("shelf/{}", doubt.shelf))
    }

    fn plan(mut p: Plan<BeforePivot>, doubt: Given<Doubt>) -> Finished<u32> {
        let count = p.step(CountShelf::with(doubt));
        p.finish(count)
    }
}

#[tokio::test]
async fn locks_are_listed_and_broken() {
    let mut stage = Stage::set().await;
    stage.enter("only", vec![Definition::of::<Stocktaking>().unwrap()]).await;
    let shop = &stage.shop;
    assert_eq!(shop.done(&["locks"]).await, "no locks\n");
    // Nobody counts: the first holds the shelf, the second waits for it.
    for id in ["a", "b"] {
        let input = format!(r#"{{"id":"{id}","shelf":"7"}}"#);
        let started = json(shop, &["start", "stocktaking", "--input", &input, "--json"]).await;
        assert_eq!(started["key"], id);
    }
    let both = eventually("the queue", async || {
        let locks = json(shop, &["locks", "--name", "shelf/7", "--json"]).await;
        let word = |n: usize| locks[n]["status"].as_str().map(str::to_owned);
        (word(0)? == "held" && word(1)? == "waiting").then_some(locks)
    })
    .await;
    assert_eq!((&both[0]["key"], &both[1]["key"]), (&"a".into(), &"b".into()));
    let table = shop.done(&["locks"]).await;
    assert!(table.contains("shelf/7  held") && table.contains("shelf/7  waiting"), "{table}");
    assert_eq!(shop.done(&["locks", "--name", "shelf/8"]).await, "no locks\n");

    let holder = both[0]["saga"].as_str().unwrap();
    let shown = shop.done(&["show", "b"]).await;
    let behind =
        format!("waits for the lock shelf/7 held by {holder}  stocktaking  key a  running: ");
    let told = shown.lines().last().unwrap();
    assert!(told.starts_with(&behind) && told.ends_with(&format!(" show {holder}")), "{shown}");
    let queued = shop.done(&["list", "--status", "queued"]).await;
    assert!(queued.trim_end().ends_with(&format!("  lock shelf/7 held by {holder}")), "{queued}");
    for listed in [
        json(shop, &["show", "b", "--json"]).await,
        json(shop, &["list", "--key", "b", "--json"]).await[0].clone(),
    ] {
        let locks = &listed["waits_for_locks"];
        assert_eq!((&locks[0]["name"], &locks[0]["saga"]), (&"shelf/7".into(), &holder.into()));
        assert_eq!((&locks[0]["status"], &locks[1]), (&"held".into(), &Value::Null));
    }
    assert_eq!(
        json(shop, &["show", "a", "--json"]).await["waits_for_locks"],
        serde_json::json!([])
    );

    let said = shop.done(&["break-lock", "shelf/7", "--reason", "the counter is ill"]).await;
    assert!(said.contains("break-lock: accepted"), "{said}");
    eventually("the next holder", async || {
        let locks = json(shop, &["locks", "--json"]).await;
        (locks[0]["key"] == "b" && locks[0]["status"] == "held").then_some(())
    })
    .await;
    let told = shop.done(&["show", "a"]).await;
    assert!(told.contains("the counter is ill"), "{told}");
    let none = refused(shop, &["break-lock", "shelf/8", "--reason", "x"]).await;
    assert!(none.contains("nobody holds the lock shelf/8"), "{none}");
}

//! Starting sagas by hand, versions that start no more, and locks: on the command line.

use std::convert::Infallible;

use amends::{BeforePivot, Compensatable, Definition, Finished, Given, Plan, Saga, Step, Trigger};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::support::{SERVICES, Shop, Stage, eventually, order};

async fn refused(shop: &Shop, args: &[&str]) -> String {
    let output = shop.run(args).await;
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

async fn json(shop: &Shop, args: &[&str]) -> Value {
    serde_json::from_str(&shop.done(args).await).unwrap()
}

#[tokio::test]
async fn started_by_hand() {
    let shop = Shop::open(&SERVICES).await;
    let input = order("o-1").to_string();
    let start = ["start", "order", "--input", &input];
    let said = shop.done(&[&start[..], &["--wait", "100"]].concat()).await;
    assert!(said.contains("is completed: {\"order_id\":\"o-1\""), "{said}");
    // The same once more is the same saga, as with a message.
    let again = json(&shop, &[&start[..], &["--key", "o-1", "--wait", "--json"]].concat()).await;
    assert_eq!(again["status"], "completed");
    assert!(said.contains(again["id"].as_str().unwrap()), "{said}");
    assert_eq!(shop.number("select count(*) from amends.sagas").await, 1);
    let mut other = order("o-1");
    other["country"] = "FR".into();
    let other = refused(&shop, &["start", "order", "--input", &other.to_string()]).await;
    assert!(other.contains("was used before with another body"), "{other}");

    let mut lost = order("o-2");
    lost["country"] = "AQ".into();
    let file = shop.folder.path().join("order.json");
    std::fs::write(&file, lost.to_string()).unwrap();
    let file = format!("@{}", file.display());
    let lost = refused(&shop, &["start", "order", "--input", &file, "--wait"]).await;
    assert!(lost.contains("the saga is compensated") && lost.contains("no_route"), "{lost}");
    for (input, words) in
        [("{}", "missing field"), ("no json", "not JSON"), ("@/nowhere", "/nowhere: No such file")]
    {
        let wrong = refused(&shop, &["start", "order", "--input", input]).await;
        assert!(wrong.contains(words), "{wrong}");
    }
    let wrong = refused(&shop, &["start", "voyage", "--input", "{}"]).await;
    assert!(wrong.contains("there is no definition voyage"), "{wrong}");
    shop.audit().await;
}

#[tokio::test]
async fn versions_are_retired_and_reinstated() {
    let shop = Shop::open(&[]).await;
    let said = shop.done(&["retire", "order", "1", "--reason", "the tax changed"]).await;
    assert_eq!(said, "retire: order@1 starts no more sagas\n");
    let versions = json(&shop, &["definitions", "--json"]).await;
    assert_eq!(versions[0]["retired_reason"], "the tax changed");
    assert_eq!(versions[0]["retired_by"], "amends");
    let table = shop.done(&["definitions"]).await;
    assert!(table.contains("order@1") && table.contains("by amends: the tax changed"), "{table}");
    let input = order("o-1").to_string();
    let none = refused(&shop, &["start", "order", "--input", &input]).await;
    assert!(none.contains("there is no definition order that starts sagas"), "{none}");
    shop.done(&["reinstate", "order", "1", "--reason", "it changed back"]).await;
    assert!(!shop.done(&["definitions"]).await.contains("by amends"));
    let wrong = refused(&shop, &["retire", "order", "9", "--reason", "x"]).await;
    assert!(wrong.contains("there is no definition order@9"), "{wrong}");
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

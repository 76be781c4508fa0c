//! Starting sagas by hand, versions that start no more, and locks: on the command line.

use serde_json::Value;

use crate::support::{SERVICES, Shop, eventually, order};

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
    let wrong = refused(&shop, &["start", "trip", "--input", "{}"]).await;
    assert!(wrong.contains("there is no definition trip"), "{wrong}");
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

#[tokio::test]
async fn locks_are_listed_and_broken() {
    let shop = Shop::open(&["payment"]).await;
    assert_eq!(shop.done(&["locks"]).await, "no locks\n");
    for key in ["o-1", "o-2"] {
        shop.publish_order(&order(key)).await;
    }
    shop.at_least("select count(*) from amends.steps where service = 'inventory'", 2).await;
    // No definition of the shop takes locks: the rows stand for one that does.
    sqlx::query(
        "insert into amends.lock (name, saga_id, held_since)
         select 'customer/c-17', id, case when key = 'o-1' then now() end from amends.sagas",
    )
    .execute(&shop.pool)
    .await
    .unwrap();
    let locks = json(&shop, &["locks", "--json"]).await;
    assert_eq!((&locks[0]["status"], &locks[0]["key"]), (&"held".into(), &"o-1".into()));
    assert_eq!((&locks[1]["status"], &locks[1]["key"]), (&"waiting".into(), &"o-2".into()));
    assert_eq!(shop.done(&["locks", "--name", "customer/c-18"]).await, "no locks\n");
    let broken = ["break-lock", "customer/c-17", "--reason", "the saga waits for a strike to end"];
    let said = shop.done(&broken).await;
    assert!(said.contains("break-lock: accepted"), "{said}");
    eventually("the lock without its holder", async || {
        let locks = json(&shop, &["locks", "--json"]).await;
        locks.as_array().unwrap().iter().all(|lock| lock["key"] != "o-1").then_some(())
    })
    .await;
    let told = shop.done(&["show", "o-1"]).await;
    assert!(told.contains("the saga waits for a strike to end"), "{told}");
    let none = refused(&shop, &["break-lock", "customer/c-18", "--reason", "x"]).await;
    assert!(none.contains("nobody holds the lock customer/c-18"), "{none}");
}

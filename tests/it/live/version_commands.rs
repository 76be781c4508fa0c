//! Versions that start no more sagas, on the command line.

use serde_json::Value;

use crate::support::{Shop, order};

async fn refused(shop: &Shop, args: &[&str]) -> String {
    let output = shop.run(args).await;
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

async fn json(shop: &Shop, args: &[&str]) -> Value {
    serde_json::from_str(&shop.done(args).await).unwrap()
}

#[tokio::test]
async fn versions_are_retired_and_reinstated() {
    let shop = Shop::open(&[]).await;
    let retired = shop.run(&["retire", "order", "1", "--reason", "the tax changed"]).await;
    let [said, warned] = [retired.stdout, retired.stderr].map(|t| String::from_utf8(t).unwrap());
    assert_eq!(said, "retire: order@1 starts no more sagas\n");
    assert!(warned.starts_with("warning: no other version of order is known here"), "{warned}");
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
    let audit = json(&shop, &["audit", "--json"]).await;
    let told = |n: usize| (audit[n]["act"].as_str().unwrap(), audit[n]["reason"].as_str().unwrap());
    assert_eq!(told(0), ("reinstate", "it changed back"));
    assert_eq!(told(1), ("retire", "the tax changed"));
    let table = shop.done(&["audit", "--act", "retire"]).await;
    let line = table.lines().nth(1).unwrap();
    assert!(line.contains("order@1") && line.ends_with("done    the tax changed"), "{table}");
    assert_eq!(shop.done(&["audit", "--actor", "nobody"]).await, "no acts\n");
    let wrong = refused(&shop, &["retire", "order", "9", "--reason", "x"]).await;
    assert!(wrong.contains("there is no definition order@9"), "{wrong}");
}

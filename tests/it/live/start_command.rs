//! Starting sagas by hand, on the command line.

use serde_json::Value;

use crate::support::{SERVICES, Shop, order};

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
    // The same once more is the same saga, as with a message, whether the key is named or the input's.
    let twin = json(&shop, &[&start[..], &["--json"]].concat()).await;
    assert!(said.contains(twin["id"].as_str().unwrap()), "{said} {twin}");
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
    let wrong = refused(&shop, &["start", "order", "--input", "{}"]).await;
    assert!(wrong.contains("missing field"), "{wrong}");
    let wrong = refused(&shop, &["start", "voyage", "--input", "{}"]).await;
    assert!(wrong.contains("there is no definition voyage"), "{wrong}");
    shop.audit().await;
}

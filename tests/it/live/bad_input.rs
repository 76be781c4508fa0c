//! Whatever is wrong with a message, it is kept where an operator sees it, and holds nobody up.

use amends::wire;
use async_nats::HeaderMap;

use crate::support::{SERVICES, Shop, order};

const LETTERS: &str = "select count(*) from amends.dead_letters";

async fn reasons(shop: &Shop) -> Vec<String> {
    sqlx::query_scalar("select reason from amends.dead_letters order by id")
        .fetch_all(&shop.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn bad_events() {
    let shop = Shop::open(&SERVICES).await;
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let large = format!(r#"{{"order_id":"{}"}}"#, "x".repeat(300 * 1024));
    let nul = order("o-nul").to_string().replace("c-17", "c\\u0000");
    let key = order("").to_string();
    let cases: [(Vec<u8>, &str); 9] = [
        (b"not json".into(), "not JSON"),
        (b"".into(), "not JSON"),
        (b"\xff\xfe\0".into(), "not UTF-8"),
        (b"{}".into(), "missing field `order_id`"),
        (deep.into(), "nested more than 64 levels"),
        (large.into(), "at most 262144 are allowed"),
        (nul.into(), "U+0000"),
        (key.into(), "business key"),
        (br#"{"specversion":"1.0","id":"1","source":"/","type":"t"}"#.into(), "no data"),
    ];
    let count = i64::try_from(cases.len()).unwrap();
    let (bodies, expected): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    for (n, body) in bodies.into_iter().enumerate() {
        shop.publish(body).await;
        shop.publish_order(&order(&format!("good-{n}"))).await;
    }
    shop.at_least(LETTERS, count).await;
    let reasons = reasons(&shop).await;
    for words in expected {
        assert!(
            reasons.iter().any(|r| r.contains(words)),
            "no reason with {words:?}: {reasons:#?}"
        );
    }
    shop.settled(count).await;
    assert_eq!(shop.audit().await.count("completed"), count);
    // Kept byte for byte, and readable.
    let raw: Vec<u8> = sqlx::query_scalar("select body from amends.dead_letter where not is_text")
        .fetch_one(&shop.pool)
        .await
        .unwrap();
    assert_eq!(raw, b"\xff\xfe\0");
    assert_eq!(shop.number("select count(body) from amends.dead_letters").await, count);
}

async fn reply(shop: &Shop, service: &str, id: Option<&str>, body: &str) {
    let mut headers = HeaderMap::new();
    if let Some(id) = id {
        headers.insert(wire::AMENDS_ID, id);
    }
    let subject = wire::reply_subject(service);
    let ack = shop.jetstream.publish_with_headers(subject, headers, body.to_owned().into());
    ack.await.unwrap().await.unwrap();
}

#[tokio::test]
async fn bad_replies() {
    let mut shop = Shop::open(&["payment"]).await;
    shop.publish_order(&order("o-1")).await;
    shop.at_least("select count(*) from amends.steps where service = 'inventory'", 1).await;
    let saga: uuid::Uuid =
        sqlx::query_scalar("select id from amends.sagas").fetch_one(&shop.pool).await.unwrap();
    let id = |rest: &str| format!("{saga}:{rest}");
    let ok = r#"{"outcome":"ok","output":{"reservation":"forged"}}"#;
    let unknown = format!("{}:inventory.reserve:action:1", uuid::Uuid::now_v7());
    let step = id("inventory.reserve:action:1");
    let cases = [
        ("inventory", None, ok, "no header Amends-Id"),
        ("inventory", Some("nonsense".to_owned()), ok, "has the form"),
        ("inventory", Some(unknown), ok, "there is no saga"),
        ("inventory", Some(id("inventory.count:action:1")), ok, "has no step"),
        ("inventory", Some(id("inventory.reserve:action:7")), ok, "was never sent"),
        ("inventory", Some(id("inventory.reserve:compensation:1")), ok, "was never sent"),
        ("payment", Some(step.clone()), ok, "belongs to the service `inventory`"),
        ("inventory", Some(step.clone()), "garbage", "not JSON"),
        ("inventory", Some(step.clone()), r#"{"outcome":"maybe"}"#, "`maybe` is not known"),
        ("inventory", Some(step), r#"{"outcome":"rejected"}"#, "needs a code"),
    ];
    for (service, id, body, _) in &cases {
        reply(&shop, service, id.as_deref(), body).await;
    }
    shop.at_least(LETTERS, i64::try_from(cases.len()).unwrap()).await;
    let reasons = reasons(&shop).await;
    for (.., words) in cases {
        assert!(
            reasons.iter().any(|r| r.contains(words)),
            "no reason with {words:?}: {reasons:#?}"
        );
    }
    // None of it moved the saga; with its services there, it goes well.
    for service in ["inventory", "shipping", "notification"] {
        shop.start_worker(service);
    }
    assert_eq!(shop.fate("o-1").await, "completed");
    shop.audit().await;
}

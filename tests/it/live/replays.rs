//! Dead letters: listed, replayed, discarded.

use serde_json::Value;
use uuid::Uuid;

use crate::support::{Shop, order};

async fn letters(shop: &Shop, args: &[&str]) -> Vec<Value> {
    let args = [&["letters", "--json"][..], args].concat();
    let list: Value = serde_json::from_str(&shop.done(&args).await).unwrap();
    list.as_array().unwrap().clone()
}

/// A mail that was sent before anybody asked for it: its answer is a dead letter at first, and just
/// what the saga waits for later.
async fn answered_too_early() -> Shop {
    let mut shop = Shop::open(&["payment"]).await;
    shop.publish_order(&order("o-1")).await;
    shop.at_least(
        "select count(*) from amends.steps where service = 'inventory' and attempts > 0",
        1,
    )
    .await;
    let saga: Uuid =
        sqlx::query_scalar("select id from amends.sagas").fetch_one(&shop.pool).await.unwrap();
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Amends-Id", format!("{saga}:notification.send:action:1"));
    headers.insert("Nats-Msg-Id", "as it came");
    let stored = shop.jetstream.publish_with_headers(
        "amends.reply.notification",
        headers,
        r#"{"outcome":"ok","output":{}}"#.into(),
    );
    stored.await.unwrap().await.unwrap();
    shop.at_least("select count(*) from amends.dead_letters", 1).await;
    for service in ["inventory", "shipping"] {
        shop.start_worker(service);
    }
    shop.at_least(
        "select count(*) from amends.steps where step = 'notification.send' and attempts > 0",
        1,
    )
    .await;
    shop
}

#[tokio::test]
async fn replayed_and_discarded() {
    let shop = answered_too_early().await;
    shop.publish("no json").await;
    shop.at_least("select count(*) from amends.dead_letters", 2).await;
    let all = letters(&shop, &[]).await;
    assert_eq!(all.len(), 2);
    assert_eq!(letters(&shop, &["--subject", "amends.reply.*"]).await.len(), 1);
    assert_eq!(letters(&shop, &["--subject", "orders.>"]).await.len(), 1);
    assert_eq!(letters(&shop, &["--subject", "orders"]).await.len(), 0);
    assert_eq!(letters(&shop, &["--older-than", "1h"]).await.len(), 0);
    let (early, rubbish) = (&all[1], &all[0]);
    assert!(early["reason"].as_str().unwrap().contains("was never sent"), "{early}");
    let (early, rubbish) = (early["id"].to_string(), rubbish["id"].to_string());
    let shown = shop.done(&["letters", "show", &early]).await;
    assert!(shown.contains("amends.reply.notification") && shown.contains("open"), "{shown}");

    let said = shop.done(&["letters", "replay", &early, "--reason", "it is asked for now"]).await;
    assert_eq!(said, format!("replay: done with letter {early}\n"));
    assert_eq!(shop.fate("o-1").await, "completed");
    let discard = ["letters", "discard", &rubbish, "--reason", "a typo", "--json"];
    let said: Value = serde_json::from_str(&shop.done(&discard).await).unwrap();
    assert_eq!(said["done"], true);

    // Both are gone from the view, and stand in the audit.
    assert_eq!(shop.done(&["letters"]).await, "no dead letters\n");
    assert_eq!(letters(&shop, &["--settled"]).await.len(), 2);
    let audit: Vec<(i64, String, String, String, bool)> = sqlx::query_as(
        "select letter_id, act, actor, reason, done_at is not null from amends.letter_acts order by id",
    )
    .fetch_all(&shop.pool)
    .await
    .unwrap();
    let row = |letter: &str, act: &str, reason: &str| {
        (letter.parse().unwrap(), act.to_owned(), "amends".to_owned(), reason.to_owned(), true)
    };
    assert_eq!(
        audit,
        [row(&early, "replay", "it is asked for now"), row(&rubbish, "discard", "a typo")]
    );
    let again = shop.run(&["letters", "replay", &rubbish, "--reason", "once more"]).await;
    let again = String::from_utf8(again.stderr).unwrap();
    assert_eq!(
        again.trim(),
        format!(
            "amends: cannot replay: the dead letter {rubbish} is settled: amends had it discarded"
        )
    );
    // A typo stays a typo: what is replayed in vain is a new letter.
    shop.publish("no json either").await;
    shop.at_least("select count(*) from amends.dead_letters", 1).await;
    let typo = letters(&shop, &[]).await[0]["id"].to_string();
    shop.done(&["letters", "replay", &typo, "--reason", "perhaps now"]).await;
    shop.at_least("select count(*) from amends.dead_letters", 1).await;
    let next = letters(&shop, &[]).await;
    assert_eq!(next.len(), 1);
    assert_ne!(next[0]["id"].to_string(), typo);
    let id = next[0]["headers"]["Nats-Msg-Id"][0].as_str().unwrap();
    assert!(id.starts_with(&format!("letter:{typo}@")), "{id}");
}

/// What was asked for is done by whoever runs next.
#[tokio::test]
async fn a_replay_outlives_the_orchestrator() {
    let mut shop = answered_too_early().await;
    shop.kill("orchestrator").await;
    sqlx::query("select amends.replay((select id from amends.dead_letters), 'asked for now')")
        .execute(&shop.pool)
        .await
        .unwrap();
    // It is open until a stream has stored it.
    assert_eq!(shop.number("select count(*) from amends.dead_letters").await, 1);
    shop.start("orchestrator", &["orchestrator"]);
    assert_eq!(shop.fate("o-1").await, "completed");
    shop.at_least("select count(*) from amends.settled_letters", 1).await;
    assert_eq!(shop.number("select count(*) from amends.dead_letters").await, 0);
}

/// What cannot be published stays open, with the reason, and can be discarded.
#[tokio::test]
async fn an_impossible_replay_is_refused() {
    let shop = Shop::open(&[]).await;
    sqlx::query(
        r#"insert into amends.dead_letter (source, subject, reason, headers, is_text, body, kind_id)
           values ('X:1@1 x', 'orders.placed', 'not UTF-8', '{"raw":["NATS/1.0\r\nx: y"]}', true, '{}', 0)"#,
    )
    .execute(&shop.pool)
    .await
    .unwrap();
    let tried = shop.run(&["letters", "replay", "1", "--reason", "perhaps"]).await;
    assert_eq!(tried.status.code(), Some(1));
    let why = String::from_utf8(tried.stderr).unwrap();
    assert!(why.contains("its header `raw` cannot be sent"), "{why}");
    assert_eq!(shop.number("select count(*) from amends.dead_letters").await, 1);
    shop.done(&["letters", "discard", "1", "--reason", "by hand"]).await;
    assert_eq!(shop.number("select count(*) from amends.dead_letters").await, 0);
}

//! What operators do to many sagas at once, as they saw it, and in place of a service.

use serde_json::Value;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::support::{SERVICES, Shop, eventually, order};

async fn refused(shop: &Shop, args: &[&str]) -> String {
    let output = shop.run(args).await;
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

async fn json(shop: &Shop, args: &[&str]) -> Value {
    serde_json::from_str(&shop.done(args).await).unwrap()
}

async fn ids(shop: &Shop) -> Vec<Uuid> {
    sqlx::query_scalar("select id from amends.sagas order by key")
        .fetch_all(&shop.pool)
        .await
        .unwrap()
}

async fn answer(shop: &Shop, saga: Uuid, step: &str, body: &'static str) {
    let service = step.split('.').next().unwrap();
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Amends-Id", format!("{saga}:{step}:action:1"));
    let subject = format!("amends.reply.{service}");
    let stored = shop.jetstream.publish_with_headers(subject, headers, body.into());
    stored.await.unwrap().await.unwrap();
}

/// Orders that got stuck, because the notification service said no to each.
async fn stuck(keys: &[&str]) -> Shop {
    let shop = Shop::open(&["payment", "inventory", "shipping"]).await;
    for key in keys {
        shop.publish_order(&order(key)).await;
    }
    let count = i64::try_from(keys.len()).unwrap();
    shop.at_least(
        "select count(*) from amends.steps where step = 'notification.send' and attempts > 0",
        count,
    )
    .await;
    for saga in ids(&shop).await {
        let no = r#"{"outcome":"rejected","code":"no_such_mailbox","message":"who is this?"}"#;
        answer(&shop, saga, "notification.send", no).await;
    }
    shop.at_least("select count(*) from amends.stuck", count).await;
    let stream = shop.jetstream.get_stream("AMENDS_COMMANDS").await.unwrap();
    stream.purge().filter("amends.command.notification.>").await.unwrap();
    shop
}

/// An order that waits for its inventory service, which is not there.
async fn waiting() -> Shop {
    let shop = Shop::open(&["payment", "shipping", "notification"]).await;
    shop.publish_order(&order("o-1")).await;
    shop.at_least(
        "select count(*) from amends.steps where step = 'shipping.book' and status = 'done'",
        1,
    )
    .await;
    shop
}

#[tokio::test]
async fn many_at_once() {
    let mut shop = stuck(&["o-1", "o-2", "o-3"]).await;
    let dry = shop.done(&["retry", "--all", "--error", "%who is%", "--dry-run"]).await;
    assert!(dry.contains("would retry 3 sagas; nothing was done"), "{dry}");
    assert_eq!(shop.number("select count(*) from amends.acts").await, 0);
    for none in [
        &["retry", "--all", "--error", "who is", "--reason", "x"][..],
        &["retry", "--all", "--definition", "trip", "--reason", "x"],
        &["retry", "--all", "--step", "payment.capture", "--reason", "x"],
        &["resume", "--all", "--reason", "x"],
    ] {
        assert!(shop.done(none).await.contains("no saga is like that"), "{none:?}");
    }
    let retry = ["retry", "--all", "--step", "notification.send", "--limit", "2", "--json"];
    let acted = json(&shop, &[&retry[..], &["--reason", "mended"]].concat()).await;
    let acted = acted.as_array().unwrap();
    assert_eq!(acted.len(), 2, "{acted:?}");
    assert!(acted.iter().all(|a| a["accepted"] == true), "{acted:?}");
    // The oldest come first; what waits for an answer is not retried again.
    let oldest = ids(&shop).await;
    assert_eq!(acted[0]["saga"], oldest[0].to_string());
    let wrong = shop.run(&["skip", "--all", "--reason", "told by telephone"]).await;
    assert_eq!(wrong.status.code(), Some(2));
    let wrong = String::from_utf8(wrong.stderr).unwrap();
    assert!(wrong.contains("needs a step"), "{wrong}");
    let skip = ["skip", "--all", "--step", "notification.send", "--error", "no\\_such%"];
    let said = shop.done(&[&skip[..], &["--reason", "told by telephone"]].concat()).await;
    assert_eq!(said, "skip: accepted for 1 saga\n");
    assert_eq!(shop.fate("o-3").await, "completed");

    let said = shop.done(&["pause", "--all", "--definition", "order", "--reason", "count"]).await;
    assert_eq!(said, "pause: accepted for 2 sagas\n");
    // Behind the pivot there is no way back.
    let said = shop.done(&["cancel", "--all", "--reason", "too late"]).await;
    assert_eq!(said, "cancel: no saga is like that\n");
    let said = shop.done(&["resume", "--all", "--reason", "counted"]).await;
    assert_eq!(said, "resume: accepted for 2 sagas\n");
    shop.start_worker("notification");
    for key in ["o-1", "o-2"] {
        assert_eq!(shop.fate(key).await, "completed");
    }
    // Each act is kept with who, why and what became of it.
    let audit: Vec<(String, i64, bool)> = sqlx::query_as(
        "select act, count(*), accepted from amends.acts
         where actor = 'amends' and reason <> '' group by act, accepted order by min(id)",
    )
    .fetch_all(&shop.pool)
    .await
    .unwrap();
    let row = |act: &str, count, accepted| (act.to_owned(), count, accepted);
    assert_eq!(
        audit,
        [
            row("retry", 2, true),
            row("skip", 1, true),
            row("pause", 2, true),
            row("resume", 2, true),
        ]
    );
}

#[tokio::test]
async fn many_resolved() {
    let shop = stuck(&["o-1", "o-2"]).await;
    let resolve = ["resolve", "--all", "--step", "notification.send"];
    let dry = shop.done(&[&resolve[..], &["--dry-run"]].concat()).await;
    assert!(dry.contains("would resolve 2 sagas"), "{dry}");
    let no = [&resolve[..], &["--rejected", "unknown_address", "--reason", "x"]].concat();
    let said = refused(&shop, &no).await;
    assert!(said.contains("2 of 2 were refused"), "{said}");
    let by_hand = [&resolve[..], &["--ok", "{}", "--reason", "sent by hand"]].concat();
    assert_eq!(shop.done(&by_hand).await, "resolve: accepted for 2 sagas\n");
    assert_eq!(shop.fate("o-1").await, "completed");
    assert_eq!(shop.fate("o-2").await, "completed");
}

#[tokio::test]
async fn limits_are_held() {
    let shop = Shop::closed().await;
    for (sql, words) in [
        ("select amends.retry_all(null, null, null, 10001, 'x')", "1 to 10000"),
        ("select amends.retry_all(null, null, null, null, 'x')", "1 to 10000"),
        ("select amends.cancel_all(null, null, null, 1, ' ')", "needs a reason"),
        ("select amends.skip_all(null, null, null, 1, 'x')", "skip needs a step"),
        ("select amends.resolve_all(null, null, null, 1, '{}', 'x')", "resolve needs a step"),
        ("select amends.replay(1, 'x')", "there is no dead letter 1"),
        ("select amends.discard(1, null)", "needs a reason"),
    ] {
        let error = sqlx::query(AssertSqlSafe(sql)).execute(&shop.pool).await.unwrap_err();
        assert!(error.to_string().contains(words), "{sql}: {error}");
    }
}

#[tokio::test]
async fn cancelled_as_it_was_seen() {
    let mut shop = waiting().await;
    let plan = shop.done(&["cancel", "o-1", "--plan"]).await;
    let lines: Vec<_> = plan.lines().skip(1).collect();
    assert_eq!(
        lines[..4],
        [
            "cancelling it undoes, in this order:",
            "  1. inventory.reserve  in flight: its answer comes first, and a rejection leaves nothing to undo",
            "     shipping.book      done",
            "  2. payment.authorize  done",
        ],
        "{plan}"
    );
    let shown = json(&shop, &["cancel", "o-1", "--plan", "--json"]).await;
    let hash = shown["hash"].as_str().unwrap().to_owned();
    assert!(lines[4].contains(&format!("amends cancel o-1 --apply {hash}")), "{plan}");
    assert_eq!(shown["rounds"][0][1]["action"], "done");
    assert_eq!(shown["refused"], Value::Null);

    // The saga moves on: what was seen is not what would be done.
    shop.done(&["pause", "o-1", "--reason", "a look"]).await;
    let apply = |hash| ["cancel", "o-1", "--apply", hash, "--reason", "changed their mind"];
    let late = refused(&shop, &apply(&hash)).await;
    assert!(late.contains("look at it again"), "{late}");
    let seen = shown["facts"].as_i64().unwrap();
    let sql = format!("select amends.cancel((select id from amends.sagas), 'x', {seen})");
    let late = sqlx::query(AssertSqlSafe(sql)).execute(&shop.pool).await.unwrap_err();
    assert!(late.to_string().contains("look at it again"), "{late}");
    assert_eq!(shop.number("select count(*) from amends.acts where act = 'cancel'").await, 0);

    let shown = json(&shop, &["cancel", "o-1", "--plan", "--json"]).await;
    let hash = shown["hash"].as_str().unwrap().to_owned();
    let said = shop.done(&apply(&hash)).await;
    assert!(said.contains("cancel: accepted"), "{said}");
    let plan = shop.done(&["cancel", "o-1", "--plan"]).await;
    assert!(plan.contains("cannot be cancelled: the saga has turned back already"), "{plan}");
    shop.start_worker("inventory");
    assert_eq!(shop.fate("o-1").await, "compensated");
    shop.audit().await;
}

/// What moved the saga after the act was noted and before it was decided refuses it too.
#[tokio::test]
async fn an_exact_act_is_refused_when_the_saga_moved_on() {
    let shop = waiting().await;
    let mut tx = shop.pool.begin().await.unwrap();
    sqlx::query(
        "select amends.cancel(id, 'as seen', (select count(*)::integer from amends.facts))
         from amends.sagas",
    )
    .execute(&mut *tx)
    .await
    .unwrap();
    sqlx::query("update amends.act set seen = seen - 1").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let answer: String = eventually("the decision", async || {
        sqlx::query_scalar("select answer from amends.acts where not accepted")
            .fetch_optional(&shop.pool)
            .await
            .unwrap()
    })
    .await;
    assert!(answer.contains("the saga has moved on"), "{answer}");
    assert_eq!(shop.number("select count(*) from amends.sagas where status = 'running'").await, 1);
}

#[tokio::test]
async fn no_way_back_is_said_before() {
    let shop = stuck(&["o-1"]).await;
    let plan = shop.done(&["cancel", "o-1", "--plan"]).await;
    assert!(plan.contains("`payment.capture` is done: there is no way back"), "{plan}");
    let shown = json(&shop, &["cancel", "o-1", "--plan", "--json"]).await;
    assert_eq!(shown["rounds"], Value::Array(Vec::new()));
}

/// A service defers its answer, and an operator gives it.
#[tokio::test]
async fn deferred_and_replied_by_hand() {
    let shop = waiting().await;
    shop.publish_order(&order("o-2")).await;
    shop.at_least(
        "select count(*) from amends.steps where step = 'shipping.book' and status = 'done'",
        2,
    )
    .await;
    for saga in ids(&shop).await {
        answer(&shop, saga, "inventory.reserve", r#"{"outcome":"pending"}"#).await;
    }
    shop.at_least("select count(*) from amends.steps where status = 'pending'", 2).await;
    let reply = ["reply", "o-1", "inventory.reserve", "--ok"];
    let wrong = refused(&shop, &[&reply[..], &["{}"]].concat()).await;
    assert!(wrong.contains("does not fit its type"), "{wrong}");
    shop.done(&[&reply[..], &[r#"{"reservation":"shelf 7"}"#]].concat()).await;
    assert_eq!(shop.fate("o-1").await, "completed");
    let no = ["--rejected", "sold_out", "--message", "the last one broke", "--json"];
    let said = json(&shop, &[&["reply", "o-2", "inventory.reserve"][..], &no].concat()).await;
    assert_eq!(said["accepted"], true);
    assert_eq!(shop.fate("o-2").await, "compensated");
    let told = shop.done(&["show", "o-2"]).await;
    assert!(told.contains("sold_out: the last one broke"), "{told}");
}

#[tokio::test]
async fn lists_are_filtered() {
    let shop = waiting().await;
    let mut lost = order("o-2");
    lost["card"] = "tok_declined".into();
    shop.publish_order(&lost).await;
    assert_eq!(shop.fate("o-2").await, "compensated");
    let keys = async |args: &[&str]| -> Vec<String> {
        let list = json(&shop, &[&["list", "--json"][..], args].concat()).await;
        let keys = list.as_array().unwrap().iter().map(|row| row["key"].as_str().unwrap().into());
        keys.collect()
    };
    for (args, expected) in [
        (&["--step", "inventory.reserve"][..], &["o-1"][..]),
        (&["--step", "shipping.book"], &[]),
        (&["--step", "inventory.reserve", "--status", "stuck"], &[]),
        (&["--status", "running"], &["o-1"]),
        (&["--status", "running", "--older-than", "0s"], &["o-1"]),
        (&["--status", "running", "--older-than", "1h"], &[]),
        (&["--older-than", "0s"], &["o-2", "o-1"]),
        (&["--older-than", "1d"], &[]),
        (&["--error", "%declined%"], &["o-2"]),
        (&["--error", "declined"], &[]),
        (&["--error", "%declined%", "--status", "compensated"], &["o-2"]),
        (&["--error", "%declined%", "--status", "running"], &[]),
        (&["--key", "o-2", "--definition", "order"], &["o-2"]),
        (&["--key", "o-1", "--status", "running"], &["o-1"]),
        (&["--limit", "1"], &["o-2"]),
    ] {
        assert_eq!(keys(args).await, expected, "{args:?}");
    }
}

/// As the documents try it.
#[tokio::test]
async fn the_example_has_an_order_that_gets_stuck_and_one_that_is_pending() {
    let shop = Shop::open(&SERVICES).await;
    let mut nobodys = order("o-2001");
    nobodys["customer"] = "c-nobody".into();
    let mut reviewed = order("o-2002");
    reviewed["card"] = "tok_review".into();
    shop.publish_order(&nobodys).await;
    shop.publish_order(&reviewed).await;
    shop.at_least("select count(*) from amends.stuck where step = 'notification.send'", 1).await;
    shop.at_least("select count(*) from amends.steps where status = 'pending'", 1).await;
    let reason = "told by telephone";
    shop.done(&["skip", "o-2001", "notification.send", "--reason", reason]).await;
    let answer = r#"{"authorization":"a-1"}"#;
    shop.done(&["reply", "o-2002", "payment.authorize", "--ok", answer]).await;
    for key in ["o-2001", "o-2002"] {
        assert_eq!(shop.fate(key).await, "completed");
    }
}

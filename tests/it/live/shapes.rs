//! Shapes that the contract of the wire does not have, on real servers: each is refused with one reason
//! that says what to do, and those that it has are taken, in whatever way they are written.

use async_nats::HeaderMap;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Shop, eventually, order};

type Headers<'a> = &'a [(&'a str, &'a str)];

const BINARY: [(&str, &str); 3] =
    [("ce-specversion", "1.0"), ("ce-source", "/shop"), ("ce-type", "t")];

async fn send(shop: &Shop, subject: &str, headers: Headers<'_>, body: &[u8]) {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, *value);
    }
    eventually(&format!("a message on {subject}"), async || {
        let (subject, body) = (subject.to_owned(), body.to_vec().into());
        let ack = shop.jetstream.publish_with_headers(subject, map.clone(), body);
        ack.await.ok()?.await.ok()
    })
    .await;
}

/// The reasons of all letters of a subject, once there are so many.
async fn reasons(shop: &Shop, subject: &str, count: usize) -> Vec<String> {
    let letters =
        "select reason from amends.dead_letters where subject = $1 order by reason collate \"C\"";
    let found: Vec<String> = eventually(&format!("{count} letters of {subject}"), async || {
        let found = sqlx::query_scalar(letters).bind(subject).fetch_all(&shop.pool).await;
        found.ok().filter(|found: &Vec<String>| found.len() >= count)
    })
    .await;
    found
}

fn event(data: &Value) -> Value {
    json!({"specversion": "1.0", "id": "1", "source": "/shop", "type": "t", "data": data})
}

/// Shapes of an event that are refused, whoever it is for.
fn bad_events(data: &Value) -> Vec<(Headers<'static>, Vec<u8>, &'static str)> {
    const STRUCTURED: Headers<'static> = &[("Content-Type", "application/cloudevents+json")];
    const BATCH: &str = "the message is a batch of CloudEvents: publish each event as a message of its own, as application/cloudevents+json";
    const NOT_JSON: &str =
        "is not JSON: publish JSON as application/json, or without a content type";
    let plain = data.to_string();
    let event = event(data).to_string();
    let with = |from: &str, to: &str| event.replacen(from, to, 1).into_bytes();
    vec![
        (
            &[("Content-Type", "application/cloudevents-batch+json")],
            format!("[{event}]").into(),
            BATCH,
        ),
        (
            &[("content-type", "Application/CloudEvents-Batch+JSON; charset=utf-8")],
            b"[]".into(),
            BATCH,
        ),
        (&[], format!("[{event},{event}]").into(), BATCH),
        (&[("Content-Type", "application/jsonfoo")], plain.clone().into(), NOT_JSON),
        (&[("Content-Type", "application/cloudevents+avro")], event.clone().into(), NOT_JSON),
        (&[("Content-Type", "text/plain")], plain.clone().into(), NOT_JSON),
        (
            &[("Content-Type", "json")],
            plain.clone().into(),
            "the content type `json` is malformed: write for instance application/json",
        ),
        (
            &[("Content-Type", "application/json"), ("content-type", "application/json")],
            plain.clone().into(),
            "the header Content-Type comes more than once: send it once",
        ),
        (STRUCTURED, plain.clone().into(), "the CloudEvent lacks the attribute `specversion`"),
        (
            STRUCTURED,
            format!("[{event}]").into(),
            "the CloudEvent is an array; it must be an object",
        ),
        (
            &[],
            with("\"id\":\"1\"", "\"id\":1"),
            "the member `id` of the CloudEvent is 1; it must be text in double quotes",
        ),
        (&[], with("{", r#"{"type":"other","#), "the CloudEvent holds the member `type` twice"),
        (&[], with("{", r#"{"data":{},"#), "the CloudEvent holds the member `data` twice"),
        (
            &[],
            with("\"1.0\"", "\"0.3\""),
            "the CloudEvent is of specversion `0.3`; only 1.0 is understood",
        ),
        (
            &[],
            with("\"data\"", "\"data_base64\""),
            "the CloudEvent holds data_base64: send the event as JSON in data",
        ),
        (
            STRUCTURED,
            with("{", r#"{"datacontenttype":"text/xml","#),
            "the data of the CloudEvent is text/xml; only JSON is understood",
        ),
        (&BINARY, plain.clone().into(), "the CloudEvent in binary mode lacks the header ce-id"),
        (&[], b"".into(), "the payload is not JSON: it is empty"),
        (
            &[],
            [b"\xef\xbb\xbf", plain.as_bytes()].concat(),
            "the payload begins with a byte order mark: send it without",
        ),
        (&[], b"{\"a\":\"\xff\"}".into(), "the payload is not UTF-8 text"),
        (
            &[],
            br#"{"a":"\u0000"}"#.into(),
            "the payload holds the character U+0000, which Postgres cannot store as text",
        ),
        (
            &[],
            ("[".repeat(65) + &"]".repeat(65)).into(),
            "the payload is nested more than 64 levels deep",
        ),
        (&[], format!("{plain}x").into(), "the payload is not JSON: trailing characters"),
    ]
}

/// A trigger and an event that a step waits for are read alike.
#[tokio::test]
async fn events() {
    let shop = Shop::open(&[]).await;
    let visa = |n: &str| json!({"trip_id": n, "visa": "v"});
    for (subject, data) in [("orders.placed", order("bad")), ("visas.granted", visa("bad"))] {
        let cases = bad_events(&data);
        for (headers, body, _) in &cases {
            send(&shop, subject, headers, body).await;
        }
        let found = reasons(&shop, subject, cases.len()).await;
        let mut expected: Vec<_> = cases.iter().map(|(.., why)| *why).collect();
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for reason in &found {
            let at = expected.iter().position(|why| reason.contains(why));
            let at =
                at.unwrap_or_else(|| panic!("{subject}: {reason:?} is not among {expected:#?}"));
            expected.swap_remove(at);
        }
    }
    // The same content in forms that are right.
    for (subject, data) in [
        ("orders.placed", order as fn(&str) -> Value),
        ("visas.granted", |n: &str| json!({"trip_id": n, "visa": "v"})),
    ] {
        let json = ("content-type", "Application/JSON ; charset=\"utf-8\"");
        let cloud = ("Content-Type", "APPLICATION/cloudevents+json;charset=UTF-8");
        let binary = [("CE-SpecVersion", "1.0"), ("ce-id", "1"), BINARY[1], BINARY[2], json];
        send(&shop, subject, &[json], data("good-1").to_string().as_bytes()).await;
        send(&shop, subject, &[cloud], event(&data("good-2")).to_string().as_bytes()).await;
        send(&shop, subject, &binary, data("good-3").to_string().as_bytes()).await;
    }
    shop.at_least("select count(*) from amends.sagas where key like 'good-_'", 3).await;
    shop.at_least("select count(*) from amends.events", 3).await;
    assert_eq!(shop.number("select count(*) from amends.sagas").await, 3);
    assert_eq!(shop.number("select count(*) from amends.events").await, 3);
}

/// A saga whose stock is to be reserved by nobody but the test.
async fn reserving() -> (Shop, Uuid) {
    let shop = Shop::open(&["payment"]).await;
    shop.publish_order(&order("o-1")).await;
    shop.at_least(
        "select count(*) from amends.steps where step = 'inventory.reserve' and attempts > 0",
        1,
    )
    .await;
    let saga = sqlx::query_scalar("select id from amends.sagas").fetch_one(&shop.pool).await;
    (shop, saga.unwrap())
}

#[tokio::test]
async fn replies() {
    let (shop, saga) = reserving().await;
    let id = format!("{saga}:inventory.reserve:action:1");
    let named: Headers<'_> = &[("Amends-Id", &id)];
    let upper = format!("{}:inventory.reserve:action:1", saga.to_string().to_uppercase());
    let simple = format!("{}:inventory.reserve:action:1", saga.simple());
    let signed = format!("{saga}:inventory.reserve:action:+1");
    const OK: &str = r#"{"outcome":"ok","output":{"reservation":"forged"}}"#;
    const UUID: &str = "header Amends-Id: the saga id is not a UUID in lower case with hyphens";
    let cases: [(Headers<'_>, &str, &str); 17] = [
        (&[("amends-id", &id)], OK, "the reply has no header Amends-Id"),
        (
            &[("Amends-Id", &id), ("Amends-Id", &id)],
            OK,
            "the header Amends-Id comes more than once: send it once",
        ),
        (&[("Amends-Id", &upper)], OK, UUID),
        (&[("Amends-Id", &simple)], OK, UUID),
        (
            &[("Amends-Id", &signed)],
            OK,
            "header Amends-Id: the attempt is not a number from 1 to 4294967295",
        ),
        (
            &[("Amends-Id", &id), ("Content-Type", "text/plain")],
            OK,
            "the content type `text/plain` is not JSON: publish JSON as application/json, or without a content type",
        ),
        (
            named,
            r#"["ok",{"reservation":"forged"},"","",null]"#,
            "the reply is an array; it must be an object",
        ),
        (named, r#""ok""#, "the reply is text; it must be an object"),
        (
            named,
            r#"{"outcome":"ok","output":{"reservation":"a"},"output":{"reservation":"b"}}"#,
            "the reply holds the member `output` twice",
        ),
        (
            named,
            r#"{"outcome":"pending","outcome":"ok"}"#,
            "the reply holds the member `outcome` twice",
        ),
        (
            named,
            r#"{"outcome":"done"}"#,
            "the outcome `done` is not known: it is ok, rejected, retry or pending",
        ),
        (
            named,
            r#"{"output":{"reservation":"forged"}}"#,
            "the reply has no outcome: it is ok, rejected, retry or pending",
        ),
        (
            named,
            r#"{"outcome":"rejected","code":404}"#,
            "the member `code` of the reply is 404; it must be text in double quotes",
        ),
        (
            named,
            r#"{"outcome":"retry","after_ms":"500"}"#,
            "the member `after_ms` of the reply is text; it must be a whole number from 0",
        ),
        (
            named,
            r#"{"outcome":"retry","after_ms":0.5}"#,
            "the member `after_ms` of the reply is 0.5; it must be a whole number from 0",
        ),
        (named, "", "the payload is not JSON: it is empty"),
        (
            named,
            "\u{feff}{\"outcome\":\"pending\"}",
            "the payload begins with a byte order mark: send it without",
        ),
    ];
    for (headers, body, _) in &cases {
        send(&shop, "amends.reply.inventory", headers, body.as_bytes()).await;
    }
    let found = reasons(&shop, "amends.reply.inventory", cases.len()).await;
    let mut expected: Vec<_> = cases.into_iter().map(|(.., why)| why).collect();
    expected.sort_unstable();
    assert_eq!(found, expected);
    // None of it moved the saga; a reply that is right in an unusual form does.
    let unusual =
        r#" {"later":[1], "output" : {"reservation":"r-1"}, "outcome":"\u006fk", "code":null} "#;
    let json = ("content-type", "Application/JSON; charset=utf-8");
    send(&shop, "amends.reply.inventory", &[named[0], json], unusual.as_bytes()).await;
    let output =
        "select output ->> 'reservation' from amends.steps where step = 'inventory.reserve'";
    let output: String = eventually("the output", async || {
        let output: Option<String> = sqlx::query_scalar(output).fetch_one(&shop.pool).await.ok()?;
        output
    })
    .await;
    assert_eq!(output, "r-1");
}

/// What an act that resolves a step is answered.
async fn answers(shop: &Shop, saga: Uuid, outcomes: &[Option<&str>]) -> Vec<String> {
    let resolve = "select amends.resolve($1, 'inventory.reserve', $2::text::json, 'why')";
    let mut acts: Vec<i64> = Vec::new();
    for outcome in outcomes {
        let act = sqlx::query_scalar(resolve).bind(saga).bind(outcome).fetch_one(&shop.pool);
        acts.push(act.await.unwrap());
    }
    let answers =
        "select answer from amends.acts where id = any($1) and accepted is false order by id";
    eventually("the answers", async || {
        let found = sqlx::query_scalar(answers).bind(&acts).fetch_all(&shop.pool).await;
        found.ok().filter(|found: &Vec<String>| found.len() == acts.len())
    })
    .await
}

#[tokio::test]
async fn outcomes_of_acts() {
    let (shop, saga) = reserving().await;
    let deep = format!(r#"{{"outcome":"ok","output":{}1{}}}"#, "[".repeat(64), "]".repeat(64));
    let cases = [
        (None, "a step is resolved with an outcome"),
        (Some("null"), "the reply is null; it must be an object"),
        (Some("[]"), "the reply is an array; it must be an object"),
        (Some(r#""ok""#), "the reply is text; it must be an object"),
        (Some("{}"), "the reply has no outcome: it is ok, rejected, retry or pending"),
        (
            Some(r#"{"outcome":"ok","outcome":"rejected","code":"x"}"#),
            "the reply holds the member `outcome` twice",
        ),
        (
            Some(r#"{"outcome":"yes"}"#),
            "the outcome `yes` is not known: it is ok, rejected, retry or pending",
        ),
        (Some(r#"{"outcome":"rejected"}"#), "a rejection needs a code of 1 to 64 bytes"),
        (Some(r#"{"outcome":"pending"}"#), "a step is resolved as ok or as rejected"),
        (
            Some(r#"{"outcome":"ok","output":"\u0000"}"#),
            "the payload holds the character U+0000, which Postgres cannot store as text",
        ),
        (Some(&deep), "the payload is nested more than 64 levels deep"),
    ];
    let (outcomes, expected): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    assert_eq!(answers(&shop, saga, &outcomes).await, expected);
    let long = "x".repeat(65);
    for (ending, words) in [
        (["--rejected", &long], "--rejected takes a code of 1 to 64 bytes"),
        (["--rejected", ""], "--rejected takes a code of 1 to 64 bytes"),
        (["--ok", ""], "the payload is not JSON: it is empty"),
        (["--ok", "{}x"], "the payload is not JSON: trailing characters"),
    ] {
        let args = ["resolve", "o-1", "inventory.reserve", ending[0], ending[1], "--reason", "why"];
        let output = shop.run(&args).await;
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && error.contains(words), "{ending:?}: {error}");
    }
    let resolve = ["resolve", "o-1", "inventory.reserve", "--ok", r#"{"reservation":"r-1"}"#];
    shop.done(&[&resolve[..], &["--reason", "counted"]].concat()).await;
}

#[tokio::test]
async fn starts() {
    let shop = Shop::open(&[]).await;
    let good = order("o-1").to_string();
    let deep = format!(r#"{{"order_id":{}1{}}}"#, "[".repeat(64), "]".repeat(64));
    let cases: [(&str, Option<&str>, &str); 7] = [
        ("{}", None, "missing field `order_id`"),
        ("7", None, "invalid type"),
        ("null", None, "invalid type"),
        (r#"{"order_id":"o-1","order_id":"o-2"}"#, None, "duplicate field `order_id`"),
        (r#"{"order_id":"\u0000"}"#, None, "the payload holds the character U+0000"),
        (&deep, None, "the payload is nested more than 64 levels deep"),
        (&good, Some(""), "the input's key is `o-1`, not ``"),
    ];
    let start = "select amends.start('order', $1::text::json, $2)";
    let answer = "select answer from amends.starts where id = $1 and accepted is false";
    for (input, key, words) in cases {
        let id: Uuid =
            sqlx::query_scalar(start).bind(input).bind(key).fetch_one(&shop.pool).await.unwrap();
        let answer: String = eventually("the answer", async || {
            sqlx::query_scalar(answer).bind(id).fetch_optional(&shop.pool).await.ok().flatten()
        })
        .await;
        assert!(answer.contains(words), "{input}: {answer}");
    }
    for (input, error) in [(None, "a saga needs an input"), (Some("{}x"), "invalid input syntax")] {
        let refused = sqlx::query(start).bind(input).bind(None::<&str>).execute(&shop.pool).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(error), "{refused}");
    }
    let file = shop.folder.path().join("input.json");
    let path = format!("@{}", file.display());
    for (input, words) in [
        (&b""[..], "the payload is not JSON: it is empty"),
        (b"\xef\xbb\xbf{}", "the payload begins with a byte order mark: send it without"),
        (b"{\"a\":\"\xff\"}", "the payload is not UTF-8 text"),
        (b"{} {}", "trailing characters"),
        (br#"{"order_id":"\u0000"}"#, "the payload holds the character U+0000"),
    ] {
        std::fs::write(&file, input).unwrap();
        let output = shop.run(&["start", "order", "--input", &path]).await;
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && error.contains(words), "{input:?}: {error}");
    }
    assert_eq!(shop.number("select count(*) from amends.sagas").await, 0);
}

/// A worker drops what no orchestrator can have sent, says what it was, and goes on.
#[tokio::test]
async fn commands() {
    let shop = Shop::open(&["payment"]).await;
    let id = format!("{}:payment.authorize:action:1", Uuid::now_v7());
    let upper = id.to_uppercase();
    let cases: [(Headers<'_>, &str); 5] = [
        (&[], "the header Amends-Id is missing"),
        (
            &[("Amends-Id", &id), ("Amends-Id", &id)],
            "the header Amends-Id comes more than once: send it once",
        ),
        (
            &[("Amends-Id", "nonsense")],
            "the header Amends-Id is malformed: an Amends-Id has the form",
        ),
        (
            &[("Amends-Id", &upper)],
            "the header Amends-Id is malformed: the step name is not allowed",
        ),
        (
            &[("Amends-Id", &id), ("Content-Type", "application/jsonfoo")],
            "the content type `application/jsonfoo` is not JSON",
        ),
    ];
    for (headers, _) in &cases {
        send(&shop, "amends.command.payment.authorize", headers, b"{}").await;
    }
    shop.publish_order(&order("o-1")).await;
    shop.at_least(
        "select count(*) from amends.steps where step = 'payment.authorize' and status = 'done'",
        1,
    )
    .await;
    for (_, words) in cases {
        shop.says("payment", words).await;
    }
    let dropped = shop.log_of("payment").matches("dropped a message that is no command").count();
    assert_eq!(dropped, 5);
}

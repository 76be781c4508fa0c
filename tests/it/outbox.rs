//! The participant's outbox as a service in any language uses it: SQL functions on real connections.

use std::time::Duration;

use sqlx::{Connection, Executor, PgConnection, Row, postgres::PgDatabaseError};

use crate::support;

const BARRIER: &str = include_str!("../../migrations/participant/0001_barrier.sql");
const OUTBOX: &str = include_str!("../../migrations/participant/0002_outbox.sql");

/// A database with an outbox.
struct Bench(support::Fresh);

impl Bench {
    async fn new() -> Self {
        let bench = Self(support::postgres().await);
        let mut session = bench.session().await;
        session.run(BARRIER).await;
        session.run(OUTBOX).await;
        bench
    }

    async fn session(&self) -> Session {
        Session(PgConnection::connect(&self.0.url).await.unwrap())
    }
}

/// A connection of a service, or of its relay.
struct Session(PgConnection);

impl Session {
    async fn run(&mut self, sql: &'static str) {
        self.0.execute(sql).await.unwrap();
    }

    async fn emit(&mut self, subject: &str, key: Option<&str>, body: &str) -> sqlx::Result<i64> {
        let emit = "select amends_barrier.emit($1, $2, $3::text::json)";
        let emit = sqlx::query_scalar(emit).bind(subject).bind(key).bind(body);
        emit.fetch_one(&mut self.0).await
    }

    async fn order(&mut self, key: &str) -> i64 {
        self.emit("orders.placed", Some(key), r#"{"n": 1.10}"#).await.unwrap()
    }

    /// The ids that a relay gets.
    async fn claim(&mut self, most: i32) -> Vec<i64> {
        let claim = "select id from amends_barrier.relay_claim($1)";
        sqlx::query_scalar(claim).bind(most).fetch_all(&mut self.0).await.unwrap()
    }

    async fn sent(&mut self, ids: &[i64]) {
        let sent = "select amends_barrier.relay_sent($1)";
        sqlx::query(sent).bind(ids).execute(&mut self.0).await.unwrap();
    }

    async fn outbox(&mut self) -> Vec<i64> {
        let outbox = "select id from amends_barrier.outbox order by id";
        sqlx::query_scalar(outbox).fetch_all(&mut self.0).await.unwrap()
    }

    async fn pid(&mut self) -> i32 {
        sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut self.0).await.unwrap()
    }

    /// Waits until the backend `pid` waits for a lock.
    async fn until_blocked(&mut self, pid: i32) {
        let waits = "select wait_event_type = 'Lock' from pg_stat_activity where pid = $1";
        let blocked = async {
            loop {
                let waits: Option<Option<bool>> =
                    sqlx::query_scalar(waits).bind(pid).fetch_optional(&mut self.0).await.unwrap();
                if waits.flatten() == Some(true) {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), blocked)
            .await
            .expect("never waited for a lock");
    }
}

#[track_caller]
fn refused(result: sqlx::Result<i64>, code: &str, words: &str) {
    let error = result.unwrap_err();
    let error = error.as_database_error().unwrap().downcast_ref::<PgDatabaseError>();
    assert_eq!(error.code(), code, "{error}");
    assert!(error.message().contains(words), "{error}");
}

#[tokio::test]
async fn an_event_exists_if_its_transaction_commits() {
    let bench = Bench::new().await;
    let (mut service, mut relay) = (bench.session().await, bench.session().await);
    service.run("begin").await;
    service.order("o-1").await;
    assert!(relay.claim(10).await.is_empty());
    service.run("rollback").await;
    assert!(relay.outbox().await.is_empty());
    service.run("begin").await;
    let id = service.order("o-1").await;
    service.run("commit").await;
    assert_eq!(relay.outbox().await, [id]);
    let row = relay.0.fetch_one(
        "select subject, body::text, message_id::text from amends_barrier.relay_claim(1)",
    );
    let row = row.await.unwrap();
    assert_eq!((row.get::<&str, _>(0), row.get::<&str, _>(1)), ("orders.placed", r#"{"n": 1.10}"#));
    assert_eq!(row.get::<&str, _>(2).len(), 36);
}

#[tokio::test]
async fn one_event_per_subject_and_key() {
    let bench = Bench::new().await;
    let mut service = bench.session().await;
    let first = service.emit("orders.placed", Some("k"), r#"{"a": 1, "b": 2.50}"#).await.unwrap();
    let again = service.emit("orders.placed", Some("k"), r#"{"b":2.50,"a":1}"#).await.unwrap();
    assert_eq!(again, first);
    let elsewhere = service.emit("orders.shipped", Some("k"), "{}").await.unwrap();
    assert_eq!(service.outbox().await, [first, elsewhere]);
    let keyless = [
        service.emit("orders.placed", None, "{}").await.unwrap(),
        service.emit("orders.placed", None, "{}").await.unwrap(),
    ];
    assert_eq!(service.outbox().await, [first, elsewhere, keyless[0], keyless[1]]);
    // Also after it was published.
    service.sent(&[first, elsewhere, keyless[0], keyless[1]]).await;
    let again = service.emit("orders.placed", Some("k"), r#"{"a":1,"b":2.50}"#).await.unwrap();
    assert_eq!(again, first);
    assert!(service.outbox().await.is_empty());
    let other = service.emit("orders.placed", Some("k"), r#"{"a":1,"b":2.51}"#).await;
    refused(other, "23505", "'k' of orders.placed was emitted before with another body");
}

#[tokio::test]
async fn a_key_that_is_being_emitted_is_waited_for() {
    for (end, same) in [("commit", true), ("rollback", false)] {
        let bench = Bench::new().await;
        let (mut one, mut other) = (bench.session().await, bench.session().await);
        one.run("begin").await;
        let first = one.order("k").await;
        let pid = other.pid().await;
        let waiting = tokio::spawn(async move { other.order("k").await });
        bench.session().await.until_blocked(pid).await;
        one.run(end).await;
        let second = waiting.await.unwrap();
        assert_eq!(second == first, same, "{end}");
        assert_eq!(one.outbox().await, [second]);
    }
}

#[tokio::test]
async fn what_cannot_be_published_is_refused() {
    let bench = Bench::new().await;
    let mut service = bench.session().await;
    let long = "a".repeat(256);
    for subject in
        ["", ".", "a..b", "a.", "a.*", "a.>", "a b", "a\n", "ä", "amends.command.x.y", &long]
    {
        let emitted = service.emit(subject, None, "{}").await;
        refused(emitted, "22023", "not a subject for events");
        assert!(amends::check_subject(subject).is_err(), "{subject:?}");
    }
    let null = sqlx::query_scalar("select amends_barrier.emit(null, null, '{}')");
    refused(null.fetch_one(&mut service.0).await, "22023", "not a subject for events");
    for key in ["", &"k".repeat(257)] {
        refused(service.emit("a", Some(key), "{}").await, "22023", "1 to 256 bytes");
    }
    refused(service.emit("a", None, r#""\u0000""#).await, "22P05", "Unicode");
    refused(service.emit("a", None, "{").await, "22P02", "json");
    let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    refused(service.emit("a", None, &text(262_145)).await, "54000", "at most 262144");
    let deep = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    refused(service.emit("a", None, &deep(65)).await, "54000", "64 levels");
    assert!(service.outbox().await.is_empty());
    // The largest that is allowed, on both sides.
    for body in [text(262_144), deep(64), "null".to_owned()] {
        service.emit(&long[1..], Some(&long), &body).await.unwrap();
        amends::Json::parse(body.as_bytes()).unwrap();
        service.run("delete from amends_barrier.event_key").await;
    }
    amends::check_subject(&long[1..]).unwrap();
}

#[tokio::test]
async fn relays_share_and_a_dead_one_gives_back() {
    let bench = Bench::new().await;
    let (mut service, mut one, mut other) =
        (bench.session().await, bench.session().await, bench.session().await);
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(service.order(&format!("o-{n}")).await);
    }
    one.run("begin").await;
    assert_eq!(one.claim(2).await, ids[..2]);
    assert_eq!(other.claim(10).await, ids[2..]);
    one.sent(&ids[..1]).await;
    let pid = one.pid().await;
    drop(one);
    sqlx::query("select pg_terminate_backend($1, 10000)")
        .bind(pid)
        .execute(&mut other.0)
        .await
        .unwrap();
    assert_eq!(other.claim(10).await, ids);
}

#[tokio::test]
async fn what_is_postponed_stays_and_says_why() {
    let bench = Bench::new().await;
    let mut service = bench.session().await;
    let (later, now) = (service.order("o-1").await, service.order("o-2").await);
    let postpone = "select amends_barrier.relay_postpone($1, $2, $3, $4)";
    for (tried, seconds) in [(1, 3600.0), (0, 3600.0), (1, 0.0)] {
        let reason = format!("no stream, {seconds} s");
        sqlx::query(postpone)
            .bind([later])
            .bind([tried])
            .bind([reason.as_str()])
            .bind([seconds])
            .execute(&mut service.0)
            .await
            .unwrap();
        let due = if seconds > 0.0 { vec![now] } else { vec![now, later] };
        assert_eq!(service.claim(10).await, due);
    }
    let row = "select attempts, last_error from amends_barrier.outbox where key = 'o-1'";
    let row = service.0.fetch_one(row).await.unwrap();
    assert_eq!((row.get(0), row.get(1)), (2, "no stream, 0 s"));
    let backlog = "select waiting, oldest_seconds from amends_barrier.relay_backlog()";
    let backlog = service.0.fetch_one(backlog).await.unwrap();
    assert_eq!(backlog.get::<i64, _>(0), 2);
    assert!(backlog.get::<f64, _>(1) > 0.0);
}

#[tokio::test]
async fn old_keys_are_forgotten_in_batches() {
    let bench = Bench::new().await;
    let mut service = bench.session().await;
    for n in 0..5 {
        service.order(&format!("o-{n}")).await;
    }
    service
        .run("update amends_barrier.event_key set emitted_at = now() - interval '31 days' where key < 'o-3'")
        .await;
    for gone in [2, 1, 0] {
        let forget = "select amends_barrier.relay_forget(interval '30 days', 2)";
        let forgotten: i64 = sqlx::query_scalar(forget).fetch_one(&mut service.0).await.unwrap();
        assert_eq!(forgotten, gone);
    }
    // A forgotten key is a new event; the others are still known.
    let outbox = service.outbox().await;
    assert!(!outbox.contains(&service.order("o-0").await));
    assert!(outbox.contains(&service.order("o-4").await));
}

#[tokio::test]
async fn a_service_needs_no_more_than_its_grants() {
    let bench = Bench::new().await;
    let mut owner = bench.session().await;
    // As they stand in the file's head.
    let head = OUTBOX.lines().take_while(|line| line.starts_with("--"));
    let grants = head.skip_while(|line| !line.contains("grant usage"));
    let grants: String =
        grants.map(|line| format!("{}\n", line.trim_start_matches("--  "))).collect();
    owner.run("create role shop").await;
    let grants = sqlx::AssertSqlSafe(grants.replace("<role>", "shop"));
    let mut shop = bench.session().await;
    shop.run("set role shop").await;
    refused(shop.emit("orders.placed", None, "{}").await, "42501", "permission denied");
    owner.0.execute(grants).await.unwrap();
    let id = shop.order("o-1").await;
    assert_eq!(shop.claim(1).await, [id]);
    shop.sent(&[id]).await;
    shop.run("select amends_barrier.relay_postpone('{}', '{}', '{}', '{}')").await;
    shop.run("select amends_barrier.relay_forget('1 day', 1), amends_barrier.relay_backlog()")
        .await;
    assert!(shop.0.execute("select from amends_barrier.event_key").await.is_err());
    // Nobody else.
    shop.run("reset role; create role guest; set role guest").await;
    assert!(shop.emit("orders.placed", None, "{}").await.is_err());
}

//! The participant barrier as a service in any language uses it: SQL functions on real connections.

use std::{sync::Arc, time::Duration};

use sqlx::{Connection, Executor, PgConnection, Row, postgres::PgDatabaseError};
use uuid::Uuid;

use crate::support;

const BARRIER: &str = include_str!("../../migrations/participant/0001_barrier.sql");
const OK: &str = r#"{"outcome":"ok","output":{"lot": 1.10}}"#;
const DONE: &str = r#"{"outcome":"ok"}"#;
const NO: &str = r#"{"outcome":"rejected","code":"out_of_stock"}"#;
const PENDING: &str = r#"{"outcome":"pending"}"#;

/// A database with the barrier, and a step of a new saga.
struct Bench {
    postgres: Arc<support::Fresh>,
    saga: Uuid,
}

impl Bench {
    async fn new() -> Self {
        let postgres = Arc::new(support::postgres().await);
        let mut connection = PgConnection::connect(&postgres.url).await.unwrap();
        connection.execute(BARRIER).await.unwrap();
        Self { postgres, saga: Uuid::now_v7() }
    }

    /// The same database, another saga.
    fn another(&self) -> Self {
        Self { postgres: Arc::clone(&self.postgres), saga: Uuid::now_v7() }
    }

    fn id(&self, op: &str, attempt: u32) -> String {
        format!("{}:inventory.reserve:{op}:{attempt}", self.saga)
    }

    fn action(&self) -> String {
        self.id("action", 1)
    }

    fn compensation(&self) -> String {
        self.id("compensation", 1)
    }

    async fn session(&self) -> Session {
        Session(PgConnection::connect(&self.postgres.url).await.unwrap())
    }

    /// A whole transaction: enters, and leaves if it is told to run. What `enter` said.
    async fn carry_out(&self, id: &str, reply: &str) -> Entered {
        let mut session = self.session().await;
        session.begin().await;
        let entered = session.enter(id).await.unwrap();
        if entered.verdict == "run" {
            session.leave(id, reply).await.unwrap();
        }
        session.end("commit").await;
        entered
    }
}

#[derive(Debug, PartialEq)]
struct Entered {
    verdict: String,
    reply: Option<String>,
}

fn run(reply: Option<&str>) -> Entered {
    Entered { verdict: "run".into(), reply: reply.map(Into::into) }
}

fn replay(reply: &str) -> Entered {
    Entered { verdict: "replay".into(), reply: Some(reply.into()) }
}

fn void(reply: &str) -> Entered {
    Entered { verdict: "void".into(), reply: Some(reply.into()) }
}

#[track_caller]
fn assert_compensated(entered: &Entered) {
    assert_eq!(entered.verdict, "void");
    let reply: serde_json::Value = serde_json::from_str(entered.reply.as_deref().unwrap()).unwrap();
    assert_eq!((&reply["outcome"], &reply["code"]), (&"rejected".into(), &"compensated".into()));
    assert!(!reply["message"].as_str().unwrap().is_empty());
}

/// A connection of a participant.
struct Session(PgConnection);

impl Session {
    async fn begin(&mut self) {
        self.0.execute("begin").await.unwrap();
    }

    async fn end(&mut self, how: &'static str) {
        self.0.execute(how).await.unwrap();
    }

    async fn pid(&mut self) -> i32 {
        sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut self.0).await.unwrap()
    }

    async fn enter(&mut self, id: &str) -> sqlx::Result<Entered> {
        let enter = "select verdict, reply::text from amends_barrier.enter($1)";
        let row = sqlx::query(enter).bind(id).fetch_one(&mut self.0).await?;
        Ok(Entered { verdict: row.get(0), reply: row.get(1) })
    }

    async fn leave(&mut self, id: &str, reply: &str) -> sqlx::Result<()> {
        let leave = "select amends_barrier.leave($1, $2::text::json)";
        sqlx::query(leave).bind(id).bind(reply).execute(&mut self.0).await.map(drop)
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
fn refused(result: sqlx::Result<impl std::fmt::Debug>, code: &str, words: &str) {
    let error = result.unwrap_err();
    let error = error.as_database_error().unwrap().downcast_ref::<PgDatabaseError>();
    assert_eq!(error.code(), code, "{error}");
    assert!(error.message().contains(words), "{error}");
}

/// Holds `first` open after it entered, lets `second` run into it, then ends the first. What the
/// second was told, and it did wait.
async fn overtake(
    bench: &Bench,
    first: &str,
    reply: Option<&str>,
    second: &str,
    end: &'static str,
) -> Entered {
    let (mut one, mut two) = (bench.session().await, bench.session().await);
    one.begin().await;
    assert_eq!(one.enter(first).await.unwrap().verdict, "run");
    let pid = two.pid().await;
    let second = second.to_owned();
    let waiting = tokio::spawn(async move {
        two.begin().await;
        let entered = two.enter(&second).await.unwrap();
        if entered.verdict == "run" {
            two.leave(&second, DONE).await.unwrap();
        }
        two.end("commit").await;
        entered
    });
    bench.session().await.until_blocked(pid).await;
    assert!(!waiting.is_finished());
    if let Some(reply) = reply {
        one.leave(first, reply).await.unwrap();
    }
    one.end(end).await;
    waiting.await.unwrap()
}

#[tokio::test]
async fn a_duplicate_replays_byte_for_byte() {
    let bench = Bench::new().await;
    assert_eq!(bench.carry_out(&bench.action(), OK).await, run(None));
    for attempt in [1, 2, 4_294_967_295] {
        assert_eq!(bench.carry_out(&bench.id("action", attempt), NO).await, replay(OK));
    }
    assert_eq!(bench.carry_out(&bench.compensation(), DONE).await, run(Some(OK)));
    assert_eq!(bench.carry_out(&bench.id("compensation", 2), DONE).await, replay(DONE));
}

#[tokio::test]
async fn a_concurrent_duplicate_waits_for_the_first() {
    let bench = Bench::new().await;
    let again = bench.id("action", 2);
    assert_eq!(overtake(&bench, &bench.action(), Some(OK), &again, "commit").await, replay(OK));

    let bench = Bench::new().await;
    let again = bench.id("action", 2);
    assert_eq!(overtake(&bench, &bench.action(), Some(OK), &again, "rollback").await, run(None));

    let bench = Bench::new().await;
    bench.carry_out(&bench.action(), OK).await;
    let (first, again) = (bench.compensation(), bench.id("compensation", 2));
    assert_eq!(overtake(&bench, &first, Some(DONE), &again, "commit").await, replay(DONE));
}

#[tokio::test]
async fn a_compensation_before_its_action_is_empty_and_refuses_the_action() {
    let bench = Bench::new().await;
    for _ in 0..2 {
        assert_eq!(bench.carry_out(&bench.compensation(), DONE).await, void(DONE));
    }
    for _ in 0..2 {
        assert_compensated(&bench.carry_out(&bench.action(), OK).await);
    }
    assert_eq!(bench.carry_out(&bench.compensation(), DONE).await, void(DONE));
}

#[tokio::test]
async fn an_action_after_its_compensation_is_void() {
    let bench = Bench::new().await;
    for reply in [OK, PENDING] {
        let bench = bench.another();
        bench.carry_out(&bench.action(), reply).await;
        assert_eq!(bench.carry_out(&bench.compensation(), DONE).await, run(Some(reply)));
        assert_compensated(&bench.carry_out(&bench.id("action", 2), OK).await);
    }
}

#[tokio::test]
async fn a_rejection_is_remembered_and_its_compensation_empty() {
    let bench = Bench::new().await;
    let (id, mut session) = (bench.action(), bench.session().await);
    session.end("create table business (n int)").await;
    session.begin().await;
    assert_eq!(session.enter(&id).await.unwrap(), run(None));
    session.end("savepoint business").await;
    session.end("insert into business values (1)").await;
    session.end("rollback to savepoint business").await;
    session.leave(&id, NO).await.unwrap();
    session.end("commit").await;

    let rows: i64 = sqlx::query_scalar("select count(*) from business")
        .fetch_one(&mut session.0)
        .await
        .unwrap();
    assert_eq!(rows, 0);
    assert_eq!(bench.carry_out(&bench.id("action", 2), OK).await, replay(NO));
    assert_eq!(bench.carry_out(&bench.compensation(), DONE).await, void(DONE));
    assert_eq!(bench.carry_out(&bench.id("action", 3), OK).await, replay(NO));
}

#[tokio::test]
async fn a_compensation_waits_for_the_action_that_still_runs() {
    let decided = [
        (Some(OK), "commit", run(Some(OK))),
        (Some(PENDING), "commit", run(Some(PENDING))),
        (Some(NO), "commit", void(DONE)),
        (None, "commit", run(None)), // An open intent is never called empty.
        (Some(OK), "rollback", void(DONE)),
    ];
    for (reply, end, expected) in decided {
        let bench = Bench::new().await;
        let told = overtake(&bench, &bench.action(), reply, &bench.compensation(), end).await;
        assert_eq!(told, expected, "{reply:?} {end}");
        if reply != Some(NO) {
            assert_compensated(&bench.carry_out(&bench.id("action", 2), OK).await);
        }
    }
}

#[tokio::test]
async fn an_action_waits_for_a_compensation_that_came_first() {
    for (end, refused) in [("commit", true), ("rollback", false)] {
        let bench = Bench::new().await;
        let (mut one, mut two) = (bench.session().await, bench.session().await);
        one.begin().await;
        assert_eq!(one.enter(&bench.compensation()).await.unwrap(), void(DONE));
        let (pid, action) = (two.pid().await, bench.action());
        let waiting = tokio::spawn(async move { two.enter(&action).await.unwrap() });
        bench.session().await.until_blocked(pid).await;
        one.end(end).await;
        let told = waiting.await.unwrap();
        if refused {
            assert_compensated(&told);
        } else {
            assert_eq!(told, run(None));
        }
    }
}

#[tokio::test]
async fn a_pending_reply_gives_way_to_the_real_one() {
    let bench = Bench::new().await;
    bench.carry_out(&bench.action(), PENDING).await;
    assert_eq!(bench.carry_out(&bench.id("action", 2), OK).await, replay(PENDING));
    bench.session().await.leave(&bench.action(), OK).await.unwrap();
    assert_eq!(bench.carry_out(&bench.id("action", 3), NO).await, replay(OK));
    assert_eq!(bench.carry_out(&bench.compensation(), PENDING).await, run(Some(OK)));
    assert_eq!(bench.carry_out(&bench.compensation(), DONE).await, replay(PENDING));
    bench.session().await.leave(&bench.compensation(), DONE).await.unwrap();
    assert_eq!(bench.carry_out(&bench.compensation(), PENDING).await, replay(DONE));
}

#[tokio::test]
async fn an_open_intent_runs_again_until_it_is_left() {
    let bench = Bench::new().await;
    let mut session = bench.session().await;
    for attempt in [1, 2] {
        assert_eq!(session.enter(&bench.id("action", attempt)).await.unwrap(), run(None));
    }
    session.leave(&bench.action(), OK).await.unwrap();
    assert_eq!(session.enter(&bench.action()).await.unwrap(), replay(OK));
    for attempt in [1, 2] {
        assert_eq!(session.enter(&bench.id("compensation", attempt)).await.unwrap(), run(Some(OK)));
    }
    session.leave(&bench.compensation(), DONE).await.unwrap();
    assert_eq!(session.enter(&bench.compensation()).await.unwrap(), replay(DONE));
}

#[tokio::test]
async fn a_late_reply_of_a_compensated_action_is_refused() {
    let bench = Bench::new().await;
    let mut session = bench.session().await;
    session.enter(&bench.action()).await.unwrap();
    bench.carry_out(&bench.compensation(), DONE).await;
    let late = session.leave(&bench.action(), OK).await;
    refused(late, "55000", "the action was compensated meanwhile");
    assert_compensated(&session.enter(&bench.action()).await.unwrap());
}

#[tokio::test]
async fn the_first_final_reply_stays() {
    let bench = Bench::new().await;
    bench.carry_out(&bench.action(), OK).await;
    let mut session = bench.session().await;
    session.leave(&bench.action(), OK).await.unwrap();
    for other in [NO, PENDING] {
        let again = session.leave(&bench.action(), other).await;
        refused(again, "55000", "another reply is remembered");
    }
    assert_eq!(session.enter(&bench.action()).await.unwrap(), replay(OK));
}

#[tokio::test]
async fn misuse_is_refused_with_words() {
    let bench = Bench::new().await;
    let (action, mut session) = (bench.action(), bench.session().await);
    let unknown = session.leave(&action, OK).await;
    refused(unknown, "55000", "left without having entered");
    session.enter(&action).await.unwrap();
    let bodies = [
        (r#"{"outcome":"retry"}"#, "a reply with outcome 'retry'"),
        (r#"{"output":1}"#, "a reply with outcome null"),
        ("[1]", "a reply with outcome null"),
        (r#"{"outcome":"rejected"}"#, "a rejection needs a code"),
    ];
    for (body, words) in bodies {
        refused(session.leave(&action, body).await, "22023", words);
    }
    session.leave(&action, OK).await.unwrap();
    session.enter(&bench.compensation()).await.unwrap();
    let no = session.leave(&bench.compensation(), NO).await;
    refused(no, "22023", "a compensation cannot be rejected");

    let saga = bench.saga;
    for bad in [
        String::new(),
        saga.to_string(),
        format!("{saga}:a:action"),
        format!("{saga}:a:action:0"),
        format!("{saga}:a:action:1:2"),
        format!("{saga}:a:action:1\n"),
        format!("{saga}:a:action:+1"),
        format!("{saga}:a:action:01"),
        format!("{saga}:a:action:4294967296"),
        format!("{}:a:action:1", saga.to_string().to_uppercase()),
        format!("{{{saga}}}:a:action:1"),
        format!("{saga}:a:undo:1"),
        format!("{saga}::action:1"),
        format!("{saga}:A:action:1"),
        format!("{}:a:action:1", saga.simple()),
        format!("{saga}:{}:action:1", "a".repeat(130)),
    ] {
        refused(session.enter(&bad).await, "22023", "not an Amends-Id");
        refused(session.leave(&bad, OK).await, "22023", "not an Amends-Id");
    }
    let missing = sqlx::query("select amends_barrier.enter(null)").execute(&mut session.0).await;
    refused(missing, "22023", "not an Amends-Id: null");
}

/// A reply that is remembered is one that orchestrators read, and the other way round.
#[tokio::test]
async fn only_what_is_read_as_a_reply_is_remembered() {
    let bench = Bench::new().await;
    let mut session = bench.session().await;
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"outcome":"ok","output":{open}{close}}}"#)
    };
    let sized = |bytes: usize| format!(r#"{{"outcome":"ok","output":"{}"}}"#, "x".repeat(bytes));
    let code = |bytes: usize| format!(r#"{{"outcome":"rejected","code":"{}"}}"#, "x".repeat(bytes));
    let replies = [
        (OK.to_owned(), None),
        (r#"{"outcome":"ok","output":null,"later":[]}"#.to_owned(), None),
        (r#"{"outcome":"ok","output":{"a":1,"a":2}}"#.to_owned(), None),
        (r#"{"outcome":"rejected","code":"no","message":null}"#.to_owned(), None),
        (nested(63), None),
        (sized(262_144 - 28), None),
        (code(64), None),
        (nested(64), Some("nested more than 64 levels")),
        (sized(262_144), Some("at most 262144 are allowed")),
        (code(65), Some("a rejection needs a code of 1 to 64 bytes")),
        (r#"{"outcome":"ok","outcome":"ok"}"#.to_owned(), Some("holds a member twice")),
        (r#"{"outcome":"ok","output":1,"output":1}"#.to_owned(), Some("holds a member twice")),
        (r#"{"outcome":"ok","x":1,"\u0078":1}"#.to_owned(), Some("holds a member twice")),
        (r#"{"outcome":"ok","output":"\u0000"}"#.to_owned(), Some("unsupported Unicode escape")),
        (r#"{"outcome":"rejected","code":404}"#.to_owned(), Some("a rejection needs a code")),
        (
            r#"{"outcome":"rejected","code":"no","message":["m"]}"#.to_owned(),
            Some("its message is text"),
        ),
        (r#"{"outcome":["ok"]}"#.to_owned(), Some("a reply with outcome")),
        (r#"["ok"]"#.to_owned(), Some("a reply with outcome null")),
    ];
    for (n, (reply, refusal)) in replies.into_iter().enumerate() {
        let id = format!("{}:step.{n}:action:1", bench.saga);
        session.enter(&id).await.unwrap();
        let left = session.leave(&id, &reply).await;
        let shown: String = reply.chars().take(80).collect();
        let readable = amends::wire::Reply::parse(reply.as_bytes()).is_ok();
        assert_eq!(readable, refusal.is_none(), "{shown}");
        match refusal {
            None => left.unwrap_or_else(|error| panic!("{shown}: {error}")),
            Some(words) => {
                let error = left.expect_err(&shown).to_string();
                assert!(error.contains(words), "{shown}: {error}");
            }
        }
    }
}

#[tokio::test]
async fn snapshots_are_refused() {
    let bench = Bench::new().await;
    let mut session = bench.session().await;
    for level in ["begin isolation level repeatable read", "begin isolation level serializable"] {
        session.end(level).await;
        let entered = session.enter(&bench.action()).await;
        refused(entered, "25000", "needs a transaction at READ COMMITTED");
        session.end("rollback").await;
    }
}

#[tokio::test]
async fn steps_and_sagas_are_kept_apart() {
    let bench = Bench::new().await;
    bench.carry_out(&bench.action(), OK).await;
    for other in [
        format!("{}:shipping.book:action:1", bench.saga),
        format!("{}:inventory.reserve:action:1", Uuid::now_v7()),
    ] {
        assert_eq!(bench.carry_out(&other, OK).await, run(None));
    }
}

#[tokio::test]
async fn a_service_needs_no_more_than_the_two_functions() {
    let bench = Bench::new().await;
    let mut session = bench.session().await;
    // Roles belong to the whole server: one name per run.
    let role = format!("service_{}", bench.saga.simple());
    let grants = format!(
        "create role {role};
         grant usage on schema amends_barrier to {role};
         grant execute on function amends_barrier.enter(text), amends_barrier.leave(text, json) to {role};
         set role {role}"
    );
    session.0.execute(sqlx::AssertSqlSafe(grants)).await.unwrap();
    session.enter(&bench.action()).await.unwrap();
    session.leave(&bench.action(), OK).await.unwrap();
    for denied in [
        "table amends_barrier.effect",
        "select amends_barrier.forget('{}')",
        "delete from amends_barrier.effect",
    ] {
        refused(sqlx::query(denied).execute(&mut session.0).await, "42501", "permission denied");
    }
    session
        .0
        .execute(sqlx::AssertSqlSafe(format!("reset role; drop owned by {role}; drop role {role}")))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_ended_saga_is_forgotten_whole() {
    let bench = Bench::new().await;
    bench.carry_out(&bench.action(), OK).await;
    bench.carry_out(&bench.compensation(), DONE).await;
    let kept = format!("{}:a:action:1", Uuid::now_v7());
    bench.carry_out(&kept, OK).await;
    let mut session = bench.session().await;
    let gone: i64 = sqlx::query_scalar("select amends_barrier.forget($1)")
        .bind(vec![bench.saga])
        .fetch_one(&mut session.0)
        .await
        .unwrap();
    assert_eq!(gone, 2);
    assert_eq!(bench.carry_out(&kept, OK).await, replay(OK));
}

/// Many deliveries of both halves of the same steps at once: whatever the order, no effect happens
/// twice, none after its compensation, and each is undone.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crowd_leaves_every_step_undone_once() {
    let bench = Bench::new().await;
    let mut owner = bench.session().await;
    owner.end("create table ledger (at bigserial, effect text, op text)").await;
    let sagas: Vec<Uuid> = (0..40).map(|_| Uuid::now_v7()).collect();
    let crowd = (0..8).map(|worker| {
        let (url, sagas) = (bench.postgres.url.clone(), sagas.clone());
        tokio::spawn(async move {
            let mut session = Session(PgConnection::connect(&url).await.unwrap());
            for (n, saga) in sagas.into_iter().enumerate() {
                let op = if (worker + n) % 2 == 0 { "action" } else { "compensation" };
                deliver(&mut session, saga, op, worker % 3 == 0).await;
            }
        })
    });
    for member in crowd.collect::<Vec<_>>() {
        member.await.unwrap();
    }
    let mut ran = 0;
    for saga in &sagas {
        deliver(&mut owner, *saga, "compensation", false).await;
        deliver(&mut owner, *saga, "action", false).await;
        let id = saga.to_string();
        let ops: Vec<String> =
            sqlx::query_scalar("select op from ledger where effect = $1 order by at")
                .bind(&id)
                .fetch_all(&mut owner.0)
                .await
                .unwrap();
        assert!(ops.is_empty() || ops == ["action", "compensation"], "{ops:?}");
        ran += usize::from(!ops.is_empty());
    }
    assert!(ran > 0, "no action ever came first");
}

async fn deliver(session: &mut Session, saga: Uuid, op: &'static str, breaks: bool) {
    let id = format!("{saga}:a:{op}:1");
    session.begin().await;
    if session.enter(&id).await.unwrap().verdict == "run" {
        sqlx::query("insert into ledger (effect, op) values ($1, $2)")
            .bind(saga.to_string())
            .bind(op)
            .execute(&mut session.0)
            .await
            .unwrap();
        session.leave(&id, DONE).await.unwrap();
    }
    session.end(if breaks { "rollback" } else { "commit" }).await;
}

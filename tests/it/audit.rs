//! What people did is written down once, and nobody can change it but whoever migrates.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use uuid::Uuid;

use crate::{
    statements::parameters,
    support::{self, statement},
};

const ROLES: [&str; 3] = ["orchestrator", "operator", "viewer"];

/// A saga that runs, two dead letters and a definition, in a database of its own; logins for the roles.
struct House {
    postgres: support::Fresh,
    owner: PgConnection,
    saga: Uuid,
}

const FURNITURE: &str = "
insert into amends.definition (name, version, digest, outline) values ('order', 1, 'x', '{}');
insert into amends.dead_letter (source, subject, reason, headers, is_text, body, kind_id)
select n::text, 'orders.placed', 'not JSON', '{}', true, 'x', 0 from generate_series(1, 2) n;
insert into amends.business_key (saga_id, digest, key, definition)
values ('00000000-0000-7000-8000-000000000000', 'x', 'o-0', 'order');
";

impl House {
    async fn new() -> Self {
        let (postgres, mut owner) = support::migrated().await;
        owner.execute(FURNITURE).await.unwrap();
        support::add_logins(&mut owner, &ROLES).await;
        let saga = sqlx::query_scalar(
            "insert into amends.saga (id, started_at, version, definition, status, input)
             values (amends.first_id(clock_timestamp()), now(), 1, 'order', 'running', '{}') returning id",
        )
        .fetch_one(&mut owner)
        .await
        .unwrap();
        Self { postgres, owner, saga }
    }

    async fn login(&self, role: &str) -> PgConnection {
        let url = self.postgres.url.replace("amends@", &format!("{role}@"));
        PgConnection::connect(&url).await.unwrap()
    }

    async fn number(&mut self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&mut self.owner).await.unwrap()
    }
}

async fn denied(connection: &mut PgConnection, sql: &'static str) -> bool {
    let Err(error) = connection.execute(sql).await else { return false };
    error.as_database_error().unwrap().code().as_deref() == Some("42501")
}

/// Each act is in the audit: who, what, to whom, why, and what became of it.
#[tokio::test]
async fn every_act_is_in_the_audit() {
    let mut house = House::new().await;
    let saga = house.saga;
    let lock = "insert into amends.lock (name, saga_id, held_since) values ('c-17', $1, now())";
    sqlx::query(lock).bind(saga).execute(&mut house.owner).await.unwrap();
    let mut operator = house.login("operator").await;
    for sql in [
        "select amends.retire('order', 1, 'the tax changed')",
        "select amends.reinstate('order', 1, 'it changed back')",
        "select amends.retire('order', 1, 'for good')",
        "select amends.forget_keys('1 year', 'no copy can come')",
        "select amends.discard(1, 'rubbish')",
        "select amends.replay(2, 'once more')",
        "select amends.break_lock('c-17', 'a strike')",
        "select amends.pause(id, 'a look') from amends.sagas",
        "select amends.retry_all(null, null, null, 10, 'mended')",
    ] {
        operator.execute(sql).await.unwrap();
    }
    let audit: Vec<(String, String, String, Option<bool>)> = sqlx::query_as(
        "select act, coalesce(saga_id::text, letter_id::text, definition || '@' || version, outcome ->> 'keys'),
                reason, accepted
         from amends.audit where actor = 'operator' order by id",
    )
    .fetch_all(&mut operator)
    .await
    .unwrap();
    let id = saga.to_string();
    let row = |act: &str, about: &str, reason: &str, accepted| {
        (act.to_owned(), about.to_owned(), reason.to_owned(), accepted)
    };
    assert_eq!(
        audit,
        [
            row("retire", "order@1", "the tax changed", Some(true)),
            row("reinstate", "order@1", "it changed back", Some(true)),
            row("retire", "order@1", "for good", Some(true)),
            row("forget_keys", "1", "no copy can come", Some(true)),
            row("discard", "1", "rubbish", Some(true)),
            row("replay", "2", "once more", None),
            row("break_lock", &id, "a strike", None),
            row("pause", &id, "a look", None),
        ]
    );
    // Acts on sagas alone; and the version says who retired it last.
    assert_eq!(house.number("select count(*) from amends.acts").await, 2);
    let last = "select count(*) from amends.definitions
        where retired_by = 'operator' and retired_reason = 'for good' and retired_at is not null";
    assert_eq!(house.number(last).await, 1);
    for sql in
        ["select amends.forget_keys('1 year', ' ')", "select amends.forget_keys('1 year', null)"]
    {
        let error = operator.execute(sql).await.unwrap_err();
        assert!(error.to_string().contains("an act needs a reason"), "{error}");
    }
}

/// A gateway says for whom it acts, by one setting; nobody else may.
#[tokio::test]
async fn a_gateway_says_for_whom_it_acts() {
    let mut house = House::new().await;
    for create in [
        "create role gw_login login in role amends_operator, amends_gateway",
        "create role idle_gateway login in role amends_gateway",
        "insert into amends.lock (name, saga_id, held_since) select 'c-17', id, now() from amends.sagas",
        "insert into amends.timer (saga_id, due_at) select id, 'infinity' from amends.sagas",
    ] {
        house.owner.execute(create).await.unwrap();
    }
    let mut gateway = house.login("gw_login").await;
    // All acts are noted so, and a start.
    for sql in [
        "set amends.actor = 'alice@example.org'",
        "select amends.retire('order', 1, 'x')",
        "select amends.reinstate('order', 1, 'x')",
        "select amends.forget_keys('1 year', 'x')",
        "select amends.discard(1, 'x')",
        "select amends.replay(2, 'x')",
        "select amends.start('order', '{}')",
        "select amends.pause_all(null, null, null, 10, 'x')",
        "select amends.break_lock('c-17', 'x')",
        "select amends.pause(id, 'x') from amends.sagas",
    ] {
        gateway.execute(sql).await.unwrap();
    }
    for (sql, count) in [
        ("select count(*) from amends.audit where actor = 'alice@example.org via gw_login'", 8),
        ("select count(*) from amends.starts where actor = 'alice@example.org via gw_login'", 1),
        (
            "select count(*) from amends.facts where detail ->> 'by' = 'alice@example.org via gw_login'",
            3,
        ),
    ] {
        assert_eq!(house.number(sql).await, count, "{sql}");
    }
    // Without it, and once a transaction is over, the login acts for itself.
    for sql in [
        "reset amends.actor",
        "select amends.pause(id, 'y') from amends.sagas",
        "begin; set local amends.actor = 'Zażółć 東京'; select amends.pause(id, 'y') from amends.sagas; commit",
        "select amends.pause(id, 'y') from amends.sagas",
    ] {
        gateway.execute(sql).await.unwrap();
    }
    let actors: Vec<String> =
        sqlx::query_scalar("select actor from amends.audit where reason = 'y' order by id")
            .fetch_all(&mut house.owner)
            .await
            .unwrap();
    assert_eq!(actors, ["gw_login", "Zażółć 東京 via gw_login", "gw_login"]);
    // A name is short, and what a reader sees of it is all that there is.
    gateway.execute("set standard_conforming_strings = off").await.unwrap();
    let long = "a".repeat(201);
    for name in [
        &long,
        " ",
        " alice",
        "alice ",
        "a\nb",
        "a\u{1b}[2Jb",
        "a\u{202e}b",
        "a\u{200b}b",
        "a\u{e0041}b",
    ] {
        let set = "select set_config('amends.actor', $1, false)";
        sqlx::query(set).bind(name).execute(&mut gateway).await.unwrap();
        let error =
            gateway.execute("select amends.pause(id, 'z') from amends.sagas").await.unwrap_err();
        assert!(error.to_string().contains("1 to 200 printable characters"), "{name:?}: {error}");
    }
    // For others it is refused, not passed over, and a gateway without another role acts on nothing.
    let mut operator = house.login("operator").await;
    operator.execute("set amends.actor = 'alice@example.org'").await.unwrap();
    for sql in
        ["select amends.pause(id, 'z') from amends.sagas", "select amends.start('order', '{}')"]
    {
        let error = operator.execute(sql).await.unwrap_err().to_string();
        assert!(error.contains("the login operator may not act for others"), "{error}");
    }
    let mut idle = house.login("idle_gateway").await;
    assert!(denied(&mut idle, "select amends.pause(id, 'z') from amends.sagas").await);
    let of_roles = "select count(*) from pg_class c
        where c.relnamespace = 'amends'::regnamespace and c.relkind in ('v', 'r', 'p')
          and (has_table_privilege('amends_gateway', c.oid, 'select')
               or has_table_privilege('amends_payload_reader', c.oid, 'select'))";
    assert_eq!(house.number(of_roles).await, 0);
    assert_eq!(house.number("select count(*) from amends.audit where reason = 'z'").await, 0);
    // The role is not there: nobody is a member.
    house.owner.execute("drop role amends_gateway").await.unwrap();
    gateway.execute("set amends.actor = 'alice@example.org'").await.unwrap();
    let error =
        gateway.execute("select amends.pause(id, 'z') from amends.sagas").await.unwrap_err();
    assert!(error.to_string().contains("may not act for others"), "{error}");
}

#[tokio::test]
async fn nobody_changes_the_audit() {
    let mut house = House::new().await;
    house.owner.execute("select amends.pause(id, 'a look') from amends.sagas").await.unwrap();
    let decide =
        "insert into amends.act_decision (act_id, accepted) select id, true from amends.act";
    house.owner.execute(decide).await.unwrap();
    for role in ROLES {
        let mut connection = house.login(role).await;
        for sql in [
            "update amends.act set reason = 'another'",
            "delete from amends.act",
            "truncate amends.act",
            "update amends.act_decision set accepted = false",
            "delete from amends.act_decision",
            "truncate amends.act_decision",
            "insert into amends.act (act, saga_id, reason, actor, seen)
             select 'cancel', id, 'x', 'somebody else', 0 from amends.sagas",
            "alter table amends.act add column more text",
        ] {
            assert!(denied(&mut connection, sql).await, "{role}: {sql}");
        }
        // Nor by way of a view.
        for view in ["audit", "acts", "letter_acts"] {
            for change in ["update {view} set reason = 'another'", "delete from {view}"] {
                let sql = change.replace("{view}", &format!("amends.{view}"));
                connection.execute(AssertSqlSafe(sql)).await.unwrap_err();
            }
        }
    }
    // A decision is another row, and only an orchestrator writes one.
    for (role, may) in [("orchestrator", true), ("operator", false), ("viewer", false)] {
        let mut connection = house.login(role).await;
        let none = "insert into amends.act_decision (act_id, accepted) select 1, true where false";
        assert_eq!(denied(&mut connection, none).await, !may, "{role}");
    }
    let kept =
        "select count(*) from amends.audit where act = 'pause' and reason = 'a look' and accepted";
    assert_eq!(house.number(kept).await, 1);
}

/// Every view is for everybody who may look.
#[tokio::test]
async fn every_view_can_be_read() {
    let mut house = House::new().await;
    let hidden =
        "select count(*) from pg_class v, unnest(array['viewer', 'operator', 'orchestrator']) role
        where v.relkind = 'v' and v.relnamespace = 'amends'::regnamespace
          and not has_table_privilege(role, v.oid, 'select')";
    assert_eq!(house.number(hidden).await, 0);
}

/// Many replies for one saga, and many events for steps of one saga, wake it once: no row is written
/// twice by one statement, which Postgres refuses.
#[tokio::test]
async fn one_statement_wakes_a_saga_once() {
    const MANY: usize = 2000;
    let mut house = House::new().await;
    let saga = house.saga;
    let sagas = vec![saga; MANY];
    let ids: Vec<_> = (0..MANY).map(|n| format!("{saga}:shop.work:action:{n}")).collect();
    sqlx::query(AssertSqlSafe(statement("park")))
        .bind(&sagas)
        .bind(&ids)
        .bind(vec![r#"{"outcome":"ok"}"#; MANY])
        .bind(vec!["shop"; MANY])
        .bind(vec![chrono::Utc::now(); MANY])
        .execute(&mut house.owner)
        .await
        .unwrap();
    assert_eq!(
        house.number("select count(*) from amends.mailbox where kind = 'reply'").await,
        2000
    );
    assert_eq!(house.number("select count(*) from amends.timer").await, 1);

    let wait = "insert into amends.wait (saga_id, step, matcher, key)
        select $1, n::text, 'job/told', 'k' from generate_series(1, 2000) n";
    sqlx::query(wait).bind(saga).execute(&mut house.owner).await.unwrap();
    let woken = sqlx::query(AssertSqlSafe(statement("wake_waiting")))
        .bind(["job/told"])
        .bind(["k"])
        .fetch_all(&mut house.owner)
        .await
        .unwrap();
    assert_eq!(woken.len(), 1);

    // One that held many locks, behind which the same saga waits.
    let held = "insert into amends.lock (name, saga_id, held_since)
        select n::text, '00000000-0000-7000-8000-000000000001', now() from generate_series(1, 2000) n";
    house.owner.execute(held).await.unwrap();
    let waits = "insert into amends.lock (name, saga_id) select n::text, $1 from generate_series(1, 2000) n";
    sqlx::query(waits).bind(saga).execute(&mut house.owner).await.unwrap();
    let woken = sqlx::query(AssertSqlSafe(statement("release")))
        .bind(["00000000-0000-7000-8000-000000000001".parse::<Uuid>().unwrap()])
        .fetch_all(&mut house.owner)
        .await
        .unwrap();
    assert_eq!(woken.len(), 1);
}

/// What retention asks of the saga: whether it must be kept.
const KEPT: &str = "select count(*) from amends.sagas where amends.is_open(id, id)";

/// Of two replicas that read an act the second is told that it is decided, so that nothing is written which
/// the audit does not say.
/// Until then it keeps the saga, whatever becomes of its timer.
#[tokio::test]
async fn an_act_is_decided_once() {
    let mut house = House::new().await;
    let act: i64 = sqlx::query_scalar("select amends.pause(id, 'a look') from amends.sagas")
        .fetch_one(&mut house.owner)
        .await
        .unwrap();
    let saga = house.saga;
    house.owner.execute("delete from amends.timer").await.unwrap();
    assert_eq!(house.number(KEPT).await, 1);
    for (accepted, answer) in [(true, None), (false, Some("too late"))] {
        let sql = statement("everything");
        // All other arrays are empty.
        let count = parameters(&sql).max().unwrap();
        let (mut given, ours) = (vec!["'{}'".to_owned(); count], 24);
        given[ours - 1] = format!("'{{{act}}}'");
        given[ours] = format!("'{{{accepted}}}'");
        given[ours + 1] =
            format!("array[{}]::text[]", answer.map_or("null".into(), |a: &str| format!("'{a}'")));
        house.owner.execute(AssertSqlSafe(format!("prepare everything as {sql}"))).await.unwrap();
        let run = format!("execute everything({})", given.join(", "));
        let written = house.owner.execute(AssertSqlSafe(run)).await;
        let code = written.err().and_then(|e| Some(e.as_database_error()?.code()?.into_owned()));
        assert_eq!(code.as_deref(), answer.map(|_| "23505"), "{accepted}");
        house.owner.execute("deallocate everything").await.unwrap();
    }
    let decided: (bool, Option<String>) =
        sqlx::query_as("select accepted, answer from amends.acts where saga_id = $1")
            .bind(saga)
            .fetch_one(&mut house.owner)
            .await
            .unwrap();
    assert_eq!(decided, (true, None));
    assert_eq!(house.number("select count(*) from amends.mailbox").await, 0);
    assert_eq!(house.number(KEPT).await, 0);
}

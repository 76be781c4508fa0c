//! Inputs, outputs and bodies are for members of one role alone, by whatever way they are asked for.

use std::collections::BTreeSet;

use serde_json::Value;
use sqlx::{AssertSqlSafe, Executor as _, PgConnection};

use crate::support::House;

/// What is in every payload, and nowhere else.
const CARD: &str = "4111111111111111";

/// A saga in which every kind of payload is, beside all others that hold one.
const FURNITURE: &str = r#"
insert into amends.definition (name, version, digest, outline) values ('order', 1, 'x', '{"deadline_ms": 1000}');
insert into amends.definition_step (name, version, position, step, service, operation, kind, task)
values ('order', 1, 0, 'payment.take', 'payment', 'take', 'compensatable', 'call'),
       ('order', 1, 1, 'parcel.told', 'parcel', 'told', 'retriable', 'event'),
       ('order', 1, 2, 'line.pack', 'line', 'pack', 'retriable', 'call');
insert into amends.saga (id, started_at, finished_at, version, definition, status, key, input)
values ('00000000-0000-7000-8000-000000000001', now(), now(), 1, 'order', 'completed', 'o-1', '{"card": "4111111111111111"}'),
       ('00000000-0000-7000-8000-000000000002', now(), now(), 1, 'order', 'completed', 'o-2', '"4111111111111111"'),
       ('00000000-0000-7000-8000-000000000003', now(), null, 1, 'order', 'running', 'o-3', '"4111111111111111"');
insert into amends.fact (saga_id, seq, attempt, at, kind, step, op, detail, sent, next)
select ('00000000-0000-7000-8000-00000000000' || saga)::uuid, f.seq, f.attempt, now(), f.kind, f.step, f.op, f.detail, f.sent, f.next
from generate_series(1, 3) saga, (values
    (0, 0, 'started', null, null, null::json, 'payment.take parcel.told',
     '{"sends": [{"in": 10.5, "input": {"card": "4111111111111111"}}, {"input": "4111111111111111"}], "due": 1}'::json),
    (1, 1, 'broke', 'payment.take', 'action', '{"message": "no answer"}', 'payment.take:action:2', null),
    (2, 2, 'done', 'payment.take', 'action', '{"code": "4111111111111111", "message": "4111111111111111"}', null, null),
    (3, 1, 'done', 'parcel.told', 'action', '"4111111111111111"', null, '{"event": "S:1@2"}'),
    (4, 0, 'expanded', 'line.pack', 'action', '[{"card": "4111111111111111"}, "4111111111111111"]', 'line.pack.0', '{"sends": [{"input": "4111111111111111"}]}'),
    (5, 1, 'late', 'line.pack.0', 'action', '"4111111111111111"', null, null),
    (6, 0, 'asked', null, null, '{"act": "skip", "by": "bob", "reason": "lost"}', null, null),
    (7, 0, 'newer', null, null, '{"message": "4111111111111111"}', null, '{"newer": "4111111111111111"}'),
    (8, 1, 'done', 'line.pack.1', 'action', '["4111111111111111"]', null, '{"status": "completed", "output": "4111111111111111"}')
) f (seq, attempt, kind, step, op, detail, sent, next);
insert into amends.fact (saga_id, seq, attempt, at, kind, detail, next)
values ('00000000-0000-7000-8000-000000000002', 9, 0, now(), 'done', '"4111111111111111"', '{"status": "completed", "echo": true}');
insert into amends.timer values ('00000000-0000-7000-8000-000000000003', 'infinity');
insert into amends.event (matcher, key, source, body) values ('order/parcel.told', 'p-1', 'S:1@2', '{"card": "4111111111111111"}');
insert into amends.mailbox (saga_id, kind, amends_id, service, body)
values ('00000000-0000-7000-8000-000000000001', 'reply', 'x', 'payment', '"4111111111111111"');
insert into amends.start_request (saga_id, definition, input, actor)
values ('00000000-0000-7000-8000-000000000009', 'order', '"4111111111111111"', 'bob');
insert into amends.dead_letter (source, subject, reason, headers, is_text, body, kind_id, settled_at)
select n::text, 'orders.placed', 'not JSON',
       '{"Nats-Msg-Id": ["1"], "ce-id": ["2"], "ce-card": ["4111111111111111"], "Authorization": ["4111111111111111"]}',
       n % 2 = 0, '4111111111111111', 0, case when n > 2 then now() end
from generate_series(1, 4) n;
select amends.resolve('00000000-0000-7000-8000-000000000003', 'payment.take', '{"outcome": "ok", "output": "4111111111111111"}', 'told by telephone');
"#;

/// The columns that hold a payload.
const PAYLOADS: [&str; 19] = [
    "acts.outcome",
    "audit.outcome",
    "dead_letters.body",
    "dead_letters.headers",
    "events.body",
    "facts.detail",
    "facts.next",
    "history.detail",
    "history.sends",
    "inputs.input",
    "letters.body",
    "letters.headers",
    "sagas.input",
    "sagas.output",
    "sends.input",
    "settled_letters.body",
    "settled_letters.headers",
    "steps.input",
    "steps.output",
];

/// What a login sees: each view, and what the functions that it may call return.
const SOURCES: &str = "
select c.relname::text, format('amends.%I', c.relname)
from pg_class c
where c.relnamespace = 'amends'::regnamespace and c.relkind in ('v', 'r', 'p')
  and has_table_privilege(c.oid, 'select')
union all
values ('inputs', 'amends.keys k, amends.inputs(k.saga_id)'),
       ('standing', 'amends.keys k, amends.standing(k.saga_id)'),
       ('stuck_within', 'amends.keys k, amends.stuck_within(k.saga_id, null)'),
       ('outline', 'amends.outline(''order'', 1)'),
       ('candidates', 'amends.candidates(''resolve'', null, null, null, 10) c'),
       ('candidates', 'amends.candidates(''resolve'', null, null, ''%4111%'', 10) c')
order by 1";

/// The columns in which this session finds a payload.
async fn seen(session: &mut PgConnection) -> BTreeSet<String> {
    let sources: Vec<(String, String)> =
        sqlx::query_as(SOURCES).fetch_all(&mut *session).await.unwrap();
    assert!(sources.len() > 25, "{sources:?}");
    let mut seen = BTreeSet::new();
    for (name, source) in sources {
        let rows = format!("select to_json(r) from (select * from {source}) r");
        let rows: Vec<Value> =
            sqlx::query_scalar(AssertSqlSafe(rows)).fetch_all(&mut *session).await.unwrap();
        for (column, value) in rows.iter().flat_map(|row| row.as_object().unwrap()) {
            if value.to_string().contains(CARD) {
                seen.insert(format!("{name}.{column}"));
            }
        }
    }
    seen
}

#[tokio::test]
async fn a_viewer_sees_no_payload_and_a_reader_of_payloads_all() {
    let mut house = House::with(FURNITURE).await;
    let all: BTreeSet<_> = PAYLOADS.iter().map(|name| (*name).to_owned()).collect();
    for role in ["viewer", "operator"] {
        let mut session = house.login(role).await;
        assert_eq!(seen(&mut session).await, BTreeSet::new(), "{role}");
        let grant = format!("grant amends_payload_reader to {role}");
        house.owner.execute(AssertSqlSafe(grant)).await.unwrap();
        assert_eq!(seen(&mut session).await, all, "{role}");
        let revoke = format!("revoke amends_payload_reader from {role}");
        house.owner.execute(AssertSqlSafe(revoke)).await.unwrap();
        assert_eq!(seen(&mut session).await, BTreeSet::new(), "{role}");
    }
    // The role counts with whose rights a statement runs, not who logged in.
    house.owner.execute("set role amends_viewer").await.unwrap();
    assert_eq!(seen(&mut house.owner).await, BTreeSet::new());
    house.owner.execute("reset role").await.unwrap();
    // Nobody is a member of a role that is not there.
    house.owner.execute("drop role amends_payload_reader").await.unwrap();
    let mut viewer = house.login("viewer").await;
    assert_eq!(seen(&mut viewer).await, BTreeSet::new());
    // Who reads the tables reads the views.
    let mut orchestrator = house.login("orchestrator").await;
    let input = "select input from amends.sagas where key = 'o-1'";
    let input: Option<Value> =
        sqlx::query_scalar(input).fetch_one(&mut orchestrator).await.unwrap();
    assert!(input.unwrap().to_string().contains(CARD));
}

/// A predicate of the caller's own, as cheap as can be, is not run on what its caller does not see.
#[tokio::test]
async fn no_predicate_sees_a_payload() {
    const LEAK: &str = "
        create temp table leaked (what text);
        create function pg_temp.leak(what text) returns boolean language plpgsql cost 0.0000001 as $$
        begin
            insert into leaked values (what);
            return true;
        end $$";
    let mut house = House::with(FURNITURE).await;
    let grant = "do $$ begin execute format('grant temporary on database %I to viewer', current_database()); end $$";
    house.owner.execute(grant).await.unwrap();
    let mut viewer = house.login("viewer").await;
    viewer.execute(LEAK).await.unwrap();
    let columns: Vec<(String, String)> = sqlx::query_as(
        "select a.attrelid::regclass::text, quote_ident(a.attname)
         from pg_attribute a join pg_class c on c.oid = a.attrelid
         where c.relnamespace = 'amends'::regnamespace and c.relkind = 'v' and a.attnum > 0
           and has_table_privilege(c.oid, 'select')",
    )
    .fetch_all(&mut viewer)
    .await
    .unwrap();
    assert!(columns.len() > 150, "{}", columns.len());
    for (view, column) in columns {
        for sql in [
            format!("select 1 from {view} v where pg_temp.leak(v.{column}::text)"),
            format!("select 1 from {view} v where pg_temp.leak(v::text) and v.{column} is null"),
            format!("select pg_temp.leak(v.{column}::text) from {view} v order by 1 limit 1"),
        ] {
            viewer.execute(AssertSqlSafe(sql)).await.unwrap();
        }
    }
    let found: (i64, i64) = sqlx::query_as(
        "select count(*), count(*) filter (where what like '%4111%') from leaked where what is not null",
    )
    .fetch_one(&mut viewer)
    .await
    .unwrap();
    assert!(found.0 > 1000, "{found:?}");
    assert_eq!(found.1, 0);
}

/// What is no payload stays, so that facts can be read and sagas be told without one.
#[tokio::test]
async fn what_is_no_payload_is_shown() {
    let house = House::with(FURNITURE).await;
    let mut viewer = house.login("viewer").await;
    let facts: Vec<(String, Option<Value>, Option<Value>)> = sqlx::query_as(
        "select kind, detail, next from amends.facts
         where saga_id = '00000000-0000-7000-8000-000000000001' order by seq",
    )
    .fetch_all(&mut viewer)
    .await
    .unwrap();
    let json = |text: &str| Some(serde_json::from_str::<Value>(text).unwrap());
    let fact = |kind: &str, detail, next| (kind.to_owned(), detail, next);
    assert_eq!(
        facts,
        [
            fact("started", None, json(r#"{"sends": [{"in": 10.5}, {}], "due": 1}"#)),
            fact("broke", json(r#"{"message": "no answer"}"#), None),
            fact("done", None, None),
            fact("done", None, json(r#"{"event": "S:1@2"}"#)),
            fact("expanded", json("[null, null]"), json(r#"{"sends": [{}]}"#)),
            fact("late", None, None),
            fact("asked", json(r#"{"act": "skip", "by": "bob", "reason": "lost"}"#), None),
            fact("newer", None, None),
            fact("done", None, json(r#"{"status": "completed"}"#)),
        ]
    );
    let headers: Vec<Value> = sqlx::query_scalar("select headers from amends.letters")
        .fetch_all(&mut viewer)
        .await
        .unwrap();
    for shown in headers {
        assert_eq!(Some(shown), json(r#"{"Nats-Msg-Id": ["1"], "ce-id": ["2"]}"#));
    }
}

/// The nodes of a plan in which the roles are looked at.
fn looks<'a>(node: &'a Value, found: &mut Vec<&'a Value>) {
    if node["Output"].to_string().contains("pg_has_role")
        || node["Filter"].to_string().contains("pg_has_role")
    {
        found.push(node);
    }
    for child in node["Plans"].as_array().into_iter().flatten() {
        looks(child, found);
    }
}

#[tokio::test]
async fn the_right_is_looked_at_once_a_query() {
    let house = House::with(FURNITURE).await;
    let mut viewer = house.login("viewer").await;
    for name in PAYLOADS {
        let (view, column) = name.split_once('.').unwrap();
        if view == "inputs" {
            continue;
        }
        let sql = format!(
            "explain (analyze, verbose, costs off, timing off, format json) select {column} from amends.{view}"
        );
        let plan: Value =
            sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut viewer).await.unwrap();
        let mut found = Vec::new();
        looks(&plan[0]["Plan"], &mut found);
        assert!(!found.is_empty(), "{name}: {plan}");
        for node in found {
            assert_eq!(node["Parent Relationship"], "InitPlan", "{name}: {plan}");
            assert!(node["Actual Loops"].as_u64().unwrap() <= 1, "{name}: {plan}");
        }
    }
}

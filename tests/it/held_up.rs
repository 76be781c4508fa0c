//! Who may hold up the orchestrator: nobody who only reads, whatever they lock; an operator for as long as an
//! act's transaction may idle.

use sqlx::{AssertSqlSafe, Executor as _, PgConnection};

use crate::{
    statements::sqlstate,
    support::{House, statement},
};

const DENIED: &str = "42501";
/// Of a view that joins or counts: its rows cannot be locked.
const NOT_LOCKABLE: &str = "0A000";

/// Two sagas that want a lock, and a definition.
const FURNITURE: &str = "
insert into amends.definition (name, version, digest, outline) values ('order', 1, 'x', '{}');
insert into amends.saga (id, started_at, version, definition, status, input)
select ('00000000-0000-7000-8000-00000000000' || n)::uuid, now(), 1, 'order', 'queued', '{}'
from generate_series(1, 2) n;
insert into amends.lock (name, saga_id) select name, id from amends.saga, unnest(array['room', 'car']) name;
";

impl House {
    /// Tables, partitions and views of the schema.
    async fn relations(&mut self) -> Vec<String> {
        let relations = "select relname::text from pg_class
            where relnamespace = 'amends'::regnamespace and relkind in ('r', 'p', 'v')";
        sqlx::query_scalar(relations).fetch_all(&mut self.owner).await.unwrap()
    }
}

/// Runs it in a transaction that is rolled back; how it is refused, if it is.
async fn refusal(session: &mut PgConnection, sql: String) -> Option<String> {
    session.execute("begin").await.unwrap();
    let refused = session.execute(AssertSqlSafe(sql)).await.err();
    session.execute("rollback").await.unwrap();
    refused.map(|error| sqlstate(&error))
}

#[tokio::test]
async fn nobody_else_locks_what_the_orchestrator_writes() {
    const STRENGTHS: [&str; 4] = ["update", "no key update", "share", "key share"];
    const MODES: [&str; 7] = [
        "row share",
        "row exclusive",
        "share update exclusive",
        "share",
        "share row exclusive",
        "exclusive",
        "access exclusive",
    ];
    let mut house = House::with(FURNITURE).await;
    let relations = house.relations().await;
    assert!(relations.contains(&"mutex".to_owned()), "{relations:?}");
    let mut locked = Vec::new();
    for role in ["viewer", "operator"] {
        let mut session = house.login(role).await;
        for relation in &relations {
            let rows = STRENGTHS
                .map(|how| format!("select from amends.{relation} limit 1 for {how} skip locked"));
            let table = MODES.map(|how| format!("lock table amends.{relation} in {how} mode"));
            for sql in rows.into_iter().chain(table) {
                match refusal(&mut session, sql.clone()).await.as_deref() {
                    Some(DENIED | NOT_LOCKABLE) => {}
                    other => locked.push(format!("{role}: {sql}: {other:?}")),
                }
            }
        }
    }
    assert!(locked.is_empty(), "{}", locked.join("\n"));
}

/// Any login may take any advisory lock, and keep it.
#[tokio::test]
async fn advisory_locks_of_others_hold_up_nothing() {
    let house = House::with(FURNITURE).await;
    let mut viewer = house.login("viewer").await;
    let keys = "select pg_advisory_lock(hashtextextended(prefix || name, 0))
        from unnest(array['', 'amends ', 'amends.', 'amends.lock ', 'lock ']) prefix,
             unnest(array['room', 'car', 'period', 'lock', 'amends', 'mutex']) name";
    viewer.execute(keys).await.unwrap();
    let small =
        "select pg_advisory_lock(n), pg_advisory_lock(0, n) from generate_series(0, 1024) n";
    viewer.execute(small).await.unwrap();

    let mut orchestrator = house.login("orchestrator").await;
    orchestrator.execute("set lock_timeout = '1s'").await.unwrap();
    const SAGAS: &str = "array(select id from amends.saga order by id)";
    for name in ["acquire", "pass", "release"] {
        let sql = statement(name).replace("$1::uuid[]", SAGAS);
        let sagas = orchestrator.fetch_all(AssertSqlSafe(sql)).await.unwrap();
        assert_eq!(sagas.len(), usize::from(name != "release"), "{name}");
    }
    let made = statement("make_periods").replace("$1", "3600");
    let made: i32 =
        sqlx::query_scalar(AssertSqlSafe(made)).fetch_one(&mut orchestrator).await.unwrap();
    assert!(made > 0, "partitions were not made");
    let dropped = "select amends.drop_period('-1 day')";
    let dropped: i32 = sqlx::query_scalar(dropped).fetch_one(&mut orchestrator).await.unwrap();
    assert_eq!(dropped, 1, "no partition was dropped");
}

/// Changes of one lock take turns; of several locks each takes the rows in one order, whatever the order
/// of the names, so that no two wait for each other.
#[tokio::test]
async fn changes_of_a_lock_take_turns() {
    let mut house = House::with(FURNITURE).await;
    const SLOT: &str = "select (hashtextextended($1, 0) & 1023)::integer";
    let mut slots = Vec::new();
    for name in ["room", "car"] {
        let slot = sqlx::query_scalar(SLOT).bind(name).fetch_one(&mut house.owner).await.unwrap();
        slots.push((slot, name));
    }
    slots.sort_by_key(|(slot, _): &(i32, _)| *slot);
    let [(first, one), (last, other)] = slots[..] else { panic!("{slots:?}") };
    let serialize = |names: [&str; 2]| {
        let names = names.map(|name| format!("'{name}'")).join(",");
        AssertSqlSafe(format!("select amends.serialize_locks(array[{names}])"))
    };
    let row = |slot: i32| {
        AssertSqlSafe(format!("select from amends.mutex where id = {slot} for update nowait"))
    };
    let mut orchestrator = house.login("orchestrator").await;
    orchestrator.execute("set lock_timeout = '100ms'").await.unwrap();
    for names in [[one, other], [other, one]] {
        // It waits for the first row, and has not taken the last.
        house.owner.execute("begin").await.unwrap();
        house.owner.execute(row(first)).await.unwrap();
        orchestrator.execute("begin").await.unwrap();
        let waits = orchestrator.execute(serialize(names)).await.unwrap_err();
        assert_eq!(sqlstate(&waits), "55P03");
        house.owner.execute(row(last)).await.unwrap();
        house.owner.execute("rollback").await.unwrap();
        orchestrator.execute("rollback").await.unwrap();
        // It has both, until its transaction ends.
        orchestrator.execute("begin").await.unwrap();
        orchestrator.execute(serialize(names)).await.unwrap();
        for slot in [first, last] {
            let taken = house.owner.execute(row(slot)).await.unwrap_err();
            assert_eq!(sqlstate(&taken), "55P03");
        }
        orchestrator.execute("commit").await.unwrap();
        house.owner.execute(row(first)).await.unwrap();
    }
}

/// What an act has written holds up the saga's turns until its transaction ends: one that was left open is
/// ended by Postgres.
#[tokio::test]
async fn the_transaction_of_an_act_idles_for_ten_seconds_at_most() {
    const ACTS: [&str; 6] = [
        "select amends.pause(id, 'why') from amends.sagas limit 1",
        "select amends.pause_all(null, null, null, 10, 'why')",
        "select amends.break_lock('room', 'why')",
        "select amends.retire('order', 1, 'why')",
        "select amends.forget_keys('1 year', 'why')",
        "select amends.discard(1, 'why')",
    ];
    let mut house = House::with(FURNITURE).await;
    let more = "update amends.lock set held_since = now() where saga_id::text like '%1';
        insert into amends.dead_letter (source, subject, reason, headers, is_text, body, kind_id)
        values ('1', 'orders.placed', 'not JSON', '{}', true, 'x', 0)";
    house.owner.execute(more).await.unwrap();
    let mut operator = house.login("operator").await;
    for (before, within) in [("0", "10s"), ("1min", "10s"), ("700ms", "700ms")] {
        for act in ACTS {
            let set = format!("set idle_in_transaction_session_timeout = '{before}'");
            operator.execute(AssertSqlSafe(set)).await.unwrap();
            let shown = "show idle_in_transaction_session_timeout";
            operator.execute("begin").await.unwrap();
            operator.execute(act).await.unwrap();
            let now: String = sqlx::query_scalar(shown).fetch_one(&mut operator).await.unwrap();
            assert_eq!(now, within, "{before}: {act}");
            operator.execute("rollback").await.unwrap();
            let now: String = sqlx::query_scalar(shown).fetch_one(&mut operator).await.unwrap();
            assert_eq!(now, before, "{act}");
        }
    }
}

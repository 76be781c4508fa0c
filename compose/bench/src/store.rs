//! Sagas in the tables: finished ones, as many as a year leaves, and ones that wait.

use std::time::Duration;

use amends_app::{During as _, Failed};
use amends_postgres::Database;

use crate::servers::execute;

/// Copies of one saga and its facts, each begun a millisecond after the one before it. The columns are
/// whatever the tables have.
macro_rules! copies {
    ($template:literal, $more:literal) => {
        concat!(
            "with template as (
    select s as saga from amends.saga s where ",
            $template,
            " order by s.id desc limit 1
), copy as (
    select md5('bench' || n) as hash,
           lpad(to_hex((extract(epoch from now()) * 1000)::bigint - $1 + n), 12, '0') as at
    from generate_series(1, $1) n
), id as materialized (
    select (at || '7' || substr(hash, 1, 3) || '8' || substr(hash, 4, 15))::uuid as id from copy
), sagas as (
    insert into amends.saga
    select (jsonb_populate_record((t.saga), jsonb_build_object('id', i.id))).*
    from template t, id i
)",
            $more,
            "
insert into amends.fact
select (jsonb_populate_record(f, jsonb_build_object('saga_id', i.id))).*
from template t join amends.fact f on f.saga_id = (t.saga).id, id i"
        )
    };
}

const STORE: &str = copies!("s.finished_at is not null", "");

/// As their first commands are sent and not answered; the timers are due in a month.
const WAIT: &str = copies!(
    "s.finished_at is null",
    ", timers as (
    insert into amends.timer (saga_id, due_at)
    select i.id, clock_timestamp() + interval '30 days' from id i
)"
);

/// Stores so many, and lets Postgres tidy up before anything is measured.
pub(crate) async fn store(database: &Database, sagas: u32) -> Result<(), Failed> {
    copy(database, STORE, sagas).await
}

/// The same with sagas that wait, like the one that is there.
pub(crate) async fn wait(database: &Database, sagas: u32) -> Result<(), Failed> {
    copy(database, WAIT, sagas).await
}

/// How long it may take to store or tidy up a million.
const LONG: Duration = Duration::from_secs(1800);

async fn copy(database: &Database, sql: &'static str, sagas: u32) -> Result<(), Failed> {
    let database = &database.with_limit(LONG);
    let stored = sqlx::query(sql).bind(i64::from(sagas)).execute(database);
    stored.await.during("sagas cannot be stored")?;
    for table in [
        "vacuum (analyze) amends.saga",
        "vacuum (analyze) amends.fact",
        "vacuum (analyze) amends.timer",
        "checkpoint",
    ] {
        execute(database, table).await?;
    }
    Ok(())
}

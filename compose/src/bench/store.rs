//! Finished sagas in the tables, as many as a year leaves.

use sqlx::PgPool;

use crate::{During as _, Failed};

/// Copies of one finished saga and its facts, each begun a millisecond after the one before it. The
/// columns are whatever the tables have.
const STORE: &str = "
with template as (
    select s as saga from amends.saga s where s.finished_at is not null order by s.id desc limit 1
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
)
insert into amends.fact
select (jsonb_populate_record(f, jsonb_build_object('saga_id', i.id))).*
from template t join amends.fact f on f.saga_id = (t.saga).id, id i
";

/// Stores so many, and lets Postgres tidy up before anything is measured.
pub(super) async fn store(pool: &PgPool, sagas: u32) -> Result<(), Failed> {
    let stored = sqlx::query(STORE).bind(i64::from(sagas)).execute(pool);
    stored.await.during("sagas cannot be stored")?;
    for sql in ["vacuum (analyze) amends.saga", "vacuum (analyze) amends.fact", "checkpoint"] {
        super::execute(pool, sql).await?;
    }
    Ok(())
}

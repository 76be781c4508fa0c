//! The least that a durable saga with three steps must write: that it began, two answers with what
//! is asked next, and that it ended.

use std::time::{Duration, Instant};

use amends_app::{During as _, Failed, connect};
use amends_orchestrator::SESSION;
use amends_postgres::Database;
use sqlx::{Row as _, types::Uuid};
use tokio::task::JoinSet;

use crate::saga::Job;

const CONNECTIONS: usize = 4;

/// Sagas in a statement.
const BATCH: usize = 128;

/// They are of no migration: nothing else uses them.
const TABLES: &str = "
drop schema if exists bench_raw cascade;
create schema bench_raw;
create table bench_raw.saga (
    id uuid primary key,
    started_at timestamptz not null,
    finished_at timestamptz,
    status text not null,
    input json not null
) with (fillfactor = 50);
create table bench_raw.turn (
    saga_id uuid not null,
    seq integer not null,
    output json,
    next json,
    primary key (saga_id, seq)
);
";

/// The saga, and what is asked first.
const START: &str = "
with started as (
    insert into bench_raw.saga (id, started_at, status, input)
    select id, now(), 'running', $2::text::json from unnest($1::uuid[]) id
)
insert into bench_raw.turn (saga_id, seq, next)
select id, 0, $2::text::json from unnest($1::uuid[]) id
";

/// An answer, and what is asked next.
const TURN: &str = "
insert into bench_raw.turn (saga_id, seq, output, next)
select id, $3::integer, $2::text::json, $2::text::json from unnest($1::uuid[]) id
";

/// The last answer.
const END: &str = "
with ended as (
    update bench_raw.saga s set status = 'completed', finished_at = now()
    from unnest($1::uuid[]) e (id) where s.id = e.id
)
insert into bench_raw.turn (saga_id, seq, output)
select id, 3, $2::text::json from unnest($1::uuid[]) id
";

pub(crate) struct Postgres {
    database: Database,
}

/// What Postgres can do, and what it writes for that.
#[derive(Clone)]
pub(crate) struct Limit {
    pub(crate) sagas_per_s: f64,
    pub(crate) wal_bytes_per_saga: f64,
}

impl Postgres {
    pub(crate) fn connect(url: &str) -> Result<Self, Failed> {
        let connections = u32::try_from(CONNECTIONS).unwrap_or(1);
        Ok(Self { database: connect::database(url, connections, &SESSION)? })
    }

    /// Four statements a saga, each over a batch, each its own commit, on four connections.
    pub(crate) async fn measure(&self, time: Duration) -> Result<Limit, Failed> {
        self.prepare().await?;
        let began_at = self.wal().await?;
        let (began, until) = (Instant::now(), Instant::now() + time);
        let mut writers = JoinSet::new();
        for _ in 0..CONNECTIONS {
            writers.spawn(write(self.database.clone(), until));
        }
        let mut sagas = 0;
        while let Some(written) = writers.join_next().await {
            sagas += written.during("raw Postgres")?.during("raw Postgres")?;
        }
        let took = began.elapsed();
        let wal_bytes = self.wal().await? - began_at;
        self.remove().await?;
        Ok(Limit {
            sagas_per_s: sagas as f64 / took.as_secs_f64(),
            wal_bytes_per_saga: wal_bytes as f64 / sagas as f64,
        })
    }

    /// Commits of one row, one at a time: how long each took.
    pub(crate) async fn commits(&self, time: Duration) -> Result<Vec<Duration>, Failed> {
        self.prepare().await?;
        let body = body()?;
        let mut took = Vec::new();
        let until = Instant::now() + time;
        while Instant::now() < until {
            let id = [Uuid::now_v7()];
            let began = Instant::now();
            turn(&self.database, &id, &body, 0).await.during("raw Postgres")?;
            took.push(began.elapsed());
        }
        self.remove().await?;
        took.sort_unstable();
        Ok(took)
    }

    async fn prepare(&self) -> Result<(), Failed> {
        let tables = sqlx::raw_sql(TABLES).execute(&self.database).await;
        tables.map(drop).during("the schema bench_raw cannot be created")
    }

    async fn remove(&self) -> Result<(), Failed> {
        let drop_ = sqlx::raw_sql("drop schema bench_raw cascade").execute(&self.database).await;
        drop_.map(drop).during("the schema bench_raw cannot be removed")
    }

    async fn wal(&self) -> Result<i64, Failed> {
        let sql = "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint";
        let row = sqlx::query(sql).fetch_one(&self.database).await.during("the WAL's position")?;
        row.try_get(0).during("the WAL's position")
    }
}

fn body() -> Result<String, Failed> {
    let body = Job::body(0, false, 0).during("a payload")?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

async fn write(database: Database, until: Instant) -> Result<usize, sqlx::Error> {
    let Ok(body) = body() else { return Ok(0) };
    let mut sagas = 0;
    while Instant::now() < until {
        let ids: Vec<_> = (0..BATCH).map(|_| Uuid::now_v7()).collect();
        sqlx::query(START).bind(&ids).bind(&body).execute(&database).await?;
        turn(&database, &ids, &body, 1).await?;
        turn(&database, &ids, &body, 2).await?;
        sqlx::query(END).bind(&ids).bind(&body).execute(&database).await?;
        sagas += BATCH;
    }
    Ok(sagas)
}

async fn turn(database: &Database, ids: &[Uuid], body: &str, seq: i32) -> Result<(), sqlx::Error> {
    let turn = sqlx::query(TURN).bind(ids).bind(body).bind(seq);
    turn.execute(database).await.map(drop)
}

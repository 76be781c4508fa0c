//! What happens to Postgres.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use super::world::{LOGIN, World, lasts};
use crate::support::{
    Chance, Stopped,
    spell::{self, ReadOnly},
};

#[derive(Debug, Clone, Copy)]
pub(super) enum PostgresFault {
    PostgresKilled,
    PostgresStopped,
    SessionsTerminated,
    DatabaseReadOnly,
    StandbyLost,
    ClockBack,
    TableLocked,
    ServiceDiskFull,
    LoginRefused,
    ConnectionsRefused,
}

impl PostgresFault {
    pub(super) const ALL: [Self; 10] = [
        Self::PostgresKilled,
        Self::PostgresStopped,
        Self::SessionsTerminated,
        Self::DatabaseReadOnly,
        Self::StandbyLost,
        Self::ClockBack,
        Self::TableLocked,
        Self::ServiceDiskFull,
        Self::LoginRefused,
        Self::ConnectionsRefused,
    ];

    /// Begins it, and ends it; whether it was there.
    pub(super) async fn strike(self, world: &World, chance: &mut Chance) -> bool {
        let time = chance.millis(1_000, 5_000);
        match self {
            Self::PostgresKilled => killed(world, time).await,
            Self::PostgresStopped => stopped(world, time).await,
            Self::SessionsTerminated => {
                lasts(Duration::ZERO, async || terminate(world).await > 0).await
            }
            Self::DatabaseReadOnly => read_only(world, time).await,
            Self::StandbyLost => standby_lost(world, time).await,
            Self::ClockBack => clock_back(world, time, chance).await,
            Self::TableLocked => table_locked(world, time, chance).await,
            Self::ServiceDiskFull => service_disk_full(world, time).await,
            Self::LoginRefused => refused(world, time, ["nologin", "login"], "28000").await,
            Self::ConnectionsRefused => {
                let limits = ["connection limit 2", "connection limit -1"];
                refused(world, time, limits, "53300").await
            }
        }
    }
}

async fn killed(world: &World, time: Duration) -> bool {
    world.shop.lock().await.local.postgres.kill().await.unwrap();
    let gone = lasts(time, async || world.ask_as_they_do("select 1::bigint").await.is_err()).await;
    world.shop.lock().await.local.postgres.restart().await.unwrap();
    gone
}

async fn stopped(world: &World, time: Duration) -> bool {
    let postmaster = world.shop.lock().await.local.postgres.pid().unwrap();
    let _stopped = Stopped::with_children(postmaster);
    lasts(time, async || {
        let asked = world.ask_as_they_do("select 1::bigint");
        tokio::time::timeout(Duration::from_millis(500), asked).await.is_err()
    })
    .await
}

async fn terminate(world: &World) -> i64 {
    let terminate = format!(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = '{LOGIN}'"
    );
    world.ask(&terminate).await.unwrap_or(0)
}

async fn read_only(world: &World, time: Duration) -> bool {
    let spell = ReadOnly::Login(LOGIN);
    spell.begin(&world.database).await;
    let read_only = "select (current_setting('transaction_read_only') = 'on')::int::bigint";
    let shown = lasts(time, async || matches!(world.ask_as_they_do(read_only).await, Ok(1))).await;
    spell.end(&world.database).await;
    shown
}

async fn standby_lost(world: &World, time: Duration) -> bool {
    spell::lose_standby(&world.database).await;
    // A commit of the test's own, of something that goes to the log.
    let commit =
        "select (pg_logical_emit_message(true, 'storm', 'commit') is not null)::int::bigint";
    let shown = lasts(time, async || world.ask(commit).await.is_none()).await;
    spell::need_no_standby(&world.database).await;
    shown
}

async fn clock_back(world: &World, time: Duration, chance: &mut Chance) -> bool {
    let hours = i64::try_from(chance.between(1, 4)).unwrap();
    world.clock.set_off(-3600 * hours);
    let clock = "select extract(epoch from clock_timestamp())::bigint";
    let shown = lasts(time, async || {
        let wrong_by = |told| chrono::Utc::now().timestamp() - told > 1800;
        world.ask(clock).await.is_some_and(wrong_by)
    })
    .await;
    world.clock.set_off(0);
    shown
}

/// Somebody's transaction keeps a whole table to itself.
async fn table_locked(world: &World, time: Duration, chance: &mut Chance) -> bool {
    let table = chance.one_of(&["amends.timer", "amends.saga", "amends.fact", "payment.ledger"]);
    let mut session = PgConnection::connect(&world.database).await.unwrap();
    session.execute("set lock_timeout = '5s'").await.unwrap();
    let mut holder = session.begin().await.unwrap();
    let lock = format!("lock table {table} in access exclusive mode");
    if holder.execute(AssertSqlSafe(lock)).await.is_err() {
        return false;
    }
    let read = format!("select count(*) from (select from {table} limit 1) one");
    let shown = lasts(time, async || fails(world, &read, "55P03").await).await;
    holder.rollback().await.unwrap();
    shown
}

async fn service_disk_full(world: &World, time: Duration) -> bool {
    spell::fake_a_full_disk(&world.database).await;
    let insert = "insert into payment.ledger (saga_id, op, customer, amount)
        values (gen_random_uuid(), 'authorize', 'c', 0)";
    let shown = lasts(time, async || fails(world, insert, "53100").await).await;
    spell::end_a_faked_full_disk(&world.database).await;
    shown
}

/// Whether a statement of the test's own fails with this code; nothing of it stays.
async fn fails(world: &World, statement: &str, code: &str) -> bool {
    let mut session = PgConnection::connect(&world.database).await.unwrap();
    session.execute("set lock_timeout = '200ms'").await.unwrap();
    let mut attempt = session.begin().await.unwrap();
    let failed = attempt.execute(AssertSqlSafe(statement.to_owned())).await.err();
    attempt.rollback().await.unwrap();
    failed.is_some_and(|error| has(&error, code))
}

fn has(error: &sqlx::Error, code: &str) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|found| found == code)
}

/// All sessions end, and new ones are refused.
async fn refused(world: &World, time: Duration, [begin, end]: [&str; 2], code: &str) -> bool {
    let alter = async |what: &str| {
        spell::command(&world.database, &[&format!("alter role {LOGIN} {what}")]).await;
    };
    alter(begin).await;
    terminate(world).await;
    let shown = lasts(time, async || {
        let refused = world.ask_as_they_do("select 1::bigint").await.err();
        refused.is_some_and(|error| has(&error, code))
    })
    .await;
    alter(end).await;
    shown
}

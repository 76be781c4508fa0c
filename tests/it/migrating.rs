//! Bringing schemas up to date: by many at once, whatever the server is set to, and with a sentence where it
//! cannot be done.

use amends_postgres::{Database, Participant, Right};
use futures_util::future::join_all;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::support::{self, Shop};

/// A server with a database, and the owner's session in it.
async fn database() -> (support::Fresh, PgConnection, Database) {
    let postgres = support::postgres().await;
    let owner = PgConnection::connect(&postgres.url).await.unwrap();
    let database = support::database(&postgres.url);
    (postgres, owner, database)
}

async fn number(owner: &mut PgConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(owner).await.unwrap()
}

/// The key of the advisory lock that sqlx's migrator takes in the database `amends`: CRC-32 of its name.
fn key_of_the_migrator() -> i64 {
    let crc = b"amends".iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 }
        })
    });
    0x3d32_ad9e * i64::from(!crc)
}

#[tokio::test]
async fn many_programs_migrate_at_once() {
    let (_postgres, mut owner, database) = database().await;
    let at_once = (0..6).map(|_| async {
        amends_orchestrator::migrate(&database).await.unwrap();
        amends_workers::migrate(&database).await.unwrap();
    });
    join_all(at_once).await;
    for (list, folder) in [
        ("select count(*) from amends._migrations", "migrations/orchestrator"),
        ("select count(*) from amends_barrier._migrations", "migrations/participant"),
    ] {
        let files = std::fs::read_dir(support::repository().join(folder)).unwrap().count();
        assert_eq!(number(&mut owner, list).await, i64::try_from(files).unwrap(), "{list}");
    }
}

/// Its rights are made good each time, by one program after the other.
#[tokio::test]
async fn many_programs_find_it_migrated_at_once() {
    let (_postgres, mut owner, database) = database().await;
    amends_orchestrator::migrate(&database).await.unwrap();
    owner.execute("drop owned by amends_viewer; drop role amends_viewer").await.unwrap();
    for _ in 0..5 {
        let at_once = (0..6).map(|_| amends_orchestrator::migrate(&database));
        join_all(at_once).await.into_iter().collect::<Result<Vec<_>, _>>().unwrap();
    }
    let granted =
        "select count(*) where has_table_privilege('amends_viewer', 'amends.sagas', 'select')";
    assert_eq!(number(&mut owner, granted).await, 1);
}

/// A partition may not come or go between the list of all tables and their grants.
#[tokio::test]
async fn rights_are_made_good_when_no_partition_is_made() {
    let (postgres, mut owner, database) = database().await;
    amends_orchestrator::migrate(&database).await.unwrap();
    let mut maker = PgConnection::connect(&postgres.url).await.unwrap();
    maker.execute("begin; select amends.make_periods('1 day')").await.unwrap();
    let migrating = tokio::spawn(async move { amends_orchestrator::migrate(&database).await });
    support::eventually("a migration that waits", async || {
        let waiting = "select count(*) from pg_stat_activity
            where wait_event_type = 'Lock' and query like '%amends_viewer%'";
        (number(&mut owner, waiting).await == 1).then_some(())
    })
    .await;
    maker.execute("commit").await.unwrap();
    migrating.await.unwrap().unwrap();
}

/// A login that may not make a schema serves a service that has no tables.
#[tokio::test]
async fn a_service_without_tables_has_a_list_without_rows() {
    static NONE: sqlx::migrate::Migrator = sqlx::migrate::Migrator::DEFAULT;
    let (postgres, mut owner, database) = database().await;
    amends_workers::migrate(&database).await.unwrap();
    amends_workers::migrate_schema(&database, "bell", &NONE).await.unwrap();
    owner.execute("create role bell login").await.unwrap();
    let right = Right::Participant(Participant {
        service: Some("bell".into()),
        schema: Some("bell".into()),
        subjects: None,
    });
    right.grant(&database, "bell").await.unwrap();
    let database = support::database(&postgres.url.replace("amends@", "bell@"));
    amends_workers::migrate(&database).await.unwrap();
    amends_workers::migrate_schema(&database, "bell", &NONE).await.unwrap();
}

/// Any login may take the lock that the migrator of sqlx takes.
#[tokio::test]
async fn an_advisory_lock_of_others_does_not_hold_up_a_migration() {
    let (_postgres, mut owner, database) = database().await;
    let taken = "select pg_advisory_lock($1)";
    sqlx::query(taken).bind(key_of_the_migrator()).execute(&mut owner).await.unwrap();
    // Waiting for it would end here.
    owner.execute("alter database amends set lock_timeout = '2s'").await.unwrap();
    amends_orchestrator::migrate(&database).await.unwrap();
    amends_workers::migrate(&database).await.unwrap();
}

/// What a role or database sets for the statements of its usual programs does not break a migration.
#[tokio::test]
async fn a_migration_has_time_limits_of_its_own() {
    let (_postgres, mut owner, database) = database().await;
    for (setting, limit) in [
        ("statement_timeout", "1ms"),
        ("lock_timeout", "1ms"),
        ("idle_in_transaction_session_timeout", "1ms"),
    ] {
        let set = format!("alter database amends set {setting} = '{limit}'");
        owner.execute(AssertSqlSafe(set)).await.unwrap();
    }
    amends_orchestrator::migrate(&database).await.unwrap();
    amends_workers::migrate(&database).await.unwrap();
}

/// A program that starts again finds nothing to do, and so needs neither a right nor a database that can be
/// written to.
#[tokio::test]
async fn a_schema_that_is_up_to_date_is_only_read() {
    let (postgres, mut owner, database) = database().await;
    amends_orchestrator::migrate(&database).await.unwrap();
    amends_workers::migrate(&database).await.unwrap();
    owner
        .execute(
            "create role service login; alter role service set default_transaction_read_only = on;
        grant usage on schema amends, amends_barrier to service;
        grant select on amends._migrations, amends_barrier._migrations to service",
        )
        .await
        .unwrap();
    let url = postgres.url.replace("amends@", "service@");
    let database = support::database(&url);
    amends_orchestrator::migrate(&database).await.unwrap();
    amends_workers::migrate(&database).await.unwrap();
}

/// Each way to come to a database that cannot hold every text ends with the same sentence.
#[tokio::test]
async fn an_encoding_that_is_not_utf8_is_told() {
    let shop = Shop::closed().await;
    let sql = "create database old encoding 'LATIN1' template template0";
    shop.pool.execute(sql).await.unwrap();
    let url = format!("{}/old", shop.local.database_url().rsplit_once('/').unwrap().0);
    let ways: [&[&str]; 4] = [
        &["migrate", "--database-url", &url],
        &["migrate", "--participant", &url],
        &["orchestrator", "--database-url", &url],
        &["worker", "payment", "--database-url", &url],
    ];
    for way in ways {
        let output = shop.run(way).await;
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{way:?}: {error}");
        let told = error.lines().last().unwrap();
        assert!(
            told.contains("the database has the encoding LATIN1, and Amends needs UTF8"),
            "{way:?}: {told}"
        );
    }
}

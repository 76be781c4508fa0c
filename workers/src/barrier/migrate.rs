//! Bringing a service's database up to date.

use sqlx::{
    Connection, Executor, PgPool,
    migrate::{MigrateError, Migrator},
};

static BARRIER: Migrator = sqlx::migrate!("../migrations/participant");

/// Creates the barrier in a service's database, or brings it up to date. Safe to call from many
/// processes at once. The role needs `create` on the database.
///
/// # Errors
/// The database's, or a migration that was changed after it had been applied.
pub async fn migrate(pool: &PgPool) -> Result<(), MigrateError> {
    migrate_schema(pool, "amends_barrier", &BARRIER).await
}

/// Applies migrations that belong to one schema, and keeps the list of what was applied in it
/// (`<schema>._migrations`), so that several services can share a database. Migrations that only a
/// newer version knows are left alone: during a rolling deploy the older one starts as well.
///
/// # Errors
/// The database's, or a migration that was changed after it had been applied.
pub async fn migrate_schema(
    pool: &PgPool,
    schema: &'static str,
    migrations: &Migrator,
) -> Result<(), MigrateError> {
    let mut migrator = Migrator::with_migrations(migrations.migrations.to_vec());
    migrator.dangerous_set_table_name(format!("{schema}._migrations"));
    migrator.create_schema(schema);
    migrator.set_ignore_missing(true);
    // The migrator's lock belongs to the session and stays held after an error: a connection of its
    // own, not one that goes back to the pool. `create schema` runs under that lock, too.
    let mut connection = pool.acquire().await?.detach();
    // "already exists, skipping" is no news.
    connection.execute("set client_min_messages = warning").await?;
    let done = migrator.run_direct(None, &mut connection, false).await;
    connection.close().await.ok();
    done
}

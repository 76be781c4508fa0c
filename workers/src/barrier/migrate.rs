//! Bringing a service's database up to date.

use amends_postgres::Database;
use sqlx::{
    Connection as _, Executor as _,
    migrate::{MigrateError, Migrator},
};

/// Why a schema was not brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// A migration that it was made by is not the one that this program has under that number.
    #[error(
        "the schema `{0}` was made by other migrations than this program's, and cannot be brought up to date: take another database, or drop the schema with all that is in it (`drop schema {0} cascade`), and migrate again"
    )]
    Other(&'static str),
    /// Postgres refuses.
    #[error(transparent)]
    Failed(#[from] MigrateError),
}

static BARRIER: Migrator = sqlx::migrate!("../migrations/participant");

/// Creates the barrier in a service's database, or brings it up to date. Safe to call from many
/// processes at once. The role needs `create` on the database.
///
/// # Errors
/// The database's, or a migration that was changed after it had been applied.
pub async fn migrate(database: &Database) -> Result<(), MigrationError> {
    migrate_schema(database, "amends_barrier", &BARRIER).await
}

/// Applies migrations that belong to one schema, and keeps the list of what was applied in it
/// (`<schema>._migrations`), so that several services can share a database. Migrations that only a
/// newer version knows are left alone: during a rolling deploy the older one starts as well.
///
/// # Errors
/// The database's, or a migration that was changed after it had been applied.
pub async fn migrate_schema(
    database: &Database,
    schema: &'static str,
    migrations: &Migrator,
) -> Result<(), MigrationError> {
    let mut migrator = Migrator::with_migrations(migrations.migrations.to_vec());
    migrator.dangerous_set_table_name(format!("{schema}._migrations"));
    migrator.create_schema(schema);
    migrator.set_ignore_missing(true);
    // The migrator's lock belongs to the session and stays held after an error: a session of its own.
    // `create schema` runs under that lock, too.
    let mut connection = database.fresh().await.map_err(MigrateError::from)?;
    // "already exists, skipping" is no news.
    let quiet = connection.execute("set client_min_messages = warning").await;
    quiet.map_err(MigrateError::from)?;
    let done = migrator.run_direct(None, &mut connection, false).await;
    connection.close().await.ok();
    done.map_err(|error| match error {
        MigrateError::VersionMismatch(_) => MigrationError::Other(schema),
        error => error.into(),
    })
}

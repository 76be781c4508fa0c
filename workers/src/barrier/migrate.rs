//! Bringing a service's database up to date.

pub use amends_postgres::MigrationError;
use amends_postgres::{Database, PARTICIPANT, Schema};
use sqlx::migrate::Migrator;

/// Creates the barrier in a service's database, or brings it up to date. Safe to call from many
/// processes at once. To create it the role needs `create` on the database.
///
/// # Errors
/// The database's, or a migration that was changed after it had been applied.
pub async fn migrate(database: &Database) -> Result<(), MigrationError> {
    PARTICIPANT.migrate(database).await
}

/// Applies migrations that belong to one schema, and keeps the list of what was applied in it
/// (`<schema>._migrations`), so that several services can share a database. Migrations that only a
/// newer version knows are left alone: during a rolling deploy the older one starts as well.
///
/// ```no_run
/// # use amends_workers::{Database, MigrationError, migrate, migrate_schema};
/// # use sqlx::migrate::Migrator;
/// // In a package: sqlx::migrate!("./migrations")
/// static MIGRATIONS: Migrator = Migrator::DEFAULT;
///
/// async fn bring_up_to_date(database: &Database) -> Result<(), MigrationError> {
///     migrate(database).await?; // the barrier and the outbox
///     migrate_schema(database, "hotel", &MIGRATIONS).await // the service's own tables
/// }
/// ```
///
/// # Errors
/// The database's, or a migration that was changed after it had been applied.
pub async fn migrate_schema(
    database: &Database,
    schema: &str,
    migrations: &Migrator,
) -> Result<(), MigrationError> {
    Schema::new(schema, migrations).migrate(database).await
}

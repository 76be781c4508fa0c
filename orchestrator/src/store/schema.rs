//! Which version of the schema `amends` is there, and which one this program needs.

use amends_postgres::Database;
use sqlx::migrate::{AppliedMigration, Migrate as _, MigrateError, Migrator};

use super::Store;

/// Where the versions that were applied are noted.
const APPLIED: &str = "amends._migrations";

fn migrations() -> Migrator {
    let mut migrator = sqlx::migrate!("../migrations/orchestrator");
    migrator.create_schema("amends");
    migrator.dangerous_set_table_name(APPLIED);
    migrator
}

/// Creates or updates the orchestrator's schema `amends`. Several may do it at once; idempotent.
///
/// # Errors
/// When Postgres refuses, or the schema is newer than this program, or of other migrations.
pub async fn migrate(database: &Database) -> Result<(), MigrationError> {
    // The migrator's lock belongs to the session, and stays held after an error: a session of its own.
    let mut session = database.fresh().await.map_err(MigrateError::from)?;
    migrations().run(&mut session).await.map_err(|error| match error {
        MigrateError::VersionMismatch(_) => MigrationError::Other,
        error => error.into(),
    })
}

/// What is to be done where the migrations that made the schema are not those of this program.
const OTHER: &str = "the schema `amends` was made by other migrations than this program's, and cannot be brought up to date: take another database, or drop the schema with all of its sagas (`drop schema amends cascade`), and run `amends migrate`";

/// Why the schema was not brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// A migration that it was made by is not the one that this program has under that number.
    #[error("{OTHER}")]
    Other,
    /// Postgres refuses, or the schema is newer.
    #[error(transparent)]
    Failed(#[from] MigrateError),
}

/// Why this program cannot work with the schema that is there.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// It is not there.
    #[error("the schema `amends` is not there: run `amends migrate` against this database")]
    Missing,
    /// It lacks migrations.
    #[error(
        "the schema `amends` has version {found}, and this program needs {needed}: run `amends migrate` of this program against this database"
    )]
    Old {
        /// The version in the database.
        found: i64,
        /// The version that this program brings along.
        needed: i64,
    },
    /// A migration that it was made by is not the one that this program has under that number.
    #[error("{OTHER}")]
    Other,
    /// Postgres is not there.
    #[error("Postgres does not answer: {0}")]
    Unavailable(#[source] MigrateError),
}

impl Store {
    /// Checks that the schema has all that this program needs. A newer one has more: migrations only
    /// add, so that old and new replicas run side by side, and a deploy can be taken back.
    ///
    /// # Errors
    /// [`SchemaError`].
    pub(crate) async fn check_schema(&self) -> Result<(), SchemaError> {
        let applied = self.applied().await.map_err(|error| match &error {
            MigrateError::Execute(refusal) if is_not_migrated(refusal) => SchemaError::Missing,
            _ => SchemaError::Unavailable(error),
        })?;
        let ours = migrations();
        let differs = |found: &AppliedMigration| {
            ours.iter().any(|m| m.version == found.version && m.checksum != found.checksum)
        };
        if applied.iter().any(differs) {
            return Err(SchemaError::Other);
        }
        let needed = ours.iter().map(|m| m.version).max().unwrap_or(0);
        match applied.iter().map(|m| m.version).max() {
            None => Err(SchemaError::Missing),
            Some(found) if found < needed => Err(SchemaError::Old { found, needed }),
            Some(found) => {
                if found > needed {
                    tracing::warn!(found, needed, "the schema `amends` is newer than this program");
                }
                Ok(())
            }
        }
    }

    async fn applied(&self) -> Result<Vec<AppliedMigration>, MigrateError> {
        let mut connection = self.database.session().await?;
        let applied = connection.list_applied_migrations(APPLIED).await?;
        connection.give_back();
        Ok(applied)
    }
}

/// Whether a statement failed because `amends migrate` has not run, or not lately, against this
/// database: the schema `amends`, or a table, view or function of it, is not there.
#[must_use]
pub fn is_not_migrated(error: &sqlx::Error) -> bool {
    let Some(refusal) = error.as_database_error() else { return false };
    lacks_schema(&refusal.code().unwrap_or_default(), refusal.message())
}

/// Postgres names what it misses in its message only.
fn lacks_schema(code: &str, message: &str) -> bool {
    match code {
        // invalid schema name
        "3F000" => message.contains("\"amends\""),
        // undefined table, undefined function
        "42P01" | "42883" => message.contains("amends."),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_in_the_schema_is_blamed_on_it() {
        let cases = [
            ("3F000", r#"schema "amends" does not exist"#, true),
            ("42P01", r#"relation "amends.sagas" does not exist"#, true),
            ("42883", "function amends.pause(uuid, text) does not exist", true),
            ("3F000", r#"schema "inventory" does not exist"#, false),
            ("42P01", r#"relation "inventory.ledger" does not exist"#, false),
            ("42501", "permission denied for table amends.saga", false),
        ];
        for (code, message, blamed) in cases {
            assert_eq!(lacks_schema(code, message), blamed, "{message}");
        }
    }
}

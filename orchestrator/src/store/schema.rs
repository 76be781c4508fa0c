//! Which version of the schema `amends` is there, and which one this program needs.

use amends_postgres::{Applied, Database, MigrationError, ORCHESTRATOR, has_code};
use sqlx::migrate::MigrateError;

use super::Store;

/// Creates or updates the orchestrator's schema `amends`. Several may do it at once; idempotent.
///
/// # Errors
/// When Postgres refuses, or the schema is of other migrations.
pub async fn migrate(database: &Database) -> Result<(), MigrationError> {
    ORCHESTRATOR.migrate(database).await
}

/// Why this program cannot work with the schema that is there.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// It is not there.
    #[error(
        "the schema `amends` is not there: run `migrate` of this program against this database"
    )]
    Missing,
    /// It lacks migrations.
    #[error(
        "the schema `amends` has version {found}, and this program needs {needed}: run `migrate` of this program against this database"
    )]
    Old {
        /// The version in the database.
        found: i64,
        /// The version that this program brings along.
        needed: i64,
    },
    /// A migration that it was made by is not the one that this program has under that number.
    #[error("{}", amends_postgres::other("amends"))]
    Other,
    /// The login may not read it.
    #[error("its login has no right to the schema `amends`")]
    Denied(#[source] MigrationError),
    /// Postgres is not there.
    #[error("Postgres does not answer: {0}")]
    Unavailable(#[source] MigrationError),
}

impl Store {
    /// Checks that the schema has all that this program needs. A newer one has more: migrations only
    /// add, so that old and new replicas run side by side, and a deploy can be taken back.
    ///
    /// # Errors
    /// [`SchemaError`].
    pub(crate) async fn check_schema(&self) -> Result<(), SchemaError> {
        let needed = ORCHESTRATOR.version();
        match self.applied().await {
            Ok(Applied::All) => Ok(()),
            Ok(Applied::Newer(found)) => {
                tracing::warn!(found, needed, "the schema `amends` is newer than this program");
                Ok(())
            }
            Ok(Applied::Nothing) => Err(SchemaError::Missing),
            Ok(Applied::Old(found)) => Err(SchemaError::Old { found, needed }),
            Ok(Applied::Other) => Err(SchemaError::Other),
            Err(MigrationError::Failed(MigrateError::Execute(error))) if is_denied(&error) => {
                Err(SchemaError::Denied(error.into()))
            }
            Err(error) => Err(SchemaError::Unavailable(error)),
        }
    }

    async fn applied(&self) -> Result<Applied, MigrationError> {
        let mut session = self.database.session().await?;
        let applied = ORCHESTRATOR.applied(&mut session).await?;
        session.give_back();
        Ok(applied)
    }
}

/// Whether a statement failed because the login lacks a right: insufficient privilege.
pub(super) fn is_denied(error: &sqlx::Error) -> bool {
    has_code(error, &["42501"])
}

/// Whether a statement failed because `migrate` has not run, or not lately, against this
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

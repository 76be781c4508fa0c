//! The schemas of orchestrator and participants, and how a schema is brought up to date: by one program at a
//! time, on a server that can hold it.

use std::sync::LazyLock;

use sqlx::{
    AssertSqlSafe, Connection as _, Error, Executor as _, PgConnection,
    migrate::{AppliedMigration, Migrate as _, MigrateError, Migrator},
};

use crate::{Database, class::has_code, connector::set};

/// What the orchestrator keeps.
pub static ORCHESTRATOR: LazyLock<Schema> = LazyLock::new(|| Schema {
    repeated: Some(ROLES),
    ..Schema::new("amends", &sqlx::migrate!("./orchestrator"))
});

/// Makes the roles where it may, and grants each that is there what it needs. Roles are the cluster's: one may
/// be dropped, or come later than the migration.
const ROLES: &str = include_str!("../orchestrator/0009_roles.sql");

/// The barrier and the outbox, in each service's database.
pub static PARTICIPANT: LazyLock<Schema> =
    LazyLock::new(|| Schema::new("amends_barrier", &sqlx::migrate!("./participant")));

/// What bounds a migration, whatever role and database have set. "Already exists, skipping" is no news.
pub(crate) const SETTINGS: [(&str, &str); 4] = [
    ("statement_timeout", "10min"),
    // A statement that holds a lock for longer is not waited for: others would wait behind.
    ("lock_timeout", "1min"),
    ("idle_in_transaction_session_timeout", "1min"),
    ("client_min_messages", "warning"),
];

/// Of the session that keeps other programs out meanwhile: it idles, and waits for them.
const GUARD: [(&str, &str); 3] = [
    ("statement_timeout", "10min"),
    ("lock_timeout", "10min"),
    ("idle_in_transaction_session_timeout", "1h"),
];

/// From Postgres 17 on there is one more, which is no setting before.
const NO_TRANSACTION_TIMEOUT: &str = "select set_config('transaction_timeout', '0', false)
    where current_setting('server_version_num')::integer >= 170000";

/// A schema, and the migrations that make it. The list of those that were applied is in the schema, so that
/// several can share a database.
#[derive(Debug)]
pub struct Schema {
    name: String,
    migrations: Migrator,
    /// What its owner runs again at each migration.
    repeated: Option<&'static str>,
}

/// Why a schema was not brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// A migration that it was made by is not the one that this program has under that number.
    #[error("{}", other(.0))]
    Other(String),
    /// Postgres refuses.
    #[error(transparent)]
    Failed(#[from] MigrateError),
}

impl From<Error> for MigrationError {
    fn from(error: Error) -> Self {
        Self::Failed(error.into())
    }
}

/// How much of a schema is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// Nothing.
    Nothing,
    /// Migrations up to this number, and this program brings more.
    Old(i64),
    /// All.
    All,
    /// All, and migrations of a newer program up to this number.
    Newer(i64),
    /// A migration that it was made by is not the one that this program has under that number.
    Other,
}

/// What is to be done about a schema that other migrations have made.
#[must_use]
pub fn other(schema: &str) -> String {
    format!(
        "the schema `{schema}` was made by other migrations than this program's, and cannot be brought up to date: take another database, or drop the schema with all that is in it (`drop schema {schema} cascade`), and migrate again"
    )
}

impl Schema {
    /// A schema of this name, which these migrations make.
    #[must_use]
    pub fn new(name: &str, migrations: &Migrator) -> Self {
        let mut migrator = Migrator::with_migrations(migrations.migrations.to_vec());
        migrator.dangerous_set_table_name(list(name));
        // During a rolling deploy the older program starts as well.
        migrator.set_ignore_missing(true);
        // Its lock is one that any login may take.
        migrator.set_locking(false);
        Self { name: name.to_owned(), migrations: migrator, repeated: None }
    }

    /// The number of the last migration.
    #[must_use]
    pub fn version(&self) -> i64 {
        self.migrations.iter().map(|migration| migration.version).max().unwrap_or(0)
    }

    /// How much of it is there.
    ///
    /// # Errors
    /// The database's.
    pub async fn applied(&self, connection: &mut PgConnection) -> Result<Applied, MigrationError> {
        match connection.list_applied_migrations(&list(&self.name)).await {
            Ok(found) => Ok(self.compared(&found)),
            Err(MigrateError::Execute(refusal)) if has_code(&refusal, &MISSING) => {
                Ok(Applied::Nothing)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn compared(&self, found: &[AppliedMigration]) -> Applied {
        let differs = |found: &AppliedMigration| {
            let same_number = self.migrations.iter().find(|m| m.version == found.version);
            same_number.is_some_and(|ours| ours.checksum != found.checksum)
        };
        if found.iter().any(differs) {
            return Applied::Other;
        }
        let needed = self.version();
        match found.iter().map(|m| m.version).max() {
            // A service may have no tables: then its list is all that there is.
            None if needed == 0 => Applied::All,
            None => Applied::Nothing,
            Some(found) if found < needed => Applied::Old(found),
            Some(found) if found > needed => Applied::Newer(found),
            Some(_) => Applied::All,
        }
    }

    /// Makes it, or brings it up to date. Many may do it at once: the first makes it, and the others find it
    /// made. Where nothing is to be done nothing is written; only the owner of the schema `amends` makes the
    /// rights of its roles good.
    ///
    /// # Errors
    /// [`MigrationError`].
    pub async fn migrate(&self, database: &Database) -> Result<(), MigrationError> {
        let mut connection = session(database, &SETTINGS).await?;
        let done = self.bring_up_to_date(database, &mut connection).await;
        connection.close().await.ok();
        done
    }

    async fn bring_up_to_date(
        &self,
        database: &Database,
        connection: &mut PgConnection,
    ) -> Result<(), MigrationError> {
        match self.applied(connection).await? {
            // A newer program knows better what is to be repeated.
            Applied::Newer(_) => Ok(()),
            Applied::Other => Err(MigrationError::Other(self.name.clone())),
            Applied::All => self.repeat(connection).await,
            Applied::Nothing => {
                self.make_list(connection).await?;
                self.apply(database, connection).await
            }
            Applied::Old(_) => {
                self.apply(database, connection).await?;
                self.repeat(connection).await
            }
        }
    }

    /// Runs again what is to be repeated, if the schema is this login's.
    async fn repeat(&self, connection: &mut PgConnection) -> Result<(), MigrationError> {
        const OWNS: &str =
            "select pg_has_role(nspowner, 'usage') from pg_namespace where nspname = $1";
        let Some(statements) = self.repeated else { return Ok(()) };
        if sqlx::query_scalar(OWNS).bind(&self.name).fetch_one(&mut *connection).await? {
            let alone = self.alone();
            connection.execute(AssertSqlSafe(format!("{alone}; {statements}; commit"))).await?;
        }
        Ok(())
    }

    /// Makes the schema, and the list in it. `if not exists` fails where another program makes it at the same
    /// time; then it is there.
    async fn make_list(&self, connection: &mut PgConnection) -> Result<(), MigrationError> {
        let there = |made| match made {
            Err(MigrateError::Execute(refusal)) if has_code(&refusal, &THERE) => Ok(()),
            made => made,
        };
        there(connection.create_schema_if_not_exists(&self.name).await)?;
        Ok(there(connection.ensure_migrations_table(&list(&self.name)).await)?)
    }

    /// Applies what is missing, each migration in a transaction of its own.
    async fn apply(
        &self,
        database: &Database,
        connection: &mut PgConnection,
    ) -> Result<(), MigrationError> {
        let mut guard = session(database, &GUARD).await?;
        guard.execute(AssertSqlSafe(self.alone())).await?;
        let done = self.migrations.run_direct(None, connection, false).await;
        guard.close().await.ok();
        done.map_err(|error| match error {
            MigrateError::VersionMismatch(_) => MigrationError::Other(self.name.clone()),
            error => error.into(),
        })
    }

    /// Begins a transaction that keeps other programs from changing the schema. Its lock is of the list's table:
    /// who may not write to that may not take it.
    pub(crate) fn alone(&self) -> String {
        format!("begin; lock table {} in share update exclusive mode", list(&self.name))
    }
}

/// A session of its own: its settings are not for others. They stand above those of role and database.
pub(crate) async fn session(
    database: &Database,
    settings: &[(&str, &str)],
) -> Result<PgConnection, Error> {
    let mut session = database.fresh().await?;
    session.execute(AssertSqlSafe(set(settings))).await?;
    session.execute(NO_TRANSACTION_TIMEOUT).await?;
    Ok(session)
}

/// Where the migrations of a schema that were applied are noted.
fn list(schema: &str) -> String {
    format!("{schema}._migrations")
}

/// undefined table, invalid schema name
const MISSING: [&str; 2] = ["42P01", "3F000"];

/// unique violation, duplicate schema, table, object
const THERE: [&str; 4] = ["23505", "42P06", "42P07", "42710"];

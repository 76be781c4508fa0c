//! The servers that are measured with.

use amends_app::{During as _, Failed, NatsSettings, Settings, connect, local::Local};
use amends_postgres::Database;

/// Where they are.
pub(crate) struct Servers {
    pub(crate) settings: Settings,
    /// Their processes, if they are on this machine and ours.
    pub(crate) pids: Vec<(&'static str, u32)>,
}

impl Servers {
    /// Those that the settings name.
    pub(crate) fn external(settings: &Settings) -> Self {
        Self { settings: settings.clone(), pids: Vec::new() }
    }

    /// Private ones, which run; Postgres counts statements from now on, if it can.
    pub(crate) async fn private(local: &mut Local, settings: &Settings) -> Result<Self, Failed> {
        count_statements(local).await?;
        let pids = [("postgres", local.postgres.pid()), ("nats-server", local.nats.pid())];
        let settings = Settings {
            database_url: Some(local.database_url().to_owned()),
            nats: NatsSettings::at(local.nats_url()),
            ..settings.clone()
        };
        let pids = pids.into_iter().filter_map(|(name, pid)| Some((name, pid?))).collect();
        Ok(Self { settings, pids })
    }
}

/// Loads `pg_stat_statements`, if this Postgres has it.
async fn count_statements(local: &mut Local) -> Result<(), Failed> {
    let database = connect::database(local.database_url(), 1, &[])?;
    let has = sqlx::query("select from pg_available_extensions where name = 'pg_stat_statements'")
        .fetch_optional(&database)
        .await
        .during("Postgres' extensions")?;
    if has.is_none() {
        return Ok(());
    }
    execute(&database, "alter system set shared_preload_libraries = 'pg_stat_statements'").await?;
    database.close();
    local.postgres.restart().await.during("Postgres cannot be restarted")?;
    let database = connect::database(local.database_url(), 1, &[])?;
    execute(&database, "create extension if not exists pg_stat_statements").await?;
    database.close();
    Ok(())
}

/// Runs a statement that returns nothing, on a connection without a transaction.
pub(crate) async fn execute(database: &Database, sql: &'static str) -> Result<(), Failed> {
    sqlx::raw_sql(sql).execute(database).await.map(drop).during(sql)
}

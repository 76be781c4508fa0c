//! Schemas brought up to date.

use std::time::Duration;

use amends_postgres::Database;

use super::{connect, shutdown::stop_on_signal};
use crate::{
    failed::{During as _, Failed},
    program::Program,
    settings::Settings,
};

const CONNECTIONS: u32 = 2;

/// How long a command that is run once waits for Postgres: long enough for a server that starts
/// beside it, short enough that a deployment which waits for it learns of the trouble.
const PATIENCE: Duration = Duration::from_secs(60);

/// `migrate`: the orchestrator's schema, or the barrier in a participant's database.
pub(crate) async fn run(settings: &Settings, participant: Option<&str>) -> Result<(), Failed> {
    let stop = stop_on_signal()?;
    let url = match participant {
        Some(url) => url,
        None => settings.database()?,
    };
    let database = connect::postgres(url, CONNECTIONS, &[], Some(PATIENCE), &stop).await?;
    let database = database.ok_or_else(|| Failed::new("stopped before Postgres answered"))?;
    if participant.is_some() {
        amends_workers::migrate(&database).await.during("the barrier cannot be installed")?;
        tracing::info!("the schema `amends_barrier` is up to date");
    } else {
        amends_orchestrator::migrate(&database).await.during("the schema cannot be migrated")?;
        tracing::info!("the schema `amends` is up to date");
    }
    database.close();
    Ok(())
}

/// Brings all schemas of a program up to date in one database, and puts first data into it.
///
/// # Errors
/// The database's.
pub async fn prepare(program: &Program, database: &Database) -> Result<(), Failed> {
    amends_orchestrator::migrate(database).await.during("the schema cannot be migrated")?;
    for service in &program.services {
        service.migrate(database).await?;
    }
    (program.first_data)(database.clone()).await
}

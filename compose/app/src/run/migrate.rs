//! Schemas brought up to date.

use std::time::Duration;

use amends_postgres::Database;
use tokio_util::sync::CancellationToken;

use super::{connect, shutdown::stop_on_signal};
use crate::{
    app::App,
    failed::{During as _, Failed},
    settings::Settings,
};

const CONNECTIONS: u32 = 2;

/// How long a command that is run once waits for Postgres: long enough for a server that starts
/// beside it, short enough that a deployment which waits for it learns of the trouble.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is to be brought up to date.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// The orchestrator's schema.
    Orchestrator,
    /// That, and the databases of all services of the program.
    All,
    /// The barrier in the database of this URL.
    Participant(String),
}

/// `migrate`.
pub(crate) async fn run(settings: &Settings, app: &App, target: Target) -> Result<(), Failed> {
    let stop = stop_on_signal()?;
    if let Target::Participant(url) = &target {
        let database = connected(url, &stop).await?;
        amends_workers::migrate(&database).await.during("the barrier cannot be installed")?;
        database.close();
        tracing::info!("the schema `amends_barrier` is up to date");
        return Ok(());
    }
    let database = connected(settings.database()?, &stop).await?;
    amends_orchestrator::migrate(&database).await.during("the schema cannot be migrated")?;
    database.close();
    tracing::info!("the schema `amends` is up to date");
    if matches!(target, Target::All) {
        for service in app.services() {
            let database = connected(&settings.database_of(service.name())?, &stop).await?;
            service.migrate(&database).await?;
            database.close();
            tracing::info!(service = service.name(), "the service's schema is up to date");
        }
    }
    Ok(())
}

async fn connected(url: &str, stop: &CancellationToken) -> Result<Database, Failed> {
    let database = connect::postgres(url, CONNECTIONS, &[], Some(PATIENCE), stop).await?;
    database.ok_or_else(|| Failed::new("stopped before Postgres answered"))
}

/// Brings all schemas of a program up to date in one database, and puts first data into it.
///
/// # Errors
/// The database's.
pub async fn prepare(app: &App, database: &Database) -> Result<(), Failed> {
    amends_orchestrator::migrate(database).await.during("the schema cannot be migrated")?;
    for service in app.services() {
        service.migrate(database).await?;
    }
    app.fill(database).await
}

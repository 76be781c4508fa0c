//! Schemas brought up to date, and what is granted in them.

use std::time::Duration;

use amends_postgres::Database;
use tokio_util::sync::CancellationToken;

use super::{
    connect,
    grant::{self, Asked, Grants},
    shutdown::stop_on_signal,
};
use crate::{
    app::App,
    failed::{During as _, Failed},
    plain_text,
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
pub(crate) async fn run(
    settings: &Settings,
    app: &App,
    target: Target,
    asked: Asked,
) -> Result<(), Failed> {
    let stop = stop_on_signal()?;
    if let Target::Participant(url) = &target {
        settings.permit(plain_text::of_database(url))?;
        return participant(url, asked, &stop).await;
    }
    let database = connected(settings.database()?, &stop).await?;
    // A wrong name is told before anything is done.
    let grants = Grants::of(app, &database, asked).await?;
    amends_orchestrator::migrate(&database).await.during("the schema cannot be migrated")?;
    tracing::info!("the schema `amends` is up to date");
    grant::carry_out(&database, &grants.here).await?;
    database.close();
    for service in app.services() {
        let its = grants.for_service(service.name(), &service.schema());
        // What is not there cannot be granted.
        if matches!(target, Target::All) || !its.is_empty() {
            let database = connected(&settings.database_of(service.name())?, &stop).await?;
            service.migrate(&database).await?;
            tracing::info!(service = service.name(), "the service's schema is up to date");
            grant::carry_out(&database, &its).await?;
            database.close();
        }
    }
    Ok(())
}

async fn participant(url: &str, asked: Asked, stop: &CancellationToken) -> Result<(), Failed> {
    let database = connected(url, stop).await?;
    let grants = grant::of_participant(&database, asked).await?;
    amends_workers::migrate(&database).await.during("the barrier cannot be installed")?;
    tracing::info!("the schema `amends_barrier` is up to date");
    grant::carry_out(&database, &grants).await?;
    database.close();
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

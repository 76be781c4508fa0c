//! Schemas brought up to date.

use std::time::Duration;

use sqlx::PgPool;

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
    let pool = connect::postgres(url, CONNECTIONS, &[], Some(PATIENCE), &stop).await?;
    let pool = pool.ok_or_else(|| Failed::new("stopped before Postgres answered"))?;
    if participant.is_some() {
        amends_workers::migrate(&pool).await.during("the barrier cannot be installed")?;
        tracing::info!("the schema `amends_barrier` is up to date");
    } else {
        amends_orchestrator::migrate(&pool).await.during("the schema cannot be migrated")?;
        tracing::info!("the schema `amends` is up to date");
    }
    pool.close().await;
    Ok(())
}

/// Brings all schemas of a program up to date in one database, and puts first data into it.
///
/// # Errors
/// The database's.
pub async fn prepare(program: &Program, pool: &PgPool) -> Result<(), Failed> {
    amends_orchestrator::migrate(pool).await.during("the schema cannot be migrated")?;
    for service in &program.services {
        service.migrate(pool).await?;
    }
    (program.first_data)(pool.clone()).await
}

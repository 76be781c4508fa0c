//! `start`: a saga without a message, and waiting for its end.

use std::time::{Duration, Instant};

use amends::{
    Json, SagaId,
    machine::{Failure, Time},
    transcript::printable,
};
use amends_postgres::Database;
use serde::Serialize;
use sqlx::types::Uuid;

use super::{
    patience::{INTERVAL, PATIENCE},
    payloads,
};
use crate::{
    failed::{During as _, Failed},
    print::{print, print_json},
    run::connect,
    settings::Settings,
};

/// What to start, and how long to wait for it.
pub(crate) struct Start {
    pub(crate) definition: String,
    pub(crate) input: Json,
    pub(crate) key: Option<String>,
    pub(crate) wait: Wait,
}

/// Until when to wait for the end of a saga.
pub(crate) enum Wait {
    /// Only until it has begun.
    Begun,
    /// For as long as it takes.
    Ended,
    /// At most so long.
    AtMost(Duration),
}

/// What became of the saga, for scripts.
#[derive(Debug, Serialize)]
struct Started {
    id: Uuid,
    definition: String,
    version: i32,
    key: Option<String>,
    status: String,
    output: Option<Json>,
    /// Why a completed saga has none here.
    #[serde(skip_serializing_if = "Option::is_none")]
    hidden: Option<String>,
    error: Option<Json>,
    started_at: Time,
    finished_at: Option<Time>,
}

/// Starts a saga, and says what became of it.
pub(crate) async fn run(settings: &Settings, start: &Start, json: bool) -> Result<(), Failed> {
    let database = connect::database(settings.database()?, 1, &[])?;
    let noted =
        sqlx::query_file!("src/sql/start.sql", start.definition, start.input.as_str(), start.key)
            .fetch_one(&database)
            .await
            .during("cannot start")?
            .id;
    let id = accepted(&database, noted, start).await?;
    let mut saga = settled(&database, id, &start.wait).await?;
    if saga.status == "completed" {
        saga.hidden = payloads::hidden(&database).await?;
    }
    if json {
        print_json(&saga)?;
    } else {
        print(&render(&saga))?;
    }
    if matches!(start.wait, Wait::Begun) || saga.status == "completed" {
        return Ok(());
    }
    let why = saga.error.as_ref().and_then(|error| error.read::<Failure>().ok());
    let why = why.map(|f| told(&f)).unwrap_or_default();
    Err(Failed::new(format!("the saga is {}{}", saga.status, printable(&why))))
}

/// The parts of a failure that are there.
fn told(failure: &Failure) -> String {
    let parts = [&failure.step, &failure.code, &failure.message];
    parts.iter().filter(|part| !part.is_empty()).map(|part| format!(": {part}")).collect()
}

/// Waits until an orchestrator has decided the start; the id of the saga that began, or that has the key and
/// this input.
async fn accepted(database: &Database, noted: Uuid, start: &Start) -> Result<Uuid, Failed> {
    let began = Instant::now();
    loop {
        let now = sqlx::query_file!("src/sql/started.sql", noted)
            .fetch_one(database)
            .await
            .during("the answer cannot be read")?;
        match (now.accepted, now.saga_id) {
            (Some(true), Some(saga)) => return Ok(saga),
            (Some(_), _) => {
                return Err(Failed::new(format!("refused: {}", now.answer.unwrap_or_default())));
            }
            (None, _) => {}
        }
        if began.elapsed() > PATIENCE {
            return Err(Failed::new(format!(
                "noted, but no orchestrator has started it yet: is one running that knows `{}`? (select * from amends.starts where id = '{noted}')",
                start.definition
            )));
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn read(database: &Database, id: Uuid) -> Result<Started, Failed> {
    let row = sqlx::query_file!("src/sql/outcome.sql", id)
        .fetch_optional(database)
        .await
        .during("the saga cannot be read")?
        .ok_or_else(|| {
            Failed::new(format!("{} has this key and input, and is dropped", SagaId(id)))
        })?;
    let json = |text: String| Json::trusted(&text);
    Ok(Started {
        id,
        definition: row.definition,
        version: row.version,
        key: row.key,
        status: row.status,
        output: row.output.map(json),
        hidden: None,
        error: row.error.map(json),
        started_at: row.started_at,
        finished_at: row.finished_at,
    })
}

/// Waits until the saga has ended or is stuck, as long as is asked for.
async fn settled(database: &Database, id: Uuid, wait: &Wait) -> Result<Started, Failed> {
    let began = Instant::now();
    loop {
        let saga = read(database, id).await?;
        // Then waiting any longer is in vain.
        let settled = matches!(saga.status.as_str(), "completed" | "compensated" | "stuck");
        let over = match wait {
            Wait::Begun => true,
            Wait::Ended => false,
            Wait::AtMost(limit) => began.elapsed() >= *limit,
        };
        if settled || over {
            return Ok(saga);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

fn render(saga: &Started) -> String {
    let output = saga.output.as_ref().map(|output| format!(": {}", output.as_str()));
    let output = output.or_else(|| saga.hidden.as_ref().map(|hidden| format!("; {hidden}")));
    let line = format!("saga {} is {}{}", SagaId(saga.id), saga.status, output.unwrap_or_default());
    printable(&line) + "\n"
}

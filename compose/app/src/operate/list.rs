//! `list`: sagas as a table, or as JSON.

use std::time::Duration;

use amends::{
    machine::{Failure, Time},
    transcript::printable,
};
use amends_postgres::Database;
use serde::Serialize;
use sqlx::types::Uuid;

use super::{
    act::Act,
    known::{self, Names},
    locks::{self, Lock},
};
use crate::{
    failed::{During as _, Failed},
    print::{print, print_json, print_table},
    run::connect,
    settings::Settings,
    terminal::Terminal,
};

/// Ids tell the time of the trigger, which stood in its stream before the saga was started: never
/// for long, or this makes a slow list of it, not a wrong one.
const ID_SLACK: chrono::TimeDelta = chrono::TimeDelta::minutes(10);

/// Characters of a business key on a terminal.
const KEY_WIDTH: usize = 40;

/// Which sagas to list.
pub(crate) struct Filter {
    pub(crate) status: Option<String>,
    pub(crate) definition: Option<String>,
    pub(crate) key: Option<String>,
    /// Only those that were started longer ago than this.
    pub(crate) older_than: Option<Duration>,
    /// Only those that have not ended and are at this step.
    pub(crate) step: Option<String>,
    /// SQL's LIKE over code and message of the error.
    pub(crate) error: Option<String>,
    pub(crate) limit: u32,
}

/// Which sagas an act is for, among those that it is possible for; at which step, the act says.
pub(crate) struct Selection {
    pub(crate) definition: Option<String>,
    /// SQL's LIKE over code and message of the error.
    pub(crate) error: Option<String>,
    pub(crate) limit: i32,
}

/// A row as it comes from Postgres.
struct Row {
    id: Uuid,
    definition: String,
    version: i32,
    key: Option<String>,
    status: String,
    step: Option<String>,
    error_step: Option<String>,
    error_code: Option<String>,
    error_message: Option<String>,
    started_at: Time,
    updated_at: Option<Time>,
    finished_at: Option<Time>,
}

#[derive(Debug, Serialize)]
pub(super) struct Summary {
    id: Uuid,
    definition: String,
    version: i32,
    key: Option<String>,
    status: String,
    step: Option<String>,
    error: Option<Failure>,
    started_at: Time,
    updated_at: Option<Time>,
    finished_at: Option<Time>,
    /// What a queued saga waits for, with the sagas that go first.
    waits_for_locks: Vec<Lock>,
}

impl Summary {
    fn new(r: Row, waits_for_locks: Vec<Lock>) -> Self {
        Self {
            id: r.id,
            definition: r.definition,
            version: r.version,
            key: r.key,
            status: r.status,
            step: r.step,
            error: r.error_code.map(|code| Failure {
                step: r.error_step.unwrap_or_default(),
                code,
                message: r.error_message.unwrap_or_default(),
            }),
            started_at: r.started_at,
            updated_at: r.updated_at,
            finished_at: r.finished_at,
            waits_for_locks,
        }
    }
}

/// Lists sagas, newest first.
pub(crate) async fn run(settings: &Settings, filter: &Filter, json: bool) -> Result<(), Failed> {
    let database = connect::database(settings.database()?, 1, &[])?;
    let rows = read(&database, filter).await.during("sagas cannot be listed")?;
    let sagas = summaries(&database, rows).await?;
    if sagas.is_empty() {
        let (definition, step) = (filter.definition.as_deref(), filter.step.as_deref());
        known::check(&database, Names { definition, step, ..Names::default() }).await?;
    }
    if json {
        return print_json(&sagas);
    }
    print_sagas(&sagas, "")
}

async fn read(database: &Database, filter: &Filter) -> Result<Vec<Row>, sqlx::Error> {
    let limit = i64::from(filter.limit);
    let before = filter.older_than.map(|age| chrono::Utc::now() - age);
    let ended = matches!(filter.status.as_deref(), Some("completed" | "compensated"));
    if filter.step.is_some() || (filter.status.is_some() && !ended) {
        return sqlx::query_file_as!(
            Row,
            "src/sql/list_open.sql",
            filter.status,
            filter.definition,
            filter.key,
            before,
            filter.step,
            filter.error,
            limit
        )
        .fetch_all(database)
        .await;
    }
    sqlx::query_file_as!(
        Row,
        "src/sql/list_all.sql",
        filter.status,
        filter.definition,
        filter.key,
        filter.error,
        before,
        before.map(|before| id_bound(before + ID_SLACK)),
        limit
    )
    .fetch_all(database)
    .await
}

/// The sagas that an act over a query would be for.
pub(super) async fn candidates(
    database: &Database,
    asked: &Act,
    selection: &Selection,
) -> Result<Vec<Summary>, Failed> {
    let rows = sqlx::query_file_as!(
        Row,
        "src/sql/candidates.sql",
        asked.verb.as_str(),
        selection.definition,
        asked.step,
        selection.error,
        selection.limit
    )
    .fetch_all(database)
    .await
    .during("sagas cannot be listed")?;
    summaries(database, rows).await
}

/// The same with the locks that queued sagas wait for: of these sagas, and of no others.
async fn summaries(database: &Database, rows: Vec<Row>) -> Result<Vec<Summary>, Failed> {
    let queued: Vec<_> =
        rows.iter().filter(|row| row.status == locks::QUEUED).map(|row| row.id).collect();
    let mut locks = locks::in_the_way(database, &queued).await?;
    let summary = |row: Row| {
        let locks = locks.remove(&row.id).unwrap_or_default();
        Summary::new(row, locks)
    };
    Ok(rows.into_iter().map(summary).collect())
}

/// An id that no saga of an earlier time exceeds.
fn id_bound(time: Time) -> Uuid {
    let millis = u128::try_from(time.timestamp_millis()).unwrap_or(0);
    Uuid::from_u128(millis << 80)
}

/// The first lock that a saga waits for, and how many others there are.
fn waits_for(saga: &Summary) -> Option<String> {
    let (first, others) = saga.waits_for_locks.split_first()?;
    match others.len() {
        0 => Some(first.to_string()),
        n => Some(format!("{first}, and {n} more")),
    }
}

/// Sagas for people, and a text below them.
pub(super) fn print_sagas(sagas: &[Summary], below: &str) -> Result<(), Failed> {
    if sagas.is_empty() {
        return print(if below.is_empty() { "no sagas\n" } else { below });
    }
    let terminal = Terminal::of_stdout();
    let mut lines = vec![
        ["SAGA", "DEFINITION", "KEY", "STATUS", "STARTED", "TOOK", "WHERE OR WHY"]
            .map(str::to_owned),
    ];
    lines.extend(sagas.iter().map(|saga| {
        let why = saga.error.as_ref().map(|e| {
            printable(&match e.step.as_str() {
                "" => e.code.clone(),
                step => format!("{step}: {}", e.code),
            })
        });
        let took = (saga.finished_at.unwrap_or_else(chrono::Utc::now) - saga.started_at)
            .num_milliseconds();
        [
            saga.id.to_string(),
            format!("{}@{}", saga.definition, saga.version),
            terminal.shorten(&printable(saga.key.as_deref().unwrap_or("-")), KEY_WIDTH),
            saga.status.clone(),
            saga.started_at.format("%Y-%m-%d %H:%M:%S").to_string(),
            format!("{}.{:03} s", took / 1000, took % 1000),
            why.or_else(|| saga.step.clone()).or_else(|| waits_for(saga)).unwrap_or_default(),
        ]
    }));
    print_table(&lines, below)
}

//! `list`: sagas as a table, or as JSON.

use amends::{
    machine::{Failure, Time},
    transcript::printable,
};
use serde::Serialize;
use sqlx::{PgPool, types::Uuid};

use crate::{
    During as _, Failed,
    cli::{ListArgs, Many, Settings},
    link,
    looks::{print, print_json},
};

/// Ids tell the time of the trigger, which stood in its stream before the saga was started: never
/// for long, or this makes a slow list of it, not a wrong one.
const ID_SLACK: chrono::TimeDelta = chrono::TimeDelta::minutes(10);

/// A row as it comes from Postgres.
struct Listed {
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
pub(crate) struct Row {
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
}

impl From<Listed> for Row {
    fn from(r: Listed) -> Self {
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
        }
    }
}

/// `amends list`.
pub(crate) async fn list(settings: &Settings, args: ListArgs) -> Result<(), Failed> {
    let pool = link::pool(settings.database()?, 1, &[])?;
    let rows = read(&pool, &args).await.during("sagas cannot be listed")?;
    let rows: Vec<_> = rows.into_iter().map(Row::from).collect();
    if args.json {
        return print_json(&rows);
    }
    print(&table(&rows))
}

async fn read(pool: &PgPool, args: &ListArgs) -> Result<Vec<Listed>, sqlx::Error> {
    let limit = i64::from(args.limit);
    let before = args.older_than.map(|age| chrono::Utc::now() - age);
    let ended = matches!(args.status.as_deref(), Some("completed" | "compensated"));
    if args.step.is_some() || (args.status.is_some() && !ended) {
        return sqlx::query_file_as!(
            Listed,
            "src/sql/list_open.sql",
            args.status,
            args.definition,
            args.key,
            before,
            args.step,
            args.error,
            limit
        )
        .fetch_all(pool)
        .await;
    }
    sqlx::query_file_as!(
        Listed,
        "src/sql/list_all.sql",
        args.status,
        args.definition,
        args.key,
        args.error,
        before,
        before.map(|before| id_bound(before + ID_SLACK)),
        limit
    )
    .fetch_all(pool)
    .await
}

/// The sagas that an act over a query would be for.
pub(crate) async fn candidates(
    pool: &PgPool,
    verb: &str,
    many: &Many,
) -> Result<Vec<Row>, sqlx::Error> {
    let rows = sqlx::query_file_as!(
        Listed,
        "src/sql/candidates.sql",
        verb,
        many.definition,
        many.step,
        many.error,
        many.limit
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(Row::from).collect())
}

/// An id that no saga of an earlier time exceeds.
fn id_bound(time: Time) -> Uuid {
    let millis = u128::try_from(time.timestamp_millis()).unwrap_or(0);
    Uuid::from_u128(millis << 80)
}

/// Sagas for people.
pub(crate) fn table(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "no sagas\n".to_owned();
    }
    let mut lines = vec![
        ["SAGA", "DEFINITION", "KEY", "STATUS", "STARTED", "TOOK", "WHERE OR WHY"]
            .map(str::to_owned),
    ];
    lines.extend(rows.iter().map(|row| {
        let why = row.error.as_ref().map(|e| {
            printable(&match e.step.as_str() {
                "" => e.code.clone(),
                step => format!("{step}: {}", e.code),
            })
        });
        let took =
            (row.finished_at.unwrap_or_else(chrono::Utc::now) - row.started_at).num_milliseconds();
        [
            row.id.to_string(),
            format!("{}@{}", row.definition, row.version),
            printable(&row.key.as_deref().unwrap_or("-").chars().take(40).collect::<String>()),
            row.status.clone(),
            row.started_at.format("%Y-%m-%d %H:%M:%S").to_string(),
            format!("{}.{:03} s", took / 1000, took % 1000),
            why.or_else(|| row.step.clone()).unwrap_or_default(),
        ]
    }));
    columns(&lines)
}

/// Lines of cells, each column as wide as its widest cell.
pub(crate) fn columns<const N: usize>(lines: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let text = lines.iter().map(|line| {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    });
    text.collect()
}

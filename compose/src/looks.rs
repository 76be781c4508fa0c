//! `show`: reading one saga, for people and for scripts.

use std::io::{IsTerminal as _, Write};

use amends::{Json, Outline, Record, SagaId, machine::Time, transcript::Transcript};
use serde::Serialize;
use sqlx::{PgPool, types::Uuid};

use crate::{
    During as _, Failed,
    cli::{Settings, ShowArgs},
    link,
};

#[derive(Debug, Serialize)]
struct Shown {
    id: Uuid,
    definition: String,
    version: i32,
    key: Option<String>,
    status: String,
    input: Json,
    output: Option<Json>,
    error: Option<Json>,
    started_at: Time,
    updated_at: Option<Time>,
    finished_at: Option<Time>,
    steps: Vec<ShownStep>,
    history: Vec<ShownFact>,
}

#[derive(Debug, Serialize)]
struct ShownStep {
    step: String,
    service: String,
    operation: String,
    status: String,
    attempts: i32,
    input: Option<Json>,
    output: Option<Json>,
    error: Option<Json>,
    started_at: Time,
    finished_at: Option<Time>,
}

#[derive(Debug, Serialize)]
struct ShownFact {
    seq: u32,
    at: Time,
    kind: &'static str,
    step: Option<String>,
    op: Option<amends::Op>,
    attempt: u32,
    detail: Option<Json>,
    next: amends::NextRecord,
}

impl ShownFact {
    fn record(self) -> Result<Record, Failed> {
        Ok(Record {
            seq: self.seq,
            at: self.at,
            kind: self.kind.parse().during("the history cannot be read")?,
            step: self.step,
            op: self.op,
            attempt: self.attempt,
            detail: self.detail,
            next: self.next,
        })
    }
}

/// `amends show`.
pub(crate) async fn show(settings: &Settings, args: ShowArgs) -> Result<(), Failed> {
    let pool = link::pool(settings.database()?, 1, &[])?;
    if args.json {
        let shown = read(&pool, &args.saga).await?;
        return print_json(&shown);
    }
    print(&transcript(&pool, &args.saga).await?)
}

/// A definition's plan as data.
pub(crate) async fn outline(
    pool: &PgPool,
    definition: &str,
    version: i32,
) -> Result<Outline, Failed> {
    const WHAT: &str = "the saga's definition cannot be read";
    let row = sqlx::query_file!("src/sql/outline.sql", definition, version)
        .fetch_one(pool)
        .await
        .during(WHAT)?;
    let outline = row.outline.ok_or_else(|| Failed(format!("{WHAT}: it is not registered")))?;
    serde_json::from_str(&outline).during(WHAT)
}

/// The transcript of a saga, found by id or business key.
pub(crate) async fn transcript(pool: &PgPool, saga: &str) -> Result<String, Failed> {
    let shown = read(pool, saga).await?;
    let facts = shown.history.into_iter().map(ShownFact::record).collect::<Result<Vec<_>, _>>()?;
    let outline = outline(pool, &shown.definition, shown.version).await?;
    let transcript = Transcript {
        id: SagaId(shown.id),
        definition: &shown.definition,
        version: shown.version.unsigned_abs(),
        key: shown.key.as_deref(),
        status: shown.status.parse().during("the status cannot be read")?,
        input: &shown.input,
        facts: &facts,
        outline: Some(&outline),
    };
    Ok(transcript.to_string())
}

/// A saga's row.
pub(crate) struct Found {
    pub(crate) id: Uuid,
    pub(crate) definition: String,
    pub(crate) version: i32,
    pub(crate) key: Option<String>,
    pub(crate) status: String,
    pub(crate) input: String,
    output: Option<String>,
    error: Option<String>,
    started_at: Time,
    updated_at: Option<Time>,
    finished_at: Option<Time>,
}

/// The saga with this id or business key.
pub(crate) async fn find(pool: &PgPool, saga: &str) -> Result<Found, Failed> {
    let id = saga.parse::<SagaId>().ok().map(|id| id.0);
    let rows = sqlx::query_file_as!(Found, "src/sql/find.sql", id, saga)
        .fetch_all(pool)
        .await
        .during("the saga cannot be read")?;
    if rows.len() > 1 {
        return Err(Failed(format!(
            "the key `{saga}` belongs to sagas of several definitions: use the id (amends list --key {saga})"
        )));
    }
    let none = || Failed(format!("there is no saga with the id or key `{saga}` (amends list)"));
    rows.into_iter().next().ok_or_else(none)
}

async fn read(pool: &PgPool, saga: &str) -> Result<Shown, Failed> {
    let row = find(pool, saga).await?;
    let json = |text: String| Json::trusted(&text);
    Ok(Shown {
        steps: steps(pool, row.id).await?,
        history: history(pool, row.id).await?,
        id: row.id,
        definition: row.definition,
        version: row.version,
        key: row.key,
        status: row.status,
        input: json(row.input),
        output: row.output.map(json),
        error: row.error.map(json),
        started_at: row.started_at,
        updated_at: row.updated_at,
        finished_at: row.finished_at,
    })
}

async fn steps(pool: &PgPool, id: Uuid) -> Result<Vec<ShownStep>, Failed> {
    let rows = sqlx::query_file!("src/sql/steps.sql", id)
        .fetch_all(pool)
        .await
        .during("the steps cannot be read")?;
    let json = |text: String| Json::trusted(&text);
    let step = rows.into_iter().map(|r| ShownStep {
        step: r.step,
        service: r.service,
        operation: r.operation,
        status: r.status,
        attempts: r.attempts,
        input: r.input.map(json),
        output: r.output.map(json),
        error: r.error.map(json),
        started_at: r.started_at,
        finished_at: r.finished_at,
    });
    Ok(step.collect())
}

/// A saga's facts, as they are stored.
pub(crate) async fn records(pool: &PgPool, id: Uuid) -> Result<Vec<Record>, Failed> {
    history(pool, id).await?.into_iter().map(ShownFact::record).collect()
}

async fn history(pool: &PgPool, id: Uuid) -> Result<Vec<ShownFact>, Failed> {
    const WHAT: &str = "the history cannot be read";
    let rows = sqlx::query_file!("src/sql/facts.sql", id).fetch_all(pool).await.during(WHAT)?;
    let fact = rows.into_iter().map(|r| {
        let detail = r.detail.map(|text| Json::trusted(&text));
        let next = amends::NextRecord::from_text(r.next.as_deref(), r.at, detail.as_ref());
        Ok(ShownFact {
            seq: r.seq.unsigned_abs(),
            at: r.at,
            kind: r.kind.parse::<amends::machine::Kind>().during(WHAT)?.as_str(),
            step: r.step,
            op: r.op.map(|op| op.parse()).transpose().during(WHAT)?,
            attempt: r.attempt.unsigned_abs(),
            detail,
            next: next.during(WHAT)?,
        })
    });
    fact.collect()
}

/// Prints a value as JSON: in one line for a program, indented on a terminal.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failed> {
    let pretty = std::io::stdout().is_terminal();
    let text =
        if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    print(&(text.during("the answer cannot be written as JSON")? + "\n"))
}

/// Prints to stdout. A reader that went away (`| head`) is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failed> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failed::new("stdout", &error))
        }
        _ => Ok(()),
    }
}

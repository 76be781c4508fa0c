//! `show`: one saga told from its start, for people and for scripts.

use amends::{Json, NextRecord, Op, Record, SagaId, machine::Time, transcript::Transcript};
use amends_postgres::Database;
use serde::Serialize;
use sqlx::types::Uuid;

use super::{
    locks::{self, Lock},
    payloads,
    saga::{self, SagaRow, Step},
};
use crate::{
    failed::{During as _, Failed},
    print::{print, print_json},
    run::connect,
    settings::Settings,
    terminal::Terminal,
};

#[derive(Debug, Serialize)]
struct ShownSaga {
    id: Uuid,
    definition: String,
    version: i32,
    key: Option<String>,
    status: String,
    /// Why what may be shown has no payloads.
    #[serde(skip_serializing_if = "Option::is_none")]
    hidden: Option<String>,
    input: Option<Json>,
    output: Option<Json>,
    error: Option<Json>,
    started_at: Time,
    updated_at: Option<Time>,
    finished_at: Option<Time>,
    /// What it waits for while it is queued, with the sagas that go first.
    waits_for_locks: Vec<Lock>,
    steps: Vec<Step>,
    history: Vec<ShownFact>,
}

#[derive(Debug, Serialize)]
struct ShownFact {
    seq: u32,
    at: Time,
    kind: &'static str,
    step: Option<String>,
    op: Option<Op>,
    attempt: u32,
    detail: Option<Json>,
    next: NextRecord,
}

impl From<Record> for ShownFact {
    fn from(record: Record) -> Self {
        Self {
            seq: record.seq,
            at: record.at,
            kind: record.kind.as_str(),
            step: record.step,
            op: record.op,
            attempt: record.attempt,
            detail: record.detail,
            next: record.next,
        }
    }
}

/// Shows the saga with this id or business key.
pub(crate) async fn run(settings: &Settings, saga: &str, json: bool) -> Result<(), Failed> {
    let database = connect::database(settings.database()?, 1, &[])?;
    if json {
        return print_json(&read(&database, saga).await?);
    }
    print(&painted(&transcript(&database, saga).await?, Terminal::of_stdout()))
}

/// The transcript with the status at the end of its first line in its colour, and so the lines that say how the
/// saga ended or that it is stuck.
fn painted(transcript: &str, terminal: Terminal) -> String {
    let paint = |(n, line): (usize, &str)| {
        let words: Vec<_> = line.split_whitespace().take(3).collect();
        if n == 0
            && let Some((before, status)) = line.rsplit_once("  ")
        {
            return format!("{before}  {}\n", terminal.paint(status, status));
        }
        match words.as_slice() {
            [_, said @ ("completed" | "compensated" | "STUCK"), "saga"] => {
                line.replacen(said, &terminal.paint(&said.to_lowercase(), said), 1) + "\n"
            }
            _ => format!("{line}\n"),
        }
    };
    transcript.lines().enumerate().map(paint).collect()
}

/// The transcript of a saga, found by id or business key.
///
/// # Errors
/// The database's, or what it says of the saga that this program cannot read.
pub async fn transcript(database: &Database, saga: &str) -> Result<String, Failed> {
    let row = saga::find(database, saga).await?;
    let facts = saga::records(database, row.id).await?;
    let outline = saga::outline(database, &row.definition, row.version).await?;
    let input = row.input.as_deref().map(Json::trusted);
    let transcript = Transcript {
        id: SagaId(row.id),
        definition: &row.definition,
        version: row.version.unsigned_abs(),
        key: row.key.as_deref(),
        status: row.status.parse().during("the status cannot be read")?,
        input: input.as_ref(),
        facts: &facts,
        outline: Some(&outline),
    };
    let mut text = transcript.to_string();
    for nested in saga::stuck_within(database, row.id).await? {
        text += &format!("{nested}\n");
    }
    for lock in waited_for(database, &row).await? {
        text += &lock.explanation();
    }
    if let Some(hidden) = payloads::hidden(database).await? {
        text += &format!("{hidden}\n");
    }
    Ok(text)
}

async fn waited_for(database: &Database, row: &SagaRow) -> Result<Vec<Lock>, Failed> {
    if row.status != locks::QUEUED {
        return Ok(Vec::new());
    }
    let mut locks = locks::in_the_way(database, &[row.id]).await?;
    Ok(locks.remove(&row.id).unwrap_or_default())
}

async fn read(database: &Database, saga: &str) -> Result<ShownSaga, Failed> {
    let row = saga::find(database, saga).await?;
    let json = |text: String| Json::trusted(&text);
    Ok(ShownSaga {
        hidden: payloads::hidden(database).await?,
        waits_for_locks: waited_for(database, &row).await?,
        steps: saga::steps(database, row.id).await?,
        history: saga::records(database, row.id).await?.into_iter().map(ShownFact::from).collect(),
        id: row.id,
        definition: row.definition,
        version: row.version,
        key: row.key,
        status: row.status,
        input: row.input.map(json),
        output: row.output.map(json),
        error: row.error.map(json),
        started_at: row.started_at,
        updated_at: row.updated_at,
        finished_at: row.finished_at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_have_colours_on_a_terminal_only() {
        let text = "saga 1  order@1  key o-1  stuck\nseconds since\n 0.1  STUCK  saga  because completed\n";
        assert_eq!(painted(text, Terminal::default()), text);
        let colours = Terminal { width: None, colours: true };
        let red = text.replace("stuck", "\x1b[31mstuck\x1b[0m");
        let red = red.replace("STUCK", "\x1b[31mSTUCK\x1b[0m");
        assert_eq!(painted(text, colours), red);
    }
}

//! One saga as it is stored: its row, its steps, its facts, and the plan of its definition.

use std::fmt;

use amends::{FactRow, Json, NextColumns, Outline, Record, machine::Time, transcript::printable};
use amends_postgres::Database;
use serde::Serialize;
use sqlx::types::Uuid;

use crate::{
    failed::{During as _, Failed},
    program_name::program_name,
};

/// A saga's row.
pub(super) struct SagaRow {
    pub(super) id: Uuid,
    pub(super) definition: String,
    pub(super) version: i32,
    pub(super) key: Option<String>,
    pub(super) status: String,
    pub(super) input: Option<String>,
    pub(super) output: Option<String>,
    pub(super) error: Option<String>,
    pub(super) started_at: Time,
    pub(super) updated_at: Option<Time>,
    pub(super) finished_at: Option<Time>,
}

/// A step, for scripts.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    step: String,
    service: String,
    operation: String,
    status: String,
    attempts: i32,
    input: Option<Json>,
    output: Option<Json>,
    error: Option<Json>,
    started_at: Option<Time>,
    finished_at: Option<Time>,
}

/// A nested saga that is stuck.
pub(super) struct StuckWithin {
    /// The step of the outer saga that it is, or is nested in.
    step: String,
    id: Uuid,
    definition: String,
    version: i32,
    error_step: Option<String>,
    error_code: Option<String>,
    error_message: Option<String>,
}

impl fmt::Display for StuckWithin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, id, definition, version, .. } = self;
        let parts = [&self.error_step, &self.error_code, &self.error_message];
        let parts = parts.into_iter().flatten().map(String::as_str).filter(|part| !part.is_empty());
        let why = printable(&parts.collect::<Vec<_>>().join(": "));
        write!(
            f,
            "waits for a nested saga that is stuck, {definition}@{version} as `{step}`: {why}\n\
             an operator must act on that one: {} show {id}",
            program_name()
        )
    }
}

/// The saga with this id or business key.
pub(super) async fn find(database: &Database, saga: &str) -> Result<SagaRow, Failed> {
    let id = saga.parse::<amends::SagaId>().ok().map(|id| id.0);
    let rows = sqlx::query_file_as!(SagaRow, "src/sql/find.sql", id, saga)
        .fetch_all(database)
        .await
        .during("the saga cannot be read")?;
    if rows.len() > 1 {
        return Err(Failed::new(format!(
            "the key `{saga}` belongs to sagas of several definitions: use the id ({} list --key {saga})",
            program_name()
        )));
    }
    let none = || {
        let program = program_name();
        Failed::new(format!("there is no saga with the id or key `{saga}` ({program} list)"))
    };
    rows.into_iter().next().ok_or_else(none)
}

/// A definition's plan as data.
pub(super) async fn outline(
    database: &Database,
    definition: &str,
    version: i32,
) -> Result<Outline, Failed> {
    const WHAT: &str = "the saga's definition cannot be read";
    let row = sqlx::query_file!("src/sql/outline.sql", definition, version)
        .fetch_one(database)
        .await
        .during(WHAT)?;
    let unregistered = || Failed::new(format!("{WHAT}: it is not registered"));
    serde_json::from_str(&row.outline.ok_or_else(unregistered)?).during(WHAT)
}

/// A saga's steps, in the order in which they began; after them those that it has not come to.
pub(super) async fn steps(database: &Database, id: Uuid) -> Result<Vec<Step>, Failed> {
    let rows = sqlx::query_file!("src/sql/steps.sql", id)
        .fetch_all(database)
        .await
        .during("the steps cannot be read")?;
    let json = |text: String| Json::trusted(&text);
    let step = rows.into_iter().map(|r| Step {
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

/// The stuck sagas that a saga waits for.
pub(super) async fn stuck_within(
    database: &Database,
    id: Uuid,
) -> Result<Vec<StuckWithin>, Failed> {
    sqlx::query_file_as!(StuckWithin, "src/sql/stuck_within.sql", id)
        .fetch_all(database)
        .await
        .during("the nested sagas cannot be read")
}

/// A saga's facts, as they are stored.
pub(super) async fn records(database: &Database, id: Uuid) -> Result<Vec<Record>, Failed> {
    const WHAT: &str = "the history cannot be read";
    let rows = sqlx::query_file!("src/sql/facts.sql", id).fetch_all(database).await.during(WHAT)?;
    let record = rows.into_iter().map(|r| {
        let row = FactRow {
            seq: r.seq,
            attempt: r.attempt,
            at: r.at,
            kind: r.kind,
            step: r.step,
            op: r.op,
            detail: r.detail,
            next: NextColumns { sent: r.sent, next: r.next },
        };
        row.read().during(WHAT)
    });
    record.collect()
}

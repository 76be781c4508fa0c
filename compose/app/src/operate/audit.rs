//! The audit: who did what, and why.

use amends::{machine::Time, transcript::printable};
use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::types::Uuid;

use super::payloads;
use crate::{
    failed::{During as _, Failed},
    print::{print, print_json, print_table},
    run::connect,
    settings::Settings,
};

/// The act whose outcome is a payload.
const RESOLVE: &str = "resolve";

/// Which acts.
#[derive(Debug)]
pub(crate) struct Filter {
    pub(crate) actor: Option<String>,
    pub(crate) act: Option<String>,
    pub(crate) limit: u32,
}

/// An act, and what became of it.
#[derive(Debug, Serialize)]
struct Act {
    id: i64,
    at: Time,
    actor: String,
    act: String,
    saga: Option<Uuid>,
    letter: Option<i64>,
    definition: Option<String>,
    version: Option<i32>,
    step: Option<String>,
    outcome: Option<Box<RawValue>>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    hidden: Option<String>,
    reason: String,
    decided_at: Option<Time>,
    accepted: Option<bool>,
    answer: Option<String>,
}

impl Act {
    /// What it was done to.
    fn object(&self) -> String {
        let object = match (self.saga, self.letter, &self.definition, self.version) {
            (Some(saga), ..) => saga.to_string(),
            (_, Some(letter), ..) => format!("letter {letter}"),
            (.., Some(definition), Some(version)) => format!("{definition}@{version}"),
            _ => "keys".to_owned(),
        };
        match &self.step {
            Some(step) => format!("{object} {step}"),
            None => object,
        }
    }

    fn fate(&self) -> String {
        match (self.accepted, &self.answer) {
            (None, _) => "not decided yet".to_owned(),
            (Some(true), _) => "done".to_owned(),
            (Some(false), None) => "refused".to_owned(),
            (Some(false), Some(why)) => format!("refused: {why}"),
        }
    }
}

/// Lists what people did, the latest first.
pub(crate) async fn list(settings: &Settings, filter: &Filter, json: bool) -> Result<(), Failed> {
    let database = connect::database(settings.database()?, 1, &[])?;
    let Filter { actor, act, limit } = filter;
    let rows =
        sqlx::query_file!("src/sql/audit.sql", actor.as_deref(), act.as_deref(), i64::from(*limit))
            .fetch_all(&database)
            .await
            .during("the audit cannot be read")?;
    let has_payloads = json && rows.iter().any(|row| row.act == RESOLVE);
    let hidden = if has_payloads { payloads::hidden(&database).await? } else { None };
    let acts = rows.into_iter().map(|row| Act {
        hidden: hidden.clone().filter(|_| row.act == RESOLVE),
        id: row.id,
        at: row.at,
        actor: row.actor,
        act: row.act,
        saga: row.saga,
        letter: row.letter,
        definition: row.definition,
        version: row.version,
        step: row.step,
        outcome: row.outcome.and_then(|outcome| RawValue::from_string(outcome).ok()),
        reason: row.reason,
        decided_at: row.decided_at,
        accepted: row.accepted,
        answer: row.answer,
    });
    let acts: Vec<_> = acts.collect();
    if json {
        return print_json(&acts);
    }
    if acts.is_empty() {
        return print("no acts\n");
    }
    let mut lines = vec![["AT", "BY", "ACT", "ON", "RESULT", "REASON"].map(str::to_owned)];
    lines.extend(acts.iter().map(|act| {
        [
            act.at.format("%Y-%m-%d %H:%M:%S").to_string(),
            printable(&act.actor),
            act.act.clone(),
            act.object(),
            printable(&act.fate()),
            printable(&act.reason),
        ]
    }));
    print_table(&lines, "")
}

//! Log lines and counters of a batch.

use std::sync::Arc;

use amends::{
    Definition, Op, Outline, Record, SagaId,
    machine::{Failure, Kind, Status},
    turn::{DecidedAct, DecidedStart, Rows},
};

/// Logs what sagas waited for and cannot use.
pub(super) fn unusable(unusable: &[(SagaId, String)]) {
    for (saga, why) in unusable {
        tracing::warn!(%saga, why, "something that a saga waits for cannot be used");
    }
}

/// Logs and counts the facts; for after the commit, so that none is logged twice.
pub(super) fn recorded(recorded: &[(SagaId, Arc<Definition>, Record)]) {
    for (saga, definition, record) in recorded {
        fact(*saga, definition.outline(), record);
    }
}

/// Decisions about acts and about starts by SQL.
pub(super) struct Decided {
    acts: Vec<DecidedAct>,
    starts: Vec<DecidedStart>,
}

impl Decided {
    /// The decisions among these rows, to be logged once they are written.
    pub(super) fn of(rows: &Rows) -> Self {
        Self { acts: rows.acts.clone(), starts: rows.starts.clone() }
    }

    pub(super) fn log(&self) {
        for DecidedAct { id, saga, refusal } in &self.acts {
            let accepted = refusal.is_none();
            tracing::info!(%saga, act = id, accepted, why = refusal, "an act was decided");
        }
        for DecidedStart { saga, holder, refusal } in &self.starts {
            let (accepted, holder) = (refusal.is_none(), holder.map(tracing::field::display));
            tracing::info!(%saga, accepted, holder, why = refusal, "a start was asked for");
        }
    }
}

/// One log line a fact, and the counters.
fn fact(saga: SagaId, outline: &Outline, fact: &Record) {
    let step = fact.step.as_deref().unwrap_or_default();
    let (op, attempt) = (fact.op.map_or("", Op::as_str), fact.attempt);
    let kind = fact.kind.as_str();
    let detail = fact.detail.as_ref().map(amends::Json::as_str).unwrap_or_default();
    match fact.kind {
        Kind::Broke | Kind::TimedOut | Kind::Late | Kind::Unmappable => {
            tracing::warn!(%saga, step, op, attempt, detail, "{kind}");
        }
        Kind::Deadline => {
            tracing::error!(%saga, definition = outline.name, detail, "the saga's deadline has passed");
        }
        Kind::Rejected => tracing::info!(%saga, step, op, attempt, detail, "{kind}"),
        _ => tracing::debug!(%saga, step, op, attempt, "{kind}"),
    }
    metrics::counter!("amends_facts_total", "definition" => outline.name.clone(), "kind" => kind)
        .increment(1);
    if fact.kind == Kind::Started {
        metrics::counter!("amends_sagas_started_total", "definition" => outline.name.clone())
            .increment(1);
    }
    if let Some(status) = fact.next.status {
        self::status(saga, outline, status, fact.next.error.as_ref());
    }
}

fn status(saga: SagaId, outline: &Outline, status: Status, error: Option<&Failure>) {
    let why = error.map(|error| {
        let parts = [&error.step, &error.code, &error.message].map(String::as_str);
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
    });
    let why = why.unwrap_or_default();
    if status == Status::Stuck {
        tracing::error!(%saga, definition = outline.name, why, "stuck: an operator must look");
    } else {
        tracing::info!(%saga, definition = outline.name, why, "{status}");
    }
    metrics::counter!("amends_saga_status_total", "definition" => outline.name.clone(), "status" => status.as_str())
        .increment(1);
}

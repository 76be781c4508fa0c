//! A fact as the row of a table.

use super::{NextColumns, NextRecord, Record, UnreadableNext};
use crate::{
    IdError, Json, Op,
    machine::{Time, UnknownWord},
};

/// The columns of a fact's row.
#[derive(Debug, Clone)]
pub struct FactRow {
    /// Its number within the saga.
    pub seq: i32,
    /// In which attempt; 0 when none.
    pub attempt: i32,
    /// When it was decided.
    pub at: Time,
    /// What happened.
    pub kind: String,
    /// To which step.
    pub step: Option<String>,
    /// To which half of it.
    pub op: Option<String>,
    /// The output, the rejection, what broke.
    pub detail: Option<String>,
    /// What was sent, and what else followed.
    pub next: NextColumns,
}

/// What of a fact's row is not of this version.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableFact {
    /// What happened.
    #[error("a stored fact is not readable: {0}")]
    Kind(#[source] UnknownWord),
    /// To which half of a step.
    #[error("a stored fact is not readable: {0}")]
    Op(#[source] IdError),
    /// What followed.
    #[error("a stored fact is not readable: {0}")]
    Next(#[source] UnreadableNext),
}

impl FactRow {
    /// The row of a fact.
    #[must_use]
    pub fn of(record: Record) -> Self {
        let signed = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
        let next = record.next.into_columns(record.at, record.detail.as_ref());
        Self {
            seq: signed(record.seq),
            attempt: signed(record.attempt),
            at: record.at,
            kind: record.kind.as_str().to_owned(),
            step: record.step,
            op: record.op.map(|op| op.as_str().to_owned()),
            detail: record.detail.map(|json| json.as_str().to_owned()),
            next,
        }
    }

    /// Reads it back. Numbers are never negative.
    ///
    /// # Errors
    /// [`UnreadableFact`]: a newer version wrote it.
    pub fn read(self) -> Result<Record, UnreadableFact> {
        let unsigned = |n: i32| u32::try_from(n).unwrap_or(0);
        let detail = self.detail.map(|detail| Json::trusted(&detail));
        let next = NextRecord::from_columns(&self.next, self.at, detail.as_ref());
        Ok(Record {
            seq: unsigned(self.seq),
            at: self.at,
            kind: self.kind.parse().map_err(UnreadableFact::Kind)?,
            step: self.step,
            op: self.op.map(|op| op.parse::<Op>()).transpose().map_err(UnreadableFact::Op)?,
            attempt: unsigned(self.attempt),
            detail,
            next: next.map_err(UnreadableFact::Next)?,
        })
    }
}

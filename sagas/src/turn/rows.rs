//! The rows that a batch writes.

use crate::{
    Json, Record, SagaId,
    machine::{Failure, Status, Time, Wait},
};

use super::Due;

/// What is written in one transaction, all of it or nothing.
#[derive(Debug, Default)]
pub struct Rows {
    /// What changes for each saga, in the order of their ids: two batches with the same sagas wait for
    /// each other's rows, and must not do so crosswise.
    pub sagas: Vec<(SagaId, Change)>,
    /// Other sagas that are to read their inboxes now, in the order of their ids.
    pub wakes: Vec<SagaId>,
    /// When this batch was decided.
    pub now: Time,
    /// What became of acts.
    pub acts: Vec<DecidedAct>,
    /// Steps that wait for an event from now on.
    pub waits: Vec<NewWait>,
    /// Steps that wait for their event no more.
    pub waits_over: Vec<(SagaId, String)>,
    /// Locks that sagas want.
    pub locks: Vec<(SagaId, String)>,
    /// Nested sagas that are to be undone, and why.
    pub undo: Vec<(SagaId, String)>,
    /// What became of starts that were asked for in SQL.
    pub starts: Vec<DecidedStart>,
}

/// What changes for one saga.
#[derive(Debug, Default)]
pub struct Change {
    /// Its row, when the batch starts it.
    pub start: Option<NewSaga>,
    /// Its new status.
    pub status: Option<(Status, Option<Failure>)>,
    /// New facts.
    pub facts: Vec<Record>,
    /// Its timer.
    pub timer: Timer,
}

/// What becomes of a saga's timer.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// Stays: it is early enough.
    #[default]
    Keep,
    /// Set, unless it stands earlier; `None` is never. Where it stands earlier it is moved all the same, by
    /// a microsecond: it may be a lease, and whoever has that must not set it later.
    Set(Option<Time>),
    /// It fired, and is set anew; unless somebody moved it since then, and set it earlier.
    Rearm(Option<Time>, Due),
    /// Deleted.
    Delete,
}

/// A timer that fired and led to nothing: after the commit it is set again, unless somebody moved it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rearm {
    /// To this time; `None` is never.
    Set(Due, Option<Time>),
    /// Nothing is left to wait for.
    Delete(Due),
}

/// The row of a saga that starts.
#[derive(Debug)]
pub struct NewSaga {
    /// Its definition's name.
    pub definition: String,
    /// And version.
    pub version: u32,
    /// The business key; it is taken in the same transaction.
    pub key: Option<String>,
    /// The trace of its trigger.
    pub trace: Option<String>,
    /// The trigger's body.
    pub input: Json,
    /// The saga that it is a step of, and which.
    pub parent: Option<(SagaId, String)>,
}

/// A step waits for an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWait {
    /// The saga.
    pub saga: SagaId,
    /// Its definition's name: an event is for a step of a definition.
    pub definition: String,
    /// The step, and what the event must match.
    pub wait: Wait,
}

/// What became of an act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecidedAct {
    /// The act.
    pub id: i64,
    /// The saga that it was for.
    pub saga: SagaId,
    /// Why it was refused, if it was.
    pub refusal: Option<String>,
}

/// What became of a start that was asked for in SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecidedStart {
    /// The id that it was noted under: the saga's, where it begins.
    pub saga: SagaId,
    /// Another saga that had the key already; with the same input it is the one that was asked for.
    pub holder: Option<SagaId>,
    /// Why it was refused, if it was.
    pub refusal: Option<String>,
}

impl Rows {
    /// Whether there is nothing to write. Timers alone are no reason to: they are set with what moved
    /// their sagas.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sagas.is_empty()
            && self.acts.is_empty()
            && self.waits.is_empty()
            && self.waits_over.is_empty()
            && self.locks.is_empty()
            && self.undo.is_empty()
            && self.starts.is_empty()
    }

    /// How many facts there are.
    #[must_use]
    pub fn facts(&self) -> usize {
        self.sagas.iter().map(|(_, change)| change.facts.len()).sum()
    }

    // The parts of one transaction may be one statement, and do not see each other: of a step's waits
    // only the last change is written.

    pub(super) fn wait(&mut self, saga: SagaId, definition: &str, wait: Wait) {
        self.waits_over.retain(|(id, step)| (*id, step) != (saga, &wait.step));
        self.waits.push(NewWait { saga, definition: definition.to_owned(), wait });
    }

    pub(super) fn wait_over(&mut self, saga: SagaId, step: &str) {
        self.waits.retain(|new| (new.saga, new.wait.step.as_str()) != (saga, step));
        self.waits_over.push((saga, step.to_owned()));
    }
}

//! A saga as it is stored, and as replicas keep it at hand.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use amends::{
    Definition, FactRow, Json, Record, SagaId,
    machine::{OpState, State, Status, Time},
    turn::{self, Instance},
};

use crate::happened::Breach;

/// An instance whose worth is known by its digest: two of one digest go on alike.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) instance: Instance,
    digest: u64,
}

impl Kept {
    pub(crate) fn new(instance: Instance) -> Self {
        let mut hasher = DefaultHasher::new();
        state(&instance.state, &mut hasher);
        instance.timer_at.map(rounded).hash(&mut hasher);
        instance.changes.last().map(|change| change.seq).hash(&mut hasher);
        Self { digest: hasher.finish(), instance }
    }

    pub(crate) const fn state(&self) -> &State {
        &self.instance.state
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Kept {}

impl Hash for Kept {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.digest.hash(hasher);
    }
}

/// The millisecond of a time: what tells two leases apart is below it.
pub(crate) const fn rounded(time: Time) -> i64 {
    (time.timestamp_micros() + 500).div_euclid(1000)
}

fn state(state: &State, hasher: &mut impl Hasher) {
    (state.seq, state.status, state.turned).hash(hasher);
    std::mem::discriminant(&state.output).hash(hasher);
    (state.paused, state.queued, state.acted, state.asked).hash(hasher);
    (state.deadline.map(rounded), &state.taken).hash(hasher);
    for step in &state.steps {
        operation(&step.action, hasher);
        operation(&step.compensation, hasher);
        for json in [&step.input, &step.output] {
            json.as_ref().map(Json::as_str).hash(hasher);
        }
    }
}

fn operation(op: &OpState, hasher: &mut impl Hasher) {
    std::mem::discriminant(&op.phase).hash(hasher);
    (op.attempt, op.counted_from, op.asked_by, op.sent_by).hash(hasher);
    (op.settled_by, op.settle_from).hash(hasher);
    (op.first_sent.map(rounded), op.due.map(rounded)).hash(hasher);
}

/// The facts of a saga, and their fold.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) records: Vec<Record>,
    pub(crate) kept: Kept,
}

impl PartialEq for Stored {
    fn eq(&self, other: &Self) -> bool {
        self.kept == other.kept
    }
}

impl Eq for Stored {}

impl Hash for Stored {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (&self.kept, self.ended_at()).hash(hasher);
    }
}

/// What a saga is whose facts are stored.
pub(crate) struct Row<'a> {
    pub(crate) definition: &'a Arc<Definition>,
    pub(crate) id: SagaId,
    pub(crate) key: Option<&'a String>,
    pub(crate) input: &'a Json,
    pub(crate) parent: Option<SagaId>,
}

impl Stored {
    /// When it ended, if it has.
    pub(crate) fn ended_at(&self) -> Option<Time> {
        let ends = |record: &&Record| record.next.status.is_some_and(Status::ended);
        let last = self.records.iter().rev().find(ends).map(|record| record.at);
        last.filter(|_| self.kept.state().status.ended())
    }

    /// The facts of a saga with these after them.
    pub(crate) fn with(
        before: Option<&Self>,
        row: &Row<'_>,
        facts: &[Record],
    ) -> Result<Self, Breach> {
        let mut records = before.map(|stored| stored.records.clone()).unwrap_or_default();
        for record in facts {
            if record.seq as usize != records.len() {
                return Err(Breach::TwoFacts);
            }
            records.push(written(record)?);
        }
        let stored = turn::Stored {
            definition: row.definition.outline().name.clone(),
            version: row.definition.outline().version,
            key: row.key.cloned(),
            trace: None,
            input: row.input.clone(),
            timer_at: None,
            parent: row.parent,
            facts: Ok(records.clone()),
        };
        let instance = Instance::of(Arc::clone(row.definition), row.id, stored);
        let kept = Kept::new(instance.map_err(|_| Breach::Stored)?);
        Ok(Self { records, kept })
    }
}

/// A fact as it is read back.
fn written(record: &Record) -> Result<Record, Breach> {
    let read = FactRow::of(record.clone()).read().map_err(|_| Breach::Stored)?;
    if read == *record { Ok(read) } else { Err(Breach::Stored) }
}

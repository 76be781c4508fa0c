//! Facts as a store keeps them: words and JSON texts, read back by folding them.

use std::sync::Arc;

use super::breach::{Breach, Guarantee, Kept, hold};
use crate::{
    Definition, FactRow, Json, Record, SagaId, StatusChange, fold,
    machine::{State, Time},
};

/// What was committed of one saga.
pub(crate) struct Store {
    definition: Arc<Definition>,
    id: SagaId,
    input: Json,
    rows: Vec<FactRow>,
    /// The fold of the rows, kept up with each commit.
    folded: State,
    changes: Vec<StatusChange>,
}

impl Store {
    pub(crate) fn new(definition: Arc<Definition>, id: SagaId, input: Json) -> Self {
        let folded = State::new(definition.outline(), id, input.clone());
        Self { definition, id, input, rows: Vec::new(), folded, changes: Vec::new() }
    }

    /// Another definition of the same outline.
    pub(crate) fn deploy(&mut self, definition: Arc<Definition>) {
        self.definition = definition;
    }

    pub(crate) fn seq(&self) -> u32 {
        u32::try_from(self.rows.len()).unwrap_or(u32::MAX)
    }

    /// Adds facts, as they are written and read back.
    pub(crate) fn commit(&mut self, records: &[Record]) -> Kept {
        for record in records {
            hold!(record.seq == self.seq(), Fold, "facts are numbered without gaps: {record:?}");
            let row = FactRow::of(record.clone());
            let stored =
                row.clone().read().ok().and_then(|record| {
                    record.into_fact(self.definition.outline(), &self.folded).ok()
                });
            let Some(stored) = stored else {
                hold!(false, Fold, "a stored fact cannot be read: {record:?}");
                continue;
            };
            self.rows.push(row);
            self.folded.apply(self.definition.outline(), &stored);
            self.changes.extend(StatusChange::of(&stored, &self.changes));
        }
        Ok(())
    }

    /// The state as a turn loads it.
    pub(crate) const fn state(&self) -> &State {
        &self.folded
    }

    /// When its last fact was decided.
    pub(crate) fn moved_at(&self) -> Time {
        self.rows.last().map(|row| row.at).unwrap_or_default()
    }

    /// Its changes of status, oldest first.
    pub(crate) fn changes(&self) -> &[StatusChange] {
        &self.changes
    }

    /// The state, from nothing but what is stored.
    pub(crate) fn read(&self) -> Kept<State> {
        let records = self.records();
        hold!(records.len() == self.rows.len(), Fold, "a stored fact cannot be read");
        let folded = fold(self.definition.outline(), self.id, self.input.clone(), records, |_| {});
        folded.map_err(|error| Breach::new(Guarantee::Fold, error.to_string()))
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        self.rows.iter().filter_map(|row| row.clone().read().ok()).collect()
    }
}

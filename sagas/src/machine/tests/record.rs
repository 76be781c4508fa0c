//! Facts as a store keeps them: words and JSON texts, read back by folding them.

use crate::{
    Json, NextRecord, Op, Outline, Record, SagaId,
    machine::{Fact, State, Time},
};

struct Row {
    seq: u32,
    at: Time,
    kind: &'static str,
    step: Option<String>,
    op: Option<&'static str>,
    attempt: u32,
    detail: Option<String>,
    next: String,
}

/// What was committed of one saga.
pub(super) struct Store {
    outline: Outline,
    id: SagaId,
    input: Json,
    rows: Vec<Row>,
}

impl Store {
    pub(super) fn new(outline: &Outline, id: SagaId, input: Json) -> Self {
        Self { outline: outline.clone(), id, input, rows: Vec::new() }
    }

    pub(super) fn seq(&self) -> u32 {
        u32::try_from(self.rows.len()).unwrap()
    }

    pub(super) fn commit(&mut self, state: &State, facts: &[Fact]) {
        for fact in facts {
            assert_eq!(fact.seq, self.seq(), "facts are numbered without gaps");
            let record = Record::of(&self.outline, state, fact);
            self.rows.push(Row {
                seq: record.seq,
                at: record.at,
                kind: record.kind.as_str(),
                step: record.step,
                op: record.op.map(Op::as_str),
                attempt: record.attempt,
                detail: record.detail.map(|json| json.as_str().to_owned()),
                next: serde_json::to_string(&record.next).unwrap(),
            });
        }
    }

    /// The state, from nothing but what is stored.
    pub(super) fn read(&self) -> State {
        let mut state = State::new(&self.outline, self.id, self.input.clone());
        for row in &self.rows {
            let next: NextRecord = serde_json::from_str(&row.next).unwrap();
            let record = Record {
                seq: row.seq,
                at: row.at,
                kind: row.kind.parse().unwrap(),
                step: row.step.clone(),
                op: row.op.map(|op| op.parse().unwrap()),
                attempt: row.attempt,
                detail: row.detail.as_deref().map(Json::trusted),
                next,
            };
            let fact = record.into_fact(&self.outline, &state).unwrap();
            state.apply(&self.outline, &fact);
        }
        state
    }
}

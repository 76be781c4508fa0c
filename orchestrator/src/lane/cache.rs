//! States of sagas that were seen lately. A state may be outdated, when another replica took a
//! turn; the version check at the write finds that out.

use std::sync::Arc;

use amends::{
    Definition, SagaId, StatusChange, TraceParent,
    machine::{State, Time},
};
use quick_cache::{Weighter, unsync::Cache as Lru};

/// Sagas kept by one lane, as a hint for sizing.
const SAGAS: usize = 20_000;

/// Bytes of state kept by one lane.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A saga at hand.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) definition: Arc<Definition>,
    pub(crate) state: State,
    pub(crate) key: Option<String>,
    pub(crate) trace: Option<TraceParent>,
    /// Its changes of status, oldest first.
    pub(crate) changes: Vec<StatusChange>,
    /// The saga that it is a step of.
    pub(crate) parent: Option<SagaId>,
    /// Where its timer stands; never later than the real one unless that was due.
    pub(crate) timer_at: Option<Time>,
}

#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<SagaId, Entry> for Bytes {
    fn weight(&self, _: &SagaId, entry: &Entry) -> u64 {
        let json = |json: &Option<amends::Json>| json.as_ref().map_or(0, |j| j.as_str().len());
        let steps = entry.state.steps.iter().map(|s| 256 + json(&s.input) + json(&s.output));
        (256 + entry.state.input.as_str().len() + steps.sum::<usize>()) as u64
    }
}

impl Entry {
    /// Whether others wait for its end: an outer saga, or whoever wants its locks.
    pub(crate) fn is_awaited(&self) -> bool {
        self.parent.is_some() || self.definition.outline().locks > 0
    }
}

pub(crate) struct Cache {
    entries: Lru<SagaId, Entry, Bytes>,
}

impl Cache {
    pub(crate) fn new() -> Self {
        Self { entries: Lru::with_weighter(SAGAS, BYTES_MAX, Bytes) }
    }

    pub(crate) fn take(&mut self, id: SagaId) -> Option<Entry> {
        self.entries.remove(&id).map(|(_, entry)| entry)
    }

    /// Keeps a state of another lane, unless a later one is known.
    pub(crate) fn keep_newer(&mut self, id: SagaId, entry: Entry) {
        if self.entries.peek(&id).is_none_or(|known| known.state.seq < entry.state.seq) {
            self.entries.remove(&id);
            self.keep(id, entry);
        }
    }

    /// Keeps a state for the next event; an ended saga expects none.
    pub(crate) fn keep(&mut self, id: SagaId, entry: Entry) {
        if !entry.state.status.ended() {
            self.entries.insert(id, entry);
        }
    }
}

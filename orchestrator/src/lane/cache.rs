//! Sagas that were seen lately. What is known of one may be outdated, when another replica took a turn;
//! the version check at the write finds that out.

use amends::{Json, SagaId, turn::Instance};
use quick_cache::{Weighter, unsync::Cache as Lru};

/// Sagas kept by one lane, as a hint for sizing.
const SAGAS: usize = 20_000;

/// Bytes of state kept by one lane.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<SagaId, Instance> for Bytes {
    fn weight(&self, _: &SagaId, instance: &Instance) -> u64 {
        let json = |json: &Option<Json>| json.as_ref().map_or(0, |j| j.as_str().len());
        let state = &instance.state;
        let steps = state.steps.iter().map(|s| 256 + json(&s.input) + json(&s.output));
        (256 + state.input.as_str().len() + steps.sum::<usize>()) as u64
    }
}

pub(crate) struct Cache {
    instances: Lru<SagaId, Instance, Bytes>,
}

impl Cache {
    pub(crate) fn new() -> Self {
        Self { instances: Lru::with_weighter(SAGAS, BYTES_MAX, Bytes) }
    }

    pub(crate) fn take(&mut self, id: SagaId) -> Option<Instance> {
        self.instances.remove(&id).map(|(_, instance)| instance)
    }

    /// Keeps a saga of another lane, unless a later state of it is known.
    pub(crate) fn keep_newer(&mut self, id: SagaId, instance: Instance) {
        if self.instances.peek(&id).is_none_or(|known| known.state.seq < instance.state.seq) {
            self.instances.remove(&id);
            self.keep(id, instance);
        }
    }

    /// Keeps a saga for the next event; an ended one expects none.
    pub(crate) fn keep(&mut self, id: SagaId, instance: Instance) {
        if !instance.state.status.ended() {
            self.instances.insert(id, instance);
        }
    }
}

//! Sagas that begin.

use std::{collections::hash_map::Entry, sync::Arc};

use crate::{
    SagaId,
    machine::{self, Event, State},
};

use super::{Batch, Change, DecidedStart, Due, Instance, KeyHolder, Message, NewSaga, Observe};
use super::{Disposition, Rearm, Start};

impl<O: Observe> Batch<O> {
    pub(super) fn start(&mut self, id: SagaId, start: &Start) -> Disposition {
        if self.foreign.contains(&id) {
            return Disposition::Leave;
        }
        if self.instances.contains_key(&id) {
            let publish = self.acts(id);
            return self.event(id, &Event::StartedAgain, publish);
        }
        if let Some(key) = &start.key {
            let name = start.definition.outline().name.clone();
            match self.keys.entry((name, key.clone())) {
                Entry::Occupied(held) => return same_key(held.get(), start, key),
                Entry::Vacant(free) => {
                    free.insert(KeyHolder { id, digest: start.input.digest() });
                }
            }
        }
        Disposition::Publish(self.begin(id, start, None))
    }

    /// A saga begins, perhaps as a step of another.
    pub(super) fn begin(
        &mut self,
        id: SagaId,
        start: &Start,
        parent: Option<(SagaId, String)>,
    ) -> Vec<Message> {
        let outline = start.definition.outline();
        let instance = Instance {
            definition: Arc::clone(&start.definition),
            state: State::new(outline, id, start.input.clone()),
            key: start.key.clone(),
            trace: start.trace.clone(),
            changes: Vec::new(),
            parent: parent.as_ref().map(|(id, _)| *id),
            timer_at: None,
        };
        let new = NewSaga {
            definition: outline.name.clone(),
            version: outline.version,
            key: start.key.clone(),
            trace: start.trace.as_ref().map(ToString::to_string),
            input: start.input.clone(),
            parent,
        };
        let turn = machine::start(&start.definition, id, start.input.clone(), self.now);
        self.observer.started(id, &turn);
        self.changes.insert(id, Change { start: Some(new), ..Change::default() });
        self.fresh.insert(id);
        self.instances.insert(id, instance);
        if !start.locks.is_empty() {
            self.read_inbox.insert(id);
            self.rows.locks.extend(start.locks.iter().map(|name| (id, name.clone())));
        }
        self.take(id, turn)
    }

    /// A start that was asked for in SQL.
    pub(super) fn start_requested(
        &mut self,
        due: &Due,
        start: Result<Start, String>,
    ) -> Vec<Message> {
        let id = due.saga;
        let mut decided = DecidedStart { saga: id, holder: None, refusal: None };
        let mut publish = Vec::new();
        match start {
            Err(reason) => decided.refusal = Some(reason),
            Ok(start) => {
                match self.start(id, &start) {
                    Disposition::Publish(messages) => publish = messages,
                    Disposition::Bury(reason) => decided.refusal = Some(reason),
                    Disposition::Recheck | Disposition::Park | Disposition::Leave => {
                        return publish;
                    }
                }
                decided.holder = self.holder(&start).filter(|holder| *holder != id);
            }
        }
        let began = self.instances.contains_key(&id);
        if began {
            self.fired.insert(id, *due);
        } else {
            self.rearm.push(Rearm::Delete(*due));
        }
        self.rows.starts.push(decided);
        publish
    }

    /// The saga that holds the key of a start.
    fn holder(&self, start: &Start) -> Option<SagaId> {
        let name = start.definition.outline().name.clone();
        let key = start.key.clone()?;
        self.keys.get(&(name, key)).map(|holder| holder.id)
    }
}

/// The key is held: by a saga with the same body, or it is an error.
fn same_key(holder: &KeyHolder, start: &Start, key: &str) -> Disposition {
    if holder.digest == start.input.digest() {
        return Disposition::Publish(Vec::new());
    }
    let name = &start.definition.outline().name;
    Disposition::Bury(format!(
        "the key `{key}` of `{name}` was used before with another body, by saga {}",
        holder.id
    ))
}

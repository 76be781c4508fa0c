//! Looking for what sagas that were woken may have waited for.

use std::{collections::HashMap, sync::Arc, time::Duration};

use amends::{SagaId, machine};
use sqlx::types::Uuid;

use super::{Start, draft::Draft, turn::Lane, wake::requested};
use crate::store::CommitError;

impl Lane {
    /// Looks for what the sagas that were woken may have waited for. Whoever brings such a thing
    /// commits it first and wakes the saga then, so nothing is missed.
    pub(super) async fn look(&self, draft: &mut Draft, woken: &[Uuid]) -> Result<(), CommitError> {
        for (id, acts) in self.store.open_acts(woken).await? {
            draft.inboxes.entry(id).or_default().acts = acts;
        }
        let Looks { missing, waiting, queued, ended, children } = Looks::of(draft, woken);
        self.look_for_requests(draft, &missing).await?;
        for (id, arrivals) in self.store.arrivals(&waiting).await? {
            draft.inboxes.entry(id).or_default().arrivals = arrivals;
        }
        for id in self.store.acquire(&queued).await? {
            draft.inboxes.entry(id).or_default().granted = true;
        }
        if self.store.release(&ended).await? > 0 {
            self.alarm.set(Duration::ZERO);
        }
        let ids: Vec<_> = children.keys().map(|id| id.0).collect();
        for (id, end) in self.store.ends(&ids).await? {
            if let Some((outer, step)) = children.get(&id) {
                let inbox = draft.inboxes.entry(*outer).or_default();
                inbox.ends.push(end.of_step(step));
            }
        }
        Ok(())
    }

    /// Looks for starts that were asked for in SQL under these ids, and for whoever has their keys.
    async fn look_for_requests(&self, draft: &mut Draft, ids: &[Uuid]) -> Result<(), CommitError> {
        let (mut definitions, mut keys) = (Vec::new(), Vec::new());
        for (id, request) in self.store.requests(ids).await? {
            let start = match self.registry.starting(&request.definition) {
                Some(definition) => requested(Arc::clone(definition), request),
                None if self.registry.is_nested_only(&request.definition) => {
                    Err(format!("`{}` begins as a step of another saga only", request.definition))
                }
                None if request.expired => {
                    Err(format!("no program started `{}` within an hour", request.definition))
                }
                // Another program may know it: it is left to the timer.
                None => {
                    draft.foreign.insert(id);
                    continue;
                }
            };
            if let Ok(Start { definition, key: Some(key), .. }) = &start {
                definitions.push(definition.outline().name.clone());
                keys.push(key.clone());
            }
            draft.inboxes.entry(id).or_default().request = Some(start);
        }
        draft.keys.extend(self.store.find(&definitions, &keys).await?);
        Ok(())
    }
}

/// Which of the sagas that were woken look for what.
#[derive(Default)]
struct Looks {
    missing: Vec<Uuid>,
    waiting: Vec<Uuid>,
    queued: Vec<Uuid>,
    /// Ended, with locks.
    ended: Vec<Uuid>,
    /// Nested sagas, and whose step each is.
    children: HashMap<SagaId, (SagaId, String)>,
}

impl Looks {
    fn of(draft: &Draft, woken: &[Uuid]) -> Self {
        let mut looks = Self::default();
        for id in woken {
            let Some(entry) = draft.entries.get(&SagaId(*id)) else {
                if !draft.foreign.contains(&SagaId(*id)) {
                    looks.missing.push(*id);
                }
                continue;
            };
            let (definition, state) = (&entry.definition, &entry.state);
            if !machine::waits(definition, state).is_empty() {
                looks.waiting.push(*id);
            }
            if state.queued {
                looks.queued.push(*id);
            }
            if state.status.ended() && definition.outline().locks > 0 {
                looks.ended.push(*id);
            }
            looks.children.extend(
                machine::open_children(definition, state)
                    .map(|(step, child)| (child, (state.id, step))),
            );
        }
        looks
    }
}

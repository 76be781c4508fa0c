//! Reading the inboxes of sagas whose timers fired.

use std::{sync::Arc, time::Duration};

use amends::{
    SagaId,
    turn::{Batch, InboxQuery, Request, Start},
};

use super::settle::Lane;
use crate::store::StoreError;

impl Lane {
    /// Reads the inboxes of sagas whose timers fired. Whoever brings something commits it first and
    /// makes the timer due then, so nothing is missed.
    pub(super) async fn read_inboxes(
        &self,
        batch: &mut Batch,
        woken: &[SagaId],
    ) -> Result<(), StoreError> {
        let query = batch.inbox_query(woken);
        let InboxQuery { mail, missing, waiting, queued, passing, ended, children } = query;
        let mail: Vec<_> = mail.into_iter().collect();
        for (id, acts) in self.store.open_acts(&mail).await? {
            batch.inbox(id).acts = acts;
        }
        self.read_requests(batch, &missing).await?;
        for (id, arrivals) in self.store.arrivals(&waiting).await? {
            batch.inbox(id).arrivals = arrivals;
        }
        for id in self.store.acquire(&queued).await? {
            batch.inbox(id).granted = true;
        }
        let passed = self.store.pass_locks(&passing).await?;
        if self.store.release(&ended).await? + passed > 0 {
            self.alarm.set(Duration::ZERO);
        }
        let ids: Vec<_> = children.keys().copied().collect();
        for (id, end) in self.store.ends(&ids).await? {
            if let Some((outer, step)) = children.get(&id) {
                batch.inbox(*outer).ends.push(end.of_step(step));
            }
        }
        Ok(())
    }

    /// Reads starts by SQL that are noted under these ids, and the holders of their keys.
    async fn read_requests(&self, batch: &mut Batch, ids: &[SagaId]) -> Result<(), StoreError> {
        let mut keys = Vec::new();
        for (id, request) in self.store.requests(ids).await? {
            let Some(start) = self.requested(request) else {
                batch.put_foreign(id);
                continue;
            };
            if let Ok(Start { definition, key: Some(key), .. }) = &start {
                keys.push((definition.outline().name.clone(), key.clone()));
            }
            batch.inbox(id).request = Some(start);
        }
        for ((definition, key), holder) in self.store.holders(&keys).await? {
            batch.put_key(definition, key, holder);
        }
        Ok(())
    }

    /// The start that a request asks for, or why there is none; `None` where another program may know the
    /// definition: then it is left to the timer.
    fn requested(&self, request: Request) -> Option<Result<Start, String>> {
        match self.registry.starting(&request.definition) {
            Some(definition) => Some(Start::requested(Arc::clone(definition), request)),
            None if self.registry.is_nested_only(&request.definition) => {
                Some(Err(format!("`{}` begins as a step of another saga only", request.definition)))
            }
            None if request.expired => {
                Some(Err(format!("no program started `{}` within an hour", request.definition)))
            }
            None => None,
        }
    }
}

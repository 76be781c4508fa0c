//! Reading what a batch needs and the lane does not have at hand.

use amends::{
    SagaId,
    turn::{Batch, Instance, Missing, Stored},
};

use super::{Incoming, settle::Chunk, settle::Lane};
use crate::store::StoreError;

impl Lane {
    pub(super) async fn load(
        &mut self,
        batch: &mut Batch,
        chunk: &Chunk,
    ) -> Result<(), StoreError> {
        let items = chunk.items.iter().filter_map(|item| match &item.incoming {
            Incoming::Turn(item) => Some(item),
            Incoming::Dead(..) | Incoming::Leave(_) => None,
        });
        let cache = &mut self.cache;
        let Missing { sagas, keys, woken } = batch.gather(items, chunk.cached, |id| cache.take(id));
        for (id, stored) in self.store.load(&sagas, self.now.get()).await? {
            self.put(batch, id, stored);
        }
        for ((definition, key), holder) in self.store.holders(&keys).await? {
            batch.put_key(definition, key, holder);
        }
        for id in &woken {
            if let Some(seq) = self.publisher.announced(*id) {
                batch.put_announced(*id, seq);
            }
        }
        self.read_inboxes(batch, &woken).await
    }

    /// Puts in what was read; what this program cannot read is left to another.
    fn put(&self, batch: &mut Batch, id: SagaId, stored: Stored) {
        let (name, version) = (&stored.definition, stored.version);
        let Some(definition) = self.registry.get(name, version) else {
            if self.registry.meet(name, version) {
                tracing::warn!(
                    definition = name,
                    version,
                    "there are sagas of a version that this program does not know; they are left to replicas that do"
                );
            }
            return batch.put_foreign(id);
        };
        match Instance::of(definition, id, stored) {
            Ok(instance) => batch.put(id, instance),
            Err(error) => {
                tracing::error!(saga = %id, %error, "this program cannot read the saga; its events are left to another");
                batch.put_foreign(id);
            }
        }
    }
}

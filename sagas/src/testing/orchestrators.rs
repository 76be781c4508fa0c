//! The simulated orchestrators: they read and decide a batch, and may be outdated, or overtaken by each
//! other. What is decided, [`Batch`] decides, as in production; what is written of it, `outbox` writes.

use std::sync::Arc;

use super::{
    audit::Watch,
    breach::{Breach, Guarantee, Kept, hold},
    message::Message as Posted,
    outbox::{DecidedBatch, Written},
    saga::{REPLICAS, Saga},
    sim::Sim,
};
use crate::{
    SagaId,
    turn::{Batch, Due, Input, Instance, Item},
};

impl Sim<'_> {
    pub(super) fn saga(&mut self, id: SagaId) -> Kept<&mut Saga> {
        let saga = self.sagas.get_mut(&id);
        saga.ok_or_else(|| Breach::new(Guarantee::Wire, format!("there is no saga {id}")))
    }

    /// A timer fires: it is taken, and waits in its lane for a while, or not.
    pub(super) fn fire(&mut self, id: SagaId) -> Kept {
        let Some(due) = self.database.claim(id, self.now) else { return Ok(()) };
        if self.random.chance(12) {
            self.post(id, Posted::Fired(due));
            return Ok(());
        }
        self.fired(due)
    }

    pub(super) fn fired(&mut self, due: Due) -> Kept {
        self.batch(vec![Item { saga: due.saga, input: Input::Timer(due) }]).map(drop)
    }

    /// Takes items to one of the orchestrators, as one batch; which of them are acked. What is not will be
    /// delivered again, or its timer fires again.
    pub(super) fn batch(&mut self, items: Vec<Item>) -> Kept<Vec<bool>> {
        let replica = self.replica();
        let mut acked = vec![false; items.len()];
        let (mut open, mut trust): (Vec<usize>, _) = ((0..items.len()).collect(), true);
        while !open.is_empty() {
            let chosen: Vec<_> = open.iter().map(|n| &items[*n]).collect();
            if let Some(written) = self.turn(&chosen, trust, replica)? {
                open.iter().zip(&written.acked).for_each(|(n, done)| acked[*n] = *done);
                if written.died {
                    self.forgets(replica);
                    break;
                }
                open.retain(|n| !acked[*n]);
            }
            // What is decided again is decided on what is stored.
            trust = false;
        }
        Ok(acked)
    }

    /// Decides items, and writes what follows. Nothing is written when another turn came first.
    fn turn(&mut self, items: &[&Item], trust: bool, replica: usize) -> Kept<Option<Written>> {
        let decided = self.decide(items, trust, replica)?;
        let alone = !self.meanwhile(replica)?;
        if let Some(id) = self.database.conflicts(&self.sagas, &decided.outcome.rows) {
            hold!(trust || !alone, Fold, "the version check hits only outdated states");
            self.saga(id)?.checker.saw("version conflict");
            return Ok(None);
        }
        self.write(items, decided, replica).map(Some)
    }

    /// One of the orchestrators, but none that is in the midst of a batch.
    fn replica(&mut self) -> usize {
        let replica = self.random.pick(REPLICAS);
        if self.busy == Some(replica) { (replica + 1) % REPLICAS } else { replica }
    }

    /// Between the reading of an orchestrator and its writing others go on, or not.
    fn meanwhile(&mut self, replica: usize) -> Kept<bool> {
        if self.busy.is_some() || self.pipe.is_empty() || !self.random.chance(12) {
            return Ok(false);
        }
        let n = self.random.pick(self.pipe.len());
        let (_, id, message) = self.pipe.swap_remove(n);
        self.note(|| "       meanwhile".to_owned());
        self.busy = Some(replica);
        self.deliver(id, message)?;
        self.busy = None;
        Ok(true)
    }

    /// An orchestrator died: who takes its place remembers nothing.
    fn forgets(&mut self, replica: usize) {
        self.sagas.values_mut().for_each(|saga| saga.replicas[replica] = None);
    }

    fn decide(&mut self, items: &[&Item], trust: bool, replica: usize) -> Kept<DecidedBatch> {
        let mut batch = Batch::observed(self.now, Watch::default());
        self.load(&mut batch, items, trust, replica);
        let mut dispositions = Vec::with_capacity(items.len());
        for item in items {
            let disposition = batch.decide(item);
            dispositions.push((disposition, batch.observer().0.len()));
        }
        let outcome = batch.finish();
        hold!(outcome.unusable.is_empty(), Wire, "{:?}", outcome.unusable);
        Ok(DecidedBatch { outcome, dispositions })
    }

    /// Reads what the orchestrator does not remember.
    fn load(&mut self, batch: &mut Batch<Watch>, items: &[&Item], trust: bool, replica: usize) {
        let sagas = &mut self.sagas;
        let remembered = |id| sagas.get_mut(&id)?.replicas[replica].take();
        let missing = batch.gather(items.iter().copied(), trust, remembered);
        for id in missing.sagas {
            if let Some(instance) = self.stored(id) {
                batch.put(id, instance);
            }
        }
        for (definition, key) in missing.keys {
            if let Some(holder) = self.database.holder(&definition, &key) {
                batch.put_key(definition, key, holder);
            }
        }
        for id in &missing.woken {
            if let Some(seq) = self.sagas.get(id).and_then(|saga| saga.announced) {
                batch.put_announced(*id, seq);
            }
        }
        self.read_inboxes(batch, &missing.woken);
    }

    fn stored(&self, id: SagaId) -> Option<Instance> {
        let saga = self.sagas.get(&id)?;
        Some(Instance {
            definition: Arc::clone(&saga.definition),
            state: saga.store.state().clone(),
            key: None,
            trace: None,
            changes: saga.store.changes().to_vec(),
            parent: saga.outer.as_ref().map(|(outer, _)| *outer),
            timer_at: self.database.timer_at(id, self.now),
        })
    }
}

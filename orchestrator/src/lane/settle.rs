//! load → decide → commit → hand over, for a batch at a time.

use std::{sync::Arc, time::Duration};

use amends::{
    RetryLoop,
    turn::{self, Batch, Disposition, Input, Outcome},
};

use super::{BATCH_MAX, Incoming, Item, LaneInput, MessageLanes, Receiver, cache::Cache, log};
use crate::{
    admission::Admission,
    halves::halves,
    handover::{Job, Publisher},
    health::Health,
    registry::Registry,
    store::{Store, StoreError},
    time::{Alarm, Now},
};

/// How often one event may lose against other turns of its saga before it is left to a redelivery.
const CONFLICTS_MAX: u32 = 20;

/// How often a batch is tried whole while Postgres fails, before it is tried in parts.
const WHOLE_MAX: u32 = 5;

/// Delays while a batch cannot be written.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_CAP: Duration = Duration::from_secs(2);

pub(crate) struct Lane {
    pub(super) store: Store,
    pub(super) registry: Arc<Registry>,
    pub(super) publisher: Publisher,
    pub(super) alarm: Arc<Alarm>,
    pub(super) now: Arc<Now>,
    health: Arc<Health>,
    admission: Arc<Admission>,
    pub(super) cache: Cache,
    hands_over_to: Option<MessageLanes>,
}

/// Items that are decided together: what waited, or a part of it.
pub(super) struct Chunk {
    pub(super) items: Vec<Item>,
    /// Whether cached states may be used.
    pub(super) cached: bool,
    conflicts: u32,
    /// Whether Postgres refused it alone.
    refused: bool,
}

impl Chunk {
    const fn new(items: Vec<Item>, cached: bool) -> Self {
        Self { items, cached, conflicts: 0, refused: false }
    }
}

impl Lane {
    pub(crate) fn new(
        store: Store,
        registry: Arc<Registry>,
        publisher: Publisher,
        alarm: Arc<Alarm>,
        now: Arc<Now>,
        health: Arc<Health>,
        admission: Arc<Admission>,
    ) -> Self {
        Self {
            store,
            registry,
            publisher,
            alarm,
            now,
            health,
            admission,
            cache: Cache::new(),
            hands_over_to: None,
        }
    }

    /// Hands states over in place of keeping them.
    pub(crate) fn handing_over_to(self, lanes: MessageLanes) -> Self {
        Self { hands_over_to: Some(lanes), ..self }
    }

    /// Runs until all senders are gone. A batch is whatever waits: alone when idle, larger under
    /// load, because a commit under way gathers the next.
    pub(crate) async fn run(mut self, mut queue: Receiver<LaneInput>) {
        let mut inputs = Vec::with_capacity(BATCH_MAX);
        while queue.recv_many(&mut inputs, BATCH_MAX).await > 0 {
            let mut items = Vec::with_capacity(inputs.len());
            for input in inputs.drain(..) {
                match input {
                    LaneInput::Item(item) => items.push(item),
                    LaneInput::State(id, instance) => self.cache.keep_newer(id, *instance),
                }
            }
            if !items.is_empty() {
                self.settle(Chunk::new(items, true)).await;
            }
        }
    }

    /// Decides and commits a batch, in parts where the whole cannot be: one bad event must not fail
    /// its neighbours.
    async fn settle(&mut self, chunk: Chunk) {
        let mut left = vec![chunk];
        let retries = |name| RetryLoop::new(RETRY_FIRST, RETRY_CAP, name);
        let (mut outages, mut defects) = (retries("lane"), retries("defects of a lane"));
        while let Some(chunk) = left.pop() {
            match self.attempt(&chunk).await {
                Ok(dispositions) => {
                    outages.succeeded();
                    defects.succeeded();
                    if let Some(again) = self.hand_over(chunk.items, dispositions).await {
                        left.push(again);
                    }
                }
                Err(error) if error.is_of_retired() => left.push(self.without_retired(chunk)),
                Err(StoreError::Conflict(_)) if chunk.cached => {
                    left.push(Chunk { cached: false, ..chunk })
                }
                Err(StoreError::Conflict(_)) if chunk.items.len() > 1 => left.extend(parts(chunk)),
                Err(StoreError::Conflict(_)) if chunk.conflicts < CONFLICTS_MAX => {
                    left.push(Chunk { conflicts: chunk.conflicts + 1, ..chunk });
                }
                Err(StoreError::Conflict(_)) => {
                    tracing::warn!(
                        "an event lost against other turns again and again; it will be delivered again"
                    );
                }
                Err(StoreError::Poison(_)) if chunk.items.len() > 1 => left.extend(parts(chunk)),
                Err(StoreError::Poison(_)) if !chunk.refused => {
                    left.push(Chunk { cached: false, refused: true, ..chunk });
                }
                Err(StoreError::Poison(error)) => self.poison(chunk, &error).await,
                Err(StoreError::Defect(_)) => {
                    tokio::time::sleep(defects.failed()).await;
                    // Alone it is left to its redelivery, or its timer: others are not to wait for it.
                    if chunk.items.len() > 1 {
                        left.extend(parts(Chunk { cached: false, ..chunk }));
                    }
                }
                Err(StoreError::Unavailable(error)) => {
                    self.unavailable(&mut outages, &error).await;
                    // Postgres may be there, and the batch too much for it.
                    if outages.failures().is_multiple_of(WHOLE_MAX) && chunk.items.len() > 1 {
                        left.extend(parts(Chunk { cached: false, ..chunk }));
                    } else {
                        left.push(Chunk { cached: false, ..chunk });
                    }
                }
            }
        }
    }

    async fn unavailable(&self, retries: &mut RetryLoop, error: &sqlx::Error) {
        let pause = retries.failed();
        if retries.is_first() {
            match error.as_database_error().and_then(|e| e.code()) {
                Some(code) => {
                    tracing::warn!(%error, %code, "Postgres refuses; trying again until it does not")
                }
                None => {
                    tracing::warn!(%error, "Postgres does not answer; trying again until it does")
                }
            }
        }
        tokio::time::sleep(pause).await;
    }

    /// One round: read what is missing, decide all, write. On any error nothing of this batch stays
    /// in the cache, so that the next round reads it again.
    async fn attempt(&mut self, chunk: &Chunk) -> Result<Vec<Disposition>, StoreError> {
        let health = Arc::clone(&self.health);
        let _under_way = health.under_way();
        let mut batch = Batch::new(self.now.get());
        self.load(&mut batch, chunk).await?;
        let dispositions: Vec<_> =
            chunk.items.iter().map(|item| decide(&mut batch, item)).collect();
        let outcome = batch.finish();
        let store = if chunk.refused { self.store.apart() } else { self.store.clone() };
        let written = self.commit(&store, outcome).await;
        if written.as_ref().is_err_and(StoreError::is_of_retired) {
            self.registry.retire(self.store.retired().await?);
        }
        written.map(|()| dispositions)
    }

    /// The same batch; a trigger that was read before its version was retired is left to be delivered again,
    /// and read again.
    fn without_retired(&self, chunk: Chunk) -> Chunk {
        let items = chunk.items.into_iter().map(|mut item| {
            if let Incoming::Turn(turn::Item { saga, input: Input::Start(start) }) = &item.incoming
                && self.registry.is_retired(&start.definition)
            {
                item.incoming = Incoming::Leave(*saga);
            }
            item
        });
        Chunk { cached: false, items: items.collect(), ..chunk }
    }

    async fn commit(&mut self, store: &Store, outcome: Outcome) -> Result<(), StoreError> {
        let Outcome { rows, rearm, alarms, instances, recorded, unusable, .. } = outcome;
        log::unusable(&unusable);
        let decided = log::Decided::of(&rows);
        if !rows.is_empty() {
            let began = std::time::Instant::now();
            let facts = rows.facts();
            store.commit(rows).await?;
            metrics::histogram!("amends_commit_seconds").record(began.elapsed().as_secs_f64());
            metrics::histogram!("amends_batch_facts").record(facts as f64);
        }
        log::recorded(&recorded);
        decided.log();
        if !rearm.is_empty() {
            self.store.rearm(&rearm).await?;
        }
        let now = self.now.get();
        for due in alarms {
            self.alarm.set((due - now).to_std().unwrap_or(Duration::ZERO));
        }
        self.admission.note(instances.iter());
        for (id, instance) in instances {
            match &self.hands_over_to {
                None => self.cache.keep(id, instance),
                Some(lanes) => lanes.hand_over(id, instance),
            }
        }
        Ok(())
    }

    /// Gives what was decided to the publisher; returns what must be decided again.
    async fn hand_over(&self, items: Vec<Item>, dispositions: Vec<Disposition>) -> Option<Chunk> {
        let (mut jobs, mut again, mut parked) = (Vec::new(), Vec::new(), Vec::new());
        for (item, disposition) in items.into_iter().zip(dispositions) {
            match disposition {
                Disposition::Publish(publish) => {
                    jobs.push(Job { publish, bury: None, ack: item.delivery });
                }
                Disposition::Bury(reason) => jobs.push(buried(item, &reason)),
                Disposition::Recheck => again.push(item),
                Disposition::Park => parked.push(item),
                Disposition::Leave => {}
            }
        }
        jobs.extend(self.park(parked).await);
        if !jobs.is_empty() {
            self.publisher.hand_over(jobs).await;
        }
        (!again.is_empty()).then(|| Chunk::new(again, false))
    }

    async fn poison(&self, chunk: Chunk, error: &sqlx::Error) {
        let reason = format!("Postgres refuses what follows from it: {error}");
        for item in chunk.items {
            if item.delivery.is_none() {
                tracing::error!(saga = %item.saga(), reason, "a saga cannot go on");
            }
            self.publisher.hand_over(vec![buried(item, &reason)]).await;
        }
    }
}

fn decide(batch: &mut Batch, item: &Item) -> Disposition {
    match &item.incoming {
        Incoming::Turn(item) => batch.decide(item),
        Incoming::Dead(_, reason) => Disposition::Bury(reason.clone()),
        Incoming::Leave(_) => Disposition::Leave,
    }
}

/// An item that is a dead letter.
pub(super) fn buried(item: Item, reason: &str) -> Job {
    let bury = item.delivery.as_ref().map(|delivery| delivery.letter(reason));
    Job { publish: Vec::new(), bury, ack: item.delivery }
}

fn parts(chunk: Chunk) -> [Chunk; 2] {
    let Chunk { items, cached, conflicts, refused } = chunk;
    halves(items).map(|items| Chunk { items, cached, conflicts, refused })
}

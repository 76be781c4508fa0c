//! Keeps letters as far as their kinds have room, counts all, and has them told.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::summary::{Next, Summary};
use crate::{
    letter::{Kind, Letter},
    store::{Buried, Store, StoreError},
};

/// How long a kind that was full is taken for full: so often one is tried, and meanwhile no bodies are sent.
const FULL: Duration = Duration::from_secs(1);

/// Shared by all that bury.
#[derive(Clone)]
pub(crate) struct Keeper {
    store: Store,
    /// Kinds that there was no room for, and until when that is believed.
    full: Arc<Mutex<HashMap<Kind, Instant>>>,
    summary: Arc<Mutex<Summary>>,
}

impl Keeper {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, full: Arc::default(), summary: Arc::default() }
    }

    /// Keeps or counts these. One that is kept already, because its ack was lost, is no other letter.
    ///
    /// # Errors
    /// [`StoreError`]: none of them is kept.
    pub(crate) async fn bury(&self, letters: &[Letter]) -> Result<(), StoreError> {
        let full = self.full_kinds();
        let mut fates = self.store.bury(letters, |kind| full.contains_key(kind)).await?;
        let (mut kept, mut dropped) = (0, 0);
        for letter in letters {
            let Some(fate) = fates.remove(&letter.source) else { continue };
            match fate {
                Buried::Kept => kept += 1,
                Buried::Dropped => {
                    dropped += 1;
                    let kind = letter.kind();
                    if !full.contains_key(&kind) {
                        held(&self.full).insert(kind, Instant::now() + FULL);
                    }
                }
            }
            held(&self.summary).add(letter, fate);
        }
        metrics::counter!("amends_dead_letters_total").increment(kept);
        metrics::counter!("amends_dead_letters_dropped_total").increment(dropped);
        self.tell();
        Ok(())
    }

    fn full_kinds(&self) -> HashMap<Kind, Instant> {
        let (mut full, now) = (held(&self.full), Instant::now());
        full.retain(|_, until| now < *until);
        full.clone()
    }

    /// Logs what is to be told now, or sees to it that it is told in time.
    fn tell(&self) {
        let now = Instant::now();
        let mut summary = held(&self.summary);
        match summary.next(now) {
            Next::Nothing => {}
            Next::Log => summary.log(now),
            Next::LogIn(wait) => {
                let summary = Arc::clone(&self.summary);
                tokio::spawn(async move {
                    tokio::time::sleep(wait).await;
                    held(&summary).log(Instant::now());
                });
            }
        }
    }

    /// Logs what is left, at the end.
    pub(crate) fn tell_all(&self) {
        held(&self.summary).log(Instant::now());
    }
}

/// Counters and times are whole whatever happened to who held them.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

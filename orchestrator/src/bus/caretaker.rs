//! What must be looked after while all goes well: streams that vanish without a listener noticing,
//! room for triggers, and messages that this client cannot even read.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Topology, unreadable};
use crate::store::Store;

/// Between two looks: a stream of commands that is gone stops every saga, so it is noticed within
/// one attempt's time.
const LOOK: Duration = Duration::from_secs(10);

/// After a failed publication, to let a restarting server come back.
const SOON: Duration = Duration::from_millis(200);

pub(crate) struct Caretaker {
    pub(crate) topology: Topology,
    pub(crate) store: Store,
    /// Something could not be published.
    pub(crate) failed: Arc<Notify>,
    pub(crate) stop: CancellationToken,
}

impl Caretaker {
    /// Runs until stopped.
    pub(crate) async fn run(self) {
        let mut last = String::new();
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = async { self.failed.notified().await; tokio::time::sleep(SOON).await } => {}
                () = self.stop.cancelled() => return,
            }
            let looked = self.look().await;
            // Each trouble is told once, not every ten seconds.
            if looked != last && !looked.is_empty() {
                tracing::warn!("streams and consumers: {looked}");
            }
            last = looked;
        }
    }

    /// Does every chore, whatever became of the one before; what went wrong.
    async fn look(&self) -> String {
        let chores = [
            self.topology.ensure().await,
            self.topology.make_room().await,
            unreadable::remove(&self.topology, &self.store).await,
        ];
        let errors = chores.into_iter().filter_map(|done| Some(done.err()?.to_string()));
        errors.collect::<Vec<_>>().join("; ")
    }
}

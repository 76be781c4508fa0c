//! Streams: those that vanish without a listener noticing are made anew, triggers get room, and
//! messages that this client cannot read are taken out.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::unreadable;
use crate::{burial::Burial, bus::Topology};

/// Between two looks: a stream of commands that is gone stops every saga, so it is noticed within
/// one attempt's time.
const PERIOD: Duration = Duration::from_secs(10);

/// After a failed publication, to let a restarting server come back.
const SOON: Duration = Duration::from_millis(200);

pub(crate) struct Streams {
    pub(crate) topology: Topology,
    pub(crate) burial: Burial,
    /// Something could not be published.
    pub(crate) failed: Arc<Notify>,
    pub(crate) stop: CancellationToken,
}

impl Streams {
    /// Runs until stopped.
    pub(crate) async fn run(self) {
        let mut last = String::new();
        loop {
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                () = async { self.failed.notified().await; tokio::time::sleep(SOON).await } => {}
                () = self.stop.cancelled() => return,
            }
            let error = self.repair().await;
            // Each error is logged once, not every ten seconds.
            if error != last && !error.is_empty() {
                tracing::warn!("streams and consumers: {error}");
            }
            last = error;
        }
    }

    /// Does every task, whatever became of the one before; returns the errors.
    async fn repair(&self) -> String {
        let tasks = [
            self.topology.ensure().await.err().map(|error| error.to_string()),
            self.topology.make_room().await.err().map(|error| error.to_string()),
            unreadable::remove(&self.topology, &self.burial).await.err().map(|e| e.to_string()),
        ];
        let errors = tasks.into_iter().flatten();
        errors.collect::<Vec<_>>().join("; ")
    }
}

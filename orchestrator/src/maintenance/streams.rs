//! Streams: those that vanish without a listener noticing are made anew, settings are put right, triggers
//! get room, messages that this client cannot read are taken out, and what lies unread is looked at.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use super::unreadable;
use crate::{
    burial::Keeper,
    bus::{Shares, Topology},
};

/// Between two looks: a stream of commands that is gone stops every saga, so it is noticed within
/// one attempt's time.
const PERIOD: Duration = Duration::from_secs(10);

/// After a failed publication, to let a restarting server come back.
const SOON: Duration = Duration::from_millis(200);

/// Between two looks at what lies unread, while that is much for some service.
const UNREAD: Duration = Duration::from_secs(1);

pub(crate) struct Streams {
    pub(crate) topology: Topology,
    pub(crate) shares: Arc<Shares>,
    pub(crate) keeper: Keeper,
    /// Something could not be published.
    pub(crate) failed: Arc<Notify>,
    pub(crate) stop: CancellationToken,
}

impl Streams {
    /// Runs until stopped.
    pub(crate) async fn run(self) {
        tokio::join!(self.keep(), self.look());
    }

    /// Looks at what lies unread for each service.
    async fn look(&self) {
        loop {
            if let Err(error) = self.shares.look().await {
                tracing::debug!(%error, "what lies unread cannot be looked at");
            }
            let looked = Instant::now();
            loop {
                let pause = tokio::time::sleep(UNREAD);
                if self.stop.run_until_cancelled(pause).await.is_none() {
                    return;
                }
                if self.shares.is_near() || looked.elapsed() >= PERIOD {
                    break;
                }
            }
        }
    }

    async fn keep(&self) {
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
            unreadable::remove(&self.topology, &self.keeper).await.err().map(|e| e.to_string()),
        ];
        let errors = tasks.into_iter().flatten();
        errors.collect::<Vec<_>>().join("; ")
    }
}

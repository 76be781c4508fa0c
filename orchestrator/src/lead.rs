//! Which replica takes the messages.
//!
//! Any replica can take any turn, but one that did not take a saga's last turn has to read the saga
//! first. So of the replicas with the same definitions one leads and takes all messages and timers; the
//! others stand by, and help when messages pile up or nobody takes them. Nothing is decided by who
//! leads: two leaders at once, or none for a while, cost time and nothing else.

use std::time::Duration;

use async_nats::connection::State;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::store::{Leading, Store};

/// Between two looks whether there is a leader. One that ends, or is killed, leaves its place at once.
const PERIOD: Duration = Duration::from_millis(250);

/// Stands for election, for ever.
pub(crate) struct Candidate {
    pub(crate) store: Store,
    /// Each set of definitions has a leader: what one cannot carry on, another may.
    pub(crate) election_key: String,
    pub(crate) nats: async_nats::Client,
    pub(crate) leads: watch::Sender<bool>,
    pub(crate) stop: CancellationToken,
}

impl Candidate {
    /// Runs until stopped, and leaves its place then.
    pub(crate) async fn run(self) {
        let mut leading = None;
        while !self.stop.is_cancelled() {
            leading = self.stand(leading).await;
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    /// Keeps the place or tries to take it; leaves it while there is no connection to NATS, to whoever
    /// has one. Who cannot ask goes on as before.
    async fn stand(&self, leading: Option<Leading>) -> Option<Leading> {
        if !matches!(self.nats.connection_state(), State::Connected) {
            return None;
        }
        if let Some(mut leading) = leading
            && leading.holds().await
        {
            return Some(leading);
        }
        match self.store.lead(&self.election_key).await {
            Ok(leading) => {
                self.report(leading.is_some());
                leading
            }
            Err(error) => {
                tracing::debug!(%error, "who leads cannot be asked");
                None
            }
        }
    }

    fn report(&self, leads: bool) {
        metrics::gauge!("amends_leads").set(if leads { 1.0 } else { 0.0 });
        let changed = self.leads.send_if_modified(|known| std::mem::replace(known, leads) != leads);
        if changed {
            let what = if leads { "leads: takes all messages" } else { "stands by" };
            tracing::info!("this replica {what}");
        }
    }
}

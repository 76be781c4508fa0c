//! Whether JetStream stores what it is given.
//!
//! Only a write shows a full disk, a lost quorum, a server without JetStream or a connection that is dead;
//! and an orchestrator that has nothing to do must notice it, too.

use std::{sync::Arc, time::Duration};

use amends::wire;
use async_nats::jetstream::{
    self,
    context::{PublishError, PublishErrorKind},
    stream::{Config, DiscardPolicy},
};
use bytes::Bytes;
use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use super::error::{TopologyError, unavailable};

/// Its stream keeps the last probe of all replicas.
const SUBJECT: &str = "amends.probe";

/// A probe is larger than what is left in a page of a full disk: less would still be stored there.
static BODY: [u8; 16 * 1024] = [0; 16 * 1024];

/// Much more than one probe takes.
const STREAM_BYTES_MAX: i64 = 256 * 1024;

/// Between two probes.
const PERIOD: Duration = Duration::from_secs(1);

/// What is not stored by then is not stored in time for anybody.
const LIMIT: Duration = Duration::from_secs(2);

/// The stream of the probes: it keeps one message, and never refuses for being full.
pub(super) fn stream(replicas: usize) -> Config {
    Config {
        name: wire::PROBE_STREAM.to_owned(),
        subjects: vec![SUBJECT.to_owned()],
        discard: DiscardPolicy::Old,
        max_messages: 1,
        max_bytes: STREAM_BYTES_MAX,
        num_replicas: replicas,
        ..Default::default()
    }
}

/// Has JetStream store a message each second, and reports whether it did: a failure is known three
/// seconds after it began.
pub(crate) struct Probe<R> {
    pub(crate) jetstream: jetstream::Context,
    /// Is told what became of each probe.
    pub(crate) report: R,
    /// Notified when its stream is gone.
    pub(crate) missing: Arc<Notify>,
    pub(crate) stop: CancellationToken,
}

impl<R: Fn(Result<(), String>)> Probe<R> {
    /// Runs until stopped.
    pub(crate) async fn run(self) {
        let mut beat = tokio::time::interval(PERIOD);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.stop.run_until_cancelled(beat.tick()).await.is_some() {
            let stored = match tokio::time::timeout(LIMIT, self.store()).await {
                Ok(stored) => stored.map_err(|error| error.to_string()),
                Err(_) => Err(format!("nothing was stored within {} s", LIMIT.as_secs())),
            };
            (self.report)(stored);
        }
    }

    async fn store(&self) -> Result<(), PublishError> {
        let stored = store(&self.jetstream).await;
        if stored.as_ref().is_err_and(|error| error.kind() == PublishErrorKind::StreamNotFound) {
            self.missing.notify_one();
        }
        stored
    }
}

async fn store(jetstream: &jetstream::Context) -> Result<(), PublishError> {
    jetstream.publish(SUBJECT, Bytes::from_static(&BODY)).await?.await.map(drop)
}

/// Has JetStream store one probe; how long that took.
pub(crate) async fn store_once(jetstream: &jetstream::Context) -> Result<Duration, TopologyError> {
    let began = Instant::now();
    match tokio::time::timeout(LIMIT, store(jetstream)).await {
        Ok(stored) => stored.map(|()| began.elapsed()).map_err(unavailable),
        Err(_) => Err(unavailable(format!("nothing was stored within {} s", LIMIT.as_secs()))),
    }
}

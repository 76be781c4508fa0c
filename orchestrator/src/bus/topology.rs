//! Streams and consumers: created when they are missing, checked when they are there.

use std::{collections::BTreeMap, error::Error, sync::Arc, time::Duration};

use amends::wire;
use async_nats::jetstream::{
    self,
    consumer::{AckPolicy, DeliverPolicy, pull},
    stream::{DiscardPolicy, RetentionPolicy},
};
use futures_util::StreamExt as _;
use tokio::sync::Mutex;

/// The durable consumer of replies, shared by all replicas.
pub(crate) const REPLIES_CONSUMER: &str = "orchestrator";

/// How long a replica may hold a trigger, an event or a reply before it is given to another: it needs
/// a commit and a publication for it. What a killed replica held waits for so long.
const OWN_ACK_WAIT: Duration = Duration::from_secs(7);

/// Unacked messages of one consumer, over all its replicas: more than the batches of several
/// replicas under way at once.
const ACK_PENDING_MAX: i64 = 20_000;

/// Consumed triggers are kept, to be replayed after a restore, until `AMENDS_EVENTS` is this full.
const EVENTS_FILL_PERCENT: u64 = 50;

/// Changes of status are kept this long.
const SAGAS_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Why the streams or consumers cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    /// One is there with other settings.
    #[error(
        "the {what} `{name}` has {setting} {found}, but Amends needs {needed}: change it (`nats {what} edit {name}`), or remove it and let Amends create it"
    )]
    Wrong {
        /// `stream` or `consumer`.
        what: &'static str,
        /// Its name.
        name: String,
        /// The setting.
        setting: &'static str,
        /// What it is.
        found: String,
        /// What it must be.
        needed: String,
    },
    /// NATS is not there, or has no JetStream, or refused.
    #[error("JetStream does not answer: {0}")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
}

/// What must be there.
#[derive(Clone)]
pub(crate) struct Topology {
    inner: Arc<Inner>,
}

struct Inner {
    jetstream: jetstream::Context,
    /// The subject of each consumer of events.
    events: BTreeMap<String, String>,
    services: Vec<String>,
    stream_bytes_max: i64,
    replicas: usize,
    /// One repair at a time: every listener notices a lost stream at once.
    repair: Mutex<()>,
}

pub(super) fn unavailable(error: impl Into<Box<dyn Error + Send + Sync>>) -> TopologyError {
    TopologyError::Unavailable(error.into())
}

impl Topology {
    pub(crate) fn new(
        jetstream: jetstream::Context,
        events: BTreeMap<String, String>,
        services: Vec<String>,
        stream_bytes_max: i64,
        replicas: usize,
    ) -> Self {
        let repair = Mutex::new(());
        let inner = Inner { jetstream, events, services, stream_bytes_max, replicas, repair };
        Self { inner: Arc::new(inner) }
    }

    /// Creates what is missing and checks the rest. Idempotent; any number of replicas may do it at
    /// once.
    ///
    /// # Errors
    /// [`TopologyError`].
    pub(crate) async fn ensure(&self) -> Result<(), TopologyError> {
        let _one = self.inner.repair.lock().await;
        self.inner.stream(self.inner.work_queue(wire::COMMANDS_STREAM, "amends.command.>")).await?;
        self.inner.stream(self.inner.work_queue(wire::REPLIES_STREAM, "amends.reply.*")).await?;
        self.inner.stream(self.inner.status_stream()).await?;
        for service in &self.inner.services {
            let filter = format!("amends.command.{service}.*");
            self.inner.consumer(wire::COMMANDS_STREAM, service, &filter, wire::ACK_WAIT).await?;
        }
        self.inner
            .consumer(wire::REPLIES_STREAM, REPLIES_CONSUMER, "amends.reply.*", OWN_ACK_WAIT)
            .await?;
        for (consumer, subject) in &self.inner.events {
            let stream = self.inner.event_stream(subject).await?;
            self.inner.consumer(&stream, consumer, subject, OWN_ACK_WAIT).await?;
        }
        Ok(())
    }

    /// Makes room in `AMENDS_EVENTS` when it fills: what every consumer has acked may go. Without
    /// this a stream that refuses when full would refuse for the sake of what is long done.
    ///
    /// # Errors
    /// [`TopologyError::Unavailable`].
    pub(crate) async fn make_room(&self) -> Result<(), TopologyError> {
        let found = self.inner.jetstream.get_stream(wire::EVENTS_STREAM).await;
        let Ok(stream) = found else { return Ok(()) };
        let info = stream.cached_info();
        let max = u64::try_from(info.config.max_bytes).unwrap_or(0);
        if max == 0 || info.state.bytes.saturating_mul(100) < max * EVENTS_FILL_PERCENT {
            return Ok(());
        }
        let mut consumers = stream.consumers();
        let (mut done, mut read) = (info.state.last_sequence, false);
        while let Some(consumer) = consumers.next().await {
            let consumer = consumer.map_err(unavailable)?;
            read = true;
            // One that has nothing to do has seen all that was there before it was asked; its floor
            // stands at the last message on its own subject, perhaps at none.
            if consumer.num_pending > 0 || consumer.num_ack_pending > 0 {
                done = done.min(consumer.ack_floor.stream_sequence);
            }
        }
        if read && done > 0 {
            let purged = stream.purge().sequence(done + 1).await.map_err(unavailable)?.purged;
            tracing::info!(purged, "consumed triggers were removed from {}", wire::EVENTS_STREAM);
        }
        Ok(())
    }

    /// The consumers that this orchestrator reads.
    pub(crate) async fn read_consumers(&self) -> Vec<(String, String)> {
        let mut consumers = vec![(wire::REPLIES_STREAM.to_owned(), REPLIES_CONSUMER.to_owned())];
        for consumer in self.inner.events.keys() {
            consumers.extend(self.events_of(consumer).await.ok());
        }
        consumers
    }

    pub(crate) fn jetstream(&self) -> &jetstream::Context {
        &self.inner.jetstream
    }

    /// The stream that captures the events of a consumer, and the consumer.
    ///
    /// # Errors
    /// [`TopologyError::Unavailable`] also when no stream captures it (yet).
    pub(crate) async fn events_of(
        &self,
        consumer: &str,
    ) -> Result<(String, String), TopologyError> {
        let subject = self.inner.events.get(consumer).cloned().unwrap_or_default();
        let stream = self.inner.jetstream.stream_by_subject(subject).await.map_err(unavailable)?;
        Ok((stream, consumer.to_owned()))
    }

    /// What the server says of a consumer now.
    ///
    /// # Errors
    /// [`TopologyError::Unavailable`].
    pub(crate) async fn consumer_state(
        &self,
        stream: &str,
        name: &str,
    ) -> Result<jetstream::consumer::Info, TopologyError> {
        let mut consumer = self.pull_consumer(stream, name).await?;
        consumer.info().await.cloned().map_err(unavailable)
    }

    pub(crate) async fn pull_consumer(
        &self,
        stream: &str,
        name: &str,
    ) -> Result<jetstream::consumer::PullConsumer, TopologyError> {
        self.inner.jetstream.get_consumer_from_stream(name, stream).await.map_err(unavailable)
    }
}

/// The durable consumer of a definition's trigger.
pub(crate) fn trigger_consumer(definition: &str) -> String {
    format!("amends-{definition}")
}

/// The durable consumer of events on `subject` that steps of a definition wait for. A consumer's name
/// has no dots; a subject has no `~`.
pub(crate) fn event_consumer(definition: &str, subject: &str) -> String {
    format!("amends-{definition}~{}", subject.replace('.', "~"))
}

impl Inner {
    fn work_queue(&self, name: &str, subject: &str) -> jetstream::stream::Config {
        jetstream::stream::Config {
            name: name.to_owned(),
            subjects: vec![subject.to_owned()],
            retention: RetentionPolicy::WorkQueue,
            discard: DiscardPolicy::New,
            max_bytes: self.stream_bytes_max,
            num_replicas: self.replicas,
            ..Default::default()
        }
    }

    fn status_stream(&self) -> jetstream::stream::Config {
        jetstream::stream::Config {
            name: wire::SAGAS_STREAM.to_owned(),
            subjects: vec!["amends.saga.*.*".to_owned()],
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::Old,
            max_age: SAGAS_AGE,
            max_bytes: self.stream_bytes_max,
            num_replicas: self.replicas,
            ..Default::default()
        }
    }

    fn events(&self, subject: &str) -> jetstream::stream::Config {
        jetstream::stream::Config {
            name: wire::EVENTS_STREAM.to_owned(),
            subjects: vec![subject.to_owned()],
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::New,
            max_bytes: self.stream_bytes_max,
            num_replicas: self.replicas,
            ..Default::default()
        }
    }

    /// The stream that captures a trigger: the user's own, or `AMENDS_EVENTS`, to which the subject
    /// is added.
    async fn event_stream(&self, subject: &str) -> Result<String, TopologyError> {
        if let Ok(name) = self.jetstream.stream_by_subject(subject).await {
            if name == wire::EVENTS_STREAM {
                let stream = self.jetstream.get_stream(&name).await.map_err(unavailable)?;
                check_stream(&stream.cached_info().config, &self.events(subject))?;
            }
            return Ok(name);
        }
        if let Ok(stream) = self.jetstream.get_stream(wire::EVENTS_STREAM).await {
            let mut config = stream.cached_info().config.clone();
            config.subjects.push(subject.to_owned());
            self.jetstream.update_stream(config).await.map_err(unavailable)?;
        } else {
            let config = self.events(subject);
            self.jetstream.get_or_create_stream(config).await.map_err(unavailable)?;
        }
        Ok(wire::EVENTS_STREAM.to_owned())
    }

    async fn stream(&self, needed: jetstream::stream::Config) -> Result<(), TopologyError> {
        let stream =
            self.jetstream.get_or_create_stream(needed.clone()).await.map_err(unavailable)?;
        let found = &stream.cached_info().config;
        check_stream(found, &needed)?;
        if found.subjects != needed.subjects {
            let (name, found, needed) =
                (&found.name, found.subjects.join(" "), needed.subjects.join(" "));
            return Err(wrong("stream", name, "subjects", found, needed));
        }
        Ok(())
    }

    async fn consumer(
        &self,
        stream: &str,
        name: &str,
        filter: &str,
        ack_wait: Duration,
    ) -> Result<(), TopologyError> {
        let needed = pull::Config {
            durable_name: Some(name.to_owned()),
            filter_subject: filter.to_owned(),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::Explicit,
            ack_wait,
            max_ack_pending: ACK_PENDING_MAX,
            ..Default::default()
        };
        let on = self.jetstream.get_stream_no_info(stream).await.map_err(unavailable)?;
        let consumer = on.get_or_create_consumer(name, needed).await.map_err(unavailable)?;
        let found = &consumer.cached_info().config;
        let wrong = |setting, found, needed| {
            Err(wrong("consumer", &format!("{stream} {name}"), setting, found, needed))
        };
        if found.filter_subject != filter {
            return wrong("filter", found.filter_subject.clone(), filter.to_owned());
        }
        if found.ack_policy != AckPolicy::Explicit {
            return wrong("ack policy", format!("{:?}", found.ack_policy), "Explicit".into());
        }
        if found.max_deliver > 0 {
            return wrong("max deliver", found.max_deliver.to_string(), "no limit".into());
        }
        if !found.backoff.is_empty() {
            return wrong("backoff", format!("{:?}", found.backoff), "none".into());
        }
        Ok(())
    }
}

fn wrong(
    what: &'static str,
    name: &str,
    setting: &'static str,
    found: String,
    needed: String,
) -> TopologyError {
    TopologyError::Wrong { what, name: name.to_owned(), setting, found, needed }
}

/// Checks what decides whether a message may be lost; the rest is its owner's to choose.
fn check_stream(
    found: &jetstream::stream::Config,
    needed: &jetstream::stream::Config,
) -> Result<(), TopologyError> {
    let name = &found.name;
    let wrong = |setting, found, needed| Err(wrong("stream", name, setting, found, needed));
    if found.retention != needed.retention {
        let (found, needed) = (format!("{:?}", found.retention), format!("{:?}", needed.retention));
        return wrong("retention", found, needed);
    }
    if found.discard != needed.discard {
        let (found, needed) = (format!("{:?}", found.discard), format!("{:?}", needed.discard));
        return wrong("discard", found, needed);
    }
    if found.no_ack {
        return wrong("no_ack", "true".into(), "false".into());
    }
    Ok(())
}

//! Streams and consumers: created when they are missing, and put right when their settings are not as needed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use amends::wire;
use async_nats::jetstream::{
    self,
    consumer::{AckPolicy, DeliverPolicy, pull},
    context::{ConsumerInfoErrorKind, GetStreamByNameErrorKind},
    stream::{DiscardPolicy, RetentionPolicy},
};
use futures_util::StreamExt as _;
use tokio::sync::Mutex;

use super::{
    error::{TopologyError, unavailable},
    limit::answer,
    probe, settings,
    survey::{Part, PartKind, part},
    upkeep::{NeededStream, Upkeep},
};

/// The durable consumer of replies, shared by all replicas.
pub(crate) const REPLIES_CONSUMER: &str = "orchestrator";

/// How long a replica may be silent about a trigger, an event or a reply that it holds before that is given
/// to another. What a killed or frozen replica held waits for so long; one that is alive says so.
pub(super) const OWN_ACK_WAIT: Duration = Duration::from_secs(3);

/// Unacked messages of one consumer, over all its replicas: more than the batches of several
/// replicas under way at once.
const ACK_PENDING_MAX: i64 = 20_000;

/// Consumed triggers are kept, to be replayed after a restore, until `AMENDS_EVENTS` is this full.
const EVENTS_FILL_PERCENT: u64 = 50;

/// Changes of status are kept this long.
const SAGAS_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// What must be there.
#[derive(Clone)]
pub(crate) struct Topology {
    inner: Arc<Inner>,
}

struct Inner {
    jetstream: jetstream::Context,
    upkeep: Upkeep,
    /// The subject of each consumer of events.
    events: BTreeMap<String, String>,
    services: Vec<String>,
    stream_bytes_max: i64,
    replicas: usize,
    /// One repair at a time: every listener notices a lost stream at once.
    repair: Mutex<()>,
}

/// How full a stream is.
pub(super) struct Fill {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) bytes_max: i64,
    pub(super) consumers: usize,
}

impl Topology {
    pub(crate) fn new(
        jetstream: jetstream::Context,
        events: BTreeMap<String, String>,
        services: Vec<String>,
        stream_bytes_max: i64,
        replicas: usize,
    ) -> Self {
        let (repair, upkeep) = (Mutex::new(()), Upkeep::new(jetstream.clone()));
        let inner =
            Inner { upkeep, jetstream, events, services, stream_bytes_max, replicas, repair };
        Self { inner: Arc::new(inner) }
    }

    /// Creates what is missing and puts right what has other settings. Idempotent; any number of replicas
    /// may do it at once. What cannot be put right keeps the rest from nothing.
    ///
    /// # Errors
    /// [`TopologyError`].
    pub(crate) async fn ensure(&self) -> Result<(), TopologyError> {
        let _one = self.inner.repair.lock().await;
        let mut wrong = Ok(());
        for stream in self.inner.streams() {
            first(&mut wrong, self.inner.upkeep.stream(stream).await)?;
        }
        for service in &self.inner.services {
            let filter = format!("amends.command.{service}.*");
            let commands = wire::COMMANDS_STREAM;
            first(
                &mut wrong,
                self.inner.consumer(commands, service, &filter, wire::ACK_WAIT).await,
            )?;
        }
        let (stream, consumer) = (wire::REPLIES_STREAM, REPLIES_CONSUMER);
        let replies = self.inner.consumer(stream, consumer, "amends.reply.*", OWN_ACK_WAIT).await;
        first(&mut wrong, replies)?;
        for (consumer, subject) in &self.inner.events {
            let events = self.inner.events_consumer(consumer, subject).await;
            first(&mut wrong, events)?;
        }
        wrong
    }

    /// What is there of all that must be, the streams first. Changes nothing.
    ///
    /// # Errors
    /// [`TopologyError::Unavailable`].
    pub(crate) async fn survey(&self) -> Result<Vec<Part>, TopologyError> {
        let (inner, upkeep) = (&self.inner, &self.inner.upkeep);
        let (mut streams, mut consumers) = (Vec::new(), Vec::new());
        for stream in inner.streams() {
            streams.push(upkeep.survey_stream(stream).await?);
        }
        for service in &inner.services {
            let filter = format!("amends.command.{service}.*");
            let settings = settings::consumer(&filter, wire::ACK_WAIT, ACK_PENDING_MAX);
            let (kind, stream) = (PartKind::Service, wire::COMMANDS_STREAM);
            consumers.push(upkeep.survey_consumer(kind, stream, service, &settings).await?);
        }
        let kind = PartKind::Consumer;
        let settings = settings::consumer("amends.reply.*", OWN_ACK_WAIT, ACK_PENDING_MAX);
        let (stream, consumer) = (wire::REPLIES_STREAM, REPLIES_CONSUMER);
        consumers.push(upkeep.survey_consumer(kind, stream, consumer, &settings).await?);
        let mut captures = false;
        for (consumer, subject) in &inner.events {
            let Some(stream) = inner.capturing(subject).await? else {
                captures = true;
                consumers.push(part(kind, consumer, None));
                continue;
            };
            captures |= stream == wire::EVENTS_STREAM;
            let settings = settings::consumer(subject, OWN_ACK_WAIT, ACK_PENDING_MAX);
            consumers.push(upkeep.survey_consumer(kind, &stream, consumer, &settings).await?);
        }
        if captures {
            let settings = settings::kept_until_consumed("limits");
            let events = NeededStream { config: inner.events(""), settings };
            streams.insert(0, upkeep.survey_stream(events).await?);
        }
        streams.append(&mut consumers);
        Ok(streams)
    }

    /// Makes room in `AMENDS_EVENTS` when it fills: what every consumer has acked may go. Without
    /// this a stream that refuses when full would refuse for the sake of what is long done.
    ///
    /// # Errors
    /// [`TopologyError::Unavailable`].
    pub(crate) async fn make_room(&self) -> Result<(), TopologyError> {
        let found = answer(self.inner.jetstream.get_stream(wire::EVENTS_STREAM)).await;
        let Ok(stream) = found else { return Ok(()) };
        let info = stream.cached_info();
        let max = u64::try_from(info.config.max_bytes).unwrap_or(0);
        if max == 0 || info.state.bytes.saturating_mul(100) < max * EVENTS_FILL_PERCENT {
            return Ok(());
        }
        let mut consumers = stream.consumers();
        let (mut done, mut read) = (info.state.last_sequence, false);
        while let Some(consumer) = answer(next(&mut consumers)).await? {
            read = true;
            // One that has nothing to do has seen all that was there before it was asked; its floor
            // stands at the last message on its own subject, perhaps at none.
            if consumer.num_pending > 0 || consumer.num_ack_pending > 0 {
                done = done.min(consumer.ack_floor.stream_sequence);
            }
        }
        if read && done > 0 {
            let purged = answer(stream.purge().sequence(done + 1)).await?.purged;
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

    /// The services that are sent commands.
    pub(super) fn services(&self) -> &[String] {
        &self.inner.services
    }

    /// What a stream may hold, in bytes, where it is made here.
    pub(super) fn stream_bytes_max(&self) -> i64 {
        self.inner.stream_bytes_max
    }

    /// What the server says of a service's consumer now; `None` while it is not there.
    ///
    /// # Errors
    /// [`TopologyError::Unavailable`].
    pub(super) async fn service_state(
        &self,
        service: &str,
    ) -> Result<Option<jetstream::consumer::Info>, TopologyError> {
        self.inner.consumer_info(wire::COMMANDS_STREAM, service).await
    }

    /// How full the stream of commands is.
    ///
    /// # Errors
    /// [`TopologyError::Unavailable`].
    pub(super) async fn commands_fill(&self) -> Result<Fill, TopologyError> {
        let stream = answer(self.inner.jetstream.get_stream(wire::COMMANDS_STREAM)).await?;
        let info = stream.cached_info();
        Ok(Fill {
            messages: info.state.messages,
            bytes: info.state.bytes,
            bytes_max: info.config.max_bytes,
            consumers: info.state.consumer_count,
        })
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
        let stream = answer(self.inner.jetstream.stream_by_subject(subject)).await?;
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
        let info = self.inner.consumer_info(stream, name).await?;
        info.ok_or_else(|| unavailable(format!("there is no consumer `{name}` on `{stream}`")))
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

/// Keeps what is wrong, if it is the first, and goes on; not without a server.
fn first(
    wrong: &mut Result<(), TopologyError>,
    done: Result<(), TopologyError>,
) -> Result<(), TopologyError> {
    match done {
        Err(error @ TopologyError::Wrong { .. }) if wrong.is_ok() => *wrong = Err(error),
        Err(error @ TopologyError::Unavailable(_)) => return Err(error),
        _ => {}
    }
    Ok(())
}

/// The next of a list, or its end.
async fn next<T, E>(
    list: &mut (impl futures_util::Stream<Item = Result<T, E>> + Unpin),
) -> Result<Option<T>, E> {
    list.next().await.transpose()
}

impl Inner {
    fn streams(&self) -> [NeededStream; 4] {
        [
            self.work_queue(wire::COMMANDS_STREAM, "amends.command.>"),
            self.work_queue(wire::REPLIES_STREAM, "amends.reply.*"),
            self.status_stream(),
            NeededStream {
                config: probe::stream(self.replicas),
                settings: settings::dropping_the_oldest(),
            },
        ]
    }

    /// A stream that refuses when it is full.
    fn stream(
        &self,
        name: &str,
        subject: &str,
        retention: RetentionPolicy,
    ) -> jetstream::stream::Config {
        jetstream::stream::Config {
            name: name.to_owned(),
            subjects: vec![subject.to_owned()],
            retention,
            discard: DiscardPolicy::New,
            max_bytes: self.stream_bytes_max,
            num_replicas: self.replicas,
            ..Default::default()
        }
    }

    fn work_queue(&self, name: &str, subject: &str) -> NeededStream {
        let config = self.stream(name, subject, RetentionPolicy::WorkQueue);
        NeededStream { config, settings: settings::kept_until_consumed("workqueue") }
    }

    fn status_stream(&self) -> NeededStream {
        let config = jetstream::stream::Config {
            discard: DiscardPolicy::Old,
            max_age: SAGAS_AGE,
            ..self.stream(wire::SAGAS_STREAM, "amends.saga.*.*", RetentionPolicy::Limits)
        };
        NeededStream { config, settings: settings::dropping_the_oldest() }
    }

    fn events(&self, subject: &str) -> jetstream::stream::Config {
        self.stream(wire::EVENTS_STREAM, subject, RetentionPolicy::Limits)
    }

    /// What the server says of a consumer; `None` while it is not there.
    async fn consumer_info(
        &self,
        stream: &str,
        name: &str,
    ) -> Result<Option<jetstream::consumer::Info>, TopologyError> {
        let stream = answer(self.jetstream.get_stream_no_info(stream)).await?;
        let asked = async {
            match stream.consumer_info(name).await {
                Ok(info) => Ok(Some(info)),
                Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        };
        answer(asked).await
    }

    /// The stream that captures a trigger: the user's own, or `AMENDS_EVENTS`, to which the subject
    /// is added.
    async fn event_stream(&self, subject: &str) -> Result<String, TopologyError> {
        let name = match self.capturing(subject).await? {
            Some(name) if name == wire::EVENTS_STREAM => name,
            Some(theirs) => return Ok(theirs),
            None => {
                self.upkeep.capture(self.events(subject), subject).await?;
                wire::EVENTS_STREAM.to_owned()
            }
        };
        self.upkeep.stream_settings(&name, &settings::kept_until_consumed("limits")).await?;
        Ok(name)
    }

    /// The stream that captures a subject, if any does.
    async fn capturing(&self, subject: &str) -> Result<Option<String>, TopologyError> {
        let asked = async {
            match self.jetstream.stream_by_subject(subject).await {
                Ok(name) => Ok(Some(name)),
                Err(error) if error.kind() == GetStreamByNameErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        };
        answer(asked).await
    }

    async fn events_consumer(&self, name: &str, subject: &str) -> Result<(), TopologyError> {
        let stream = self.event_stream(subject).await?;
        self.consumer(&stream, name, subject, OWN_ACK_WAIT).await
    }

    async fn consumer(
        &self,
        stream: &str,
        name: &str,
        filter: &str,
        ack_wait: Duration,
    ) -> Result<(), TopologyError> {
        let config = pull::Config {
            durable_name: Some(name.to_owned()),
            filter_subject: filter.to_owned(),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::Explicit,
            ack_wait,
            max_ack_pending: ACK_PENDING_MAX,
            ..Default::default()
        };
        let settings = settings::consumer(filter, ack_wait, ACK_PENDING_MAX);
        self.upkeep.consumer(stream, name, config, &settings).await
    }
}

//! Putting the parts of an orchestrator together, and taking them apart again.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use amends::{Definition, Retry};
use async_nats::jetstream;
use sqlx::PgPool;
use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    bus::{
        Caretaker, Delivery, Place, Publisher, Pull, Replays, Topology, TopologyError,
        event_consumer, trigger_consumer,
    },
    clock::{Alarm, Clock, Now},
    health::Health,
    keep::Keeper,
    lane::{Lane, Lanes},
    lead::Candidate,
    listen,
    registry::Registry,
    store::{RegisterError, SchemaError, Store},
};

/// Session settings that an orchestrator's connections need. Its statements touch rows by key; with
/// the statistics of an empty table Postgres would choose plans that read all of it, and keep them
/// while it grows. What waits longer than this for a lock waits for a client that hangs.
pub const SESSION: [(&str, &str); 10] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("lock_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "60s"),
    // A leader whose machine is gone leaves its place within seconds.
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "2"),
    ("tcp_keepalives_count", "3"),
    // Its statements note business keys themselves.
    ("amends.keys", "noted"),
];

/// Events that may wait before they are kept; then their listener waits.
const EVENTS_QUEUE: usize = 1000;

/// Settings of an orchestrator.
#[derive(Debug, Clone)]
pub struct Config {
    /// Lanes side by side; each has one commit under way. More lanes make smaller batches.
    /// Default 2.
    pub lanes: usize,
    /// Largest size of each stream, in bytes. A full work queue refuses new messages; nothing is
    /// dropped. Default 2 GiB.
    pub stream_bytes_max: i64,
    /// Replicas of each stream that is created: 1, or 3 in a cluster. Default 1.
    pub stream_replicas: usize,
    /// How long sagas are kept after they began, if they have ended; longer than any message may wait
    /// in a stream. All replicas should say the same. Default `None`: for ever.
    pub retain: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            lanes: 2,
            stream_bytes_max: 2 * 1024 * 1024 * 1024,
            stream_replicas: 1,
            retain: None,
        }
    }
}

/// Why an orchestrator cannot run. What may pass by itself (a server that is not there, a schema
/// that is not migrated yet) is waited for and is no error.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The schema is not there, or older than this program.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A plan changed under its version.
    #[error(transparent)]
    Definition(#[from] RegisterError),
    /// A lane failed, which is a defect of this program; what it had in hand is delivered again.
    #[error("a lane failed, see the log above; start again: nothing is lost")]
    Lane,
    /// A stream or consumer has other settings.
    #[error(transparent)]
    Topology(#[from] TopologyError),
}

/// Runs an orchestrator until `stop`, then drains: what was decided is published, what was not
/// taken is left to the next start. Any number of replicas may run against the same servers.
///
/// The pool needs two connections for each lane, and five: with fewer its lanes wait for each other.
///
/// Spawn it, and let it end: a dropped future takes its tasks along, and with them statements that
/// are under way, which a pool of sqlx 0.9 does not survive. A process that ends is no harm.
///
/// # Errors
/// [`RunError`]: at the start, or later when a lane fails.
pub async fn run(
    config: Config,
    pool: PgPool,
    nats: async_nats::Client,
    definitions: Vec<Definition>,
    health: Arc<Health>,
    stop: CancellationToken,
) -> Result<(), RunError> {
    let store = Store::new(pool);
    let registry = Arc::new(Registry::new(definitions));
    let jetstream = jetstream::context::ContextBuilder::new()
        .timeout(Duration::from_secs(5))
        .ack_timeout(Duration::from_secs(5))
        .build(nats.clone());
    let awaited = registry.awaited();
    let triggers = registry.newest().map(|d| d.outline());
    let events: BTreeMap<_, _> = triggers
        .map(|outline| (trigger_consumer(&outline.name), outline.trigger.clone()))
        .chain(
            awaited.keys().map(|(name, subject)| (event_consumer(name, subject), subject.clone())),
        )
        .collect();
    let topology = Topology::new(
        jetstream.clone(),
        events,
        registry.services(),
        config.stream_bytes_max,
        config.stream_replicas,
    );
    if !prepare(&store, &registry, &topology, config.retain, &stop).await? {
        return Ok(());
    }
    health.set_postgres(true);
    health.set_nats(true);
    health.set_started(true);
    tracing::info!(definitions = ?registry.all().collect::<Vec<_>>(), lanes = config.lanes, "orchestrator runs");

    let failed = Arc::new(Notify::new());
    let replays =
        Replays { jetstream: jetstream.clone(), store: store.clone(), stop: stop.clone() };
    let publisher = Publisher::new(jetstream, store.clone(), Arc::clone(&failed));
    let (alarm, now) = (Arc::new(Alarm::default()), Arc::new(Now::default()));
    let (lanes, outlets) = Lanes::new(config.lanes);
    let lane = || {
        Lane::new(
            store.clone(),
            Arc::clone(&registry),
            publisher.clone(),
            Arc::clone(&alarm),
            Arc::clone(&now),
            Arc::clone(&health),
        )
    };
    let mut deciding = JoinSet::new();
    for inbox in outlets.lanes {
        deciding.spawn(lane().run(inbox));
    }
    let (timers, successors) = outlets.timers;
    deciding.spawn(lane().before(successors).run(timers));
    let mut listening = JoinSet::new();
    let (leads, led) = watch::channel(false);
    let candidate = Candidate {
        store: store.clone(),
        place: registry.place(),
        nats,
        leads,
        stop: stop.clone(),
    };
    listening.spawn(candidate.run());
    let pull = |place| Pull {
        place,
        leads: led.clone(),
        topology: topology.clone(),
        health: Arc::clone(&health),
        stop: stop.clone(),
    };
    for name in registry.newest().map(|d| d.outline().name.clone()) {
        let pull = pull(Place::Events(trigger_consumer(&name)));
        listening.spawn(listen_to_triggers(pull, Arc::clone(&registry), lanes.clone(), name));
    }
    for ((definition, subject), steps) in awaited {
        let pull = pull(Place::Events(event_consumer(&definition, &subject)));
        let (inbox, deliveries) = mpsc::channel(EVENTS_QUEUE);
        let keeper = Keeper {
            definition,
            subject,
            steps,
            registry: Arc::clone(&registry),
            store: store.clone(),
            publisher: publisher.clone(),
            alarm: Arc::clone(&alarm),
            health: Arc::clone(&health),
            told: false.into(),
        };
        deciding.spawn(keeper.run(deliveries));
        listening.spawn(listen_to_events(pull, inbox));
    }
    listening.spawn(listen_to_replies(pull(Place::Replies), lanes.clone()));
    let caretaker = Caretaker { topology, store: store.clone(), failed, stop: stop.clone() };
    listening.spawn(caretaker.run());
    listening.spawn(replays.run());
    let health_of_clock = Arc::clone(&health);
    let clock = Clock {
        store,
        lanes,
        registry,
        alarm,
        now,
        health: health_of_clock,
        leads: led.clone(),
        retain: config.retain,
        stop,
    };
    listening.spawn(clock.run());

    // Each part ends when the one before it has: listeners by the token, lanes when nobody can send
    // to them, the publisher when no lane hands over.
    let listeners = async { while listening.join_next().await.is_some() {} };
    tokio::select! {
        () = listeners => {}
        // Without its lane a saga would wait for ever.
        Some(Err(_)) = deciding.join_next() => return Err(RunError::Lane),
    }
    while deciding.join_next().await.is_some() {}
    publisher.drained().await;
    health.set_started(false);
    tracing::info!("orchestrator drained");
    Ok(())
}

async fn listen_to_triggers(pull: Pull, registry: Arc<Registry>, lanes: Lanes, definition: String) {
    pull.run(|delivery| lanes.send(listen::trigger(&registry, &definition, delivery))).await;
}

async fn listen_to_events(pull: Pull, inbox: mpsc::Sender<Delivery>) {
    pull.run(|delivery| {
        let inbox = inbox.clone();
        async move {
            if inbox.send(delivery).await.is_err() {
                tracing::debug!("a keeper has ended; the event will be delivered again");
            }
        }
    })
    .await;
}

async fn listen_to_replies(pull: Pull, lanes: Lanes) {
    pull.run(|delivery| lanes.send(listen::reply(delivery))).await;
}

/// Checks the schema, registers the definitions, and makes sure of streams and consumers; waits for
/// what is not there yet. `false` when it was stopped meanwhile.
async fn prepare(
    store: &Store,
    registry: &Registry,
    topology: &Topology,
    retain: Option<Duration>,
    stop: &CancellationToken,
) -> Result<bool, RunError> {
    let mut attempt = 0;
    loop {
        let missing = match try_prepare(store, registry, topology, retain).await {
            Ok(()) => return Ok(true),
            Err(RunError::Definition(error @ RegisterError::Changed { .. })) => {
                return Err(error.into());
            }
            Err(RunError::Topology(error @ TopologyError::Wrong { .. })) => {
                return Err(error.into());
            }
            Err(error) => error,
        };
        attempt += 1;
        tracing::warn!("not ready: {missing}; trying again");
        let retry = Retry::exponential(Duration::from_millis(100), Duration::from_secs(3));
        tokio::select! {
            () = tokio::time::sleep(retry.delay(attempt, "prepare")) => {}
            () = stop.cancelled() => return Ok(false),
        }
    }
}

async fn try_prepare(
    store: &Store,
    registry: &Registry,
    topology: &Topology,
    retain: Option<Duration>,
) -> Result<(), RunError> {
    store.check_schema().await?;
    // Before the first saga; but for lack of them none has to wait.
    if let Err(error) = store.make_periods(retain).await {
        tracing::warn!(%error, "partitions are made later");
    }
    for definition in registry.all() {
        store.register(definition).await?;
    }
    topology.ensure().await?;
    Ok(())
}

//! Putting the parts of an orchestrator together, and taking them apart again.

use std::{sync::Arc, time::Duration};

use amends::Definition;
use amends_postgres::Database;
use async_nats::jetstream;
use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    admission::{Admission, Class},
    awaited::AwaitedEvents,
    burial::Keeper,
    bus::{
        self, Delivery, Probe, Pull, Shares, Source, Topology, event_consumer, trigger_consumer,
    },
    clock::Clock,
    config::Config,
    handover::Publisher,
    health::Health,
    lane::{Item, Lane, Lanes},
    lead::Candidate,
    listen,
    maintenance::{Replays, Streams, Tables},
    prepare::{RunError, prepare},
    registry::Registry,
    store::Store,
    time::{Alarm, Now},
};

/// Events that may wait before they are kept; then their listener waits.
const EVENTS_QUEUE: usize = 1000;

/// Runs an orchestrator until `stop`, then drains: what was decided is published, what was not
/// taken is left to the next start. Any number of replicas may run against the same servers.
///
/// `database` needs two connections for each lane and nine more, or its lanes wait for each other, and the
/// session settings of [`SESSION`](crate::SESSION). The [front page](crate) has a whole program.
///
/// # Errors
/// [`RunError`]: at the start, or later when a lane fails.
pub async fn run(
    config: Config,
    database: Database,
    nats: async_nats::Client,
    definitions: Vec<Definition>,
    health: Arc<Health>,
    stop: CancellationToken,
) -> Result<(), RunError> {
    let store = Store::new(database);
    let registry = Arc::new(Registry::new(definitions));
    let jetstream = bus::context(nats.clone());
    let topology = topology(&config, &registry, jetstream.clone());
    if !prepare(&store, &registry, &topology, config.retain, &stop).await? {
        return Ok(());
    }
    health.postgres.succeeded();
    health.nats.succeeded();
    health.set_started(true);
    tracing::info!(definitions = ?registry.all().collect::<Vec<_>>(), lanes = config.lanes, "orchestrator runs");

    let failed = Arc::new(Notify::new());
    let (shares, keeper) = (Arc::new(Shares::new(topology.clone())), Keeper::new(store.clone()));
    let (publishes, told) = (jetstream.clone(), Arc::clone(&failed));
    let admission = Admission::new(&registry, config.admission_max, stop.clone());
    let parts = Parts {
        admission,
        publisher: Publisher::new(publishes, Arc::clone(&shares), keeper.clone(), told),
        keeper,
        alarm: Arc::new(Alarm::default()),
        now: Arc::new(Now::default()),
        health: Arc::clone(&health),
        store,
        registry,
        topology,
        stop,
    };
    let mut tasks = Tasks { deciding: JoinSet::new(), listening: JoinSet::new() };
    let lanes = parts.start_lanes(config.lanes, &mut tasks);
    let leads = parts.start_candidate(nats, &mut tasks);
    parts.listen(&lanes, &leads, &mut tasks);
    parts.keep_awaited_events(&leads, &mut tasks);
    parts.start_clock(lanes, leads, &mut tasks);
    parts.start_probe(jetstream.clone(), Arc::clone(&failed), &mut tasks);
    parts.maintain(config.retain, jetstream, shares, failed, &mut tasks);

    tasks.drained().await?;
    parts.publisher.drained().await;
    health.set_started(false);
    tracing::info!("orchestrator drained");
    Ok(())
}

/// The streams and consumers that these definitions need.
pub(crate) fn topology(
    config: &Config,
    registry: &Registry,
    jetstream: jetstream::Context,
) -> Topology {
    let triggers = registry.newest().map(|d| d.outline());
    let triggers =
        triggers.map(|outline| (trigger_consumer(&outline.name), outline.trigger.clone()));
    let awaited = registry.awaited().into_keys();
    let awaited = awaited.map(|(name, subject)| (event_consumer(&name, &subject), subject));
    Topology::new(
        jetstream,
        triggers.chain(awaited).collect(),
        registry.services(),
        config.stream_bytes_max,
        config.stream_replicas,
    )
}

/// Each part ends when the one before it has: listeners by the token, lanes when nobody can send to
/// them, the publisher when no lane hands over.
struct Tasks {
    deciding: JoinSet<()>,
    listening: JoinSet<()>,
}

impl Tasks {
    /// Waits until all have ended.
    async fn drained(&mut self) -> Result<(), RunError> {
        let listeners = async { while self.listening.join_next().await.is_some() {} };
        tokio::select! {
            () = listeners => {}
            // Without its lane a saga would wait for ever.
            Some(Err(_)) = self.deciding.join_next() => return Err(RunError::Lane),
        }
        while self.deciding.join_next().await.is_some() {}
        Ok(())
    }
}

/// What the tasks of an orchestrator share.
struct Parts {
    store: Store,
    registry: Arc<Registry>,
    topology: Topology,
    publisher: Publisher,
    keeper: Keeper,
    alarm: Arc<Alarm>,
    now: Arc<Now>,
    health: Arc<Health>,
    admission: Arc<Admission>,
    stop: CancellationToken,
}

impl Parts {
    /// The way to the lanes; they end when nobody has it any more.
    fn start_lanes(&self, count: usize, tasks: &mut Tasks) -> Lanes {
        let (lanes, queues) = Lanes::new(count, self.admission.classes());
        for queue in queues.messages {
            tasks.deciding.spawn(self.lane().run(queue));
        }
        let (timers, messages) = queues.timers;
        tasks.deciding.spawn(self.lane().handing_over_to(messages).run(timers));
        lanes
    }

    fn lane(&self) -> Lane {
        Lane::new(
            self.store.clone(),
            Arc::clone(&self.registry),
            self.publisher.clone(),
            Arc::clone(&self.alarm),
            Arc::clone(&self.now),
            Arc::clone(&self.health),
            Arc::clone(&self.admission),
        )
    }

    /// Stands for election; whether this replica leads.
    fn start_candidate(
        &self,
        nats: async_nats::Client,
        tasks: &mut Tasks,
    ) -> watch::Receiver<bool> {
        let (leads, led) = watch::channel(false);
        let candidate = Candidate {
            store: self.store.clone(),
            election_key: self.registry.election_key(),
            nats,
            health: Arc::clone(&self.health),
            now: Arc::clone(&self.now),
            leads,
            stop: self.stop.clone(),
        };
        tasks.listening.spawn(candidate.run());
        led
    }

    fn pull(&self, source: Source, leads: &watch::Receiver<bool>) -> Pull {
        Pull {
            source,
            leads: leads.clone(),
            topology: self.topology.clone(),
            health: Arc::clone(&self.health),
            stop: self.stop.clone(),
        }
    }

    /// Listens to triggers and replies.
    fn listen(&self, lanes: &Lanes, leads: &watch::Receiver<bool>, tasks: &mut Tasks) {
        for name in self.registry.newest().map(|d| d.outline().name.clone()) {
            let pull = self.pull(Source::Events(trigger_consumer(&name)), leads);
            let triggers = Triggers {
                class: self.admission.class(&name),
                definition: name,
                registry: Arc::clone(&self.registry),
                admission: Arc::clone(&self.admission),
                lanes: lanes.clone(),
            };
            tasks.listening.spawn(triggers.listen(pull));
        }
        let replies = self.pull(Source::Replies, leads);
        tasks.listening.spawn(listen_to_replies(
            replies,
            Arc::clone(&self.admission),
            lanes.clone(),
        ));
    }

    fn keep_awaited_events(&self, leads: &watch::Receiver<bool>, tasks: &mut Tasks) {
        for ((definition, subject), steps) in self.registry.awaited() {
            let source = Source::Events(event_consumer(&definition, &subject));
            let (inbox, deliveries) = mpsc::channel(EVENTS_QUEUE);
            let awaited = AwaitedEvents {
                definition,
                subject,
                steps,
                registry: Arc::clone(&self.registry),
                store: self.store.clone(),
                publisher: self.publisher.clone(),
                alarm: Arc::clone(&self.alarm),
                health: Arc::clone(&self.health),
                left_logged: false.into(),
            };
            tasks.deciding.spawn(awaited.run(deliveries));
            tasks.listening.spawn(listen_to_events(self.pull(source, leads), inbox));
        }
    }

    fn start_clock(&self, lanes: Lanes, leads: watch::Receiver<bool>, tasks: &mut Tasks) {
        let clock = Clock {
            store: self.store.clone(),
            lanes,
            registry: Arc::clone(&self.registry),
            alarm: Arc::clone(&self.alarm),
            now: Arc::clone(&self.now),
            health: Arc::clone(&self.health),
            leads,
            stop: self.stop.clone(),
        };
        tasks.listening.spawn(clock.run());
    }

    fn start_probe(&self, jetstream: jetstream::Context, missing: Arc<Notify>, tasks: &mut Tasks) {
        let health = Arc::clone(&self.health);
        let report = move |stored: Result<(), String>| match stored {
            Ok(()) => health.nats.succeeded(),
            Err(why) => health.nats.failed(why),
        };
        let probe = Probe { jetstream, report, missing, stop: self.stop.clone() };
        tasks.listening.spawn(probe.run());
    }

    /// `failed` is told when something could not be published.
    fn maintain(
        &self,
        retain: Option<Duration>,
        jetstream: jetstream::Context,
        shares: Arc<Shares>,
        failed: Arc<Notify>,
        tasks: &mut Tasks,
    ) {
        let (store, stop) = (|| self.store.clone(), || self.stop.clone());
        let topology = self.topology.clone();
        let keeper = self.keeper.clone();
        let streams = Streams { topology, shares, keeper, failed, stop: stop() };
        let registry = Arc::clone(&self.registry);
        let tables = Tables { store: store(), registry, retain, stop: stop() };
        let replays = Replays { jetstream, store: store(), stop: stop() };
        tasks.listening.spawn(streams.run());
        tasks.listening.spawn(tables.run());
        tasks.listening.spawn(replays.run());
    }
}

/// Who listens to the triggers of a definition.
struct Triggers {
    definition: String,
    class: Class,
    registry: Arc<Registry>,
    admission: Arc<Admission>,
    lanes: Lanes,
}

impl Triggers {
    async fn listen(self, pull: Pull) {
        pull.run(|delivery| self.take(delivery)).await;
    }

    async fn take(&self, delivery: Delivery) {
        let item = listen::trigger(&self.registry, &self.definition, delivery);
        let place = self.admission.admit(self.class).await;
        self.lanes.send(Item { class: self.class, _place: Some(place), ..item }).await;
    }
}

async fn listen_to_events(pull: Pull, inbox: mpsc::Sender<Delivery>) {
    pull.run(|delivery| {
        let inbox = inbox.clone();
        async move {
            if inbox.send(delivery).await.is_err() {
                tracing::debug!("nobody keeps events any more; this one will be delivered again");
            }
        }
    })
    .await;
}

async fn listen_to_replies(pull: Pull, admission: Arc<Admission>, lanes: Lanes) {
    pull.run(|delivery| {
        let item = listen::reply(delivery);
        lanes.send(Item { class: admission.class_of(item.saga()), ..item })
    })
    .await;
}

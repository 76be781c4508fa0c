//! Publishes triggers, and watches the sagas end by their changes of status.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use amends::{Saga as _, SagaId, wire};
use amends_app::{During as _, Failed};
use async_nats::jetstream::{self, Context};
use futures_util::StreamExt as _;
use serde::Deserialize;
use tokio::{sync::mpsc, task::JoinHandle};

use crate::{
    open_sagas::OpenSagas,
    saga::{Bench, Job, OTHER_TRIGGER, Other, TRIGGER},
};

/// How triggers come.
#[derive(Clone, Copy)]
pub(crate) enum Arrivals {
    /// One as soon as another saga has ended, so that so many are in flight.
    Closed(usize),
    /// So many a second, whatever becomes of them.
    Open(u32),
}

/// Which sagas come.
#[derive(Clone, Copy)]
pub(crate) struct Workload {
    definition: &'static str,
    trigger: &'static str,
    refuse: bool,
    breaks: u32,
}

impl Workload {
    pub(crate) const HAPPY: Self =
        Self { definition: Bench::NAME, trigger: TRIGGER, refuse: false, breaks: 0 };

    /// The third step refuses.
    pub(crate) const REFUSED: Self = Self { refuse: true, ..Self::HAPPY };

    /// Three attempts at the third step break; the fourth goes well, after some four seconds.
    pub(crate) const FAILING: Self = Self { breaks: 3, ..Self::HAPPY };

    /// Of another definition, at a service of its own.
    pub(crate) const OTHER: Self =
        Self { definition: Other::NAME, trigger: OTHER_TRIGGER, ..Self::HAPPY };
}

/// A load that runs.
pub(crate) struct Load {
    pub(crate) open: Arc<OpenSagas>,
    watching: JoinHandle<()>,
    publishing: JoinHandle<()>,
}

impl Load {
    /// Begins. Saga numbers count from `first`.
    pub(crate) async fn start(
        client: async_nats::Client,
        arrivals: Arrivals,
        workload: Workload,
        first: u64,
    ) -> Result<Self, Failed> {
        let permits = match arrivals {
            Arrivals::Closed(in_flight) => in_flight,
            Arrivals::Open(_) => 1,
        };
        let open = Arc::new(OpenSagas::new(first, permits));
        let subject = wire::status_subject(workload.definition, "*");
        let changes = client.subscribe(subject).await.during("changes of status")?;
        let watching = tokio::spawn(watch(changes, Arc::clone(&open)));
        let publisher =
            Publisher { jetstream: jetstream::new(client), workload, open: Arc::clone(&open) };
        let publishing = match arrivals {
            Arrivals::Closed(_) => tokio::spawn(publisher.keep_full()),
            Arrivals::Open(rate) => tokio::spawn(publisher.keep_pace(rate)),
        };
        Ok(Self { open, watching, publishing })
    }

    /// Publishes no more, and waits until all sagas have ended; returns the number after the last.
    pub(crate) async fn stop(self) -> Result<u64, Failed> {
        self.open.close();
        self.publishing.await.during("the load")?;
        let drained = self.open.drain().await;
        self.watching.abort();
        drained.map(|()| self.open.next())
    }
}

#[derive(Clone)]
struct Publisher {
    jetstream: Context,
    workload: Workload,
    open: Arc<OpenSagas>,
}

impl Publisher {
    async fn keep_full(self) {
        while let Some(n) = self.open.begin().await {
            self.publish(n).await;
        }
    }

    async fn keep_pace(self, rate: u32) {
        let (beat, mut due) = mpsc::unbounded_channel();
        let open = Arc::clone(&self.open);
        // A thread of its own: the runtime's timers are whole milliseconds.
        std::thread::spawn(move || pace(rate, &open, &beat));
        while let Some(due) = due.recv().await {
            self.publish(self.open.begin_at(due)).await;
        }
    }

    /// Sends a trigger; waits elsewhere until it is stored.
    async fn publish(&self, n: u64) {
        let body = match Job::body(n, self.workload.refuse, self.workload.breaks) {
            Ok(body) => body,
            Err(error) => return self.open.fail(error),
        };
        match self.jetstream.publish(self.workload.trigger, body).await {
            Ok(stored) => {
                let open = Arc::clone(&self.open);
                tokio::spawn(async move {
                    if let Err(error) = stored.await {
                        open.fail(format!("a trigger was not stored: {error}"));
                    }
                });
            }
            Err(error) => self.open.fail(format!("a trigger cannot be published: {error}")),
        }
    }
}

/// Says when each trigger is due, at that time.
fn pace(rate: u32, open: &OpenSagas, beat: &mpsc::UnboundedSender<Instant>) {
    let began = Instant::now();
    for n in 0_u32.. {
        let due = began + Duration::from_secs_f64(f64::from(n) / f64::from(rate));
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if open.is_closed() || beat.send(due).is_err() {
            return;
        }
    }
}

/// What is needed of the CloudEvent that tells a change of status.
#[derive(Deserialize)]
struct Change {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    saga: SagaId,
    output: Option<Job>,
    error: Option<Why>,
}

#[derive(Deserialize)]
struct Why {
    message: String,
}

async fn watch(mut changes: async_nats::Subscriber, open: Arc<OpenSagas>) {
    // Which saga is which is told when it turns back, not when all is undone.
    let mut turned = HashMap::new();
    while let Some(message) = changes.next().await {
        let status = message.subject.rsplit('.').next().unwrap_or_default();
        let Data { saga, output, error } = match serde_json::from_slice(&message.payload) {
            Ok(Change { data }) => data,
            Err(error) => return open.fail(error),
        };
        match (status, output, error) {
            ("completed", Some(job), _) => open.end(job.n),
            ("compensating", _, Some(Why { message })) => {
                if let Ok(n) = message.parse::<u64>() {
                    turned.insert(saga, n);
                }
            }
            ("compensated", ..) => {
                if let Some(n) = turned.remove(&saga) {
                    open.end(n);
                }
            }
            (_, _, why) => {
                let why = why.map(|why| why.message).unwrap_or_default();
                return open.fail(format!("saga {saga} is {status}: {why}"));
            }
        }
    }
}

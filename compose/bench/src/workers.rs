//! The three services, without and with the SQL barrier. Their steps do nothing.

use std::{sync::Arc, time::Duration};

use amends::{
    AttemptId,
    wire::{self, Undo},
};
use amends_app::{
    During as _, Failed, SERVICE_CONNECTIONS, Settings, connect, nats, stop_on_signal,
};
use amends_workers::{Act, Attempt, Compensate, Halt, Service, reject};
use async_nats::{
    HeaderMap,
    jetstream::{self, Context, Message, consumer::PullConsumer},
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    args::BenchWorkersArgs,
    saga::{Job, PassOn, Refused, SERVICES},
};

/// Commands asked for at once.
const BATCH: usize = 500;
const EXPIRES: Duration = Duration::from_secs(5);
const HEARTBEAT: Duration = Duration::from_secs(2);

/// Transactions at once, and commands of each, where they are shared.
const SHARED: (usize, usize) = (2, 32);

/// Between two looks for a consumer, which the orchestrator creates.
const INTERVAL: Duration = Duration::from_millis(50);

/// The hidden role `bench-workers`: all three services, a NATS connection each.
///
/// # Errors
/// Servers that cannot be used.
pub async fn run(settings: &Settings, args: BenchWorkersArgs) -> Result<(), Failed> {
    let stop = stop_on_signal()?;
    let nats = nats::Access::of_role(settings)?;
    let mut serving = JoinSet::new();
    for (at, service) in SERVICES.into_iter().enumerate() {
        let Some(client) = nats.connect(&stop).await? else { return Ok(()) };
        if args.barrier {
            let service = with_barrier(settings, at, args.shared, &stop).await?;
            let Some(service) = service else { return Ok(()) };
            serving.spawn(service.serve(client, stop.clone()));
        } else {
            let (last, stop) = (at + 1 == SERVICES.len(), stop.clone());
            serving.spawn(plain(client, service, last, None, stop));
        }
    }
    while serving.join_next().await.is_some() {}
    Ok(())
}

/// Handlers that pass on what they were given.
struct Nothing;

impl<const AT: usize> Act<PassOn<AT>> for Nothing {
    async fn act(&self, attempt: &mut Attempt<'_>, job: Job) -> Result<Job, Halt<Refused>> {
        if AT + 1 == SERVICES.len() {
            if job.refuse {
                return reject(Refused(job.n));
            }
            if attempt.attempt() <= job.breaks {
                return Err(Halt::Fault("this attempt is to break".into()));
            }
        }
        Ok(job)
    }
}

impl<const AT: usize> Compensate<PassOn<AT>> for Nothing {
    async fn compensate(
        &self,
        _: &mut Attempt<'_>,
        _: Undo<Job, Job>,
    ) -> Result<(), Halt<std::convert::Infallible>> {
        Ok(())
    }
}

async fn with_barrier(
    settings: &Settings,
    at: usize,
    shared: bool,
    stop: &CancellationToken,
) -> Result<Option<Service>, Failed> {
    let (url, connections) = (settings.database()?, SERVICE_CONNECTIONS);
    let database =
        connect::postgres(url, connections, &amends_workers::SESSION, None, stop).await?;
    let Some(database) = database else { return Ok(None) };
    amends_workers::migrate(&database).await.during("the barrier cannot be installed")?;
    let mut service = Service::new(SERVICES[at], database, Nothing);
    if shared {
        service = service.shared_transactions(SHARED.0, SHARED.1);
    }
    let built = match at {
        0 => service.step::<PassOn<0>>().build(),
        1 => service.step::<PassOn<1>>().build(),
        _ => service.forward::<PassOn<2>>().build(),
    };
    built.map(Some).during("service")
}

/// A service with no database, as plainly as the wire allows. What it pulls waits at the gate, if there
/// is one.
pub(crate) async fn plain(
    client: async_nats::Client,
    service: &'static str,
    last: bool,
    gate: Option<watch::Receiver<bool>>,
    stop: CancellationToken,
) {
    let this = Arc::new(Plain {
        jetstream: jetstream::new(client),
        subject: wire::reply_subject(service),
        last,
        gate,
    });
    let pulling = async {
        loop {
            // What fails is there again later: the orchestrator creates it.
            let _ = this.pull(service).await;
            tokio::time::sleep(INTERVAL).await;
        }
    };
    tokio::select! {
        () = pulling => {}
        () = stop.cancelled() => {}
    }
}

struct Plain {
    jetstream: Context,
    subject: String,
    /// Whether it is the service that may refuse, or break.
    last: bool,
    gate: Option<watch::Receiver<bool>>,
}

impl Plain {
    async fn pull(self: &Arc<Self>, service: &str) -> Result<(), async_nats::Error> {
        let jetstream = &self.jetstream;
        let consumer: PullConsumer =
            jetstream.get_consumer_from_stream(service, wire::COMMANDS_STREAM).await?;
        let commands = consumer.stream().max_messages_per_batch(BATCH);
        let mut commands = commands.expires(EXPIRES).heartbeat(HEARTBEAT).messages().await?;
        while let Some(command) = commands.next().await {
            let (this, command) = (Arc::clone(self), command?);
            // Not acked when it fails: then it is delivered again.
            tokio::spawn(async move { this.answer(command).await.ok() });
        }
        Ok(())
    }

    /// Replies, waits until that is stored, and then acks the command.
    async fn answer(&self, command: Message) -> Result<(), async_nats::Error> {
        if let Some(gate) = &self.gate {
            gate.clone().wait_for(|open| *open).await?;
        }
        let id = command.headers.as_ref().and_then(|h| h.get(wire::AMENDS_ID)).cloned();
        let id = id.ok_or("a command without an id")?;
        let body = self.reply(id.as_str(), &command.payload)?;
        let mut headers = HeaderMap::new();
        headers.insert(wire::AMENDS_ID, id);
        let stored =
            self.jetstream.publish_with_headers(self.subject.clone(), headers, body).await?;
        stored.await?;
        command.ack().await
    }

    fn reply(&self, id: &str, input: &Bytes) -> Result<Bytes, async_nats::Error> {
        if id.contains(":compensation:") {
            return Ok(Bytes::from_static(br#"{"outcome":"ok"}"#));
        }
        if self.last {
            let job: Job = serde_json::from_slice(input)?;
            if job.refuse {
                let n = job.n;
                let no = format!(r#"{{"outcome":"rejected","code":"refused","message":"{n}"}}"#);
                return Ok(no.into());
            }
            if job.breaks > 0 && id.parse::<AttemptId>()?.attempt <= job.breaks {
                return Ok(Bytes::from_static(br#"{"outcome":"retry","message":"to break"}"#));
            }
        }
        Ok([br#"{"outcome":"ok","output":"#, &input[..], b"}"].concat().into())
    }
}

//! The six messages of a saga with three steps, and nothing else: command, reply, command, reply,
//! command, reply; each published and acked, consumed and acked.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use amends_app::{During as _, Failed, NatsSettings, nats};
use async_nats::jetstream::{
    self, Context, Message,
    consumer::{AckPolicy, pull},
    stream::{Config, RetentionPolicy},
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    open_sagas::{OpenSagas, Timing, Window},
    saga::Job,
};

const COMMANDS: &str = "BENCH_COMMANDS";
const REPLIES: &str = "BENCH_REPLIES";
const HUB: &str = "hub";
const SERVICES: usize = 3;

/// Messages asked for at once.
const BATCH: usize = 500;
const EXPIRES: Duration = Duration::from_secs(5);
const HEARTBEAT: Duration = Duration::from_secs(2);

/// One connection for who sends commands, and one for each service.
pub(crate) struct JetStream {
    hub: Context,
    services: Vec<Context>,
}

impl JetStream {
    pub(crate) async fn connect(
        settings: &NatsSettings,
        stop: &CancellationToken,
    ) -> Result<Self, Failed> {
        let nats = nats::Access::of(settings)?;
        let context = async || {
            let client = nats.connect(stop).await?;
            client.map(jetstream::new).ok_or_else(Failed::interrupted)
        };
        let mut services = Vec::new();
        for _ in 0..SERVICES {
            services.push(context().await?);
        }
        Ok(Self { hub: context().await?, services })
    }

    /// Runs chains of six messages, so many at once.
    pub(crate) async fn measure(&self, in_flight: usize, timing: Timing) -> Result<Window, Failed> {
        self.prepare().await?;
        let open = Arc::new(OpenSagas::new(0, in_flight));
        let mut tasks = JoinSet::new();
        for (at, service) in self.services.iter().enumerate() {
            let messages = messages(service, COMMANDS, &name(at)).await?;
            tasks.spawn(serve(service.clone(), messages, at, Arc::clone(&open)));
        }
        let replies = messages(&self.hub, REPLIES, HUB).await?;
        tasks.spawn(go_on(self.hub.clone(), replies, Arc::clone(&open)));
        let begun = tokio::spawn(begin(self.hub.clone(), Arc::clone(&open)));
        open.wait_for(timing.warm_up, None).await?;
        let (from, began) = (open.ended(), Instant::now());
        open.wait_for(timing.measured, timing.sagas).await?;
        let window = open.window(from, began.elapsed());
        open.drain().await?;
        begun.await.during("raw JetStream")?;
        tasks.shutdown().await;
        self.remove().await?;
        Ok(window)
    }

    async fn prepare(&self) -> Result<(), Failed> {
        self.remove().await?;
        for (stream, subjects) in
            [(COMMANDS, "bench-raw.command.*"), (REPLIES, "bench-raw.reply.*")]
        {
            let config = Config {
                name: stream.to_owned(),
                subjects: vec![subjects.to_owned()],
                retention: RetentionPolicy::WorkQueue,
                ..Default::default()
            };
            self.hub.create_stream(config).await.during("a stream cannot be created")?;
        }
        for at in 0..SERVICES {
            self.consumer(COMMANDS, &name(at), &command(at)).await?;
        }
        self.consumer(REPLIES, HUB, "bench-raw.reply.*").await
    }

    async fn consumer(&self, stream: &str, name: &str, filter: &str) -> Result<(), Failed> {
        let config = pull::Config {
            durable_name: Some(name.to_owned()),
            filter_subject: filter.to_owned(),
            ack_policy: AckPolicy::Explicit,
            max_ack_pending: 20_000,
            ..Default::default()
        };
        let made = self.hub.create_consumer_on_stream(config, stream).await;
        made.map(drop).during("a consumer cannot be created")
    }

    /// Also what an interrupted benchmark left.
    async fn remove(&self) -> Result<(), Failed> {
        for stream in [COMMANDS, REPLIES] {
            if self.hub.get_stream_no_info(stream).await.is_ok() {
                // It may not be there: then there is nothing to remove.
                let _ = self.hub.delete_stream(stream).await;
            }
        }
        Ok(())
    }
}

fn name(at: usize) -> String {
    format!("service-{at}")
}

fn command(at: usize) -> String {
    format!("bench-raw.command.{at}")
}

async fn messages(context: &Context, stream: &str, name: &str) -> Result<pull::Stream, Failed> {
    let consumer: jetstream::consumer::PullConsumer =
        context.get_consumer_from_stream(name, stream).await.during("a consumer")?;
    let messages = consumer.stream().max_messages_per_batch(BATCH);
    let messages = messages.expires(EXPIRES).heartbeat(HEARTBEAT).messages().await;
    messages.during("a consumer")
}

/// The first command of each chain.
async fn begin(hub: Context, open: Arc<OpenSagas>) {
    while let Some(n) = open.begin().await {
        let Ok(body) = Job::body(n, false, 0) else { return };
        match hub.publish(command(0), body).await {
            Ok(ack) => {
                let open = Arc::clone(&open);
                tokio::spawn(async move {
                    if let Err(error) = ack.await {
                        open.fail(error);
                    }
                });
            }
            Err(error) => return open.fail(error),
        }
    }
}

/// A service: answers each command with its body.
async fn serve(context: Context, mut messages: pull::Stream, at: usize, open: Arc<OpenSagas>) {
    let to = format!("bench-raw.reply.{at}");
    while let Some(message) = messages.next().await {
        match message {
            Ok(message) => {
                let body = message.payload.clone();
                pass_on(&context, to.clone(), body, message, &open).await;
            }
            Err(error) => open.fail(error),
        }
    }
}

/// Sends the next command after each reply, until the third.
async fn go_on(hub: Context, mut replies: pull::Stream, open: Arc<OpenSagas>) {
    while let Some(message) = replies.next().await {
        let message = match message {
            Ok(message) => message,
            Err(error) => return open.fail(error),
        };
        let body = message.payload.clone();
        let from = message.subject.rsplit('.').next().and_then(|at| at.parse::<usize>().ok());
        match from.map(|at| at + 1) {
            Some(next) if next < SERVICES => {
                pass_on(&hub, command(next), body, message, &open).await;
            }
            _ => {
                if let Err(error) = message.ack().await {
                    open.fail(error);
                }
                if let Ok(Job { n, .. }) = serde_json::from_slice(&body) {
                    open.end(n);
                }
            }
        }
    }
}

/// Publishes, waits until that is stored, and then acks what it came from; many side by side.
async fn pass_on(context: &Context, to: String, body: Bytes, from: Message, open: &Arc<OpenSagas>) {
    match context.publish(to, body).await {
        Ok(stored) => {
            let open = Arc::clone(open);
            tokio::spawn(async move {
                if let Err(error) = stored.await {
                    return open.fail(error);
                }
                if let Err(error) = from.ack().await {
                    open.fail(error);
                }
            });
        }
        Err(error) => open.fail(error),
    }
}

//! The six messages of a saga with three steps, and nothing else: command, reply, command, reply,
//! command, reply; each published and acked, consumed and acked.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

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
    During as _, Failed,
    bench::{
        flight::{Flight, Pace, Window},
        saga::Job,
    },
    link,
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
pub(in crate::bench) struct JetStream {
    hub: Context,
    services: Vec<Context>,
}

impl JetStream {
    pub(in crate::bench) async fn connect(
        url: &str,
        creds: Option<&std::path::Path>,
        stop: &CancellationToken,
    ) -> Result<Self, Failed> {
        let connect = async || {
            let client = link::nats(url, creds, stop).await?;
            client.map(jetstream::new).ok_or_else(|| Failed("interrupted".into()))
        };
        let mut services = Vec::new();
        for _ in 0..SERVICES {
            services.push(connect().await?);
        }
        Ok(Self { hub: connect().await?, services })
    }

    /// Runs chains of six messages, so many at once.
    pub(in crate::bench) async fn measure(
        &self,
        in_flight: usize,
        pace: Pace,
    ) -> Result<Window, Failed> {
        self.prepare().await?;
        let flight = Arc::new(Flight::new(0, in_flight));
        let mut tasks = JoinSet::new();
        for (at, service) in self.services.iter().enumerate() {
            let messages = messages(service, COMMANDS, &name(at)).await?;
            tasks.spawn(serve(service.clone(), messages, at, Arc::clone(&flight)));
        }
        let replies = messages(&self.hub, REPLIES, HUB).await?;
        tasks.spawn(go_on(self.hub.clone(), replies, Arc::clone(&flight)));
        let begun = tokio::spawn(begin(self.hub.clone(), Arc::clone(&flight)));
        flight.pass(pace.warm, None).await?;
        let (from, began) = (flight.ended(), Instant::now());
        flight.pass(pace.measured, pace.sagas).await?;
        let window = flight.window(from, began.elapsed());
        flight.land().await?;
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
async fn begin(hub: Context, flight: Arc<Flight>) {
    while let Some(n) = flight.begin().await {
        let Ok(body) = Job::body(n, false, 0) else { return };
        match hub.publish(command(0), body).await {
            Ok(ack) => {
                let flight = Arc::clone(&flight);
                tokio::spawn(async move {
                    if let Err(error) = ack.await {
                        flight.fail(error);
                    }
                });
            }
            Err(error) => return flight.fail(error),
        }
    }
}

/// A service: answers each command with its body.
async fn serve(context: Context, mut messages: pull::Stream, at: usize, flight: Arc<Flight>) {
    let to = format!("bench-raw.reply.{at}");
    while let Some(message) = messages.next().await {
        match message {
            Ok(message) => {
                let body = message.payload.clone();
                pass_on(&context, to.clone(), body, message, &flight).await;
            }
            Err(error) => flight.fail(error),
        }
    }
}

/// Sends the next command after each reply, until the third.
async fn go_on(hub: Context, mut replies: pull::Stream, flight: Arc<Flight>) {
    while let Some(message) = replies.next().await {
        let message = match message {
            Ok(message) => message,
            Err(error) => return flight.fail(error),
        };
        let body = message.payload.clone();
        let from = message.subject.rsplit('.').next().and_then(|at| at.parse::<usize>().ok());
        match from.map(|at| at + 1) {
            Some(next) if next < SERVICES => {
                pass_on(&hub, command(next), body, message, &flight).await;
            }
            _ => {
                if let Err(error) = message.ack().await {
                    flight.fail(error);
                }
                if let Ok(Job { n, .. }) = serde_json::from_slice(&body) {
                    flight.end(n);
                }
            }
        }
    }
}

/// Publishes, waits until that is stored, and then acks what it came from; many side by side.
async fn pass_on(context: &Context, to: String, body: Bytes, from: Message, flight: &Arc<Flight>) {
    match context.publish(to, body).await {
        Ok(stored) => {
            let flight = Arc::clone(flight);
            tokio::spawn(async move {
                if let Err(error) = stored.await {
                    return flight.fail(error);
                }
                if let Err(error) = from.ack().await {
                    flight.fail(error);
                }
            });
        }
        Err(error) => flight.fail(error),
    }
}

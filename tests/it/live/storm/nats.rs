//! What happens to nats-server, its streams and its consumers.

use std::time::Duration;

use amends::wire;
use async_nats::jetstream::{consumer::PullConsumer, stream::Stream};
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt as _, net::TcpStream, time::timeout};

use super::world::{World, lasts};
use crate::support::{Chance, SERVICES, Stopped};

const STREAMS: [&str; 3] = [wire::EVENTS_STREAM, wire::COMMANDS_STREAM, wire::REPLIES_STREAM];

const HOUR: Duration = Duration::from_secs(3600);

#[derive(Debug, Clone, Copy)]
pub(super) enum NatsFault {
    NatsKilled,
    NatsStopped,
    NatsWiped,
    StreamDeleted,
    StreamPurged,
    ConsumerDeleted,
    ConsumerAcksLate,
    ConsumerPaused,
}

impl NatsFault {
    pub(super) const ALL: [Self; 8] = [
        Self::NatsKilled,
        Self::NatsStopped,
        Self::NatsWiped,
        Self::StreamDeleted,
        Self::StreamPurged,
        Self::ConsumerDeleted,
        Self::ConsumerAcksLate,
        Self::ConsumerPaused,
    ];

    /// Begins it, and ends it, where it ends without the orchestrator; whether it was there.
    pub(super) async fn strike(self, world: &World, chance: &mut Chance) -> bool {
        let time = chance.millis(1_000, 5_000);
        let (stream, service) = (chance.one_of(&STREAMS), chance.one_of(&SERVICES));
        match self {
            Self::NatsKilled => killed(world, time).await,
            Self::NatsStopped => stopped(world, time).await,
            Self::NatsWiped => world.shop.lock().await.local.nats.wipe().await.is_ok(),
            // What the last fault took away may not be back yet.
            Self::StreamDeleted => {
                lasts(Duration::ZERO, async || world.jetstream.delete_stream(stream).await.is_ok())
                    .await
            }
            Self::StreamPurged => {
                lasts(Duration::ZERO, async || purged(world, stream).await.is_some()).await
            }
            Self::ConsumerDeleted => {
                lasts(Duration::ZERO, async || deleted(world, service).await.is_some()).await
            }
            Self::ConsumerAcksLate => {
                lasts(Duration::ZERO, async || acks_late(world, service).await.is_some()).await
            }
            Self::ConsumerPaused => {
                lasts(Duration::ZERO, async || paused(world, service).await.is_some()).await
            }
        }
    }
}

async fn killed(world: &World, time: Duration) -> bool {
    world.shop.lock().await.local.nats.kill().await.unwrap();
    let gone = lasts(time, async || !greets(world).await).await;
    world.shop.lock().await.local.nats.restart().await.unwrap();
    gone
}

async fn stopped(world: &World, time: Duration) -> bool {
    let server = world.shop.lock().await.local.nats.pid().unwrap();
    let _stopped = Stopped::with_children(server);
    lasts(time, async || !greets(world).await).await
}

/// Whether the server greets whoever comes.
async fn greets(world: &World) -> bool {
    let url = world.shop.lock().await.local.nats_url().to_owned();
    let greeting = async {
        let mut stream = TcpStream::connect(url.trim_start_matches("nats://")).await?;
        stream.read_u8().await
    };
    matches!(timeout(Duration::from_millis(500), greeting).await, Ok(Ok(_)))
}

async fn commands(world: &World) -> Option<Stream> {
    world.jetstream.get_stream(wire::COMMANDS_STREAM).await.ok()
}

async fn purged(world: &World, stream: &str) -> Option<()> {
    world.jetstream.get_stream(stream).await.ok()?.purge().await.ok().map(drop)
}

async fn deleted(world: &World, service: &str) -> Option<()> {
    commands(world).await?.delete_consumer(service).await.ok().map(drop)
}

/// What is lost on its way to a service is delivered again in an hour.
async fn acks_late(world: &World, service: &str) -> Option<()> {
    let stream = commands(world).await?;
    let consumer: PullConsumer = stream.get_consumer(service).await.ok()?;
    let config = consumer.cached_info().config.clone();
    let mut config =
        <async_nats::jetstream::consumer::pull::Config as async_nats::jetstream::consumer::FromConsumer>::try_from_consumer_config(config).ok()?;
    config.ack_wait = HOUR;
    let changed = stream.update_consumer(config).await.ok()?;
    (changed.cached_info().config.ack_wait == HOUR).then_some(())
}

/// Nothing is delivered to a service for an hour.
async fn paused(world: &World, service: &str) -> Option<()> {
    let until = chrono::Utc::now() + HOUR;
    let subject = format!("CONSUMER.PAUSE.{}.{service}", wire::COMMANDS_STREAM);
    let pause = json!({ "pause_until": until.to_rfc3339() });
    let answer: Value = world.jetstream.request(subject, &pause).await.ok()?;
    (answer["paused"] == true).then_some(())
}

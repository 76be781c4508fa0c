//! Orchestrators of made-up definitions within the test, and services that answer as it says.

use std::{collections::BTreeMap, sync::Arc};

use amends::Definition;
use amends_orchestrator::{Config, Health, RunError};
use async_nats::jetstream::{self, consumer::PullConsumer};
use futures_util::StreamExt as _;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Shop, eventually};

/// An orchestrator that runs, and what stops it.
type Running = (CancellationToken, JoinHandle<Result<(), RunError>>);

/// Private servers, and orchestrators under names of their own.
pub(crate) struct Stage {
    pub(crate) shop: Shop,
    running: BTreeMap<&'static str, Running>,
}

impl Stage {
    pub(crate) async fn set() -> Self {
        Self { shop: Shop::closed().await, running: BTreeMap::new() }
    }

    /// Starts an orchestrator, and waits until it is ready.
    pub(crate) async fn enter(&mut self, name: &'static str, definitions: Vec<Definition>) {
        self.enter_with(name, Config::default(), definitions).await;
    }

    /// Starts an orchestrator with settings of its own, and waits until it is ready.
    pub(crate) async fn enter_with(
        &mut self,
        name: &'static str,
        config: Config,
        definitions: Vec<Definition>,
    ) {
        let (stop, health) = (CancellationToken::new(), Arc::new(Health::default()));
        let running = tokio::spawn(amends_orchestrator::run(
            config,
            self.shop.database(),
            self.shop.jetstream.client(),
            definitions,
            Arc::clone(&health),
            stop.clone(),
        ));
        eventually("a ready orchestrator", async || health.ready().ok()).await;
        assert!(self.running.insert(name, (stop, running)).is_none());
    }

    /// Stops an orchestrator.
    pub(crate) async fn leave(&mut self, name: &str) {
        let (stop, running) = self.running.remove(name).unwrap();
        stop.cancel();
        running.await.unwrap().unwrap();
    }

    /// A service that answers what `answer` says of operation, half and body; `None` is silence.
    pub(crate) async fn serve(
        &self,
        service: &'static str,
        mut answer: impl FnMut(&str, &str, Value) -> Option<Value> + Send + 'static,
    ) -> JoinHandle<()> {
        let jetstream = self.shop.jetstream.clone();
        let consumer: PullConsumer = eventually("the consumer of a service", async || {
            jetstream.get_consumer_from_stream(service, "AMENDS_COMMANDS").await.ok()
        })
        .await;
        tokio::spawn(async move {
            let mut commands = consumer.messages().await.unwrap();
            while let Some(Ok(command)) = commands.next().await {
                let id = command.headers.as_ref().unwrap().get("Amends-Id").unwrap().to_string();
                let operation = command.subject.rsplit('.').next().unwrap().to_owned();
                let half = id.split(':').nth(2).unwrap().to_owned();
                let body = serde_json::from_slice(&command.payload).unwrap();
                if let Some(body) = answer(&operation, &half, body) {
                    reply(&jetstream, service, &id, body).await;
                }
                command.ack().await.unwrap();
            }
        })
    }

    /// Replies to an attempt.
    pub(crate) async fn reply(&self, service: &str, attempt: &str, body: Value) {
        reply(&self.shop.jetstream, service, attempt, body).await;
    }

    /// Publishes until JetStream has stored it.
    pub(crate) async fn publish(&self, subject: &'static str, body: Value) {
        eventually("the publication of an event", async || {
            let ack = self.shop.jetstream.publish(subject, body.to_string().into());
            ack.await.ok()?.await.ok()
        })
        .await;
    }
}

async fn reply(jetstream: &jetstream::Context, service: &str, attempt: &str, body: Value) {
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Amends-Id", attempt);
    let subject = format!("amends.reply.{service}");
    let ack = jetstream.publish_with_headers(subject, headers, body.to_string().into());
    ack.await.unwrap().await.unwrap();
}

//! Orders that come at a steady pace, and how long each took.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_nats::jetstream;
use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Shop, order};

/// Orders that come until this is stopped.
pub(crate) struct Load {
    published: Arc<Mutex<Vec<Published>>>,
    stop: CancellationToken,
    publishing: JoinHandle<()>,
}

/// An order that JetStream has stored.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub(crate) key: String,
    /// When it was first tried to publish it.
    pub(crate) at: DateTime<Utc>,
}

/// Most orders go well; some cards are declined, some have no route.
fn mixed(key: &str, n: u64) -> Value {
    let mut order = order(key);
    match n % 10 {
        3 => order["card"] = "tok_declined".into(),
        7 => order["country"] = "AQ".into(),
        _ => {}
    }
    order
}

impl Load {
    /// Publishes one order each `pause`; their keys begin with `name`.
    pub(crate) fn start(shop: &Shop, name: &'static str, pause: Duration) -> Self {
        let (published, stop) = (Arc::default(), CancellationToken::new());
        let jetstream = shop.jetstream.clone();
        let publishing = publish(jetstream, name, pause, Arc::clone(&published), stop.clone());
        Self { published, stop, publishing: tokio::spawn(publishing) }
    }

    pub(crate) fn published(&self) -> Vec<Published> {
        self.published.lock().unwrap().clone()
    }

    /// Ends it; what was published.
    pub(crate) async fn stop(self) -> Vec<Published> {
        self.stop.cancel();
        self.publishing.await.unwrap();
        std::mem::take(&mut *self.published.lock().unwrap())
    }
}

async fn publish(
    jetstream: jetstream::Context,
    name: &'static str,
    pause: Duration,
    published: Arc<Mutex<Vec<Published>>>,
    stop: CancellationToken,
) {
    let mut beat = tokio::time::interval(pause);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for n in 0.. {
        let (key, at) = (format!("{name}-{n}"), Utc::now());
        let body = mixed(&key, n).to_string();
        // What may have been stored is published again: its key makes it one order.
        while !stored(&jetstream, &body).await {
            if stop.run_until_cancelled(beat.tick()).await.is_none() {
                return;
            }
        }
        published.lock().unwrap().push(Published { key, at });
        if stop.run_until_cancelled(beat.tick()).await.is_none() {
            return;
        }
    }
}

async fn stored(jetstream: &jetstream::Context, body: &str) -> bool {
    match jetstream.publish("orders.placed", body.to_owned().into()).await {
        Ok(ack) => ack.await.is_ok(),
        Err(_) => false,
    }
}

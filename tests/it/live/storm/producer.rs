//! Who wants orders and trips, at a steady pace.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_nats::jetstream::{self, context::ContextBuilder};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::world::World;
use crate::support::{Chance, order, trip};

/// Who publish side by side, so that one that waits for an answer holds up no other.
const PUBLISHERS: usize = 4;

/// Between two of one publisher.
const PAUSE: Duration = Duration::from_millis(250);

/// How long a publication may stay unanswered before it is tried again.
const ACK: Duration = Duration::from_secs(1);

#[derive(Clone)]
struct Wanted {
    key: String,
    subject: &'static str,
    body: Value,
}

pub(super) struct Producer {
    seed: u64,
    jetstream: jetstream::Context,
    wanted: Mutex<Vec<Wanted>>,
}

/// Publishers at work.
pub(super) struct Publishing {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Publishing {
    pub(super) async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Producer {
    pub(super) fn new(seed: u64, world: &World) -> Arc<Self> {
        let client = world.jetstream.client();
        let jetstream = ContextBuilder::new().timeout(ACK).ack_timeout(ACK).build(client);
        Arc::new(Self { seed, jetstream, wanted: Mutex::default() })
    }

    pub(super) fn start(self: &Arc<Self>) -> Publishing {
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        for _ in 0..PUBLISHERS {
            tasks.spawn(Arc::clone(self).publish_until(stop.clone()));
        }
        Publishing { stop, tasks }
    }

    async fn publish_until(self: Arc<Self>, stop: CancellationToken) {
        let mut beat = tokio::time::interval(PAUSE);
        while stop.run_until_cancelled(beat.tick()).await.is_some() {
            let wanted = self.next();
            while !self.stored(&wanted).await && !stop.is_cancelled() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// One more order, or trip. Known before it is published: it may be stored without an answer.
    fn next(&self) -> Wanted {
        let mut all = self.wanted.lock().unwrap();
        let n = all.len();
        let key = format!("s-{n}");
        let mut chance = Chance::of(self.seed, &key);
        let wanted = if chance.once_in(5) {
            Wanted { subject: "trips.wanted", body: a_trip(&key, &mut chance), key }
        } else {
            Wanted { subject: "orders.placed", body: an_order(&key, &mut chance), key }
        };
        all.push(wanted.clone());
        wanted
    }

    async fn stored(&self, wanted: &Wanted) -> bool {
        match self.jetstream.publish(wanted.subject, wanted.body.to_string().into()).await {
            Ok(ack) => ack.await.is_ok(),
            Err(_) => false,
        }
    }

    /// Publishes once more what started no saga: its trigger was lost with its stream. How many that were,
    /// if the database says.
    pub(super) async fn want_lost(&self, world: &World) -> Option<usize> {
        let keys = sqlx::query_scalar("select key from amends.keys").fetch_all(&world.pool);
        let keys: BTreeSet<String> = keys.await.ok()?.into_iter().collect();
        let lost: Vec<_> = {
            let wanted = self.wanted.lock().unwrap();
            wanted.iter().filter(|wanted| !keys.contains(&wanted.key)).cloned().collect()
        };
        for wanted in &lost {
            self.stored(wanted).await;
        }
        Some(lost.len())
    }
}

/// Some cards are declined, some work at the third attempt, some countries have no route, lamps run out.
fn an_order(key: &str, chance: &mut Chance) -> Value {
    let mut order = order(key);
    match chance.below(10) {
        0 => order["card"] = "tok_declined".into(),
        1 => order["card"] = "tok_flaky".into(),
        2 => order["country"] = "AQ".into(),
        3 => order["items"][0]["sku"] = "lamp".into(),
        _ => {}
    }
    order
}

/// Some rent a car, for which some drivers are too young; some cards are declined.
fn a_trip(key: &str, chance: &mut Chance) -> Value {
    let mut trip = trip(key, key);
    if chance.once_in(2) {
        let age = if chance.once_in(4) { 20 } else { 40 };
        trip["car"] = json!({"class": "compact", "days": 2, "age": age});
    }
    trip["insured"] = chance.once_in(2).into();
    if chance.once_in(5) {
        trip["card"] = "tok_declined".into();
    }
    trip
}

//! Who wants sagas, and publishes the events that they wait for: early, in time, twice, or never.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_nats::jetstream;
use serde_json::json;
use sqlx::PgPool;

use super::{
    plan::{Order, Plan},
    seen::Seen,
};
use crate::support::Chance;

pub(super) struct Producer {
    jetstream: jetstream::Context,
    seen: Arc<Seen>,
    /// What was wanted: plan and order.
    pub(super) wanted: Mutex<Vec<(Arc<Plan>, Order)>>,
}

/// Locks that a few want, and locks that many want.
fn locks(chance: &mut Chance, count: u32) -> Vec<String> {
    let one = |chance: &mut Chance| match chance.below(8) {
        0 => format!("hot-{}", chance.below(3)),
        _ => format!("cool-{}", chance.below(60)),
    };
    (0..count).map(|_| one(chance)).collect()
}

impl Producer {
    pub(super) fn new(jetstream: jetstream::Context, seen: Arc<Seen>) -> Arc<Self> {
        Arc::new(Self { jetstream, seen, wanted: Mutex::default() })
    }

    /// Publishes the trigger of a saga of this plan, and its events.
    pub(super) async fn want(self: &Arc<Self>, seed: u64, plan: &Arc<Plan>, n: usize) {
        let key = format!("{}-{n}", plan.outline.name);
        let mut chance = Chance::of(seed, &key);
        let (dice, at) = (chance.next(), chrono::Utc::now().timestamp_millis());
        let order = Order { key, dice, at, locks: locks(&mut chance, plan.outline.locks) };
        self.wanted.lock().unwrap().push((Arc::clone(plan), order.clone()));
        let mut later = Vec::new();
        for (subject, key) in plan.events(&order) {
            match chance.below(20) {
                0..=5 => {
                    self.event(subject, &key).await;
                    self.seen.saw("event: before its saga");
                }
                6..=13 => later.push((chance.millis(0, 700), subject, key, 1)),
                14..=16 => later.push((chance.millis(0, 700), subject, key, 2)),
                _ => self.seen.saw("event: not published"),
            }
        }
        self.trigger(plan, &order).await;
        if chance.once_in(8) {
            self.trigger(plan, &order).await;
            self.seen.saw("doubled trigger");
        }
        for (after, subject, key, times) in later {
            self.seen.saw(if times == 1 { "event: in time" } else { "event: doubled" });
            let producer = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                for _ in 0..times {
                    producer.event(subject.clone(), &key).await;
                }
            });
        }
    }

    /// Publishes once more what started no saga: its trigger was lost with its stream.
    pub(super) async fn want_lost(&self, pool: &PgPool) -> usize {
        let keys = sqlx::query_scalar("select key from amends.keys").fetch_all(pool).await;
        let Ok(keys) = keys else { return usize::MAX };
        let keys: BTreeSet<String> = keys.into_iter().collect();
        let lost: Vec<_> = {
            let wanted = self.wanted.lock().unwrap();
            wanted.iter().filter(|(_, order)| !keys.contains(&order.key)).cloned().collect()
        };
        for (plan, order) in &lost {
            self.trigger(plan, order).await;
            self.seen.saw("trigger published once more");
        }
        lost.len()
    }

    async fn trigger(&self, plan: &Plan, order: &Order) {
        self.publish(plan.outline.trigger.clone(), json!(order).to_string()).await;
    }

    pub(super) async fn event(&self, subject: String, key: &str) {
        self.publish(subject, json!({"key": key}).to_string()).await;
    }

    /// Publishes until a stream has stored it.
    pub(super) async fn publish(&self, subject: String, body: String) {
        let mut beat = tokio::time::interval(Duration::from_millis(50));
        loop {
            beat.tick().await;
            if let Ok(ack) = self.jetstream.publish(subject.clone(), body.clone().into()).await
                && ack.await.is_ok()
            {
                return;
            }
        }
    }
}

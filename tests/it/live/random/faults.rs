//! What goes wrong while sagas run.

use std::{sync::Arc, time::Duration};

use amends::{Definition, wire};
use async_nats::jetstream;

use super::{
    plan::{Plan, SERVICES},
    replica::Replica,
    seen::Seen,
};
use crate::support::{Chance, Shop};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Killed,
    AllKilled,
    Drained,
    BackendsTerminated,
    Purged(&'static str),
    Deleted(&'static str),
    ConsumerDeleted,
}

pub(super) const FAULTS: [Fault; 11] = [
    Fault::Killed,
    Fault::BackendsTerminated,
    Fault::Purged(wire::COMMANDS_STREAM),
    Fault::Drained,
    Fault::Deleted(wire::REPLIES_STREAM),
    Fault::Purged(wire::REPLIES_STREAM),
    Fault::ConsumerDeleted,
    Fault::Deleted(wire::COMMANDS_STREAM),
    Fault::AllKilled,
    Fault::Purged(wire::EVENTS_STREAM),
    Fault::Deleted(wire::EVENTS_STREAM),
];

impl Fault {
    pub(super) fn name(self) -> String {
        format!("fault: {self:?}")
    }
}

/// How long no orchestrator runs when all were killed: deadlines and time-outs pass meanwhile, and what
/// came in time is decided too late.
const OUTAGE: Duration = Duration::from_millis(2_500);

/// Two replicas, and what strikes them and their servers.
pub(super) struct Stricken<'a> {
    shop: &'a Shop,
    plans: &'a [Arc<Plan>],
    replicas: Vec<Replica>,
    seen: &'a Seen,
}

impl<'a> Stricken<'a> {
    pub(super) async fn start(shop: &'a Shop, plans: &'a [Arc<Plan>], seen: &'a Seen) -> Self {
        let mut stricken = Self { shop, plans, replicas: Vec::new(), seen };
        stricken.restore().await;
        stricken
    }

    /// Until two replicas run.
    async fn restore(&mut self) {
        while self.replicas.len() < 2 {
            let definitions: Vec<Definition> =
                self.plans.iter().map(|plan| plan.definition()).collect();
            self.replicas.push(Replica::start(self.shop, definitions).await);
        }
    }

    pub(super) async fn strike(&mut self, fault: Fault, chance: &mut Chance) {
        let jetstream = &self.shop.jetstream;
        match fault {
            // The first one leads.
            Fault::Killed => self.replicas.remove(0).kill(),
            Fault::AllKilled => {
                self.replicas.drain(..).for_each(Replica::kill);
                tokio::time::sleep(OUTAGE).await;
            }
            Fault::Drained => self.replicas.remove(0).drain().await,
            Fault::BackendsTerminated => self.terminate_backends(chance).await,
            Fault::Purged(stream) => {
                let purged = match jetstream.get_stream(stream).await {
                    Ok(stream) => stream.purge().await.map_or(0, |purged| purged.purged),
                    Err(_) => 0,
                };
                self.seen.add("message purged", purged);
            }
            Fault::Deleted(stream) => drop(jetstream.delete_stream(stream).await),
            Fault::ConsumerDeleted => self.delete_consumer(jetstream, chance).await,
        }
        self.seen.saw(&fault.name());
        self.restore().await;
    }

    /// Each connection of an orchestrator, or half of them.
    async fn terminate_backends(&self, chance: &mut Chance) {
        let one_of = i32::try_from(1 + chance.below(2)).unwrap();
        let terminated: i64 = sqlx::query_scalar(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity
             where application_name = 'amends' and pid % $1 = 0",
        )
        .bind(one_of)
        .fetch_one(&self.shop.pool)
        .await
        .unwrap();
        self.seen.add("backend terminated", u64::try_from(terminated).unwrap());
    }

    async fn delete_consumer(&self, jetstream: &jetstream::Context, chance: &mut Chance) {
        let service = chance.one_of(&SERVICES);
        if let Ok(stream) = jetstream.get_stream(wire::COMMANDS_STREAM).await {
            drop(stream.delete_consumer(service).await);
        }
    }

    pub(super) async fn drain(self) {
        for replica in self.replicas {
            replica.drain().await;
        }
    }
}

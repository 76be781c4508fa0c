//! Serving a service: pull, run, reply, acknowledge.

mod command;
mod courier;
mod pull;

use std::{sync::Arc, time::Duration};

use amends::{Retry, wire::COMMANDS_STREAM};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    courier::Courier,
    pull::{Lost, Pull, Pulled},
};
use crate::{
    Relay, Replies, Service,
    breaker::{Breaker, Pulling},
    gate::Gate,
    pace::Pace,
    service::connections,
    shared::Shared,
};

/// Delays between attempts to bind.
fn again(failures: u32, service: &str) -> Duration {
    let retry = Retry::exponential(Duration::from_millis(50), Duration::from_secs(1));
    retry.delay(failures, service)
}

pub(crate) async fn serve(service: Service, client: async_nats::Client, stop: CancellationToken) {
    // The name was checked when the service was built.
    let Ok(replies) = Replies::new(client.clone(), &service.name) else { return };
    let gate = Arc::new(Gate::new(service.pool.clone(), service.health.clone(), stop.clone()));
    let slots = Arc::new(Semaphore::new(service.concurrency));
    let (hint, health) = (service.hint.clone(), service.health.clone());
    let relay = Relay::with(&service.name, service.pool.clone(), client.clone(), hint, health);
    let breaker = Breaker::new(&service.name, service.breaks_in_a_row, service.health.clone());
    let pace = Pace::new(service.per_second);
    let shared = service.sharing.map(|sharing| Shared::start(&service.pool, &gate, sharing));
    let alone = Semaphore::new(connections(&service.pool));
    let courier =
        Arc::new(Courier { alone, service, client, replies, gate, breaker, pace, shared });
    let serving = Serving { courier, slots, stop, running: TaskTracker::new() };
    serving.running.spawn(relay.run(serving.stop.clone()));
    serving.until_stopped().await;
    serving.running.close();
    serving.running.wait().await;
}

struct Serving {
    courier: Arc<Courier>,
    /// One for each attempt that may run.
    slots: Arc<Semaphore>,
    stop: CancellationToken,
    running: TaskTracker,
}

impl Serving {
    /// Binds, and binds again whenever the consumer is lost.
    async fn until_stopped(&self) {
        let mut failures = 0;
        loop {
            let lost = match self.pull_until_lost().await {
                Ok(()) => return,
                Err(lost) => lost,
            };
            failures = if self.unbound(&lost) { 1 } else { failures + 1 };
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(again(failures, &self.courier.service.name)) => {}
            }
        }
    }

    /// Pulls until the service stops.
    async fn pull_until_lost(&self) -> Result<(), Lost> {
        let name = &self.courier.service.name;
        let mut pull = Pull::open(&self.courier.client, name).await?;
        while let Some(slots) = self.free_slots().await {
            pull.request(slots.num_permits()).await?;
            self.receive(&mut pull, slots).await?;
        }
        for message in pull.close().await {
            self.courier.pace.keep().await;
            self.start(message, None);
        }
        Ok(())
    }

    /// Waits until something may be pulled and takes a slot for each command; none when the service
    /// stops.
    async fn free_slots(&self) -> Option<OwnedSemaphorePermit> {
        loop {
            if !self.courier.gate.pass().await {
                return None;
            }
            let pulling = self.courier.breaker.pass(&self.stop).await?;
            let least = match pulling {
                Pulling::All => 1,
                Pulling::One => self.courier.service.concurrency,
            };
            let mut slots = tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                slots = Arc::clone(&self.slots).acquire_many_owned(count(least)) => slots.ok()?,
            };
            // While it waited, an attempt may have ended that says otherwise.
            if !self.courier.breaker.still(pulling) {
                continue;
            }
            if pulling == Pulling::One {
                return slots.split(1);
            }
            let more = self.slots.available_permits().min(self.courier.pace.at_once() - 1);
            if let Ok(more) = Arc::clone(&self.slots).try_acquire_many_owned(count(more)) {
                slots.merge(more);
            }
            return Some(slots);
        }
    }

    /// Starts what a pull brings, until it has ended or the service stops.
    async fn receive(&self, pull: &mut Pull, mut slots: OwnedSemaphorePermit) -> Result<(), Lost> {
        while slots.num_permits() > 0 {
            let pulled = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(()),
                pulled = pull.next() => pulled?,
            };
            self.bound();
            match pulled {
                Pulled::Command(message) => {
                    self.courier.pace.keep().await;
                    self.start(message, slots.split(1));
                }
                Pulled::Alive => {}
                Pulled::End => break,
            }
        }
        Ok(())
    }

    fn start(&self, message: async_nats::Message, slot: Option<OwnedSemaphorePermit>) {
        let courier = Arc::clone(&self.courier);
        self.running.spawn(async move {
            courier.deliver(message).await;
            drop(slot);
        });
    }

    fn bound(&self) {
        let service = &self.courier.service;
        let changed =
            service.health.send_if_modified(|health| !std::mem::replace(&mut health.bound, true));
        if changed {
            service.health.send_modify(|health| health.error = None);
            tracing::info!(
                service = service.name,
                concurrency = service.concurrency,
                "serving commands"
            );
        }
    }

    /// Notes a loss; whether it had been bound before. Said once, not at every try.
    fn unbound(&self, lost: &Lost) -> bool {
        let service = &self.courier.service;
        let (mut was_bound, mut was_lost) = (false, false);
        service.health.send_modify(|health| {
            was_bound = std::mem::replace(&mut health.bound, false);
            was_lost = health.error.replace(lost.to_string()).is_some();
        });
        if was_bound {
            tracing::warn!(service = service.name, error = %lost, "the consumer is lost: binding again");
        } else if !was_lost {
            let waits = "waiting for the consumer, which the orchestrator creates";
            tracing::info!(service = service.name, stream = COMMANDS_STREAM, reason = %lost, "{waits}");
        }
        was_bound
    }
}

fn count(slots: usize) -> u32 {
    u32::try_from(slots).unwrap_or(u32::MAX)
}

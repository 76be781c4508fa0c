//! Serving a service: pull, run, reply, acknowledge.

mod command;
mod courier;
mod pull;

use std::{sync::Arc, time::Duration};

use amends::{RetryLoop, wire::COMMANDS_STREAM};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    courier::Courier,
    pull::{Lost, Pull, Pulled},
};
use crate::{Relay, Replies, Service, circuit_breaker::Allowance};

/// Delays between attempts to bind.
const BIND_FIRST: Duration = Duration::from_millis(50);
const BIND_CAP: Duration = Duration::from_secs(1);

impl Service {
    /// Serves commands, and publishes the events that the service emits, until `stop` is cancelled;
    /// then pulls no more, finishes what is running and returns. Nothing else ends it: without a
    /// consumer, without NATS or without its database it waits and tries again.
    ///
    /// The consumer, durable and named as the service, on the stream `AMENDS_COMMANDS`, is created by
    /// the orchestrator. The service needs to publish to
    /// `$JS.API.CONSUMER.MSG.NEXT.AMENDS_COMMANDS.<service>`, `$JS.ACK.AMENDS_COMMANDS.<service>.>`,
    /// `amends.reply.<service>` and the subjects that are emitted in its database, and to subscribe to
    /// its inbox.
    pub async fn serve(self, client: async_nats::Client, stop: CancellationToken) {
        // The name was checked when the service was built.
        let Ok(replies) = Replies::new(client.clone(), &self.name) else { return };
        let (hint, health) = (self.hint.clone(), self.health.clone());
        let relay = Relay::with(&self.name, self.database.clone(), client.clone(), hint, health);
        let slots = Arc::new(Semaphore::new(self.concurrency));
        let courier = Arc::new(Courier::new(self, client, replies, &stop));
        let serving = Serving { courier, slots, stop, running: TaskTracker::new() };
        let gate = Arc::clone(&serving.courier.database_gate);
        serving.running.spawn(async move { gate.probe().await });
        serving.running.spawn(relay.run(serving.stop.clone()));
        serving.until_stopped().await;
        serving.running.close();
        serving.running.wait().await;
    }
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
        let mut retries = RetryLoop::new(BIND_FIRST, BIND_CAP, &self.courier.service.name);
        while let Err(lost) = self.pull_until_lost().await {
            if self.unbound(&lost) {
                retries.succeeded();
            }
            let pause = tokio::time::sleep(retries.failed());
            if self.stop.run_until_cancelled(pause).await.is_none() {
                return;
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
            self.courier.rate_limiter.wait().await;
            self.start(message, None);
        }
        Ok(())
    }

    /// Waits until something may be pulled and takes a slot for each command; none when the service
    /// stops.
    async fn free_slots(&self) -> Option<OwnedSemaphorePermit> {
        loop {
            if !self.courier.database_gate.pass().await {
                return None;
            }
            let allowance = self.courier.circuit_breaker.pass(&self.stop).await?;
            let least = match allowance {
                Allowance::All => 1,
                Allowance::One => self.courier.service.concurrency,
            };
            let mut slots = tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                slots = Arc::clone(&self.slots).acquire_many_owned(count(least)) => slots.ok()?,
            };
            // While it waited, an attempt may have ended that says otherwise.
            if !self.courier.circuit_breaker.still_allows(allowance) {
                continue;
            }
            if allowance == Allowance::One {
                return slots.split(1);
            }
            let more = self.slots.available_permits().min(self.courier.rate_limiter.burst() - 1);
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
                    self.courier.rate_limiter.wait().await;
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

//! Relays a service's outbox: rounds as long as there is something, and looks from time to time.

use std::{sync::Arc, time::Duration};

use amends_postgres::Database;
use tokio::sync::{Semaphore, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Hint, maintenance,
    round::{Round, RoundOutcome},
};
use crate::{Health, fault::describe};

/// How long until the next round, when there was nothing: from the first, doubled, to the cap.
const IDLE_FIRST: Duration = Duration::from_millis(20);
const IDLE_CAP: Duration = Duration::from_secs(1);
/// The same, while Postgres or NATS is away.
const AWAY_FIRST: Duration = Duration::from_millis(100);
const AWAY_CAP: Duration = Duration::from_secs(5);
/// While there is no outbox, or it may not be used: each look is an error in the database's log.
const LACKING: Duration = Duration::from_secs(15);

/// After this time a round waits for acks that are late, and the next one begins beside it.
const LATE: Duration = Duration::from_millis(100);
/// Rounds side by side; each holds a connection, so never more than a quarter of the pool.
const ROUNDS_MAX: usize = 4;

/// Publishes what a service emits. A [`Service`](crate::Service) relays its own outbox while it
/// serves; this is for a program that only emits. Any number of relays may share one outbox.
///
/// ```no_run
/// use amends_workers::{Address, Database, Relay, SESSION, migrate};
/// use tokio_util::sync::CancellationToken;
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let address = "postgres://shop@localhost/shop".parse::<Address>()?.for_writing();
/// let database = Database::new(address, &SESSION, 8);
/// migrate(&database).await?; // the outbox is part of the barrier's schema
/// let relay = Relay::new("shop", database, async_nats::connect("nats://localhost").await?);
/// let hint = relay.hint(); // for those who emit in this process
///
/// let stop = CancellationToken::new();
/// let relaying = tokio::spawn(relay.run(stop.clone()));
/// // … the program's own work, which emits and gives the hint …
/// hint.give();
/// stop.cancel();
/// relaying.await?;
/// # Ok(())
/// # }
/// ```
pub struct Relay {
    round: Arc<Round>,
    hint: Hint,
    health: watch::Sender<Health>,
    running: TaskTracker,
}

impl Relay {
    /// The relay of the outbox in this database; `service` names it in logs and metrics. It
    /// has to be allowed to publish on the subjects that are emitted.
    #[must_use]
    pub fn new(service: &str, database: Database, client: async_nats::Client) -> Self {
        Self::with(service, database, client, Hint::default(), watch::Sender::default())
    }

    pub(crate) fn with(
        service: &str,
        database: Database,
        client: async_nats::Client,
        hint: Hint,
        health: watch::Sender<Health>,
    ) -> Self {
        let round = Arc::new(Round::new(service.to_owned(), database, client));
        Self { round, hint, health, running: TaskTracker::new() }
    }

    /// To tell the relay of a commit.
    #[must_use]
    pub fn hint(&self) -> Hint {
        self.hint.clone()
    }

    /// Relays until `stop` is cancelled, and finishes what it has begun. Nothing else ends it: without
    /// NATS, without the database or its tables it waits and tries again.
    pub async fn run(self, stop: CancellationToken) {
        tokio::join!(self.relay(&stop), maintenance::run(&self.round, &stop));
        self.running.close();
        self.running.wait().await;
    }

    async fn relay(&self, stop: &CancellationToken) {
        let rounds = ROUNDS_MAX.min(self.round.database.connections() / 4).max(1);
        let permits = Arc::new(Semaphore::new(rounds));
        let mut next = NextRound::Now;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.hint.given(), if next.is_idle() => {}
                () = tokio::time::sleep(next.wait()) => {}
            }
            let permit = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                permit = Arc::clone(&permits).acquire_owned() => permit,
            };
            let round = self.begin(permit.ok());
            next = match tokio::time::timeout(LATE, round).await {
                Ok(outcome) => next.after(outcome.unwrap_or(RoundOutcome::Away)),
                Err(_late) => NextRound::Now,
            };
        }
    }

    /// A round in a task of its own, beside which the next may begin.
    fn begin(
        &self,
        permit: Option<tokio::sync::OwnedSemaphorePermit>,
    ) -> tokio::task::JoinHandle<RoundOutcome> {
        let (round, health) = (Arc::clone(&self.round), self.health.clone());
        self.running.spawn(async move {
            let (outcome, trouble) = run(&round).await;
            drop(permit);
            report(&round.service, &health, trouble.as_ref());
            outcome
        })
    }
}

/// A round, and what is wrong when it could not do its work.
async fn run(round: &Round) -> (RoundOutcome, Option<String>) {
    if !round.connected() {
        return (RoundOutcome::Away, Some("NATS does not answer".to_owned()));
    }
    match round.run().await {
        Ok(RoundOutcome::Away) => {
            (RoundOutcome::Away, Some("the connection to NATS was lost".to_owned()))
        }
        Ok(outcome) => (outcome, None),
        Err(error) => {
            let (outcome, text) = explain(&error);
            (outcome, Some(text))
        }
    }
}

/// Says once what keeps events from being relayed, and that it is over.
fn report(service: &str, health: &watch::Sender<Health>, trouble: Option<&String>) {
    let before = health.borrow().outbox.clone();
    if before.as_ref() == trouble {
        return;
    }
    match trouble {
        Some(error) => tracing::warn!(service, error, "events wait in the outbox"),
        None => tracing::info!(service, "events are relayed again"),
    }
    health.send_modify(|health| health.outbox = trouble.cloned());
}

/// What a database error means for the relay, and what to do about it.
fn explain(error: &sqlx::Error) -> (RoundOutcome, String) {
    let code = error.as_database_error().and_then(|e| e.code()).unwrap_or_default();
    match &*code {
        // No such function, table or schema.
        "42883" | "42P01" | "3F000" => {
            let run = "this database has no outbox: run `migrate --participant URL` of the orchestrator's program";
            (RoundOutcome::Lacking, run.to_owned())
        }
        "42501" => {
            let grant =
                "run `amends migrate --participant URL --grant participant=LOGIN` for this login";
            (RoundOutcome::Lacking, format!("{}: {grant}", describe(error)))
        }
        _ => (RoundOutcome::Away, describe(error)),
    }
}

/// When the next round begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NextRound {
    Now,
    Idle(Duration),
    Away(Duration),
}

impl NextRound {
    fn after(self, outcome: RoundOutcome) -> Self {
        match (outcome, self) {
            (RoundOutcome::Busy, _) => Self::Now,
            (RoundOutcome::Idle, Self::Idle(before)) => Self::Idle((before * 2).min(IDLE_CAP)),
            (RoundOutcome::Idle, _) => Self::Idle(IDLE_FIRST),
            (RoundOutcome::Away, Self::Away(before)) => Self::Away((before * 2).min(AWAY_CAP)),
            (RoundOutcome::Away, _) => Self::Away(AWAY_FIRST),
            (RoundOutcome::Lacking, _) => Self::Away(LACKING),
        }
    }

    fn wait(self) -> Duration {
        match self {
            Self::Now => Duration::ZERO,
            Self::Idle(wait) | Self::Away(wait) => wait,
        }
    }

    /// Whether a hint brings it forward.
    fn is_idle(self) -> bool {
        matches!(self, Self::Idle(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end_with_the_next_event() {
        let mut next = NextRound::Now.after(RoundOutcome::Idle);
        assert_eq!(next.wait(), IDLE_FIRST);
        for _ in 0..10 {
            next = next.after(RoundOutcome::Idle);
        }
        assert_eq!(next.wait(), IDLE_CAP);
        assert_eq!(next.after(RoundOutcome::Away).wait(), AWAY_FIRST);
        assert_eq!(next.after(RoundOutcome::Busy).wait(), Duration::ZERO);
        assert!(next.is_idle() && !next.after(RoundOutcome::Away).is_idle());
    }
}

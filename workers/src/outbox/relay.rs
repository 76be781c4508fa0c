//! Relays a service's outbox: rounds as long as there is something, and looks from time to time.

use std::{sync::Arc, time::Duration};

use sqlx::PgPool;
use tokio::sync::{Semaphore, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Hint, keeper,
    round::{Ended, Round},
};
use crate::{Health, run::words};

/// How long until the next look, when there was nothing: from the first, doubled, to the cap.
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
pub struct Relay {
    round: Arc<Round>,
    hint: Hint,
    health: watch::Sender<Health>,
    running: TaskTracker,
}

impl Relay {
    /// The relay of the outbox in the database of `pool`; `service` names it in logs and metrics. It
    /// has to be allowed to publish on the subjects that are emitted.
    #[must_use]
    pub fn new(service: &str, pool: PgPool, client: async_nats::Client) -> Self {
        Self::with(service, pool, client, Hint::default(), watch::Sender::default())
    }

    pub(crate) fn with(
        service: &str,
        pool: PgPool,
        client: async_nats::Client,
        hint: Hint,
        health: watch::Sender<Health>,
    ) -> Self {
        let round = Arc::new(Round::new(service.to_owned(), pool, client));
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
        tokio::join!(self.relay(&stop), keeper::keep(&self.round, &stop));
        self.running.close();
        self.running.wait().await;
    }

    async fn relay(&self, stop: &CancellationToken) {
        let connections = usize::try_from(self.round.pool.options().get_max_connections());
        let rounds = ROUNDS_MAX.min(connections.unwrap_or(1) / 4).max(1);
        let places = Arc::new(Semaphore::new(rounds));
        let mut pause = Pause::None;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.hint.given(), if pause.is_idle() => {}
                () = tokio::time::sleep(pause.length()) => {}
            }
            let place = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                place = Arc::clone(&places).acquire_owned() => place,
            };
            let round = self.begin(place.ok());
            pause = match tokio::time::timeout(LATE, round).await {
                Ok(ended) => pause.after(ended.unwrap_or(Ended::Away)),
                Err(_late) => Pause::None,
            };
        }
    }

    /// A round in a task of its own: its transaction is never cancelled.
    fn begin(
        &self,
        place: Option<tokio::sync::OwnedSemaphorePermit>,
    ) -> tokio::task::JoinHandle<Ended> {
        let (round, health) = (Arc::clone(&self.round), self.health.clone());
        self.running.spawn(async move {
            let (ended, error) = one(&round).await;
            drop(place);
            tell(&round.service, &health, error.as_ref());
            ended
        })
    }
}

/// A round, and what is wrong when it could not do its work.
async fn one(round: &Round) -> (Ended, Option<String>) {
    if !round.connected() {
        return (Ended::Away, Some("NATS does not answer".to_owned()));
    }
    match round.go().await {
        Ok(Ended::Away) => (Ended::Away, Some("the connection to NATS was lost".to_owned())),
        Ok(ended) => (ended, None),
        Err(error) => {
            let (ended, why) = why(&error);
            (ended, Some(why))
        }
    }
}

/// Says once what keeps events from being relayed, and that it is over.
fn tell(service: &str, health: &watch::Sender<Health>, error: Option<&String>) {
    let before = health.borrow().outbox.clone();
    if before.as_ref() == error {
        return;
    }
    match error {
        Some(error) => tracing::warn!(service, error, "events wait in the outbox"),
        None => tracing::info!(service, "events are relayed again"),
    }
    health.send_modify(|health| health.outbox = error.cloned());
}

/// A database error in words that say what to do.
fn why(error: &sqlx::Error) -> (Ended, String) {
    let code = error.as_database_error().and_then(|e| e.code()).unwrap_or_default();
    match &*code {
        // No such function, table or schema.
        "42883" | "42P01" | "3F000" => {
            let run = "this database has no outbox: run `amends migrate --participant URL`";
            (Ended::Lacking, run.to_owned())
        }
        "42501" => {
            let grant = "grant the role what migrations/participant/0002_outbox.sql names";
            (Ended::Lacking, format!("{}: {grant}", words(error)))
        }
        _ => (Ended::Away, words(error)),
    }
}

/// How long until the next look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pause {
    None,
    Idle(Duration),
    Away(Duration),
}

impl Pause {
    fn after(self, ended: Ended) -> Self {
        match (ended, self) {
            (Ended::Busy, _) => Self::None,
            (Ended::Idle, Self::Idle(before)) => Self::Idle((before * 2).min(IDLE_CAP)),
            (Ended::Idle, _) => Self::Idle(IDLE_FIRST),
            (Ended::Away, Self::Away(before)) => Self::Away((before * 2).min(AWAY_CAP)),
            (Ended::Away, _) => Self::Away(AWAY_FIRST),
            (Ended::Lacking, _) => Self::Away(LACKING),
        }
    }

    fn length(self) -> Duration {
        match self {
            Self::None => Duration::ZERO,
            Self::Idle(pause) | Self::Away(pause) => pause,
        }
    }

    /// Whether a hint ends it.
    fn is_idle(self) -> bool {
        matches!(self, Self::Idle(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end_with_the_next_event() {
        let mut pause = Pause::None.after(Ended::Idle);
        assert_eq!(pause.length(), IDLE_FIRST);
        for _ in 0..10 {
            pause = pause.after(Ended::Idle);
        }
        assert_eq!(pause.length(), IDLE_CAP);
        assert_eq!(pause.after(Ended::Away).length(), AWAY_FIRST);
        assert_eq!(pause.after(Ended::Busy).length(), Duration::ZERO);
        assert!(pause.is_idle() && !pause.after(Ended::Away).is_idle());
    }
}

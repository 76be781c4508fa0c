//! Since when the sessions of a database are not trusted any more.
//!
//! One silent session is rarely alone: a firewall that forgets connections forgets them all, and a host
//! that vanished takes all along. So what one of them met makes all suspect that are as old; those that
//! are made afterwards are not.

use std::{io, time::Duration};

use sqlx::Error;
use tokio::{sync::watch, time::Instant};

/// How long what is under way on a suspect session may still take: an answer that was on its way comes
/// within this time, and a handler that waits for something else ends.
const GRACE: Duration = Duration::from_secs(3);

/// No answer came.
pub(crate) fn silence(why: &str) -> Error {
    Error::Io(io::Error::new(io::ErrorKind::TimedOut, format!("Postgres is silent: {why}")))
}

/// Shared by all sessions of a database.
#[derive(Debug, Default)]
pub(crate) struct Suspicion {
    since: watch::Sender<Option<Instant>>,
}

impl Suspicion {
    /// All sessions that were made until now are suspect; until when they may be at work.
    pub(crate) fn raise(&self) -> Instant {
        let now = Instant::now();
        self.since.send_replace(Some(now));
        now + GRACE
    }

    /// Whether a session that was made at `born` is suspect.
    pub(crate) fn covers(&self, born: Instant) -> bool {
        self.since.borrow().is_some_and(|since| born <= since)
    }

    /// Until a session that was made at `born` has been suspect for [`GRACE`].
    pub(crate) async fn outlasted(&self, born: Instant) {
        let mut since = self.since.subscribe();
        let suspect = since.wait_for(|since| since.is_some_and(|since| born <= since)).await;
        // The sender lives as long as `self`.
        if let Some(since) = suspect.ok().and_then(|since| *since) {
            tokio::time::sleep_until(since + GRACE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_as_old_is_suspect_and_what_comes_later_is_not() {
        let (suspicion, old) = (Suspicion::default(), Instant::now());
        assert!(!suspicion.covers(old));
        suspicion.raise();
        assert!(suspicion.covers(old));
        tokio::time::advance(Duration::from_millis(1)).await;
        let new = Instant::now();
        assert!(!suspicion.covers(new));
        suspicion.outlasted(old).await;
        assert_eq!(new.elapsed() + Duration::from_millis(1), GRACE);
        let waits = tokio::time::timeout(GRACE * 100, suspicion.outlasted(new)).await;
        assert!(waits.is_err());
    }
}

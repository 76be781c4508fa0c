//! Polling with growing pauses.

use std::time::Duration;

use tokio::time::Instant;

use crate::{Error, error::passes};

/// Before the second look.
const FIRST: Duration = Duration::from_millis(20);

/// Between two looks at most: each is a query.
const LONGEST: Duration = Duration::from_millis(500);

/// A wait that looks now and then. Who waits runs the loop: a future that this called could not be told to be
/// `Send`.
#[derive(Debug)]
pub(crate) struct Poll {
    began: Instant,
    limit: Duration,
    pause: Duration,
}

impl Poll {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { began: Instant::now(), limit, pause: FIRST }
    }

    /// How long to wait until the next look; `None` when what was seen is settled, or the time is over. A
    /// database that is away is looked for again, too.
    pub(crate) fn pause_after<T>(
        &mut self,
        seen: &Result<T, Error>,
        settled: impl Fn(&T) -> bool,
    ) -> Option<Duration> {
        let go_on = match seen {
            Ok(value) => !settled(value),
            Err(Error::Postgres(error)) => passes(error),
            Err(_) => false,
        };
        let left = self.limit.saturating_sub(self.began.elapsed());
        if !go_on || left.is_zero() {
            return None;
        }
        let pause = self.pause.min(left);
        self.pause = (self.pause * 2).min(LONGEST);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Poll;
    use crate::Error;

    fn away() -> Result<bool, Error> {
        Err(Error::Postgres(sqlx::Error::PoolTimedOut))
    }

    /// Pauses of 20, 40, 80, 160 and 320 ms, then of 500 ms; the last is shorter.
    #[tokio::test(start_paused = true)]
    async fn a_minute_costs_about_two_looks_a_second() {
        let (mut poll, mut looks) = (Poll::new(Duration::from_mins(1)), 1);
        while let Some(pause) = poll.pause_after(&Ok(false), |over| *over) {
            tokio::time::sleep(pause).await;
            looks += 1;
        }
        assert_eq!(looks, 1 + 5 + 119);
    }

    #[tokio::test]
    async fn without_time_there_is_one_look() {
        assert_eq!(Poll::new(Duration::ZERO).pause_after(&away(), |over| *over), None);
    }

    #[tokio::test]
    async fn an_outage_is_waited_out_and_a_mistake_is_not() {
        let mut poll = Poll::new(Duration::MAX);
        assert!(poll.pause_after(&away(), |over| *over).is_some());
        let mistake = Err(Error::Postgres(sqlx::Error::RowNotFound));
        assert_eq!(poll.pause_after(&mistake, |over: &bool| *over), None);
        assert_eq!(poll.pause_after(&Ok(true), |over| *over), None);
    }
}

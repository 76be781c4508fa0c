//! What `top` asks of Postgres: only of sagas that have not ended, and of Postgres' own statistics.

use std::{collections::VecDeque, time::Duration};

use amends::machine::Time;
use amends_postgres::Database;
use serde::Serialize;
use sqlx::types::Uuid;
use tokio::{task::JoinHandle, time::Instant};

/// Sagas in each of the two lists.
const LISTED: i64 = 8;

/// Rates are taken over this time.
const WINDOW: Duration = Duration::from_secs(15);

/// Seconds between two counts that make a rate: a session of Postgres that is idle reports what it did up to so much
/// later, and a burst of long ago would be the rate of now.
const APART: f64 = 10.0;

/// What is exposed asks for each step of each open saga: beside the frames, and after a pause of so
/// many times as long as it took.
const EXPOSURE_PAUSE: u32 = 10;

/// Everything on one frame.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Overview {
    pub(super) at: Time,
    /// `None` until there are two counts that are far enough apart.
    pub(super) rates: Option<Rates>,
    pub(super) sagas: Vec<Sagas>,
    /// At most 10,000 are counted.
    pub(super) dead_letters: i64,
    pub(super) stuck: Vec<Saga>,
    pub(super) oldest: Vec<Saga>,
    pub(super) exposed: Vec<Exposed>,
    /// When that was read: with many open sagas not for each frame.
    pub(super) exposed_at: Time,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Rates {
    pub(super) started_per_second: f64,
    pub(super) ended_per_second: f64,
}

/// Sagas of one definition and status.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Sagas {
    pub(super) definition: String,
    pub(super) status: String,
    pub(super) sagas: i64,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Saga {
    pub(super) id: Uuid,
    pub(super) definition: String,
    pub(super) key: Option<String>,
    pub(super) status: String,
    pub(super) step: Option<String>,
    pub(super) error_step: Option<String>,
    pub(super) error_code: Option<String>,
    pub(super) error_message: Option<String>,
    /// When it was started; for what is stuck, when it got stuck.
    pub(super) since: Time,
}

/// Effects of one service in one status.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Exposed {
    pub(super) service: String,
    pub(super) status: String,
    pub(super) effects: i64,
    pub(super) oldest: Time,
}

struct Count {
    started: i64,
    ended: i64,
    at: Time,
}

/// Reads one overview after another.
pub(super) struct Reader {
    database: Database,
    counts: VecDeque<Count>,
    exposure: Exposure,
}

/// What is exposed, as it was last read, and the reading that is under way.
struct Exposure {
    known: Option<(Vec<Exposed>, Time)>,
    reading: Option<Reading>,
    /// When it may be read the next time.
    next: Instant,
}

type Reading = JoinHandle<Result<(Vec<Exposed>, Time, Duration), sqlx::Error>>;

impl Reader {
    pub(super) fn new(database: Database) -> Self {
        let exposure = Exposure { known: None, reading: None, next: Instant::now() };
        Self { database, counts: VecDeque::new(), exposure }
    }

    /// Takes a count for the rates.
    async fn count(&mut self) -> Result<Time, sqlx::Error> {
        let now =
            sqlx::query_file_as!(Count, "src/sql/top_flow.sql").fetch_one(&self.database).await?;
        let at = now.at;
        self.counts.push_back(now);
        let old = |count: &Count| (at - count.at).to_std().is_ok_and(|age| age > WINDOW);
        while self.counts.len() > 2 && self.counts.front().is_some_and(old) {
            self.counts.pop_front();
        }
        Ok(at)
    }

    fn rates(&self) -> Option<Rates> {
        rates(self.counts.front()?, self.counts.back()?)
    }

    /// Reads all but what is exposed, which is read beside the frames; `whole` waits for it.
    pub(super) async fn read(&mut self, whole: bool) -> Result<Overview, sqlx::Error> {
        let at = self.count().await?;
        let database = &self.database;
        let sagas = sqlx::query_file_as!(Sagas, "src/sql/top_open.sql").fetch_all(database).await?;
        let stuck =
            sqlx::query_file_as!(Saga, "src/sql/top_stuck.sql", LISTED).fetch_all(database).await?;
        let oldest = sqlx::query_file_as!(Saga, "src/sql/top_oldest.sql", LISTED)
            .fetch_all(database)
            .await?;
        let letters = sqlx::query_file!("src/sql/top_letters.sql").fetch_one(database).await?;
        self.exposure.read(database, at, whole).await?;
        let (exposed, exposed_at) = self.exposure.known.clone().unwrap_or((Vec::new(), at));
        Ok(Overview {
            at,
            rates: self.rates(),
            sagas,
            dead_letters: letters.letters,
            stuck,
            oldest,
            exposed,
            exposed_at,
        })
    }
}

/// `None` while the counts are so close that the delay of Postgres' statistics would be most of the rate.
fn rates(first: &Count, last: &Count) -> Option<Rates> {
    let seconds = (last.at - first.at).as_seconds_f64();
    // A restart of Postgres may begin the statistics anew.
    let rate = |from: i64, to: i64| to.saturating_sub(from).max(0) as f64 / seconds;
    (seconds >= APART).then(|| Rates {
        started_per_second: rate(first.started, last.started),
        ended_per_second: rate(first.ended, last.ended),
    })
}

impl Exposure {
    /// What is known by now; with `wait`, what is read now.
    async fn read(&mut self, database: &Database, at: Time, wait: bool) -> Result<(), sqlx::Error> {
        if self.reading.is_none() && Instant::now() >= self.next {
            self.reading = Some(tokio::spawn(exposed(database.clone(), at)));
        }
        let Some(reading) = self.reading.take_if(|reading| wait || reading.is_finished()) else {
            return Ok(());
        };
        // A task that failed is tried again.
        if let Ok(read) = reading.await {
            let (exposed, at, took) = read?;
            self.known = Some((exposed, at));
            self.next = Instant::now() + took * EXPOSURE_PAUSE;
        }
        Ok(())
    }
}

async fn exposed(
    database: Database,
    at: Time,
) -> Result<(Vec<Exposed>, Time, Duration), sqlx::Error> {
    let began = Instant::now();
    let exposed =
        sqlx::query_file_as!(Exposed, "src/sql/top_exposure.sql").fetch_all(&database).await?;
    Ok((exposed, at, began.elapsed()))
}

#[cfg(test)]
mod tests {
    use chrono::{TimeDelta, Utc};

    use super::*;

    #[test]
    fn rates_need_counts_that_are_apart() {
        let count = |started, millis| Count {
            started,
            ended: 0,
            at: chrono::DateTime::<Utc>::UNIX_EPOCH + TimeDelta::milliseconds(millis),
        };
        assert!(rates(&count(0, 0), &count(50, 9_900)).is_none(), "a burst before both counts");
        let rates = rates(&count(0, 0), &count(50, 10_000)).unwrap();
        assert_eq!((rates.started_per_second, rates.ended_per_second), (5.0, 0.0));
    }
}

//! What `top` asks of Postgres: only of sagas that have not ended, and of Postgres' own statistics.

use std::{collections::VecDeque, time::Duration};

use amends::machine::Time;
use serde::Serialize;
use sqlx::{PgPool, types::Uuid};
use tokio::time::Instant;

/// Sagas in each of the two lists.
const LISTED: i64 = 8;

/// Rates are taken over this time.
const WINDOW: Duration = Duration::from_secs(10);

/// The exposure asks for each step of each open saga. It takes at most this part of the time.
const EXPOSURE_PART: u32 = 10;

/// Everything on one frame.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Overview {
    pub(super) at: Time,
    /// `None` until there are two counts to compare.
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

pub(super) struct Looker {
    pool: PgPool,
    counts: VecDeque<Count>,
    exposed: Option<(Vec<Exposed>, Time)>,
    exposed_again: Instant,
}

impl Looker {
    pub(super) fn new(pool: PgPool) -> Self {
        let exposed_again = Instant::now();
        Self { pool, counts: VecDeque::new(), exposed: None, exposed_again }
    }

    /// Takes a count for the rates.
    pub(super) async fn count(&mut self) -> Result<Time, sqlx::Error> {
        let now = sqlx::query_file_as!(Count, "src/sql/top_flow.sql").fetch_one(&self.pool).await?;
        let at = now.at;
        self.counts.push_back(now);
        let old = |count: &Count| (at - count.at).to_std().is_ok_and(|age| age > WINDOW);
        while self.counts.len() > 2 && self.counts.front().is_some_and(old) {
            self.counts.pop_front();
        }
        Ok(at)
    }

    fn rates(&self) -> Option<Rates> {
        let (first, last) = (self.counts.front()?, self.counts.back()?);
        let seconds = (last.at - first.at).as_seconds_f64();
        // A restart of Postgres may begin the statistics anew.
        let rate = |from: i64, to: i64| to.saturating_sub(from).max(0) as f64 / seconds;
        (seconds > 0.5).then(|| Rates {
            started_per_second: rate(first.started, last.started),
            ended_per_second: rate(first.ended, last.ended),
        })
    }

    pub(super) async fn look(&mut self) -> Result<Overview, sqlx::Error> {
        let at = self.count().await?;
        let pool = &self.pool;
        let sagas = sqlx::query_file_as!(Sagas, "src/sql/top_open.sql").fetch_all(pool).await?;
        let stuck =
            sqlx::query_file_as!(Saga, "src/sql/top_stuck.sql", LISTED).fetch_all(pool).await?;
        let oldest =
            sqlx::query_file_as!(Saga, "src/sql/top_oldest.sql", LISTED).fetch_all(pool).await?;
        let letters = sqlx::query_file!("src/sql/top_letters.sql").fetch_one(pool).await?;
        let (exposed, exposed_at) = self.exposed(at).await?;
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

    async fn exposed(&mut self, at: Time) -> Result<(Vec<Exposed>, Time), sqlx::Error> {
        if let Some(known) = &self.exposed
            && Instant::now() < self.exposed_again
        {
            return Ok(known.clone());
        }
        let began = Instant::now();
        let exposed =
            sqlx::query_file_as!(Exposed, "src/sql/top_exposure.sql").fetch_all(&self.pool).await?;
        self.exposed_again = Instant::now() + began.elapsed() * EXPOSURE_PART;
        self.exposed = Some((exposed.clone(), at));
        Ok((exposed, at))
    }
}

//! What a saga that was woken may have waited for, and what may wait for it.

use std::collections::HashMap;

use amends::{
    EventId, Json, SagaId,
    machine::{Arrival, ChildEnd, Status, Time},
    turn::Request,
};
use sqlx::types::Uuid;

use super::{Store, StoreError, uuids};

/// Events read for one step at once; the step takes one, so this is for several steps that wait for
/// the same.
const ARRIVALS_MAX: i64 = 100;

/// A nested saga that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: Status,
    pub(crate) output: Option<Json>,
    pub(crate) error: Option<amends::machine::Failure>,
    pub(crate) at: Time,
}

impl Ended {
    pub(crate) fn of_step(self, step: &str) -> (ChildEnd, Time) {
        let Self { status, output, error, at } = self;
        (ChildEnd { step: step.into(), status, output, error }, at)
    }
}

/// An event for a step that may wait for it.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) matcher: Vec<String>,
    pub(crate) key: Vec<String>,
    pub(crate) source: Vec<String>,
    pub(crate) body: Vec<String>,
}

impl Kept {
    /// Adds the events of another batch.
    pub(crate) fn extend(&mut self, other: &Self) {
        let Self { matcher, key, source, body } = other;
        self.matcher.extend_from_slice(matcher);
        self.key.extend_from_slice(key);
        self.source.extend_from_slice(source);
        self.body.extend_from_slice(body);
    }
}

/// What names the step that an event may be for.
pub(crate) fn matcher(definition: &str, step: &str) -> String {
    format!("{definition}/{step}")
}

impl Store {
    /// The kept events that steps of these sagas wait for, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(crate) async fn arrivals(
        &self,
        ids: &[SagaId],
    ) -> Result<HashMap<SagaId, Vec<Arrival>>, StoreError> {
        let mut arrivals: HashMap<_, Vec<_>> = HashMap::new();
        if ids.is_empty() {
            return Ok(arrivals);
        }
        let rows = sqlx::query_file!("src/store/sql/arrivals.sql", &uuids(ids), ARRIVALS_MAX)
            .fetch_all(&self.database)
            .await?;
        for row in rows {
            let body = Json::trusted(&row.body);
            let event = EventId::stored(row.source);
            let arrival = Arrival { step: row.step.into(), event, body };
            arrivals.entry(SagaId(row.saga_id)).or_default().push(arrival);
        }
        Ok(arrivals)
    }

    /// Those of these sagas that have ended, and how.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(crate) async fn ends(&self, ids: &[SagaId]) -> Result<HashMap<SagaId, Ended>, StoreError> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = sqlx::query_file!("src/store/sql/ends.sql", &uuids(ids))
            .fetch_all(&self.database)
            .await?;
        let ended = rows.into_iter().filter_map(|row| {
            let status = row.status.parse().ok()?;
            let error = row.error.and_then(|error| serde_json::from_str(&error).ok());
            let output = row.output.map(|output| Json::trusted(&output));
            Some((SagaId(row.id), Ended { status, output, error, at: row.at }))
        });
        Ok(ended.collect())
    }

    /// Starts that were asked for under these ids.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(crate) async fn requests(
        &self,
        ids: &[SagaId],
    ) -> Result<HashMap<SagaId, Request>, StoreError> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = sqlx::query_file!("src/store/sql/requests.sql", &uuids(ids))
            .fetch_all(&self.database)
            .await?;
        let requests = rows.into_iter().map(|row| {
            let (key, input, expired) = (row.key, row.input, row.expired);
            (SagaId(row.saga_id), Request { definition: row.definition, key, input, expired })
        });
        Ok(requests.collect())
    }

    /// Gives these sagas their locks, as far as they are first in line; returns those that hold all
    /// of theirs.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(crate) async fn acquire(&self, ids: &[SagaId]) -> Result<Vec<SagaId>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows = sqlx::query_file!("src/store/sql/acquire.sql", &uuids(ids))
            .fetch_all(&self.database)
            .await?;
        Ok(rows.into_iter().map(|row| SagaId(row.saga)).collect())
    }

    /// Wakes those that come after sagas which wait for locks and are held; returns how many.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(crate) async fn pass_locks(&self, ids: &[SagaId]) -> Result<usize, StoreError> {
        if ids.is_empty() {
            return Ok(0);
        }
        let woken = sqlx::query_file!("src/store/sql/pass.sql", &uuids(ids))
            .fetch_all(&self.database)
            .await?;
        Ok(woken.len())
    }

    /// Takes their locks from sagas that have ended; returns how many sagas were woken by it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(crate) async fn release(&self, ids: &[SagaId]) -> Result<usize, StoreError> {
        if ids.is_empty() {
            return Ok(0);
        }
        let woken = sqlx::query_file!("src/store/sql/release.sql", &uuids(ids))
            .fetch_all(&self.database)
            .await?;
        Ok(woken.len())
    }

    /// Keeps replies for a replica that knows their sagas' version, with the times at which they came.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(crate) async fn park(
        &self,
        sagas: &[Uuid],
        ids: &[String],
        bodies: &[String],
        services: &[String],
        came: &[Time],
    ) -> Result<(), StoreError> {
        sqlx::query_file!("src/store/sql/park.sql", sagas, ids, bodies, services, came)
            .execute(&self.database)
            .await?;
        Ok(())
    }

    /// Keeps events on `subject` for the steps of `definition` that wait for them, now or later, and
    /// wakes those that do now; returns how many, and whether a version that this program does not know
    /// may wait for them too, so that another must read them as well.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn keep(
        &self,
        definition: &str,
        versions: &[i32],
        subject: &str,
        kept: &Kept,
    ) -> Result<(usize, bool), StoreError> {
        let row = sqlx::query_file!(
            "src/store/sql/keep.sql",
            definition,
            versions,
            subject,
            &kept.matcher,
            &kept.key,
            &kept.source,
            &kept.body
        )
        .fetch_one(&self.database)
        .await?;
        // In a statement of its own, which sees what began to wait until now; what begins later looks
        // for itself.
        let woken = sqlx::query_file!("src/store/sql/wake_waiting.sql", &kept.matcher, &kept.key)
            .fetch_all(&self.database)
            .await?;
        Ok((woken.len(), row.known_elsewhere))
    }

    /// Forgets kept events that no saga can ask for any more.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(crate) async fn forget_events(&self) -> Result<u64, StoreError> {
        let done =
            sqlx::query_file!("src/store/sql/forget_events.sql").execute(&self.database).await?;
        Ok(done.rows_affected())
    }

    /// The versions that start no more sagas.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(crate) async fn retired(&self) -> Result<Vec<(String, u32)>, StoreError> {
        let rows = sqlx::query_file!("src/store/sql/retired.sql").fetch_all(&self.database).await?;
        let version = |v: i32| u32::try_from(v).unwrap_or(0);
        Ok(rows.into_iter().map(|row| (row.name, version(row.version))).collect())
    }
}

//! A place that one replica at a time has: a row with its last sign of life.

use std::time::Duration;

use amends::machine::Time;
use sqlx::types::Uuid;

use super::{Store, StoreError};

/// A sign of life is worth nothing when it takes longer: others look for it.
const LIMIT: Duration = Duration::from_secs(2);

/// What a replica sees of the place that it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Whether this replica has it.
    pub(crate) leads: bool,
    /// The last sign of life of whoever has it; none where it was left in this moment.
    pub(crate) at: Option<Time>,
    /// The database's clock.
    pub(crate) now: Time,
}

impl Store {
    /// Gives a sign of life: takes the place if it is free, keeps it, or looks who has it. It is free too
    /// when its last sign of life is `stale`. The new one is never earlier than `at_least`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], also when Postgres takes no writes.
    pub(crate) async fn lead(
        &self,
        place: &str,
        replica: Uuid,
        stale: Option<Time>,
        at_least: Option<Time>,
    ) -> Result<Place, StoreError> {
        let database = self.database.with_limit(LIMIT);
        let query = sqlx::query_file!("src/store/sql/lead.sql", place, replica, stale, at_least);
        let row = query.fetch_one(&database).await?;
        Ok(Place { leads: row.leads, at: row.at, now: row.now })
    }

    /// Leaves the place to whoever takes it first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(crate) async fn leave(&self, place: &str, replica: Uuid) -> Result<(), StoreError> {
        let database = self.database.with_limit(LIMIT);
        sqlx::query_file!("src/store/sql/leave.sql", place, replica).execute(&database).await?;
        Ok(())
    }

    /// Forgets places that nobody stands for any more.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(crate) async fn forget_leaders(&self) -> Result<(), StoreError> {
        sqlx::query_file!("src/store/sql/forget_leaders.sql").execute(&self.database).await?;
        Ok(())
    }
}

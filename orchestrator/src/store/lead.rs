//! A place that one replica at a time can have: a lock of Postgres that belongs to a session, and is
//! free as soon as the session ends, however it does.

use sqlx::{Connection as _, Postgres, pool::PoolConnection};

use super::Store;

/// The place, for as long as this lives.
pub(crate) struct Leading(PoolConnection<Postgres>);

impl Leading {
    /// Whether the session is there.
    pub(crate) async fn holds(&mut self) -> bool {
        self.0.ping().await.is_ok()
    }
}

impl Store {
    /// Takes the place, if nobody has it.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn lead(&self, place: &str) -> sqlx::Result<Option<Leading>> {
        let mut connection = self.pool.acquire().await?;
        let row =
            sqlx::query_file!("src/store/sql/lead.sql", place).fetch_one(&mut *connection).await?;
        if !row.leads {
            return Ok(None);
        }
        // Back in the pool it would hold the place.
        connection.close_on_drop();
        Ok(Some(Leading(connection)))
    }
}

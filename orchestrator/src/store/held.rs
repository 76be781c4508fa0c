//! A connection that a lane keeps between its commits. To borrow one for each costs two further
//! round trips: the pool asks it whether it is alive before and after.

use sqlx::{PgConnection, PgPool, Postgres, pool::PoolConnection};

pub(crate) struct Held {
    pool: PgPool,
    connection: Option<PoolConnection<Postgres>>,
}

impl Held {
    pub(super) fn new(pool: PgPool) -> Self {
        Self { pool, connection: None }
    }

    /// The connection; another one when there is none.
    pub(super) async fn get(&mut self) -> sqlx::Result<&mut PgConnection> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.pool.acquire().await?,
        };
        Ok(&mut **self.connection.insert(connection))
    }

    /// Gives the connection back: nothing is to be done.
    pub(crate) fn rest(&mut self) {
        self.connection = None;
    }

    /// Ends the connection: after an error its session may be of no use any more, for instance because
    /// its server has become a standby.
    pub(super) fn end(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            connection.close_on_drop();
        }
    }
}

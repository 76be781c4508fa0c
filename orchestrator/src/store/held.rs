//! A connection that a lane keeps between its commits. To borrow one for each costs two further
//! round trips: the pool asks it whether it is alive before and after.

use std::time::{Duration, Instant};

use sqlx::{PgConnection, PgPool, Postgres, pool::PoolConnection};

/// One that was not used for so long goes back to the pool, which looks whether it is alive.
const FRESH: Duration = Duration::from_secs(1);

pub(crate) struct Held {
    pool: PgPool,
    connection: Option<(PoolConnection<Postgres>, Instant)>,
}

impl Held {
    pub(super) fn new(pool: PgPool) -> Self {
        Self { pool, connection: None }
    }

    /// The connection; another one when there is none, or when it has been idle.
    pub(super) async fn get(&mut self) -> sqlx::Result<&mut PgConnection> {
        let fresh = self.connection.take().filter(|(_, used)| used.elapsed() < FRESH);
        let connection = match fresh {
            Some((connection, _)) => connection,
            None => self.pool.acquire().await?,
        };
        Ok(&mut *self.connection.insert((connection, Instant::now())).0)
    }

    /// Ends the connection: after an error its session may be of no use any more, for instance because
    /// its server has become a standby.
    pub(super) fn end(&mut self) {
        if let Some((mut connection, _)) = self.connection.take() {
            connection.close_on_drop();
        }
    }
}

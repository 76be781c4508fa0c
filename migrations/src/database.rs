//! A pool of sessions, whose every wait has a bound.

use std::{fmt, sync::Arc, time::Duration};

use deadpool::{
    Runtime,
    managed::{Pool, PoolConfig, PoolError, QueueMode, TimeoutType, Timeouts},
};
use futures_util::{
    StreamExt as _, TryStreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use sqlx::{
    Describe, Either, Error, Execute, Executor, Postgres, SqlStr,
    postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};
use tokio::time::Instant;

use crate::{
    Address, Session,
    connector::{CONNECT, Connector},
    suspicion::{Suspicion, silence},
};

/// How long a statement waits for a session while all are lent.
const WAIT: Duration = Duration::from_secs(5);

/// How long one statement may take by default: longer than it waits for a lock (10 s), so that Postgres
/// can say so.
const STATEMENT: Duration = Duration::from_secs(12);

/// A database, and the sessions that this process has with it. Cheap to clone.
///
/// It is an [`Executor`]: a statement runs on a session of its own, and its rows are read as a whole. No
/// session is made before the first is asked for.
#[derive(Clone)]
pub struct Database {
    pool: Pool<Connector>,
    limit: Duration,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("address", &self.address().to_string())
            .finish_non_exhaustive()
    }
}

impl Database {
    /// At most `connections` sessions with these settings; a statement takes at most 12 s.
    #[must_use]
    pub fn new(address: Address, session: &[(&str, &str)], connections: u32) -> Self {
        address.warn_of_unknown();
        let size = usize::try_from(connections).unwrap_or(1).max(1);
        Self { pool: pool_of(Connector::new(address, session), size), limit: STATEMENT }
    }

    /// The same sessions for statements that may take as long as this.
    #[must_use]
    pub fn with_limit(&self, limit: Duration) -> Self {
        Self { pool: self.pool.clone(), limit }
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> &Address {
        self.pool.manager().address()
    }

    /// How many sessions it has at most.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.pool.status().max_size
    }

    /// Lends a session.
    ///
    /// # Errors
    /// [`Error::PoolTimedOut`] when none is free within 5 s; why none can be made, at each of the hosts.
    pub async fn session(&self) -> Result<Session, Error> {
        let lent = self.pool.get().await.map(|object| Session::new(object, self.limit));
        lent.map_err(|error| match error {
            PoolError::Timeout(TimeoutType::Wait) => Error::PoolTimedOut,
            PoolError::Timeout(_) => silence(&format!("no connection within {CONNECT:?}")),
            PoolError::Backend(error) => error,
            PoolError::Closed => Error::PoolClosed,
            PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => Error::WorkerCrashed,
        })
    }

    /// The same database, with a session of its own that is made when it is first used: what others did to
    /// theirs has no part in what is met on it.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self { pool: pool_of(self.pool.manager().apart(), 1), limit: self.limit }
    }

    /// Makes a session apart from the pool: it shows whether new ones can be had. Dropped, it is closed.
    ///
    /// # Errors
    /// Why not, at each of the hosts.
    pub async fn fresh(&self) -> Result<sqlx::PgConnection, Error> {
        Ok(self.pool.manager().connect().await?.connection)
    }

    /// Asks whether the database can be used: it answers, it is of a version and an encoding that fit, and no
    /// pooler hands one server's session to several clients.
    ///
    /// # Errors
    /// Why not; [`refusal`](crate::refusal) tells what waiting does not mend.
    pub async fn check(&self) -> Result<(), Error> {
        self.pool.manager().check_for_pooler().await
    }

    /// All sessions that were made until now are suspect: they are closed before they are lent again. Until
    /// when those that are lent may still be at work.
    pub fn suspect(&self) -> Instant {
        self.suspicion().raise()
    }

    fn suspicion(&self) -> &Arc<Suspicion> {
        self.pool.manager().suspicion()
    }

    /// Closes the sessions that are not lent, and lends no more.
    pub fn close(&self) {
        self.pool.close();
    }
}

fn pool_of(connector: Connector, size: usize) -> Pool<Connector> {
    let timeouts = Timeouts { wait: Some(WAIT), create: None, recycle: None };
    // The one that was used last is alive most probably; others may be closed for their age.
    let config = PoolConfig { max_size: size, timeouts, queue_mode: QueueMode::Lifo };
    let builder = Pool::builder(connector).config(config).runtime(Runtime::Tokio1);
    #[expect(clippy::expect_used, reason = "it fails only without the runtime that is given here")]
    builder.build().expect("a pool with a runtime")
}

/// Runs one statement on a session of its own, and gives that back unless it is of no use any more. A
/// macro, as a function could not name the lifetime of the query.
macro_rules! on_a_session {
    ($database:ident, $session:ident => $work:expr) => {
        Box::pin(async move {
            let mut $session = $database.session().await?;
            let watch = $session.watch();
            let done = watch.within($work).await;
            match &done {
                Ok(_) => $session.give_back(),
                Err(error) => $session.give_back_after(error),
            }
            done
        })
    };
}

impl<'p> Executor<'p> for &'_ Database {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Self::Database>,
    {
        let database = self.clone();
        let all: BoxFuture<'e, Result<Vec<_>, Error>> =
            on_a_session!(database, session => session.fetch_many(query).try_collect());
        stream::once(all).map_ok(|all| stream::iter(all).map(Ok)).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Self::Database>,
    {
        let database = self.clone();
        on_a_session!(database, session => session.fetch_optional(query))
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'p: 'e,
    {
        let database = self.clone();
        on_a_session!(database, session => session.prepare_with(sql, parameters))
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, Error>>
    where
        'p: 'e,
    {
        let database = self.clone();
        on_a_session!(database, session => session.describe(sql))
    }
}

//! The client: one method for each thing that it does.

use std::time::Duration;

use amends::{Json, Saga, SagaId, machine};
use amends_postgres::{Address, AddressError, Database, has_code};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::PgConnection;

use crate::{End, Error, Request, Started, Status, poll::Poll};

/// How many sessions a client has of its own: each look is a statement of milliseconds.
const SESSIONS: u32 = 4;

/// A row that somebody else holds is not waited for without bound.
const SESSION: [(&str, &str); 1] = [("lock_timeout", "10s")];

/// How long a start waits for an orchestrator, which takes milliseconds where one runs.
const DECISION: Duration = Duration::from_secs(15);

/// Starts sagas and looks at them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    database: Database,
}

impl Client {
    /// On sessions that the program has already.
    #[must_use]
    pub const fn new(database: Database) -> Self {
        Self { database }
    }

    /// On four sessions of its own, which are made when they are needed.
    ///
    /// # Errors
    /// When it is no address of a Postgres. Whether one is there shows at the first start or look.
    pub fn connect(url: &str) -> Result<Self, AddressError> {
        let address = url.parse::<Address>()?.application_name("amends-client");
        Ok(Self::new(Database::new(address, &SESSION, SESSIONS)))
    }

    /// Starts a saga in a transaction of its own, and waits, for 15 s at most, until an orchestrator has
    /// decided. The same key with the same input is the same saga, however often it is started.
    ///
    /// After [`Error::Postgres`] the outcome of the start is unknown. A saga with a business key may be started
    /// again. Without a key that may start a second saga: use [`start_in`](Self::start_in), in the transaction of the
    /// rows that the saga is about.
    ///
    /// # Errors
    /// Each of [`Error`] but those of looking; [`Error::OtherInput`] where the key has another input.
    pub async fn start<S>(&self, input: &S::Input) -> Result<Started<S>, Error>
    where
        S: Saga<Input: Serialize>,
    {
        let input = payload::<S>(input)?;
        let noted = sqlx::query_file!("src/sql/start.sql", S::NAME, input.as_str())
            .fetch_one(&self.database)
            .await
            .map_err(not_noted::<S>)?;
        self.started(&Request::of(noted.id), DECISION).await
    }

    /// Notes a start as part of the caller's transaction: the saga begins if and only if that commits.
    /// Afterwards [`started`](Self::started) says which saga it is.
    ///
    /// ```no_run
    /// # use amends::Saga;
    /// # use amends_client::{Client, Error, Started};
    /// # use serde::Serialize;
    /// # use sqlx::{Postgres, Transaction};
    /// # use std::time::Duration;
    /// async fn place<Order: Saga<Input: Serialize>>(
    ///     client: &Client,
    ///     mut tx: Transaction<'_, Postgres>,
    ///     order: &Order::Input,
    /// ) -> Result<Started<Order>, Error> {
    ///     // … the service's own rows, in the database that has the schema `amends`, and then:
    ///     let noted = Client::start_in::<Order>(&mut tx, order).await?;
    ///     tx.commit().await?;
    ///     client.started(&noted, Duration::from_secs(5)).await
    /// }
    /// ```
    ///
    /// # Errors
    /// [`Error::Input`], after which the transaction may go on; whatever Postgres says, after which it is lost.
    pub async fn start_in<S>(tx: &mut PgConnection, input: &S::Input) -> Result<Request<S>, Error>
    where
        S: Saga<Input: Serialize>,
    {
        let input = payload::<S>(input)?;
        let noted = sqlx::query_file!("src/sql/start.sql", S::NAME, input.as_str())
            .fetch_one(tx)
            .await
            .map_err(not_noted::<S>)?;
        Ok(Request::of(noted.id))
    }

    /// The saga that a start led to, once its transaction has committed: waits until an orchestrator has
    /// decided.
    ///
    /// # Errors
    /// [`Error::NoRequest`] of one that has not committed; [`Error::Undecided`] when the time is over;
    /// [`Error::OtherInput`] and [`Error::Refused`] where no saga began.
    pub async fn started<S: Saga>(
        &self,
        request: &Request<S>,
        limit: Duration,
    ) -> Result<Started<S>, Error> {
        let (id, definition) = (request.id(), S::NAME);
        let mut poll = Poll::new(limit);
        let last = loop {
            let row = sqlx::query_file!("src/sql/request.sql", id, definition)
                .fetch_optional(&self.database)
                .await
                .map_err(Error::from)
                .and_then(|row| row.ok_or(Error::NoRequest { request: id, definition }));
            match poll.pause_after(&row, |row| row.accepted.is_some()) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => break row?,
            }
        };
        let reason = last.answer.unwrap_or_default();
        match (last.accepted, last.saga_id.map(SagaId)) {
            (Some(true), Some(saga)) => Ok(Started::of(saga)),
            (Some(false), Some(saga)) => Err(Error::OtherInput { saga, reason }),
            (Some(_), None) => Err(Error::Refused { definition, reason }),
            (None, _) => Err(Error::Undecided { request: id, definition, limit }),
        }
    }

    /// The saga that has this business key. The key outlives the saga, which [`status`](Self::status) may not
    /// find any more.
    ///
    /// # Errors
    /// [`Error::Denied`], [`Error::Postgres`].
    pub async fn find<S: Saga>(&self, key: &str) -> Result<Option<Started<S>>, Error> {
        let holder = sqlx::query_file!("src/sql/holder.sql", key, S::NAME)
            .fetch_optional(&self.database)
            .await?;
        Ok(holder.map(|holder| Started::of(SagaId(holder.saga))))
    }

    /// Where a saga stands; `None` where the database has no such saga of this definition, or no more.
    ///
    /// ```no_run
    /// # use amends::Saga;
    /// # use amends_client::{Client, Error, Status};
    /// # use serde::de::DeserializeOwned;
    /// async fn is_done<Order>(client: &Client, key: &str) -> Result<bool, Error>
    /// where
    ///     Order: Saga<Output: DeserializeOwned>,
    /// {
    ///     let Some(order) = client.find::<Order>(key).await? else { return Ok(false) };
    ///     Ok(matches!(client.status(&order).await?, Some(Status::Completed(_))))
    /// }
    /// ```
    ///
    /// # Errors
    /// [`Error::Denied`], [`Error::Postgres`]; [`Error::Hidden`] where the output is not for this login;
    /// [`Error::Unreadable`] where output or reason do not fit the type.
    pub async fn status<S>(&self, saga: &Started<S>) -> Result<Option<Status<S::Output>>, Error>
    where
        S: Saga<Output: DeserializeOwned>,
    {
        let (saga, definition) = (saga.id(), S::NAME);
        let Some(row) = sqlx::query_file!("src/sql/saga.sql", saga.0, definition)
            .fetch_optional(&self.database)
            .await?
        else {
            return Ok(None);
        };
        if !row.payloads && row.status == machine::Status::Completed.as_str() {
            return Err(Error::Hidden { saga, definition });
        }
        let unreadable =
            |source| Error::Unreadable { saga, definition, status: row.status.clone(), source };
        Status::read(&row.status, row.output, row.error).map(Some).map_err(unreadable)
    }

    /// Waits until a saga has ended or is stuck, for as long as `limit` at most.
    ///
    /// # Errors
    /// As [`status`](Self::status); [`Error::NoSaga`] where that finds none.
    pub async fn wait<S>(&self, saga: &Started<S>, limit: Duration) -> Result<End<S::Output>, Error>
    where
        S: Saga<Output: DeserializeOwned>,
    {
        let mut poll = Poll::new(limit);
        loop {
            let missing = Error::NoSaga { saga: saga.id(), definition: S::NAME };
            let status = self.status(saga).await.and_then(|status| status.ok_or(missing));
            match poll.pause_after(&status, Status::settled) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return status.map(End::from),
            }
        }
    }
}

fn payload<S: Saga<Input: Serialize>>(input: &S::Input) -> Result<Json, Error> {
    Json::of(input).map_err(|source| Error::Input { definition: S::NAME, source })
}

/// Why a start was not noted.
fn not_noted<S: Saga>(error: sqlx::Error) -> Error {
    // What `amends.start` says of a name that nobody registered.
    if has_code(&error, &["P0002"]) {
        Error::NoDefinition { definition: S::NAME }
    } else {
        error.into()
    }
}

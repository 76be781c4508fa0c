//! The transactional outbox: events that a service's own transaction emits are published if and only
//! if it commits. What it promises is written at the SQL functions, in `migrations/participant/`.

mod maintenance;
mod paused_subjects;
mod publisher;
mod relay;
mod round;
mod table;

use std::{sync::Arc, time::Duration};

use amends::Json;
use serde::Serialize;
use sqlx::PgConnection;
use tokio::sync::Notify;

pub use relay::Relay;

/// How long JetStream may take to store an event. The round's transaction is open meanwhile.
const ACK_WAIT: Duration = Duration::from_secs(5);

/// Emits an event within a transaction: it is published on `subject` if and only if that commits.
/// Gives the event's number.
///
/// The same subject and key with the same body is the same event, however often it is emitted: the
/// key is the business's own name for what happened, for instance the order's id. Without a key each
/// call is an event. Consumers know an event by its business key, as it may be published twice.
///
/// Within a handler use [`Attempt::emit`](crate::Attempt::emit), elsewhere give the [`Hint`] after the
/// commit: then the relay looks at once, not at its next beat.
///
/// ```no_run
/// use amends_workers::{Database, Hint, barrier, emit};
/// use serde::Serialize;
///
/// #[derive(Serialize)]
/// struct OrderPlaced<'a> { order_id: &'a str, amount: i64 }
///
/// /// The row and the event, both or none.
/// async fn place(database: &Database, hint: &Hint, id: &str, amount: i64) -> sqlx::Result<()> {
///     let mut session = database.session().await?;
///     let mut tx = barrier::begin(&mut session).await?;
///     let insert = "insert into shop.purchase (id, amount) values ($1, $2)";
///     sqlx::query(insert).bind(id).bind(amount).execute(&mut *tx).await?;
///     emit(&mut tx, "orders.placed", Some(id), &OrderPlaced { order_id: id, amount }).await?;
///     tx.commit().await?;
///     session.give_back();
///     hint.give(); // of `Service::hint` or `Relay::hint`
///     Ok(())
/// }
/// ```
///
/// # Errors
/// The database's, also for a subject, key or body that cannot be published, and for a key that was
/// emitted before with another body. The transaction is then lost.
pub async fn emit<T: Serialize + ?Sized>(
    tx: &mut PgConnection,
    subject: &str,
    key: Option<&str>,
    body: &T,
) -> sqlx::Result<i64> {
    let body = Json::of(body).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let row =
        sqlx::query_file!("src/outbox/emit.sql", subject, key, body.as_str()).fetch_one(tx).await?;
    Ok(row.id)
}

/// Tells a relay in the same process that something was emitted and committed. Never needed: without
/// it the relay looks by itself, at most a second later.
#[derive(Debug, Clone, Default)]
pub struct Hint(Arc<Notify>);

impl Hint {
    /// Lets the relay look at once.
    pub fn give(&self) {
        self.0.notify_one();
    }

    async fn given(&self) {
        self.0.notified().await;
    }
}

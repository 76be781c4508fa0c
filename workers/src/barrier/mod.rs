//! The barrier's two calls around the business SQL. What they promise is written at the SQL
//! functions, in `migrations/participant/`.
//!
//! A [`Service`](crate::Service) makes both calls for its handlers. A program that reads commands by itself
//! makes them like this, and sends the reply that it gets:
//!
//! ```no_run
//! use amends::{AttemptId, Json, wire::Reply};
//! use amends_workers::{Database, barrier, barrier::Verdict};
//!
//! /// The reply to a command.
//! async fn run(database: &Database, id: &AttemptId) -> Result<Json, Box<dyn std::error::Error>> {
//!     let mut session = database.session().await?;
//!     let mut tx = barrier::begin(&mut session).await?;
//!     let reply = match barrier::enter(&mut tx, id).await? {
//!         Verdict::Run(_) => {
//!             sqlx::query("update hotel.counter set n = n + 1").execute(&mut *tx).await?;
//!             let reply = Reply::Ok(Json::null()).to_json()?;
//!             barrier::leave(&mut tx, id, &reply).await?;
//!             reply
//!         }
//!         Verdict::Replay(reply) | Verdict::Void(reply) => reply,
//!     };
//!     tx.commit().await?;
//!     session.give_back();
//!     Ok(reply)
//! }
//! ```

pub(crate) mod migrate;

use amends::{AttemptId, Json};
use sqlx::{Connection as _, PgConnection, Postgres, Transaction};

/// What to do with a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Do the business, then [`leave`]. For a compensation, what its action answered, if anything.
    Run(Option<Json>),
    /// Do nothing; send this reply again.
    Replay(Json),
    /// Do nothing; send this reply.
    Void(Json),
}

/// Starts a transaction that the barrier accepts, whatever the database's default isolation is.
///
/// # Errors
/// The database's.
pub async fn begin(session: &mut PgConnection) -> sqlx::Result<Transaction<'_, Postgres>> {
    session.begin_with("begin isolation level read committed").await
}

/// Enters the barrier: the first statement of a command's transaction.
///
/// # Errors
/// The database's, also when it knows a verdict that this version does not.
pub async fn enter(tx: &mut PgConnection, id: &AttemptId) -> sqlx::Result<Verdict> {
    let row = sqlx::query_file!("src/barrier/enter.sql", id.to_string()).fetch_one(tx).await?;
    verdict(&row.verdict, row.reply)
}

fn verdict(verdict: &str, reply: Option<String>) -> sqlx::Result<Verdict> {
    match (verdict, reply.as_deref().map(Json::trusted)) {
        ("run", reply) => Ok(Verdict::Run(reply)),
        ("replay", Some(reply)) => Ok(Verdict::Replay(reply)),
        ("void", Some(reply)) => Ok(Verdict::Void(reply)),
        (other, _) => Err(sqlx::Error::Decode(
            format!("amends_barrier.enter gave the verdict {other:?}").into(),
        )),
    }
}

/// Leaves the barrier: the last statement of a command's transaction. The reply is remembered; a
/// pending one is replaced by this.
///
/// # Errors
/// The database's, also when another final reply is remembered.
pub async fn leave(tx: &mut PgConnection, id: &AttemptId, reply: &Json) -> sqlx::Result<()> {
    sqlx::query_file!("src/barrier/leave.sql", id.to_string(), reply.as_str())
        .fetch_one(tx)
        .await?;
    Ok(())
}

/// Enters the barrier for several commands, each of another step; the verdicts are in their order.
pub(crate) async fn enter_all(
    tx: &mut PgConnection,
    ids: impl Iterator<Item = &AttemptId>,
) -> sqlx::Result<Vec<Verdict>> {
    let ids: Vec<_> = ids.map(AttemptId::to_string).collect();
    let rows = sqlx::query_file!("src/barrier/enter_all.sql", &ids).fetch_all(tx).await?;
    rows.into_iter().map(|row| verdict(&row.verdict, row.reply)).collect()
}

/// Leaves the barrier for several commands.
pub(crate) async fn leave_all(
    tx: &mut PgConnection,
    left: &[(&AttemptId, Json)],
) -> sqlx::Result<()> {
    let ids: Vec<_> = left.iter().map(|(id, _)| id.to_string()).collect();
    let replies: Vec<_> = left.iter().map(|(_, reply)| reply.as_str().to_owned()).collect();
    sqlx::query_file!("src/barrier/leave_all.sql", &ids, &replies).fetch_one(tx).await?;
    Ok(())
}

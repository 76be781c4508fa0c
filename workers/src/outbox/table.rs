//! The outbox as the relay sees it: each statement, and nothing else.

use std::time::Duration;

use amends_postgres::Database;
use sqlx::PgConnection;

/// An event that waits.
pub(super) struct Event {
    pub(super) id: i64,
    pub(super) message_id: String,
    pub(super) subject: String,
    pub(super) body: String,
    pub(super) attempts: i32,
}

/// An event that is kept for later.
pub(super) struct Postponed {
    pub(super) id: i64,
    /// Whether JetStream refused this very event, not only another of its subject.
    pub(super) refused: bool,
    pub(super) reason: String,
    pub(super) wait: Duration,
}

/// Locks events until the transaction ends.
pub(super) async fn claim(tx: &mut PgConnection, most: i32) -> sqlx::Result<Vec<Event>> {
    sqlx::query_file_as!(Event, "src/outbox/claim.sql", most).fetch_all(tx).await
}

/// Removes what JetStream has stored.
pub(super) async fn remove_sent(tx: &mut PgConnection, ids: &[i64]) -> sqlx::Result<()> {
    if !ids.is_empty() {
        sqlx::query_file!("src/outbox/sent.sql", ids).fetch_one(tx).await?;
    }
    Ok(())
}

/// Keeps the rest for later.
pub(super) async fn postpone(tx: &mut PgConnection, postponed: &[Postponed]) -> sqlx::Result<()> {
    if postponed.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = postponed.iter().map(|event| event.id).collect();
    let refused: Vec<_> = postponed.iter().map(|event| i32::from(event.refused)).collect();
    let reasons: Vec<_> = postponed.iter().map(|event| event.reason.clone()).collect();
    let seconds: Vec<_> = postponed.iter().map(|event| event.wait.as_secs_f64()).collect();
    sqlx::query_file!("src/outbox/postpone.sql", &ids, &refused, &reasons, &seconds)
        .fetch_one(tx)
        .await?;
    Ok(())
}

/// Forgets the keys of events that were sent so long ago; how many.
pub(super) async fn forget_sent_keys(
    database: &Database,
    age: Duration,
    most: i32,
) -> sqlx::Result<i64> {
    let row = sqlx::query_file!("src/outbox/forget.sql", age.as_secs_f64(), most)
        .fetch_one(database)
        .await?;
    Ok(row.gone)
}

/// How many events wait, and the age of the oldest in seconds.
pub(super) async fn backlog(database: &Database) -> sqlx::Result<(i64, f64)> {
    let row = sqlx::query_file!("src/outbox/backlog.sql").fetch_one(database).await?;
    Ok((row.waiting, row.oldest_seconds))
}

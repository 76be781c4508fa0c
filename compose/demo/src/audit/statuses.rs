//! How many sagas there are of which status.

use amends_postgres::Database;

/// How many sagas of a definition have which status.
pub(crate) async fn statuses(
    database: &Database,
    definition: &str,
) -> Result<Vec<(String, i64)>, sqlx::Error> {
    let rows =
        sqlx::query_file!("src/sql/audit_statuses.sql", definition).fetch_all(database).await?;
    Ok(rows.into_iter().map(|row| (row.status, row.sagas)).collect())
}

/// How many of them have this status.
pub(super) fn count(statuses: &[(String, i64)], status: &str) -> i64 {
    statuses.iter().find(|(s, _)| s == status).map_or(0, |(_, n)| *n)
}

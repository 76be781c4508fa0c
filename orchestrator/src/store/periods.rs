//! Partitions by the time in the saga's id: made ahead of time, dropped whole when they are old.

use std::time::Duration;

use super::Store;

/// How many partitions lie within the time that sagas are kept. Postgres locks each partition for
/// each statement that looks for a saga, so there are few.
const WITHIN: u32 = 4;

/// The length of a partition of sagas that are kept for ever.
const FOR_EVER: Duration = Duration::from_secs(90 * 24 * 3600);

/// As many rows are deleted at once.
const FORGOTTEN: i64 = 1000;

/// How long a partition is: its name is of whole seconds.
fn width(retain: Option<Duration>) -> Duration {
    let width = retain.map_or(FOR_EVER, |retain| retain / WITHIN);
    Duration::from_secs(width.as_secs().max(1))
}

impl Store {
    /// Makes the partitions that are needed now and soon.
    ///
    /// # Errors
    /// Postgres refuses or is not there; also when somebody holds a lock for long, see [`in_use`].
    pub(crate) async fn make_periods(&self, retain: Option<Duration>) -> Result<(), sqlx::Error> {
        let width = width(retain).as_secs_f64();
        let made = sqlx::query_file_scalar!("src/store/sql/make_periods.sql", width)
            .fetch_one(&self.database)
            .await?;
        if made > 0 {
            tracing::debug!(made, "partitions were made");
        }
        Ok(())
    }

    /// Drops the partitions of sagas that began longer ago than `retain`, if all of them have ended,
    /// and some of what is left of them elsewhere; returns whether more is left.
    ///
    /// # Errors
    /// As [`Store::make_periods`].
    pub(crate) async fn drop_periods(&self, retain: Duration) -> Result<bool, sqlx::Error> {
        let retain = retain.as_secs_f64();
        let mut dropped = 0;
        while sqlx::query_file_scalar!("src/store/sql/drop_period.sql", retain)
            .fetch_one(&self.database)
            .await?
            > 0
        {
            dropped += 1;
        }
        let rows = sqlx::query_file_scalar!("src/store/sql/forget.sql", retain)
            .fetch_one(&self.database)
            .await?;
        if dropped > 0 || rows > 0 {
            tracing::info!(partitions = dropped, rows, "old sagas were dropped");
        }
        Ok(rows >= FORGOTTEN)
    }
}

/// Whether a partition could not be made or dropped because a statement that takes long reads it.
pub(crate) fn in_use(error: &sqlx::Error) -> bool {
    // lock not available, deadlock detected
    amends_postgres::has_code(error, &["55P03", "40P01"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_partitions_hold_what_is_kept() {
        let days = |n: u64| Duration::from_secs(n * 24 * 3600);
        assert_eq!(width(None), days(90));
        assert_eq!(width(Some(days(28))), days(7));
        assert_eq!(width(Some(days(400))), days(100));
        assert_eq!(width(Some(Duration::from_secs(61))), Duration::from_secs(15));
        assert_eq!(width(Some(Duration::ZERO)), Duration::from_secs(1));
    }
}

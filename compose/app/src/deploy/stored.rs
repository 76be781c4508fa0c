//! The definitions that ever ran against a database.

use amends::{Outline, read_outline};
use amends_postgres::Database;

use crate::failed::{During as _, Failed};

/// A version as the database knows it.
#[derive(Debug)]
pub(super) struct StoredVersion {
    pub(super) definition: String,
    pub(super) version: u32,
    pub(super) digest: String,
    pub(super) retired: bool,
    pub(super) open_sagas: i64,
    /// None when it was written by a program whose plans hold what this one cannot read, or by nobody of ours.
    pub(super) outline: Option<Outline>,
}

/// Each version, in order of name and version.
pub(super) async fn stored_versions(database: &Database) -> Result<Vec<StoredVersion>, Failed> {
    let rows = sqlx::query_file!("src/sql/versions.sql")
        .fetch_all(database)
        .await
        .during("the definitions in the database cannot be read")?;
    let versions = rows.into_iter().map(|row| StoredVersion {
        definition: row.definition,
        version: row.version.unsigned_abs(),
        digest: row.digest,
        retired: row.retired,
        open_sagas: row.open_sagas,
        outline: read_outline(&row.outline).ok(),
    });
    Ok(versions.collect())
}

/// The same without the plans, which not every login may read.
pub(super) async fn stored_states(database: &Database) -> Result<Vec<StoredVersion>, Failed> {
    let rows = sqlx::query_file!("src/sql/definitions.sql")
        .fetch_all(database)
        .await
        .during("the definitions in the database cannot be read")?;
    let versions = rows.into_iter().map(|row| StoredVersion {
        definition: row.definition,
        version: row.version.unsigned_abs(),
        digest: row.digest,
        retired: row.retired_at.is_some(),
        open_sagas: row.open_sagas,
        outline: None,
    });
    let mut versions: Vec<_> = versions.collect();
    versions.sort_by(|a, b| (&a.definition, a.version).cmp(&(&b.definition, b.version)));
    Ok(versions)
}

//! Definitions that ran here, and their digests.

use amends::Definition;

use super::{Store, schema::is_denied};

/// Why a definition cannot run against this database.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The plan changed under its version.
    #[error(
        "the plan of `{name}` changed, but its version is still {version} (digest {new}, in the database {old}): give the changed plan a new version; sagas that began under {version} end under it"
    )]
    Changed {
        /// The definition.
        name: String,
        /// Its version.
        version: u32,
        /// The digest in the database.
        old: String,
        /// The digest of this program's plan.
        new: String,
    },
    /// The login may not write it down.
    #[error("its login may not register definitions")]
    Denied(#[source] sqlx::Error),
    /// Postgres is not there.
    #[error("Postgres does not answer: {0}")]
    Unavailable(#[source] sqlx::Error),
}

impl From<sqlx::Error> for RegisterError {
    fn from(error: sqlx::Error) -> Self {
        if is_denied(&error) { Self::Denied(error) } else { Self::Unavailable(error) }
    }
}

impl Store {
    /// Registers a definition, and checks that its plan is the one that ran under its version.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub(crate) async fn register(&self, definition: &Definition) -> Result<(), RegisterError> {
        let outline = definition.outline();
        let text = serde_json::to_string(outline).unwrap_or_default();
        let steps = &outline.steps;
        let positions: Vec<i32> = (0..).take(steps.len()).collect();
        let names: Vec<_> = steps.iter().map(|s| s.name.clone()).collect();
        let services: Vec<_> = steps.iter().map(|s| s.service.clone()).collect();
        let operations: Vec<_> = steps.iter().map(|s| s.operation.clone()).collect();
        let kinds: Vec<_> = steps.iter().map(|s| s.kind.as_str()).collect();
        let tasks: Vec<_> = steps.iter().map(|s| s.task.as_str()).collect();
        let version = i32::try_from(outline.version).unwrap_or(i32::MAX);
        loop {
            let row = sqlx::query_file!(
                "src/store/sql/register.sql",
                outline.name,
                version,
                definition.digest(),
                text,
                &positions,
                &names,
                &services,
                &operations,
                &kinds as &[&str],
                &tasks as &[&str]
            )
            .fetch_one(&self.database)
            .await?;
            // No digest: another replica's insert was not visible to this statement yet.
            match row.digest {
                None => {}
                Some(old) if old == definition.digest() => return Ok(()),
                Some(old) => {
                    return Err(RegisterError::Changed {
                        name: outline.name.clone(),
                        version: outline.version,
                        old,
                        new: definition.digest().to_owned(),
                    });
                }
            }
        }
    }
}

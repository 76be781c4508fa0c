//! What a failed statement means for a turn.

/// Why a batch was not committed, or not known to be.
#[derive(Debug)]
pub(crate) enum CommitError {
    /// Another turn came first, or a key is taken: read again and decide again.
    Conflict,
    /// Postgres refuses what one of the rows holds.
    Poison(String),
    /// Postgres is not there, or did not say how it ended. Nothing is assumed: read again.
    Unavailable(sqlx::Error),
}

impl From<sqlx::Error> for CommitError {
    fn from(error: sqlx::Error) -> Self {
        let code =
            error.as_database_error().and_then(|e| e.code()).unwrap_or_default().into_owned();
        match code.get(..2) {
            Some("40") => Self::Conflict,
            // 21 cardinality, 22 data exception, 23 constraint, 54 program limit exceeded
            _ if code == "23505" => Self::Conflict,
            Some("21" | "22" | "23" | "54") => Self::Poison(error.to_string()),
            _ => Self::Unavailable(error),
        }
    }
}

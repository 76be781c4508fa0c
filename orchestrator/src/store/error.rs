//! What a failed statement means for a turn.

/// Why a statement failed, by what is to be done about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// Read again and decide again.
    #[error("another turn came first, or a key is taken: {0}")]
    Conflict(#[source] sqlx::Error),
    /// The same rows are refused whenever they are tried.
    #[error("Postgres refuses what one of the rows holds: {0}")]
    Poison(#[source] sqlx::Error),
    /// Nothing is assumed: read again.
    #[error("Postgres is not there, or did not say how it ended: {0}")]
    Unavailable(#[source] sqlx::Error),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let code =
            error.as_database_error().and_then(|e| e.code()).unwrap_or_default().into_owned();
        match code.get(..2) {
            Some("40") => Self::Conflict(error),
            // 21 cardinality, 22 data exception, 23 constraint, 54 program limit exceeded
            _ if code == "23505" => Self::Conflict(error),
            Some("21" | "22" | "23" | "54") => Self::Poison(error),
            _ => Self::Unavailable(error),
        }
    }
}

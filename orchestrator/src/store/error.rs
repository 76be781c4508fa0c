//! What a failed statement means for a turn.

use sqlx::Error;

use amends_postgres::{Class, class_of, has_code, refusal};

/// What `amends.check_starts` raises.
const RETIRED: &str = "AM001";

/// Why a statement failed, by what is to be done about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// Read again and decide again.
    #[error("another turn came first, or a key is taken: {0}")]
    Conflict(#[source] Error),
    /// The same rows are refused whenever they are tried. Which of them is at fault is only known where one
    /// was tried alone.
    #[error("Postgres refuses what one of the rows holds: {0}")]
    Poison(#[source] Error),
    /// No row is at fault: to be tried again, and nothing is to be a dead letter for it. It was reported.
    #[error("a statement of this program is wrong, or does not fit the schema that is there: {0}")]
    Defect(#[source] Error),
    /// Nothing is assumed: read again.
    #[error("Postgres is not there, or did not say how it ended: {0}")]
    Unavailable(#[source] Error),
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        if has_code(&error, &[RETIRED]) {
            return Self::Conflict(error);
        }
        match class_of(&error) {
            Class::Outage => Self::Unavailable(error),
            Class::Conflict | Class::Taken => Self::Conflict(error),
            Class::Poison => Self::Poison(error),
            Class::Defect => {
                // Here, so that nobody who handles it can forget to.
                report(&error);
                Self::Defect(error)
            }
        }
    }
}

impl StoreError {
    /// Whether a saga was to begin under a version that was retired since this program looked.
    pub(crate) fn is_of_retired(&self) -> bool {
        matches!(self, Self::Conflict(error) if has_code(error, &[RETIRED]))
    }

    /// What the server said, or why it could not be asked, for people.
    pub(crate) fn why(&self) -> String {
        let (Self::Conflict(error)
        | Self::Poison(error)
        | Self::Defect(error)
        | Self::Unavailable(error)) = self;
        match (refusal(error), error) {
            (Some(refusal), _) => refusal.to_string(),
            (None, Error::Database(said)) => {
                format!("{} ({})", said.message(), said.code().unwrap_or_default())
            }
            (None, error) => error.to_string(),
        }
    }
}

fn report(error: &Error) {
    let refusal = error.as_database_error();
    let code = refusal.and_then(|refusal| refusal.code()).unwrap_or_default();
    metrics::counter!("amends_store_defects_total", "code" => code.clone().into_owned())
        .increment(1);
    tracing::error!(
        %error,
        %code,
        "a statement of this program failed by no fault of its data; it is tried again, and nothing is lost, but nothing that needs it goes on: is the schema of another version, or does the program lack a right? If neither, this is a bug"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_what_its_class_says() {
        assert!(matches!(StoreError::from(Error::RowNotFound), StoreError::Defect(_)));
        let away = StoreError::from(Error::PoolTimedOut);
        assert!(matches!(away, StoreError::Unavailable(_)));
        assert_eq!(away.why(), Error::PoolTimedOut.to_string());
    }
}

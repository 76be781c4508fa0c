//! Errors that end a transaction: their kind, and how they are written for people.

use std::error::Error;

use amends_postgres::{Class, class_of};

/// Any error of a handler or of the database.
pub(crate) type Fault = Box<dyn Error + Send + Sync>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// The transaction lost against another.
    Conflict,
    /// The database does not answer, or takes no writes.
    Outage,
    Other,
}

impl FaultKind {
    /// Looks for a database error in a fault and its sources.
    pub(crate) fn of(fault: &(dyn Error + 'static)) -> Self {
        let mut next = Some(fault);
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<sqlx::Error>() {
                return match class_of(error) {
                    Class::Outage => Self::Outage,
                    Class::Conflict => Self::Conflict,
                    // What a handler's own statements may meet.
                    Class::Taken | Class::Poison | Class::Defect => Self::Other,
                };
            }
            next = error.source();
        }
        Self::Other
    }
}

/// An error with its sources, where these say more.
pub(crate) fn describe(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(source) = next {
        if let Some(sqlx::Error::Database(database)) = source.downcast_ref() {
            // Its `Display` names a line in Postgres' source instead of the SQLSTATE.
            let code = database.code().unwrap_or_default();
            let text = if text.is_empty() { "the database says" } else { text.as_str() };
            return format!("{text}: {} ({code})", database.message());
        }
        let more = source.to_string();
        if text.is_empty() {
            text = more;
        } else if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the lot could not be taken")]
    struct Wrapped(#[source] sqlx::Error);

    #[test]
    fn the_kind_is_found_under_a_services_own_errors() {
        let reset = || sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        assert_eq!(FaultKind::of(&reset()), FaultKind::Outage);
        assert_eq!(FaultKind::of(&Wrapped(reset())), FaultKind::Outage);
        assert_eq!(FaultKind::of(&Wrapped(sqlx::Error::RowNotFound)), FaultKind::Other);
        assert_eq!(FaultKind::of(&std::fmt::Error), FaultKind::Other);
    }

    #[test]
    fn a_description_names_the_sources_once() {
        let io = std::io::Error::other("cable pulled");
        let text = describe(&Wrapped(sqlx::Error::Io(io)));
        assert!(text.starts_with("the lot could not be taken: "), "{text}");
        assert_eq!(text.matches("cable pulled").count(), 1, "{text}");
    }
}

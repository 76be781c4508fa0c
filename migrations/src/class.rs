//! What an error of the client means.

use sqlx::Error;

use crate::sqlstate::{Class, class};

/// What an error means for whoever ran the statement: the SQLSTATE's class, or that of the client's own
/// errors.
#[must_use]
pub fn class_of(error: &Error) -> Class {
    match error {
        Error::Database(refusal) => class(&refusal.code().unwrap_or_default()),
        // What a row holds and what this program takes it for differ, or a value cannot be sent.
        Error::RowNotFound
        | Error::TypeNotFound { .. }
        | Error::ColumnIndexOutOfBounds { .. }
        | Error::ColumnNotFound(_)
        | Error::ColumnDecode { .. }
        | Error::Encode(_)
        | Error::Decode(_)
        | Error::InvalidArgument(_) => Class::Defect,
        _ => Class::Outage,
    }
}

/// Whether Postgres refused with one of these SQLSTATEs.
#[must_use]
pub fn has_code(error: &Error, codes: &[&str]) -> bool {
    let code = error.as_database_error().and_then(|refusal| refusal.code());
    code.is_some_and(|code| codes.contains(&&*code))
}

/// Whether there is no such user or database, or the password is wrong.
#[must_use]
pub fn refuses_login(error: &Error) -> bool {
    // invalid authorization specification, invalid password, invalid catalog name
    has_code(error, &["28000", "28P01", "3D000"])
}

/// Whether there is no TLS where it is asked for, or no trust in the server's certificate, or the server's in ours.
#[must_use]
pub fn refuses_tls(error: &Error) -> bool {
    match error {
        Error::Tls(_) => true,
        // A refusal in the middle of the handshake. What Postgres itself sends comes as another kind.
        Error::Io(error) => error.kind() == std::io::ErrorKind::InvalidData,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_of_postgres_has_a_class_too() {
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        for outage in
            [Error::Io(broken), Error::PoolTimedOut, Error::PoolClosed, Error::WorkerCrashed]
        {
            assert_eq!(class_of(&outage), Class::Outage, "{outage}");
        }
        for defect in [Error::RowNotFound, Error::ColumnNotFound("id".into())] {
            assert_eq!(class_of(&defect), Class::Defect, "{defect}");
        }
    }
}

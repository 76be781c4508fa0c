//! Which servers and databases can hold the schemas.

/// The first version that knows all that the migrations are written in.
const VERSION: i32 = 14;

/// Payloads are JSON, and kept as they came.
const ENCODING: &str = "UTF8";

/// Why a database cannot hold a schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The server is too old.
    #[error(
        "this server is Postgres {0}, and Amends needs {VERSION} or a later one: upgrade it, or take another"
    )]
    Version(String),
    /// The database cannot hold every text.
    #[error(
        "the database has the encoding {0}, and Amends needs {ENCODING}: take one that was made by `create database … encoding '{ENCODING}' template template0`"
    )]
    Encoding(String),
}

/// Whether a server can hold the schemas: its `server_version_num` (140005), its version in words, and the
/// database's encoding.
pub(crate) fn check(number: i32, version: &str, encoding: &str) -> Result<(), Unfit> {
    if number / 10_000 < VERSION {
        return Err(Unfit::Version(version.to_owned()));
    }
    if encoding != ENCODING {
        return Err(Unfit::Encoding(encoding.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_are_too_old_or_hold_other_texts_are_told() {
        assert_eq!(check(140_000, "14.0", "UTF8"), Ok(()));
        assert_eq!(check(180_001, "18.1", "UTF8"), Ok(()));
        assert_eq!(check(130_023, "13.23", "UTF8"), Err(Unfit::Version("13.23".into())));
        assert_eq!(check(90_624, "9.6.24", "UTF8"), Err(Unfit::Version("9.6.24".into())));
        assert_eq!(check(150_018, "15.18", "LATIN1"), Err(Unfit::Encoding("LATIN1".into())));
        assert_eq!(check(150_018, "15.18", "SQL_ASCII"), Err(Unfit::Encoding("SQL_ASCII".into())));
        // A server that is to be replaced need not be told of its databases.
        assert_eq!(check(130_023, "13.23", "LATIN1"), Err(Unfit::Version("13.23".into())));
    }
}

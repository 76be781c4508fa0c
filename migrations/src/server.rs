//! Which servers and databases can hold the schemas.

use sqlx::PgConnection;

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

/// What a server says of itself.
pub(crate) struct Server {
    /// As in `server_version_num`: 140005.
    number: i32,
    version: String,
    encoding: String,
}

impl Server {
    /// Asks the server, and the database that the connection is to.
    pub(crate) async fn of(connection: &mut PgConnection) -> sqlx::Result<Self> {
        const ASKED: &str = "select current_setting('server_version_num')::integer,
            split_part(current_setting('server_version'), ' ', 1), current_setting('server_encoding')";
        let (number, version, encoding) = sqlx::query_as(ASKED).fetch_one(connection).await?;
        Ok(Self { number, version, encoding })
    }

    pub(crate) fn check(self) -> Result<(), Unfit> {
        if self.number / 10_000 < VERSION {
            return Err(Unfit::Version(self.version));
        }
        if self.encoding != ENCODING {
            return Err(Unfit::Encoding(self.encoding));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_are_too_old_or_hold_other_texts_are_told() {
        let server = |number, version: &str, encoding: &str| {
            Server { number, version: version.into(), encoding: encoding.into() }.check()
        };
        assert_eq!(server(140_000, "14.0", "UTF8"), Ok(()));
        assert_eq!(server(180_001, "18.1", "UTF8"), Ok(()));
        assert_eq!(server(130_023, "13.23", "UTF8"), Err(Unfit::Version("13.23".into())));
        assert_eq!(server(90_624, "9.6.24", "UTF8"), Err(Unfit::Version("9.6.24".into())));
        assert_eq!(server(150_018, "15.18", "LATIN1"), Err(Unfit::Encoding("LATIN1".into())));
        assert_eq!(server(150_018, "15.18", "SQL_ASCII"), Err(Unfit::Encoding("SQL_ASCII".into())));
        // A server that is to be replaced need not be told of its databases.
        assert_eq!(server(130_023, "13.23", "LATIN1"), Err(Unfit::Version("13.23".into())));
    }
}

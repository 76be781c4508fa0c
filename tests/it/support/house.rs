//! A database with what a test puts into it, and a login for each role.

use sqlx::{Connection as _, Executor as _, PgConnection};

use super::{Fresh, add_logins, migrated};

/// A migrated database, with logins `viewer`, `operator` and `orchestrator`.
pub(crate) struct House {
    pub(crate) postgres: Fresh,
    pub(crate) owner: PgConnection,
}

impl House {
    /// With what these statements put into it.
    pub(crate) async fn with(furniture: &'static str) -> Self {
        let mut house = Self::empty().await;
        house.owner.execute(furniture).await.unwrap();
        house
    }

    pub(crate) async fn empty() -> Self {
        let (postgres, mut owner) = migrated().await;
        add_logins(&mut owner, &["viewer", "operator", "orchestrator"]).await;
        Self { postgres, owner }
    }

    pub(crate) async fn login(&self, role: &str) -> PgConnection {
        let url = self.postgres.url.replace("amends@", &format!("{role}@"));
        PgConnection::connect(&url).await.unwrap()
    }
}

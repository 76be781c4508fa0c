//! What a database may be for a while: read-only, without its standby.

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use super::Shop;

/// Runs statements in a session of its own, which writes whatever is the default.
pub(crate) async fn command(shop: &Shop, statements: &[&str]) {
    command_at(shop.local.database_url(), statements).await;
}

/// As [`command`], elsewhere.
pub(crate) async fn command_at(url: &str, statements: &[&str]) {
    let mut session = PgConnection::connect(url).await.unwrap();
    session.execute("set default_transaction_read_only = off").await.unwrap();
    for statement in statements {
        session.execute(AssertSqlSafe(*statement)).await.unwrap();
    }
    session.close().await.unwrap();
}

/// Whose sessions may only read for a while.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ReadOnly {
    /// Everybody's.
    Database,
    /// Those of one login.
    Login(&'static str),
}

impl ReadOnly {
    /// All sessions end and the new ones may only read, as when a fail-over leads to a standby.
    pub(crate) async fn begin(self, shop: &Shop) {
        let set = format!("alter {} set default_transaction_read_only = on", self.whose());
        let whom = match self {
            Self::Database => "datname = 'amends'".to_owned(),
            Self::Login(name) => format!("usename = '{name}'"),
        };
        let terminate = format!(
            "select pg_terminate_backend(pid) from pg_stat_activity
            where {whom} and pid <> pg_backend_pid()"
        );
        command(shop, &[&set, &terminate]).await;
    }

    /// New sessions may write again; those that are there may not.
    pub(crate) async fn end(self, shop: &Shop) {
        let reset = format!("alter {} reset default_transaction_read_only", self.whose());
        command(shop, &[&reset]).await;
    }

    fn whose(self) -> String {
        match self {
            Self::Database => "database amends".to_owned(),
            Self::Login(name) => format!("role {name}"),
        }
    }
}

/// Commits wait for a standby that is not there.
pub(crate) async fn lose_standby(shop: &Shop) {
    let statements =
        ["alter system set synchronous_standby_names = 'nobody'", "select pg_reload_conf()"];
    command(shop, &statements).await;
}

/// Commits wait for nobody.
pub(crate) async fn need_no_standby(shop: &Shop) {
    let statements = ["alter system reset synchronous_standby_names", "select pg_reload_conf()"];
    command(shop, &statements).await;
}

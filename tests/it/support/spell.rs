//! What a database may be for a while: read-only, without its standby.

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

/// Runs statements in a session of its own, which writes whatever is the default.
pub(crate) async fn command(database: &str, statements: &[&str]) {
    let mut session = PgConnection::connect(database).await.unwrap();
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
    pub(crate) async fn begin(self, database: &str) {
        let set = format!("alter {} set default_transaction_read_only = on", self.whose());
        let whom = match self {
            Self::Database => "datname = 'amends'".to_owned(),
            Self::Login(name) => format!("usename = '{name}'"),
        };
        let terminate = format!(
            "select pg_terminate_backend(pid) from pg_stat_activity
            where {whom} and pid <> pg_backend_pid()"
        );
        command(database, &[&set, &terminate]).await;
    }

    /// New sessions may write again; those that are there may not.
    pub(crate) async fn end(self, database: &str) {
        let reset = format!("alter {} reset default_transaction_read_only", self.whose());
        command(database, &[&reset]).await;
    }

    fn whose(self) -> String {
        match self {
            Self::Database => "database amends".to_owned(),
            Self::Login(name) => format!("role {name}"),
        }
    }
}

/// Commits wait for a standby that is not there.
pub(crate) async fn lose_standby(database: &str) {
    let statements =
        ["alter system set synchronous_standby_names = 'nobody'", "select pg_reload_conf()"];
    command(database, &statements).await;
}

/// Commits wait for nobody.
pub(crate) async fn need_no_standby(database: &str) {
    let statements = ["alter system reset synchronous_standby_names", "select pg_reload_conf()"];
    command(database, &statements).await;
}

/// Lets the ledger of payment be full where no small disk can be had: the error is the same.
pub(crate) async fn can_fake_a_full_disk(database: &str) {
    let statements = [
        "create table payment.full ()",
        "create function payment.write() returns trigger language plpgsql security definer as $$ begin
            if exists (select from payment.full) then
                raise exception 'could not extend file: No space left on device'
                    using errcode = '53100';
            end if;
            return new;
        end $$",
        "create trigger write before insert on payment.ledger
            for each row execute function payment.write()",
    ];
    command(database, &statements).await;
}

pub(crate) async fn fake_a_full_disk(database: &str) {
    command(database, &["insert into payment.full default values"]).await;
}

pub(crate) async fn end_a_faked_full_disk(database: &str) {
    command(database, &["delete from payment.full"]).await;
}

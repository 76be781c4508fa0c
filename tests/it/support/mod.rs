//! What the live tests share: private servers, real processes, and waiting for what must come.

mod agency;
mod authority;
mod chance;
mod faked_clock;
mod guarded;
mod house;
mod issuer;
mod load;
mod lookout;
mod nats_server;
mod pooler;
mod port;
pub(crate) mod private_postgres;
mod probe;
mod proxy;
mod shop;
mod small_disk;
pub(crate) mod spell;
mod stage;
mod steps;
mod stopped;
mod stored;
mod wait;

use std::path::{Path, PathBuf};

use amends_app::local::{Local, Postgres};
use amends_postgres::Database;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;

pub(crate) use agency::{Agency, trip};
pub(crate) use authority::Authority;
pub(crate) use chance::Chance;
pub(crate) use faked_clock::FakedClock;
pub(crate) use guarded::Guarded;
pub(crate) use house::House;
pub(crate) use issuer::Issuer;
pub(crate) use load::{Load, Published};
pub(crate) use lookout::{Lookout, Sight};
pub(crate) use nats_server::NatsServer;
pub(crate) use pooler::Pooler;
pub(crate) use port::listen;
pub(crate) use probe::Probe;
pub(crate) use proxy::Proxy;
pub(crate) use shop::{SERVICES, Shop, order};
pub(crate) use small_disk::SmallDisk;
pub(crate) use stage::Stage;
pub(crate) use steps::{Book, Cash, Charge, Pay, Tell, Wanted};
pub(crate) use stopped::Stopped;
pub(crate) use stored::{register, store};
pub(crate) use wait::{eventually, within};

/// The product's binary.
pub(crate) fn amends() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_amends-under-test"))
}

/// Where the orchestrator's statements stand.
pub(crate) const STATEMENTS: &str = "orchestrator/src/store/sql";

/// A statement of the orchestrator, from its file.
pub(crate) fn statement(name: &str) -> String {
    std::fs::read_to_string(repository().join(format!("{STATEMENTS}/{name}.sql"))).unwrap()
}

/// A folder for one test's servers; gone with the test.
pub(crate) fn folder() -> TempDir {
    tempfile::Builder::new().prefix("amends-test-").tempdir().unwrap()
}

/// Private servers of one test.
pub(crate) async fn servers(folder: &TempDir) -> Local {
    let local = Local::start_with(amends(), folder.path()).await.unwrap();
    be_strict(local.database_url()).await;
    local
}

/// What PL/pgSQL may complain of it refuses, as on the servers of careful people.
async fn be_strict(url: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let strict = "alter database amends set plpgsql.extra_errors = 'all'";
    connection.execute(strict).await.unwrap();
    connection.close().await.unwrap();
}

/// A fresh, empty database on a Postgres of its own.
pub(crate) struct Fresh {
    pub(crate) url: String,
    _postgres: Postgres,
    _folder: TempDir,
}

pub(crate) async fn postgres() -> Fresh {
    let folder = folder();
    let postgres = Postgres::start_with(amends(), folder.path()).await.unwrap();
    be_strict(postgres.url()).await;
    Fresh { url: postgres.url().to_owned(), _postgres: postgres, _folder: folder }
}

/// A fresh database with the orchestrator's schema, and its owner's session there.
pub(crate) async fn migrated() -> (Fresh, PgConnection) {
    let postgres = postgres().await;
    amends_orchestrator::migrate(&database(&postgres.url)).await.unwrap();
    let owner = PgConnection::connect(&postgres.url).await.unwrap();
    (postgres, owner)
}

/// Gives each role of the schema a login of its own name: `viewer` for `amends_viewer`.
pub(crate) async fn add_logins(owner: &mut PgConnection, roles: &[&str]) {
    for role in roles {
        let sql = format!("create role {role} login in role amends_{role}");
        owner.execute(AssertSqlSafe(sql)).await.unwrap();
    }
}

/// The repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The database of this URL, as the product's libraries want it.
pub(crate) fn database(url: &str) -> Database {
    Database::new(url.parse().unwrap(), &[], 10)
}

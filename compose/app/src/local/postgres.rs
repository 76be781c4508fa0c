//! A private Postgres.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions, Connection};
use tokio::process::Command;
use tokio::time::timeout;

use super::binaries;
use super::child::{last_lines, plain_environment};
use super::error::LocalError;
use super::folder::Folder;
use super::recipe::{Answer, Recipe};
use super::server::Server;
use super::supervise::Kind;
use super::user::Account;

/// Both the superuser and the database.
const AMENDS: &str = "amends";

/// Durable as in production (a commit is on disk when it is acknowledged); the rest gives room for
/// many saga and worker connections and keeps checkpoints rare.
const SETTINGS: [&str; 15] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "cluster_name=amends",
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "max_connections=200",
    "shared_buffers=256MB",
    "min_wal_size=256MB",
    "max_wal_size=2GB",
    "checkpoint_timeout=15min",
    "jit=off",
    "logging_collector=off",
    "log_destination=stderr",
    "timezone=UTC",
];

/// A Postgres of our own: superuser and database `amends`, without a password, on 127.0.0.1 only.
#[derive(Debug)]
pub struct Postgres {
    server: Server<Database>,
    url: String,
}

impl Postgres {
    /// Starts it with its data in `data/postgres`, where the database is made at the first start, and
    /// `exe` as the supervisor: see [`Local::start_with`](super::Local::start_with).
    pub async fn start_with(exe: &Path, data: &Path) -> Result<Self, LocalError> {
        Self::start_at(exe, data, None).await
    }

    /// The same on this port.
    pub(super) async fn start_at(
        exe: &Path,
        data: &Path,
        port: Option<u16>,
    ) -> Result<Self, LocalError> {
        let folder = Folder::take(data, "postgres").await?;
        let recipe = Database { path: folder.join("data") };
        let account = Account::for_postgres(&recipe.path)?;
        if let Some(account) = &account {
            folder.open_to_others()?;
            let barred = account.barred_by(&folder.join(""));
            if let Some(folder) = barred {
                let user = account.name.clone();
                return Err(LocalError::Unreachable { name: Database::NAME, user, folder });
            }
        }
        let binaries = binaries::postgres(account.as_ref(), recipe.major()).await?;
        recipe.make(&binaries, account.as_ref(), &folder).await?;
        let program = binaries.join("postgres");
        let server = Server::start(exe, folder, program, account, recipe, port).await?;
        let port = server.port();
        make_database(port).await?;
        Ok(Self { server, url: format!("postgres://{AMENDS}@127.0.0.1:{port}/{AMENDS}") })
    }

    /// The URL of the database, the same after every restart.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The postmaster's process, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// Ends the postmaster by SIGKILL, as a crash would; it and its backends are gone when this
    /// returns.
    pub async fn kill(&mut self) -> Result<(), LocalError> {
        self.server.kill().await
    }

    /// Starts it again on the same port and data, stopping it in good order if it still runs;
    /// it answers when this returns.
    pub async fn restart(&mut self) -> Result<(), LocalError> {
        self.server.restart().await
    }

    /// Stops it in good order (a fast shutdown), and waits till it is gone.
    pub async fn stop(mut self) -> Result<(), LocalError> {
        self.server.halt().await
    }
}

#[derive(Debug)]
struct Database {
    path: PathBuf,
}

impl Recipe for Database {
    const NAME: &'static str = "Postgres";
    const KIND: Kind = Kind::Postgres;

    fn arguments(&self, port: u16) -> Result<Vec<OsString>, LocalError> {
        let mut arguments = vec!["-D".into(), self.path.clone().into()];
        arguments.extend(["-p".into(), port.to_string().into()]);
        for setting in SETTINGS {
            arguments.extend(["-c".into(), setting.into()]);
        }
        Ok(arguments)
    }

    async fn probe(&self, port: u16) -> Answer {
        let asked = async {
            let mut connection = connect(port, "postgres").await?;
            let folder: String =
                sqlx::query_scalar("show data_directory").fetch_one(&mut connection).await?;
            connection.close().await.map(|()| folder)
        };
        match timeout(Duration::from_secs(5), asked).await {
            Ok(Ok(folder)) if Path::new(&folder) == self.path => Answer::Ready,
            // "The database system is starting up."
            Ok(Err(sqlx::Error::Database(error))) if error.code().as_deref() == Some("57P03") => {
                Answer::Starting
            }
            _ => Answer::Nothing,
        }
    }

    fn pid_file(&self) -> PathBuf {
        self.path.join("postmaster.pid")
    }

    fn mark(&self) -> &Path {
        &self.path
    }
}

impl Database {
    /// Which major version made the data that is already there: no other can read it.
    fn major(&self) -> Option<u32> {
        std::fs::read_to_string(self.path.join("PG_VERSION")).ok()?.trim().parse().ok()
    }

    /// Runs initdb, unless that was done. In a folder beside, renamed when it is whole: an initdb
    /// that is killed leaves nothing that looks like a database.
    async fn make(
        &self,
        binaries: &Path,
        account: Option<&Account>,
        folder: &Folder,
    ) -> Result<(), LocalError> {
        const UNFINISHED: &str = "initdb-";
        if self.major().is_some() {
            return Ok(());
        }
        let parent = folder.join("");
        remove_unfinished(&parent, UNFINISHED);
        let fresh = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .permissions(PermissionsExt::from_mode(0o700))
            .tempdir_in(&parent)
            .map_err(LocalError::file("make a folder in", &parent))?;
        if let Some(account) = account {
            chown(fresh.path(), Some(account.uid), Some(account.gid))
                .map_err(LocalError::file("hand over", fresh.path()))?;
        }
        initdb(&binaries.join("initdb"), account, fresh.path()).await?;
        std::fs::rename(fresh.keep(), &self.path).map_err(LocalError::file("make", &self.path))
    }
}

fn remove_unfinished(parent: &Path, prefix: &str) {
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes()) {
            // Whether it goes or stays, the new one has another name.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

async fn initdb(
    program: &Path,
    account: Option<&Account>,
    folder: &Path,
) -> Result<(), LocalError> {
    let mut initdb = Command::new(program);
    initdb.arg("-D").arg(folder).args(["-U", AMENDS, "--auth=trust", "--encoding=UTF8"]);
    // What initdb writes is synced by the first checkpoint after it, soon enough for a new folder.
    initdb.args(["--no-locale", "--no-sync"]).current_dir("/").kill_on_drop(true);
    plain_environment(&mut initdb);
    if let Some(account) = account {
        initdb.uid(account.uid).gid(account.gid);
    }
    let said = match initdb.output().await {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => last_lines(&String::from_utf8_lossy(&output.stderr), 15),
        Err(error) => error.to_string(),
    };
    Err(LocalError::Initdb { folder: folder.to_owned(), said })
}

async fn make_database(port: u16) -> Result<(), LocalError> {
    let mut connection = connect(port, "postgres").await?;
    let there: bool =
        sqlx::query_scalar("select exists (select from pg_database where datname = 'amends')")
            .fetch_one(&mut connection)
            .await?;
    if !there {
        sqlx::query("create database amends").execute(&mut connection).await?;
    }
    Ok(connection.close().await?)
}

async fn connect(port: u16, database: &str) -> Result<PgConnection, sqlx::Error> {
    PgConnectOptions::new_without_pgpass()
        .host(&Ipv4Addr::LOCALHOST.to_string())
        .port(port)
        .username(AMENDS)
        .database(database)
        .ssl_mode(PgSslMode::Disable)
        .disable_statement_logging()
        .connect()
        .await
}

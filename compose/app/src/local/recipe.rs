//! What is particular to one kind of server.

use std::ffi::OsString;
use std::future::Future;
use std::path::{Path, PathBuf};

use super::error::LocalError;
use super::supervise::Kind;

/// What a server that is starting says to a probe.
pub(super) enum Answer {
    Ready,
    /// It answers, but is not ready.
    Starting,
    Nothing,
}

/// What is particular to one kind of server.
pub(super) trait Recipe: Send + Sync {
    const NAME: &'static str;
    const KIND: Kind;

    /// The arguments to serve on that port, after writing what the server reads from files.
    fn arguments(&self, port: u16) -> Result<Vec<OsString>, LocalError>;
    /// Whether this very server (not another that took the port) answers there.
    fn probe(&self, port: u16) -> impl Future<Output = Answer> + Send;
    /// Where the server writes its pid.
    fn pid_file(&self) -> PathBuf;
    /// A path in the server's command line that no other server has.
    fn mark(&self) -> &Path;
}

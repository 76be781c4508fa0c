//! A server's folder: owned by one process at a time, and remembering its port.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::LocalError;

/// How often, and how long apart, a lock is tried: a fork elsewhere in this process holds a copy
/// of a released lock till its exec, and a process just killed still has to be cleared away.
const LOCK_TRIES: (u32, Duration) = (20, Duration::from_millis(50));

/// The folder of one server, held as long as this value lives.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder `name` in `data` if need be, and takes it for this process.
    pub(super) async fn take(data: &Path, name: &str) -> Result<Self, LocalError> {
        let path = data.join(name);
        fs::create_dir_all(&path).map_err(LocalError::file("make the folder", &path))?;
        let path = path.canonicalize().map_err(LocalError::file("find", &path))?;
        let lock = lock(&path).await?;
        Ok(Self { path, _lock: lock })
    }

    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Lets other users pass through the data folder and this one (not list them): needed where the
    /// server runs as another user. The folders above are not ours to change.
    pub(super) fn open_to_others(&self) -> Result<(), LocalError> {
        for folder in self.path.ancestors().take(2) {
            let why = LocalError::file("let other users pass through", folder);
            let mode = fs::metadata(folder).map(|found| found.permissions().mode());
            mode.and_then(|mode| {
                fs::set_permissions(folder, PermissionsExt::from_mode(mode | 0o011))
            })
            .map_err(why)?;
        }
        Ok(())
    }

    /// The port of the last start if it is free, else any free one.
    pub(super) fn port(&self) -> Option<u16> {
        let last = fs::read_to_string(self.join("port")).ok();
        last.and_then(|port| port.trim().parse().ok())
            .filter(|port| is_free(*port))
            .or_else(any_port)
    }

    /// Remembers the port for the next start.
    pub(super) fn keep_port(&self, port: u16) -> Result<(), LocalError> {
        let file = self.join("port");
        fs::write(&file, port.to_string()).map_err(LocalError::file("write", &file))
    }
}

async fn lock(folder: &Path) -> Result<File, LocalError> {
    let path = folder.join("lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(LocalError::file("open", &path))?;
    for _ in 0..LOCK_TRIES.0 {
        match file.try_lock() {
            Ok(()) => {
                let written = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
                return written.map(|()| file).map_err(LocalError::file("write", &path));
            }
            Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_TRIES.1).await,
            Err(TryLockError::Error(source)) => {
                return Err(LocalError::file("lock", &path)(source));
            }
        }
    }
    let mut pid = String::new();
    let named = file.read_to_string(&mut pid).is_ok() && !pid.is_empty();
    let owner = if named { format!("process {pid}") } else { "another process".to_owned() };
    Err(LocalError::InUse { folder: folder.to_owned(), owner })
}

/// A random free port below those the system gives to outgoing connections: out of that range a
/// client that keeps calling a stopped server could be given the server's own port, and keep it.
pub(super) fn any_port() -> Option<u16> {
    let random = RandomState::new();
    (0..200_u16)
        .filter_map(|attempt| u16::try_from(random.hash_one(attempt) % 12_000).ok())
        .map(|offset| 18_000 + offset)
        .find(|port| is_free(*port))
}

pub(super) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_has_one_owner_and_keeps_its_port() {
        let data = tempfile::tempdir().unwrap();
        let folder = Folder::take(data.path(), "x").await.unwrap();
        let port = folder.port().unwrap();
        folder.keep_port(port).unwrap();

        let second = Folder::take(data.path(), "x").await.unwrap_err().to_string();
        assert!(second.contains(&format!("process {}", std::process::id())), "{second}");

        drop(folder);
        let folder = Folder::take(data.path(), "x").await.unwrap();
        assert_eq!(folder.port(), Some(port));
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert_ne!(folder.port(), Some(port));
    }
}

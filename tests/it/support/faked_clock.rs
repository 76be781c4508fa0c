//! A Postgres whose clock can be set.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use amends_app::local::{Local, Nats, Postgres};
use tempfile::TempDir;

use super::amends;

/// Where Debian and others have it.
const LIBRARIES: [&str; 5] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/faketime/libfaketime.so.1",
    "/usr/lib64/faketime/libfaketime.so.1",
    "/usr/local/lib/faketime/libfaketime.so.1",
];

/// By how much the clock of a Postgres is wrong.
pub(crate) struct FakedClock(PathBuf);

impl FakedClock {
    /// Private servers, of which Postgres has this clock; it is right at first.
    pub(crate) async fn of_servers(folder: &TempDir) -> (Local, Self) {
        let clock = Self(folder.path().join("clock"));
        clock.set_off(0);
        let supervisor = folder.path().join("supervisor");
        std::fs::write(&supervisor, clock.supervisor()).unwrap();
        std::fs::set_permissions(&supervisor, PermissionsExt::from_mode(0o755)).unwrap();
        let postgres = Postgres::start_with(&supervisor, folder.path());
        let nats = Nats::start_with(amends(), folder.path());
        let (postgres, nats) = tokio::try_join!(postgres, nats).unwrap();
        (Local { postgres, nats }, clock)
    }

    /// From now on it is wrong by so many seconds; less than before is a jump back.
    pub(crate) fn set_off(&self, seconds: i64) {
        // Who reads it meanwhile sees the old time or the new one.
        let new = self.0.with_extension("new");
        std::fs::write(&new, format!("{seconds:+}\n")).unwrap();
        std::fs::set_permissions(&new, PermissionsExt::from_mode(0o644)).unwrap();
        std::fs::rename(new, &self.0).unwrap();
    }

    /// The binary that supervises Postgres, which inherits its variables. What measures how long
    /// something takes does not use this clock.
    fn supervisor(&self) -> String {
        format!(
            "#!/bin/sh\n\
             export LD_PRELOAD='{}' FAKETIME_TIMESTAMP_FILE='{}'\n\
             export FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1 DONT_FAKE_MONOTONIC=1\n\
             exec '{}' \"$@\"\n",
            library().display(),
            self.0.display(),
            amends().display(),
        )
    }
}

fn library() -> &'static Path {
    LIBRARIES.iter().map(Path::new).find(|library| library.is_file()).unwrap_or_else(|| {
        panic!("install libfaketime (`apt-get install faketime`): it is in none of {LIBRARIES:?}")
    })
}

//! Which user a server runs as: Postgres refuses to run as root.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid, User, geteuid};

use super::error::LocalError;

/// A user other than our own, for a server to run as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Account {
    /// Whom Postgres runs as: `None` is ourselves. A database that is already there stays with its
    /// owner, so that root can use the folder of an ordinary user.
    pub(super) fn for_postgres(database: &Path) -> Result<Option<Self>, LocalError> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        if let Some(owner) = std::fs::metadata(database).ok().filter(|found| found.uid() != 0) {
            return Ok(Some(Self::owning(&owner)));
        }
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .map(|user| {
                Some(Self { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw() })
            })
            .ok_or(LocalError::NoUser)
    }

    fn owning(found: &Metadata) -> Self {
        let (uid, gid) = (found.uid(), found.gid());
        let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        let gid = user.as_ref().map_or(Gid::from_raw(gid), |user| user.gid).as_raw();
        Self { name: user.map_or_else(|| uid.to_string(), |user| user.name), uid, gid }
    }

    /// The uppermost folder on the way to `path` that this user may not pass through, if any.
    pub(super) fn barred_by(&self, path: &Path) -> Option<PathBuf> {
        let mut folders: Vec<_> = path.ancestors().collect();
        folders.reverse();
        let barred = folders.into_iter().find(|folder| {
            std::fs::metadata(folder).is_ok_and(|found| found.is_dir() && !self.may_pass(&found))
        });
        barred.map(Path::to_owned)
    }

    fn may_pass(&self, folder: &Metadata) -> bool {
        let bit = if folder.uid() == self.uid {
            0o100
        } else if folder.gid() == self.gid {
            0o010
        } else {
            0o001
        };
        folder.mode() & bit != 0
    }
}

//! A disk that can be filled.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    mount::{MntFlags, MsFlags, mount, umount2},
};

const SIZE: &str = "size=64m,mode=0777";

/// A file system in memory; gone with this value.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Puts a small disk at this folder; `None` where this user may not mount, as in most containers.
    pub(crate) fn at(folder: &Path) -> Option<Self> {
        fs::create_dir_all(folder).unwrap();
        match mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::empty(), Some(SIZE)) {
            Ok(()) => Some(Self(folder.to_owned())),
            Err(Errno::EPERM | Errno::EACCES) => None,
            Err(error) => panic!("a small disk at {}: {error}", folder.display()),
        }
    }

    /// Fills it to the last byte.
    pub(crate) fn fill(&self) {
        let mut ballast = File::create(self.ballast()).unwrap();
        let mut size = 1 << 20;
        while size > 0 {
            match ballast.write(&vec![b'x'; size]) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => size /= 2,
                Err(error) => panic!("ballast: {error}"),
            }
        }
        // Gone or not, nobody else is to write to it.
        ballast.set_permissions(fs::Permissions::from_mode(0o400)).unwrap();
    }

    /// Makes room again.
    pub(crate) fn empty(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Its servers may still be ending: it goes with the last of them.
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

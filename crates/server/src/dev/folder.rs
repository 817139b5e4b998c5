//! A folder that goes with its process, whatever way that ends.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use tempfile::TempDir;

/// What the names of all of them begin with.
const PREFIX: &str = "mosaic-dev-";
/// The file in each that its process holds the lock of. It has this name only once it is locked.
const LOCK: &str = "lock";

/// A temporary folder. It is removed when this is dropped; where the process is killed, by the next one that makes a folder in
/// the same place.
#[derive(Debug)]
pub(super) struct Folder {
    folder: TempDir,
    _lock: File,
}

impl Folder {
    /// Makes one in this folder, and removes from there those whose processes are gone.
    ///
    /// # Errors
    /// It can't be made.
    pub(super) fn new_in(parent: &Path) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        let unlocked = folder.path().join("lock.new");
        let lock = File::create_new(&unlocked)?;
        lock.try_lock()?;
        fs::rename(unlocked, folder.path().join(LOCK))?;
        sweep(parent, folder.path().symlink_metadata()?.uid());
        Ok(Self { folder, _lock: lock })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes the folders of this user's whose processes are gone. What can't be looked at, or removed, stays.
fn sweep(parent: &Path, user: u32) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_of_kind = entry.file_name().to_string_lossy().starts_with(PREFIX);
        // Of a link this is about the link.
        let is_ours = |found: fs::Metadata| found.is_dir() && found.uid() == user;
        if !is_of_kind || !entry.metadata().is_ok_and(is_ours) {
            continue;
        }
        // One without this file is about to be made, or no folder of ours.
        let lock = File::open(entry.path().join(LOCK));
        if lock.is_ok_and(|lock| lock.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn folders_whose_processes_are_gone_are_removed_and_no_others() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        let alive = Folder::new_in(place.path()).unwrap();
        // What a process leaves that is killed: the system lets its lock go.
        for name in ["mosaic-dev-killed", "another-kind"] {
            fs::create_dir(at(name)).unwrap();
            fs::write(at(name).join(LOCK), "").unwrap();
            fs::create_dir(at(name).join("data")).unwrap();
        }
        fs::create_dir(at("mosaic-dev-begun")).unwrap();
        fs::write(at("mosaic-dev-file"), "").unwrap();
        symlink(at("another-kind"), at("mosaic-dev-link")).unwrap();

        let next = Folder::new_in(place.path()).unwrap();
        let live = [alive.path().join(LOCK), next.path().join(LOCK)];
        let others = [
            "mosaic-dev-begun",
            "mosaic-dev-file",
            "mosaic-dev-link",
            "another-kind/data",
        ];
        for path in others.map(at).iter().chain(&live) {
            assert!(path.exists(), "{}", path.display());
        }
        assert!(!at("mosaic-dev-killed").exists());
        drop((alive, next));
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 4);
    }
}

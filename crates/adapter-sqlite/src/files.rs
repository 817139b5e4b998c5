//! Files that come to be beside where they belong, and get their name when they are whole and on the disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// What SQLite keeps beside a database.
pub(crate) const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// `mosaic.db-wal` for `mosaic.db` and `-wal`.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// A file with access for its owner alone if it is new: it holds diaries.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Gives what root has just made in somebody else's folder to whoever the folder belongs to. A command that is run as root
/// would else leave files behind that the service can't open.
pub fn belong_to_folder(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let look = || Ok((fs::symlink_metadata(path)?, fs::metadata(folder(path))?));
        let given = look().and_then(|(made, folder)| {
            let is_given = made.uid() == 0 && folder.uid() != 0;
            if is_given {
                std::os::unix::fs::lchown(path, Some(folder.uid()), Some(folder.gid()))
            } else {
                Ok(())
            }
        });
        if let Err(error) = given {
            tracing::warn!(%error, path = %path.display(), "is not given to the owner of its folder");
        }
    }
    #[cfg(not(unix))]
    let _ = path;
}

/// Has a file belong to whom the one belongs that it takes the place of, and be as open as that one; where there is none, to
/// whoever its folder belongs to.
pub(crate) fn succeed(path: &Path, predecessor: &Path) -> io::Result<()> {
    let Ok(before) = fs::metadata(predecessor) else {
        return Ok(());
    };
    fs::set_permissions(path, before.permissions())?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let now = fs::metadata(path)?;
        if (now.uid(), now.gid()) != (before.uid(), before.gid()) {
            std::os::unix::fs::chown(path, Some(before.uid()), Some(before.gid()))?;
        }
    }
    Ok(())
}

/// Whether there is something of that name, be it a link to nowhere.
pub(crate) fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// The first name that nobody has: `x`, `x-2`, `x-3` ...
pub(crate) fn unused_name(path: &Path) -> PathBuf {
    let mut name = path.to_owned();
    let mut number = 1;
    while is_there(&name) {
        number += 1;
        name = with_suffix(path, &format!("-{number}"));
    }
    name
}

/// The folder of a file.
pub(crate) fn folder(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

/// Has the names in the folder of a file survive a power cut. What is there is there, even where a file system can't
/// promise that.
pub(crate) fn sync_folder(path: &Path) {
    if cfg!(unix)
        && let Err(error) = File::open(folder(path)).and_then(|folder| folder.sync_all())
    {
        tracing::warn!(%error, path = %path.display(), "the folder was not synced");
    }
}

/// A file that is not whole yet. It goes, with what SQLite kept beside it, unless it gets its name.
#[derive(Debug)]
pub(crate) struct Partial(PathBuf);

impl Partial {
    /// Makes an empty file for what is to be `target`, beside it. Two of them have different names, and so has one that a
    /// crash left behind.
    pub(crate) fn beside(target: &Path) -> io::Result<Self> {
        loop {
            let path = unused_name(&with_suffix(target, ".partial"));
            match private().create_new(true).open(&path) {
                Ok(_) => {
                    belong_to_folder(&path);
                    return Ok(Self(path));
                }
                // Somebody was quicker.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Has what it holds survive a power cut. Says how many bytes that is.
    pub(crate) fn sync(&self) -> io::Result<u64> {
        let file = OpenOptions::new().write(true).open(&self.0)?;
        file.sync_all()?;
        Ok(file.metadata()?.len())
    }

    /// Gives it its name, which nobody may have.
    pub(crate) fn publish(self, target: &Path) -> io::Result<()> {
        match fs::hard_link(&self.0, target) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(error),
            // A file system without links.
            Err(_) if is_there(target) => return Err(ErrorKind::AlreadyExists.into()),
            Err(_) => fs::rename(&self.0, target)?,
        }
        sync_folder(target);
        Ok(())
    }

    /// Gives it its name, and whoever had it has it no more.
    pub(crate) fn replace(self, target: &Path) -> io::Result<()> {
        fs::rename(&self.0, target)?;
        sync_folder(target);
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Mostly there is nothing to remove.
        let _ = fs::remove_file(&self.0);
        for companion in COMPANIONS {
            let _ = fs::remove_file(with_suffix(&self.0, companion));
        }
    }
}

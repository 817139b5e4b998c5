//! What a blob needs of the operating system, in one place, so that tests can make it fail and look at the order.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// The operations on which durability rests.
pub(crate) trait Disk: Send + Sync {
    /// Makes a file that was not there, for its owner only.
    fn create(&self, path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path)?;
        belong_to_folder(path);
        Ok(file)
    }

    /// Writes all of it.
    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    /// Brings a file to disk, and gives it the time of now: setting the size that it has already does that.
    fn sync_file(&self, file: &File, size: u64) -> io::Result<()> {
        file.set_len(size)?;
        file.sync_all()
    }

    /// Gives a file one more name, where there is none.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    /// Makes a folder, for its owner only, and those above it.
    fn make_dirs(&self, path: &Path) -> io::Result<()> {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        let missing: Vec<_> = path
            .ancestors()
            // Of a relative path the last one is empty: the working folder.
            .take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists())
            .collect();
        builder.create(path)?;
        missing.into_iter().rev().for_each(belong_to_folder);
        Ok(())
    }

    /// Brings to disk which names a folder has.
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        if cfg!(unix) {
            File::open(path)?.sync_all()?;
        }
        Ok(())
    }
}

/// The operating system itself.
pub(crate) struct OsDisk;

impl Disk for OsDisk {}

/// Gives what root has just made in somebody else's folder to whoever the folder belongs to. A command that is run as root
/// would else leave files behind that the service can't open.
fn belong_to_folder(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let look = || Ok((fs::symlink_metadata(path)?, fs::metadata(folder_of(path))?));
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

fn folder_of(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

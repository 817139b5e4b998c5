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
        options.open(path)
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
        builder.create(path)
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

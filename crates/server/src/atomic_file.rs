//! Files that come into being whole or not at all.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file that is being written beside its place, for its owner only (mode 0600). It goes if it is not put there.
#[derive(Debug)]
pub(crate) struct AtomicFile {
    file: File,
    beside: PathBuf,
    place: PathBuf,
}

impl AtomicFile {
    /// Begins to write what will be at `place`. Replaces a draft that a killed process has left behind.
    ///
    /// # Errors
    /// The folder can't be written to.
    pub(crate) fn of(place: &Path) -> io::Result<Self> {
        let beside = place.with_extension(format!("{}.new", std::process::id()));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        let file = match options.open(&beside) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // Left behind by a process that was killed, and had our number.
                std::fs::remove_file(&beside)?;
                options.open(&beside)?
            }
            opened => opened?,
        };
        mosaic_adapter_sqlite::belong_to_folder(&beside);
        Ok(Self {
            file,
            beside,
            place: place.to_owned(),
        })
    }

    /// Brings what was written down to the disk, and puts it in its place.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] where something is there by now: it stays.
    pub(crate) fn put(self) -> io::Result<()> {
        self.file.sync_all()?;
        // Unlike a rename, a link fails where somebody else was first.
        match std::fs::hard_link(&self.beside, &self.place) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
            // Some file systems know no links.
            Err(_) if !self.place.try_exists()? => std::fs::rename(&self.beside, &self.place)?,
            linked => linked?,
        }
        sync_folder(&self.place)
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        // Gone already where it was renamed. If it can't be removed, it harms nobody.
        let _ = std::fs::remove_file(&self.beside);
    }
}

/// Makes the new name survive a power cut.
fn sync_folder(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_draft_takes_its_place_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("export.jsonl");
        let mut draft = AtomicFile::of(&place).unwrap();
        draft.write_all(b"half").unwrap();
        assert!(!place.exists());
        draft.write_all(b" and half").unwrap();
        draft.put().unwrap();
        assert_eq!(std::fs::read(&place).unwrap(), b"half and half");
        assert_eq!(names(folder.path()), ["export.jsonl"]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(
                std::fs::metadata(&place).unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
    }

    #[test]
    fn a_draft_that_is_given_up_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        drop(AtomicFile::of(&folder.path().join("export.jsonl")).unwrap());
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn what_is_there_by_then_stays() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("export.jsonl");
        let draft = AtomicFile::of(&place).unwrap();
        std::fs::write(&place, "somebody else's").unwrap();
        assert_eq!(draft.put().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&place).unwrap(), b"somebody else's");
        assert_eq!(names(folder.path()), ["export.jsonl"]);
    }
}

//! The mark in a file.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Seek as _, Write as _};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use mosaic_domain::high_water::HighWaterMark;
use mosaic_ports::{BoxError, MarkStore};

/// The length of the file, in bytes: a mark is shorter, and is filled up with spaces. So each one covers all of the one before.
const LENGTH: usize = 1_024;

/// A mark as a line of JSON, which is written in place. Nothing is synced: the file is behind after a power cut, which makes it less
/// watchful, and wrong about nothing.
#[derive(Debug)]
pub struct MarkFile {
    path: PathBuf,
    open: Mutex<Option<File>>,
}

impl MarkFile {
    /// The mark in this file, which need not be there. Its folder must be.
    pub fn at(path: PathBuf) -> Self {
        Self {
            path,
            open: Mutex::new(None),
        }
    }

    fn create(&self) -> std::io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            options.mode(0o600);
        }
        options.open(&self.path)
    }
}

impl MarkStore for MarkFile {
    fn load(&self) -> Result<Option<HighWaterMark>, BoxError> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let mut text = String::new();
        file.take(LENGTH as u64).read_to_string(&mut text)?;
        Ok(Some(serde_json::from_str(&text)?))
    }

    fn save(&self, mark: &HighWaterMark) -> Result<(), BoxError> {
        let mut bytes = serde_json::to_vec(mark)?;
        bytes.resize(LENGTH - 1, b' ');
        bytes.push(b'\n');
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = match open.take() {
            Some(file) => file,
            None => self.create()?,
        };
        file.rewind()?;
        file.write_all(&bytes)?;
        // One that failed is opened anew.
        *open = Some(file);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use mosaic_domain::{Epoch, MAX_SAFE_INTEGER, Stamp, UserId};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_mark_is_found_as_it_was_kept_last() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mark");
        let file = MarkFile::at(path.clone());
        assert_eq!(file.load().unwrap(), None);
        let mut mark = HighWaterMark::new(Uuid::max(), Epoch::new(Uuid::max()));
        for user in 1..=9_u8 {
            let last = MAX_SAFE_INTEGER - i64::from(user);
            mark.raise(
                UserId::new(Uuid::from_u128(u128::MAX - u128::from(user))),
                Stamp::clamped(last),
            );
            file.save(&mark).unwrap();
            assert_eq!(MarkFile::at(path.clone()).load().unwrap().as_ref(), Some(&mark));
            assert_eq!(std::fs::metadata(&path).unwrap().len(), LENGTH as u64);
        }
        // A shorter one leaves nothing of a longer one.
        let short = HighWaterMark::new(Uuid::nil(), Epoch::new(Uuid::nil()));
        file.save(&short).unwrap();
        assert_eq!(file.load().unwrap(), Some(short));
    }

    #[test]
    fn what_is_no_mark_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mark");
        for text in ["", "{\"store\":", "null"] {
            std::fs::write(&path, text).unwrap();
            MarkFile::at(path.clone()).load().unwrap_err();
        }
        MarkFile::at(folder.path().join("no folder/mark"))
            .save(&HighWaterMark::new(Uuid::nil(), Epoch::new(Uuid::nil())))
            .unwrap_err();
    }
}

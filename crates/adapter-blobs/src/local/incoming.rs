//! The files that are being written, and those that nobody writes any more.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mosaic_domain::{UnixMillis, UserId};
use mosaic_ports::{BlobError, BlobName};
use uuid::Uuid;

use super::disk::Disk;
use super::error::{failed, unavailable};
use super::{discard, millis};
use crate::name::parse_uuid;

const SUFFIX: &str = ".part";

/// The name under which things are tried out.
const PROBE: BlobName = BlobName {
    user: UserId::new(Uuid::nil()),
    id: Uuid::nil(),
};

/// The folder for what is being written.
pub(crate) struct Incoming {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    numbers: AtomicU64,
}

/// A file that is being written. It is removed when this is dropped, which blocks.
pub(crate) struct Part {
    pub(crate) file: File,
    pub(crate) path: PathBuf,
}

impl Drop for Part {
    fn drop(&mut self) {
        discard(&self.path);
    }
}

impl Incoming {
    pub(crate) fn open(root: &Path, disk: Arc<dyn Disk>) -> io::Result<Self> {
        let path = root.join(".incoming");
        disk.make_dirs(&path)?;
        Ok(Self {
            path,
            disk,
            numbers: AtomicU64::new(1),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Begins a file for a blob.
    pub(crate) fn create(&self, name: BlobName) -> Result<Part, BlobError> {
        self.try_create(name).map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                unavailable("write in", &self.path)(error)
            } else {
                failed("write in", &self.path)(error)
            }
        })
    }

    fn try_create(&self, name: BlobName) -> io::Result<Part> {
        loop {
            let number = self.numbers.fetch_add(1, Ordering::Relaxed);
            let path = self
                .path
                .join(format!("{}.{}.{number}{SUFFIX}", name.user, name.id));
            let file = match self.disk.create(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            };
            let part = Part { file, path };
            match part.file.try_lock() {
                Ok(()) => return Ok(part),
                // Somebody sweeps it this very moment.
                Err(TryLockError::WouldBlock) => {}
                // No locks here: a sweep goes by the time alone.
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                    return Ok(part);
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// Whether files can be given a second name here.
    pub(crate) fn try_out(&self) -> io::Result<()> {
        let part = self.try_create(PROBE)?;
        let link = Part {
            file: part.file.try_clone()?,
            path: part.path.with_extension(format!("link{SUFFIX}")),
        };
        self.disk.link(&part.path, &link.path)
    }

    /// Whether something can be written.
    pub(crate) fn check(&self) -> Result<(), BlobError> {
        let mut part = self.create(PROBE)?;
        self.disk
            .write(&mut part.file, b"?")
            .map_err(failed("write", &part.path))
    }

    /// Removes what nobody writes any more, and was last written before this moment.
    pub(crate) fn sweep(&self, before: UnixMillis) -> Result<u64, BlobError> {
        let mut swept = 0;
        let entries = fs::read_dir(&self.path).map_err(unavailable("read", &self.path))?;
        for entry in entries {
            let entry = entry.map_err(failed("read", &self.path))?;
            if entry.file_name().to_str().is_some_and(is_ours) {
                let path = entry.path();
                match sweep_file(&path, before) {
                    Ok(true) => swept += 1,
                    Ok(false) => {}
                    // Its writer was faster.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(failed("sweep", &path)(error)),
                }
            }
        }
        Ok(swept)
    }
}

fn sweep_file(path: &Path, before: UnixMillis) -> io::Result<bool> {
    // Some network file systems lock only what may be written.
    let file = File::options().read(true).write(true).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() || millis(found.modified()?) >= before {
        return Ok(false);
    }
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(false),
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
        Err(TryLockError::Error(error)) => return Err(error),
    }
    fs::remove_file(path)?;
    Ok(true)
}

/// Whether a file has a name that [`Incoming::create`] gives.
fn is_ours(name: &str) -> bool {
    let mut words = name.splitn(3, '.');
    let mut is_uuid = || words.next().and_then(parse_uuid).is_some();
    is_uuid() && is_uuid() && words.next().is_some_and(|rest| rest.ends_with(SUFFIX))
}

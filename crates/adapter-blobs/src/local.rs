//! A folder of the machine.
//!
//! ```text
//! {root}/{user}/{first four digits of id}/{id}    a blob
//! {root}/.incoming/{user}.{id}.{number}.part      one that is being written
//! ```
//!
//! A blob is written into `.incoming`, brought to disk (`fsync`), and then linked to its place, which fails where something is
//! there already; after that its folders are brought to disk. So a blob that can be seen is whole, and one that was finished
//! survives a power cut. A removal is not waited for in that way: after a power cut a blob that was removed may be there again.
//!
//! A file that is being written is locked (`flock`), by the operating system for as long as its writer lives: that is how
//! [`sweep`](mosaic_ports::BlobStore::sweep) tells what a killed process left from what is still written.
//!
//! `.incoming` is made when the store is opened, and only then. Where it is missing later, a drive is not mounted: everything
//! is unavailable then, rather than all blobs gone.

mod disk;
mod error;
mod incoming;
mod listing;
mod reader;
mod writer;

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use mosaic_domain::UnixMillis;
use mosaic_ports::{BlobError, BlobInfo, BlobName, BlobReader, BlobStore, BlobWriter, PresignedRead};
use uuid::Uuid;

use crate::blocking::blocking;
use disk::{Disk, OsDisk};
use error::{failed, unavailable};
use incoming::Incoming;
use writer::LocalWriter;

pub use error::OpenFolderError;

/// How long a health check may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// How a folder is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalSettings {
    /// The folder. It is made where there is none.
    pub root: PathBuf,
}

impl LocalSettings {
    /// The settings for a folder.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
}

/// Blobs in a folder of the machine: the docs of the module `local` say how.
pub struct LocalBlobs {
    folder: Arc<Folder>,
}

impl fmt::Debug for LocalBlobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalBlobs")
            .field("root", &self.folder.root)
            .finish_non_exhaustive()
    }
}

/// Where everything is.
pub(crate) struct Folder {
    root: PathBuf,
    incoming: Incoming,
    disk: Arc<dyn Disk>,
}

impl LocalBlobs {
    /// Opens a folder: makes it where there is none, and tries out whether the file system can do what is needed.
    ///
    /// # Errors
    /// [`OpenFolderError`].
    pub async fn open(settings: LocalSettings) -> Result<Self, OpenFolderError> {
        Self::open_on(settings, Arc::new(OsDisk)).await
    }

    pub(crate) async fn open_on(
        settings: LocalSettings,
        disk: Arc<dyn Disk>,
    ) -> Result<Self, OpenFolderError> {
        let root = settings.root.clone();
        let open = move || Folder::open(settings.root, disk);
        let folder = tokio::task::spawn_blocking(open)
            .await
            .unwrap_or_else(|error| Err(OpenFolderError::new(&root, io::Error::other(error))))?;
        Ok(Self {
            folder: Arc::new(folder),
        })
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Folder) -> Result<T, BlobError> + Send + 'static,
    ) -> Result<T, BlobError> {
        let folder = Arc::clone(&self.folder);
        blocking(move || work(&folder)).await
    }
}

impl Folder {
    fn open(root: PathBuf, disk: Arc<dyn Disk>) -> Result<Self, OpenFolderError> {
        let fails = |error| OpenFolderError::new(&root, error);
        let is_new = !root.is_dir();
        disk.make_dirs(&root).map_err(fails)?;
        if is_new && let Some(parent) = root.parent().filter(|parent| parent.is_dir()) {
            disk.sync_dir(parent).map_err(fails)?;
        }
        let incoming = Incoming::open(&root, Arc::clone(&disk)).map_err(fails)?;
        incoming.try_out().map_err(fails)?;
        disk.sync_dir(&root).map_err(fails)?;
        Ok(Self { root, incoming, disk })
    }

    fn user_dir(&self, name: BlobName) -> PathBuf {
        self.root.join(name.user.to_string())
    }

    fn shard_dir(&self, name: BlobName) -> PathBuf {
        self.user_dir(name).join(shard_of(name.id))
    }

    fn path(&self, name: BlobName) -> PathBuf {
        self.shard_dir(name).join(name.id.to_string())
    }

    /// Opens a blob for reading.
    fn open_blob(&self, name: BlobName) -> Result<Option<File>, BlobError> {
        let path = self.path(name);
        match File::open(&path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.mounted().map(|()| None),
            Err(error) => Err(failed("open", &path)(error)),
        }
    }

    fn info(&self, name: BlobName) -> Result<Option<BlobInfo>, BlobError> {
        let path = self.path(name);
        match fs::metadata(&path) {
            Ok(found) => Ok(Some(info(name, &found).map_err(failed("look at", &path))?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.mounted().map(|()| None),
            Err(error) => Err(failed("look at", &path)(error)),
        }
    }

    fn remove(&self, name: BlobName) -> Result<(), BlobError> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Ok(()) => {
                self.prune(name);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.mounted(),
            Err(error) => Err(failed("remove", &path)(error)),
        }
    }

    /// Removes the folders of a blob that is gone, where they are empty. A folder that is not stays, which is no failure; a
    /// writer that needs one makes it again.
    fn prune(&self, name: BlobName) {
        if fs::remove_dir(self.shard_dir(name)).is_ok() {
            fs::remove_dir(self.user_dir(name)).ok();
        }
    }

    /// Whether the folder is the one that was opened.
    fn mounted(&self) -> Result<(), BlobError> {
        let incoming = self.incoming.path();
        match fs::metadata(incoming) {
            Ok(found) if found.is_dir() => Ok(()),
            Ok(_) => Err(unavailable("look at", incoming)(
                io::ErrorKind::NotADirectory.into(),
            )),
            Err(error) => Err(unavailable("look at", incoming)(error)),
        }
    }
}

/// The folder of a blob among those of its user. Ids begin with the time at which they were made: a folder has those of fifty days.
fn shard_of(id: Uuid) -> String {
    let [first, second, ..] = id.into_bytes();
    format!("{first:02x}{second:02x}")
}

fn info(name: BlobName, found: &fs::Metadata) -> io::Result<BlobInfo> {
    Ok(BlobInfo {
        name,
        size: found.len(),
        stored_at: millis(found.modified()?),
    })
}

fn millis(time: SystemTime) -> UnixMillis {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMillis::clamped(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Removes a file, best effort: what can't be removed now, the next sweep removes.
fn discard(path: &Path) {
    fs::remove_file(path).ok();
}

#[async_trait]
impl BlobStore for LocalBlobs {
    async fn create(&self, name: BlobName) -> Result<Box<dyn BlobWriter>, BlobError> {
        let part = self.work(move |folder| folder.incoming.create(name)).await?;
        Ok(Box::new(LocalWriter::new(Arc::clone(&self.folder), name, part)))
    }

    async fn read(&self, name: BlobName, range: Option<Range<u64>>) -> Result<Option<BlobReader>, BlobError> {
        self.work(move |folder| {
            let path = folder.path(name);
            let file = folder.open_blob(name)?;
            file.map(|file| reader::read(file, path, range)).transpose()
        })
        .await
    }

    async fn info(&self, name: BlobName) -> Result<Option<BlobInfo>, BlobError> {
        self.work(move |folder| folder.info(name)).await
    }

    async fn remove(&self, name: BlobName) -> Result<(), BlobError> {
        self.work(move |folder| folder.remove(name)).await
    }

    async fn list(&self, after: Option<BlobName>, limit: u32) -> Result<Vec<BlobInfo>, BlobError> {
        self.work(move |folder| {
            folder.mounted()?;
            listing::list(&folder.root, after, limit as usize)
        })
        .await
    }

    async fn sweep(&self, before: UnixMillis) -> Result<u64, BlobError> {
        self.work(move |folder| folder.incoming.sweep(before)).await
    }

    async fn presign_read(&self, _: BlobName, _: PresignedRead) -> Result<Option<String>, BlobError> {
        Ok(None)
    }

    async fn presign_write(&self, _: BlobName, _: Duration) -> Result<Option<String>, BlobError> {
        Ok(None)
    }

    async fn check(&self) -> Result<(), BlobError> {
        let check = self.work(|folder| folder.incoming.check());
        tokio::time::timeout(CHECK_TIMEOUT, check)
            .await
            .unwrap_or_else(|elapsed| Err(BlobError::Unavailable(elapsed.into())))
    }
}

//! Writing a file, and making it a blob.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use mosaic_ports::{BlobError, BlobName, BlobWriter};
use tokio::runtime::Handle;

use super::error::failed;
use super::incoming::Part;
use super::{Folder, discard};
use crate::blocking::blocking;

/// How much is gathered before it is written.
const PIECE: usize = 256 * 1024;

/// How often the folders of a blob are made again when somebody removes them because they are empty.
const MAX_TRIES: usize = 100;

/// Holds at most one piece in memory, and what it is given while that is written.
pub(crate) struct LocalWriter {
    folder: Arc<Folder>,
    name: BlobName,
    /// `None` once something failed, and while it is lent to the blocking pool: it is gone then if nobody waits for it.
    part: Option<Part>,
    gathered: Vec<u8>,
    written: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("writing failed before")]
struct Broken;

impl LocalWriter {
    pub(crate) fn new(folder: Arc<Folder>, name: BlobName, part: Part) -> Self {
        Self {
            folder,
            name,
            part: Some(part),
            gathered: Vec::new(),
            written: 0,
        }
    }

    fn take(&mut self) -> Result<Part, BlobError> {
        self.part.take().ok_or_else(|| BlobError::Failed(Broken.into()))
    }
}

#[async_trait]
impl BlobWriter for LocalWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        let mut part = self.take()?;
        self.written += bytes.len() as u64;
        if self.gathered.len() + bytes.len() < PIECE {
            self.gathered.extend_from_slice(&bytes);
            self.part = Some(part);
            return Ok(());
        }
        let mut gathered = std::mem::take(&mut self.gathered);
        let folder = Arc::clone(&self.folder);
        (self.part, self.gathered) = blocking(move || {
            folder.append(&mut part, &gathered)?;
            folder.append(&mut part, &bytes)?;
            gathered.clear();
            Ok((Some(part), gathered))
        })
        .await?;
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<u64, BlobError> {
        let mut part = self.take()?;
        let gathered = std::mem::take(&mut self.gathered);
        let (folder, name, written) = (Arc::clone(&self.folder), self.name, self.written);
        blocking(move || {
            folder.append(&mut part, &gathered)?;
            folder
                .disk
                .sync_file(&part.file, written)
                .map_err(failed("bring to disk", &part.path))?;
            folder.publish(&part, name)?;
            Ok(written)
        })
        .await
    }
}

impl Drop for LocalWriter {
    fn drop(&mut self) {
        // Removing a file blocks. Where there is no runtime any more, it happens here.
        if let (Some(part), Ok(runtime)) = (self.part.take(), Handle::try_current()) {
            runtime.spawn_blocking(move || drop(part));
        }
    }
}

impl Folder {
    fn append(&self, part: &mut Part, bytes: &[u8]) -> Result<(), BlobError> {
        self.disk
            .write(&mut part.file, bytes)
            .map_err(failed("write", &part.path))
    }

    /// Makes a file that is on disk a blob.
    fn publish(&self, part: &Part, name: BlobName) -> Result<(), BlobError> {
        let path = self.path(name);
        self.mounted()?;
        self.link(part, name).map_err(failed("make a blob of", &path))?;
        let dirs = [&self.shard_dir(name), &self.user_dir(name), &self.root];
        for dir in dirs {
            if let Err(error) = self.disk.sync_dir(dir) {
                discard(&path);
                return Err(failed("bring to disk", dir)(error));
            }
        }
        Ok(())
    }

    fn link(&self, part: &Part, name: BlobName) -> io::Result<()> {
        let mut tries = 1;
        loop {
            let linked = self
                .disk
                .make_dirs(&self.shard_dir(name))
                .and_then(|()| self.disk.link(&part.path, &self.path(name)));
            match linked {
                Err(error) if error.kind() == io::ErrorKind::NotFound && tries < MAX_TRIES => tries += 1,
                other => return other,
            }
        }
    }
}

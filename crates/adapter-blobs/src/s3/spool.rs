//! What is not a part yet. Clients are slow, and there are many of them: a part that waits to become whole waits on the disk, in
//! a file without a name, and is in memory only while it is sent.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::error::Failure;

/// How much is gathered before it is written to the disk.
const PIECE: usize = 256 * 1024;

/// Bytes that are being gathered.
#[derive(Debug)]
pub(crate) struct Spool {
    dir: Arc<Path>,
    file: Option<File>,
    /// What comes after the file.
    memory: Vec<u8>,
    len: usize,
}

impl Spool {
    pub(crate) fn new(dir: &Arc<Path>) -> Self {
        Self {
            dir: Arc::clone(dir),
            file: None,
            memory: Vec::new(),
            len: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// What was gathered; a new part begins.
    pub(crate) fn take(&mut self) -> Self {
        let dir = Arc::clone(&self.dir);
        std::mem::replace(self, Self::new(&dir))
    }

    /// Adds bytes. After a failure, or when nobody waits for the end, what was gathered is gone.
    pub(crate) async fn add(&mut self, bytes: Bytes) -> Result<(), Failure> {
        self.len += bytes.len();
        if self.memory.len() + bytes.len() < PIECE {
            self.memory.extend_from_slice(&bytes);
            return Ok(());
        }
        let mut memory = std::mem::take(&mut self.memory);
        let (file, dir) = (self.file.take(), Arc::clone(&self.dir));
        let written = blocking(move || {
            let mut file = file.map_or_else(|| tempfile::tempfile_in(&dir), Ok)?;
            file.write_all(&memory)?;
            file.write_all(&bytes)?;
            memory.clear();
            Ok((file, memory))
        });
        let (file, memory) = written.await?;
        self.file = Some(file);
        self.memory = memory;
        Ok(())
    }

    /// All of it.
    pub(crate) async fn read(self) -> Result<Bytes, Failure> {
        let Self {
            file, memory, len, ..
        } = self;
        let Some(mut file) = file else {
            return Ok(memory.into());
        };
        blocking(move || {
            let mut bytes = Vec::with_capacity(len);
            file.rewind()?;
            file.read_to_end(&mut bytes)?;
            bytes.extend_from_slice(&memory);
            Ok(bytes.into())
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
        .map_err(Failure::Spool)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_gathered_comes_back_in_order_and_little_of_it_is_in_memory() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(&dir.path().into());
        let pieces =
            [1, PIECE - 1, 10, 3 * PIECE, 0, 7].map(|len| vec![u8::try_from(len % 251).unwrap(); len]);
        for piece in &pieces {
            spool.add(piece.clone().into()).await.unwrap();
            assert!(spool.memory.len() < PIECE);
        }
        let all = pieces.concat();
        assert_eq!(spool.len(), all.len());
        assert_eq!(spool.take().read().await.unwrap(), all);
        assert_eq!(spool.len(), 0);
        assert_eq!(spool.read().await.unwrap(), "");
        assert_eq!(
            std::fs::read_dir(dir.path()).unwrap().count(),
            0,
            "it has no name"
        );
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_a_failure() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(&dir.path().join("gone").into());
        let failure = spool.add(vec![0; PIECE].into()).await.unwrap_err();
        assert!(matches!(failure, Failure::Spool(_)), "{failure}");
    }
}

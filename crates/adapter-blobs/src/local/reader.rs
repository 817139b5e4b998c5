//! Reading a file in pieces, on the blocking pool.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;

use bytes::Bytes;
use futures_util::stream;
use mosaic_ports::{BlobError, BlobReader};

use super::error::failed;
use crate::blocking::blocking;

/// How much is read at once.
const PIECE: u64 = 256 * 1024;

/// Where a reader stands.
struct Reading {
    file: File,
    path: PathBuf,
    left: u64,
}

/// Begins to read an open file. Blocks.
pub(crate) fn read(
    mut file: File,
    path: PathBuf,
    range: Option<Range<u64>>,
) -> Result<BlobReader, BlobError> {
    let size = file.metadata().map_err(failed("look at", &path))?.len();
    let range = range.unwrap_or(0..size);
    let start = range.start.min(size);
    let left = range.end.min(size).saturating_sub(start);
    file.seek(SeekFrom::Start(start)).map_err(failed("read", &path))?;
    let reading = Reading { file, path, left };
    let bytes = stream::try_unfold(reading, |mut reading| async move {
        if reading.left == 0 {
            return Ok(None);
        }
        blocking(move || {
            let piece = reading.piece()?;
            Ok(Some((piece, reading)))
        })
        .await
    });
    Ok(BlobReader {
        size,
        bytes: Box::pin(bytes),
    })
}

impl Reading {
    fn piece(&mut self) -> Result<Bytes, BlobError> {
        let wanted = self.left.min(PIECE);
        let mut piece = Vec::with_capacity(usize::try_from(wanted).unwrap_or_default());
        let read = (&mut self.file)
            .take(wanted)
            .read_to_end(&mut piece)
            .map_err(failed("read", &self.path))?;
        self.left -= read as u64;
        if (read as u64) < wanted {
            // Somebody cut it off. What was read is not all that there was.
            return Err(failed("read", &self.path)(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(piece.into())
    }
}

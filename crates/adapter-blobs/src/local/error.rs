//! What goes wrong with files, and what the port says of it.

use std::io;
use std::path::{Path, PathBuf};

use mosaic_ports::BlobError;

/// Why a folder could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("{}: can't be the folder of the attachments", path.display())]
pub struct OpenFolderError {
    path: PathBuf,
    source: io::Error,
}

impl OpenFolderError {
    pub(crate) fn new(path: &Path, source: io::Error) -> Self {
        Self {
            path: path.to_owned(),
            source,
        }
    }
}

/// What was not done with which file.
#[derive(Debug, thiserror::Error)]
#[error("{}: can't {action} it", path.display())]
pub(crate) struct FileError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// For `map_err`: something that was not done with a file.
pub(crate) fn failed(action: &'static str, path: &Path) -> impl Fn(io::Error) -> BlobError {
    move |source| {
        let kind = source.kind();
        let exhausted = matches!(source.raw_os_error(), Some(23 | 24)); // ENFILE, EMFILE
        let error = FileError {
            action,
            path: path.to_owned(),
            source,
        };
        match kind {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => BlobError::Full(error.into()),
            io::ErrorKind::TimedOut
            | io::ErrorKind::StaleNetworkFileHandle
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NotConnected => BlobError::Unavailable(error.into()),
            _ if exhausted => BlobError::Unavailable(error.into()),
            _ => BlobError::Failed(error.into()),
        }
    }
}

/// For `map_err`: a file that is missing because its drive is.
pub(crate) fn unavailable(action: &'static str, path: &Path) -> impl Fn(io::Error) -> BlobError {
    move |source| {
        BlobError::Unavailable(
            FileError {
                action,
                path: path.to_owned(),
                source,
            }
            .into(),
        )
    }
}

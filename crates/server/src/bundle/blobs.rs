//! The attachments of a bundle.

use std::fs;
use std::io;
use std::path::Path;

use futures_util::TryStreamExt as _;
use mosaic_ports::{BlobError, BlobInfo, BlobName, BlobStore};
use tokio::sync::watch;

use super::BundleError;
use crate::screen::Gauge;
use crate::words::{counted, size};

/// How many names are asked for at once.
const NAMES_AT_ONCE: u32 = 1_000;

/// What became of attachments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Copied {
    /// How many files there are.
    pub(crate) files: u64,
    /// How many of them were copied now.
    pub(crate) new_files: u64,
    /// How many bytes these have.
    pub(crate) new_bytes: u64,
}

/// Gives all files of a folder, and of those in it, a second name in another one. Where the file system knows none, files are copied. No folder: nothing.
pub(super) fn link_tree(from: &Path, to: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    fs::create_dir(to)?;
    mosaic_adapter_sqlite::belong_to_folder(to);
    for entry in entries {
        let entry = entry?;
        let (path, place) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            link_tree(&path, &place)?;
        } else if fs::hard_link(&path, &place).is_err() {
            fs::copy(&path, &place)?;
            mosaic_adapter_sqlite::belong_to_folder(&place);
        }
    }
    // The new names survive a power cut, as those do that are copied.
    fs::File::open(to)?.sync_all()
}

/// Makes `to` hold what `from` holds: what is missing is copied, and what is not there any more goes.
pub(super) async fn copy_missing(
    from: &dyn BlobStore,
    to: &dyn BlobStore,
    gauge: &mut Gauge,
    stopping: &watch::Receiver<bool>,
) -> Result<Copied, BundleError> {
    let (mut wanted, mut held) = (Names::of(from), Names::of(to));
    let mut copied = Copied::default();
    let mut next_held = held.next().await?;
    while let Some(want) = wanted.next().await? {
        while let Some(have) = next_held.filter(|have| have.name < want.name) {
            to.remove(have.name).await?;
            next_held = held.next().await?;
        }
        let have = next_held.filter(|have| have.name == want.name);
        if have.is_some() {
            next_held = held.next().await?;
        }
        if have.is_none_or(|have| have.size != want.size) {
            if have.is_some() {
                to.remove(want.name).await?;
            }
            // What is removed meanwhile is named by nothing that is saved, or the comparison tells of it.
            if let Some(bytes) = copy(from, to, want.name).await? {
                copied.new_files += 1;
                copied.new_bytes += bytes;
            }
        }
        tell(&mut copied, gauge, stopping)?;
    }
    while let Some(have) = next_held {
        to.remove(have.name).await?;
        next_held = held.next().await?;
    }
    Ok(copied)
}

/// Brings what `to` does not hold. Nothing is removed or replaced.
pub(super) async fn bring_missing(
    from: &dyn BlobStore,
    to: &dyn BlobStore,
    gauge: &mut Gauge,
    stopping: &watch::Receiver<bool>,
) -> Result<Copied, BundleError> {
    let mut names = Names::of(from);
    let mut copied = Copied::default();
    while let Some(BlobInfo { name, .. }) = names.next().await? {
        if to.info(name).await?.is_none()
            && let Some(bytes) = copy(from, to, name).await?
        {
            copied.new_files += 1;
            copied.new_bytes += bytes;
        }
        tell(&mut copied, gauge, stopping)?;
    }
    Ok(copied)
}

fn tell(copied: &mut Copied, gauge: &mut Gauge, stopping: &watch::Receiver<bool>) -> Result<(), BundleError> {
    copied.files += 1;
    let said = format!(
        "{}, {} new",
        counted(copied.files, "file"),
        size(copied.new_bytes)
    );
    gauge.at(copied.files, said);
    if *stopping.borrow() {
        return Err(BundleError::Stopped);
    }
    Ok(())
}

/// Copies a blob; says how many bytes it has. `None`: it is gone.
async fn copy(from: &dyn BlobStore, to: &dyn BlobStore, name: BlobName) -> Result<Option<u64>, BlobError> {
    let Some(mut reader) = from.read(name, None).await? else {
        return Ok(None);
    };
    let mut writer = to.create(name).await?;
    while let Some(bytes) = reader.bytes.try_next().await? {
        writer.write(bytes).await?;
    }
    writer.finish().await.map(Some)
}

/// The blobs of a storage, one after the other.
struct Names<'a> {
    storage: &'a dyn BlobStore,
    page: std::vec::IntoIter<BlobInfo>,
    last: Option<BlobName>,
    is_done: bool,
}

impl<'a> Names<'a> {
    fn of(storage: &'a dyn BlobStore) -> Self {
        Self {
            storage,
            page: Vec::new().into_iter(),
            last: None,
            is_done: false,
        }
    }

    async fn next(&mut self) -> Result<Option<BlobInfo>, BlobError> {
        if let Some(info) = self.page.next() {
            return Ok(Some(info));
        }
        if self.is_done {
            return Ok(None);
        }
        let page = self.storage.list(self.last, NAMES_AT_ONCE).await?;
        self.is_done = page.is_empty();
        self.last = page.last().map(|info| info.name).or(self.last);
        self.page = page.into_iter();
        Ok(self.page.next())
    }
}

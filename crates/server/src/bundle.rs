//! Backups of everything: the embedded store and its attachments, in one folder for each moment, whole by itself.
//!
//! ```text
//! FOLDER/mosaic-2026-11-27T033000Z/mosaic.db      the database, one snapshot
//! FOLDER/mosaic-2026-11-27T033000Z/attachments/   as the folder of attachments has them
//! ```
//!
//! Attachments never change, so those that the last bundle has are linked, and only new ones take time and room.

mod blobs;
pub(crate) mod schedule;

use std::fs::{self, File, TryLockError};
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mosaic_adapter_blobs::{LocalBlobs, LocalSettings, OpenFolderError};
use mosaic_adapter_sqlite::{BackupError, BackupProgress, BackupSummary, Location};
use mosaic_adapter_system::SystemClock;
use mosaic_application::garbage::GarbageError;
use mosaic_domain::UnixMillis;
use mosaic_ports::{BlobError, BlobStore, Clock as _, StoreError};
use tokio::sync::watch;

pub(crate) use self::blobs::Copied;
use self::blobs::{copy_missing, link_tree};
use crate::config::{Config, DatabaseUrl};
use crate::doctor::{self, Report};
use crate::screen::Screen;
use crate::secrets;
use crate::storage::Storage;
use crate::wiring::{OpenStore, Opening, WiringError};

/// The database in a bundle.
pub(crate) const DATABASE: &str = "mosaic.db";
/// The folder of attachments in a bundle.
pub(crate) const ATTACHMENTS: &str = "attachments";
/// What the names of bundles begin with; then comes the moment.
const PREFIX: &str = "mosaic-";
/// What is being made, or going, is not whole.
const UNFINISHED: &str = ".unfinished-";

/// Why there is no bundle, or not a good one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BundleError {
    /// The folder, or something in it, can't be used.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else is at it.
    #[error("{}: another backup into this folder is under way", .0.display())]
    Busy(PathBuf),
    /// The work was broken off.
    #[error("the backup was broken off")]
    BrokenOff(#[source] tokio::task::JoinError),
    /// Somebody wanted it to end. Nothing is left of it.
    #[error("stopped before the backup was complete")]
    Stopped,
    /// The database can't be saved.
    #[error(transparent)]
    Database(#[from] BackupError),
    /// What was saved can't be opened.
    #[error("the backup can not be opened: {0}")]
    Scratch(WiringError),
    /// What was saved can't be read.
    #[error("the backup can not be read: {0}")]
    Unreadable(#[from] StoreError),
    /// The attachments can't be read.
    #[error(transparent)]
    Storage(#[from] WiringError),
    /// Attachments can't be copied.
    #[error("the attachments can not be saved: {0}")]
    Blobs(#[from] BlobError),
    /// The folder of the backup can't be used.
    #[error(transparent)]
    Folder(#[from] OpenFolderError),
    /// The backup can't be examined.
    #[error("the backup can not be examined: {0}")]
    Doctor(#[from] GarbageError),
}

fn io_of(path: &Path) -> impl FnOnce(io::Error) -> BundleError {
    let path = path.to_owned();
    move |source| BundleError::Io { path, source }
}

/// A bundle that was made.
#[derive(Debug)]
pub(crate) struct Bundle {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// What is in its database.
    pub(crate) database: BackupSummary,
    /// What became of attachments.
    pub(crate) copied: Copied,
    /// Whether records and attachments agree in it.
    pub(crate) report: Report,
    /// How many older bundles went.
    pub(crate) removed: usize,
}

/// Makes a bundle in `folder`, whether a server runs or not, and removes the oldest beyond `keep`. It was opened as a store and examined
/// before it got its name; one that lacks what the server lacks, too, stays, and its report says so.
///
/// # Errors
/// [`BundleError`]; nothing is left of it.
pub(crate) async fn take(
    config: &Config,
    folder: &Path,
    keep: NonZeroU32,
    screen: &Screen,
    stopping: &watch::Receiver<bool>,
) -> Result<Bundle, BundleError> {
    let place = folder.to_owned();
    let (lock, draft, last) = on_disk(move || begin(&place)).await?;
    let made = make(config, &draft.path, last.as_deref(), screen, stopping).await;
    on_disk(move || {
        // What is not published goes, and the lock after it.
        let (_lock, draft) = (lock, draft);
        let (database, copied, report) = made?;
        let path = draft.publish()?;
        Ok(Bundle {
            database: BackupSummary {
                path: path.join(DATABASE),
                ..database
            },
            removed: prune(path.parent().unwrap_or(&path), keep)?,
            path,
            copied,
            report,
        })
    })
    .await
}

/// Works on files, which may be many, or large, or on a slow disk: nobody else waits for that.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BundleError> + Send + 'static,
) -> Result<T, BundleError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(BundleError::BrokenOff(error)))
}

/// What a bundle begins with: the lock of its folder, its own folder, and the bundle before.
fn begin(folder: &Path) -> Result<(File, Draft, Option<PathBuf>), BundleError> {
    secrets::create_private_dir(folder).map_err(WiringError::from)?;
    let lock = lock(folder)?;
    clear(folder)?;
    let last = bundles(folder)?.pop();
    Ok((lock, Draft::begin(folder, &name_now())?, last))
}

/// Puts everything into the folder of a bundle.
async fn make(
    config: &Config,
    bundle: &Path,
    last: Option<&Path>,
    screen: &Screen,
    stopping: &watch::Receiver<bool>,
) -> Result<(BackupSummary, Copied, Report), BundleError> {
    let database = save_database(config, bundle.join(DATABASE), screen).await?;
    let scratch = Scratch::of(config, bundle).await?;
    let filled = fill(config, bundle, last, &scratch.store, screen, stopping).await;
    scratch.close().await?;
    let (copied, report) = filled?;
    if !report.is_whole {
        return Err(BundleError::Stopped);
    }
    Ok((database, copied, report))
}

async fn save_database(
    config: &Config,
    target: PathBuf,
    screen: &Screen,
) -> Result<BackupSummary, BundleError> {
    let location = match &config.database {
        DatabaseUrl::SqliteFile(path) => Location::File(path.clone()),
        DatabaseUrl::SqliteMemory | DatabaseUrl::Postgres(_) => Location::Memory,
    };
    let screen = screen.clone();
    let mut gauge = screen.gauge("copying", 0);
    let tell = move |progress| {
        if let BackupProgress::Copying { pages, of } = progress {
            gauge.total(of);
            gauge.at(pages, "the database");
        }
    };
    Ok(mosaic_adapter_sqlite::backup(location, target, tell).await?)
}

/// Puts the attachments beside the database, and compares the two.
async fn fill(
    config: &Config,
    bundle: &Path,
    last: Option<&Path>,
    store: &OpenStore,
    screen: &Screen,
    stopping: &watch::Receiver<bool>,
) -> Result<(Copied, Report), BundleError> {
    let attachments = bundle.join(ATTACHMENTS);
    if let Some(last) = last {
        let (from, to) = (last.join(ATTACHMENTS), attachments.clone());
        on_disk(move || link_tree(&from, &to).map_err(io_of(&to))).await?;
    }
    let blobs = LocalBlobs::open(LocalSettings::new(&attachments)).await?;
    let blobs: Arc<dyn BlobStore> = Arc::new(blobs);
    let mut copied = Copied::default();
    // Whoever brings a file has named the storage before.
    if store.ports.identity.storage().await?.is_some() {
        let storage = Storage::open(config, &store.ports, Opening::Existing).await;
        let storage = storage.map_err(WiringError::from)?;
        let mut gauge = screen.gauge("copying", 0);
        copied = copy_missing(storage.blobs.as_ref(), blobs.as_ref(), &mut gauge, stopping).await?;
    }
    let report = doctor::look(&store.ports, &blobs, true, screen, stopping).await?;
    Ok((copied, report))
}

/// A copy of a bundle's database, opened as a server would: what can't be restored is no backup.
struct Scratch {
    folder: PathBuf,
    store: OpenStore,
}

impl Scratch {
    async fn of(config: &Config, bundle: &Path) -> Result<Self, BundleError> {
        let folder = bundle.join(".scratch");
        let (saved, database) = (bundle.join(DATABASE), folder.join(DATABASE));
        let (place, copy) = (folder.clone(), database.clone());
        on_disk(move || {
            fs::create_dir(&place).map_err(io_of(&place))?;
            fs::copy(saved, &copy).map(drop).map_err(io_of(&copy))
        })
        .await?;
        // One of an older version is brought up to date, as a restored one is.
        let database = DatabaseUrl::SqliteFile(database);
        let store = OpenStore::open(config, &database, Opening::Create).await;
        Ok(Self {
            folder,
            store: store.map_err(BundleError::Scratch)?,
        })
    }

    async fn close(self) -> Result<(), BundleError> {
        self.store.close().await;
        on_disk(move || fs::remove_dir_all(&self.folder).map_err(io_of(&self.folder))).await
    }
}

/// A bundle that is being made. It goes if it is not published.
struct Draft {
    path: PathBuf,
    /// What it will be.
    place: PathBuf,
}

impl Draft {
    fn begin(folder: &Path, name: &str) -> Result<Self, BundleError> {
        let path = folder.join(format!("{UNFINISHED}{name}"));
        secrets::create_private_dir(&path).map_err(WiringError::from)?;
        Ok(Self {
            path,
            place: folder.join(name),
        })
    }

    /// Gives it its name, which survives a power cut; returns where it is.
    fn publish(self) -> Result<PathBuf, BundleError> {
        let published = sync_folder(&self.path)
            .and_then(|()| fs::rename(&self.path, &self.place))
            .and_then(|()| self.place.parent().map_or(Ok(()), sync_folder));
        published.map_err(io_of(&self.place))?;
        Ok(self.place.clone())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Gone already where it was published. What can't be removed now goes with the next backup.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Nobody else makes or removes bundles there as long as the file is open.
fn lock(folder: &Path) -> Result<File, BundleError> {
    let path = folder.join(".lock");
    let file = File::create(&path).map_err(io_of(&path))?;
    mosaic_adapter_sqlite::belong_to_folder(&path);
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(BundleError::Busy(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(io_of(&path)(error)),
    }
}

/// Removes what was begun, or was going, when a process was killed.
fn clear(folder: &Path) -> Result<(), BundleError> {
    for path in entries(folder, UNFINISHED)? {
        fs::remove_dir_all(&path).map_err(io_of(&path))?;
    }
    Ok(())
}

/// The bundles in a folder, the newest last.
pub(crate) fn bundles(folder: &Path) -> Result<Vec<PathBuf>, BundleError> {
    let mut found = entries(folder, PREFIX)?;
    found.retain(|path| moment_of(path).is_some() && path.join(DATABASE).is_file());
    found.sort();
    Ok(found)
}

/// When the newest bundle in a folder was begun; `None` where there is none, or no folder. Looks at files.
///
/// # Errors
/// The folder can't be read.
pub(crate) fn newest(folder: &Path) -> Result<Option<UnixMillis>, BundleError> {
    match folder.try_exists() {
        Ok(true) => Ok(bundles(folder)?.last().and_then(|path| moment_of(path))),
        _ => Ok(None),
    }
}

fn entries(folder: &Path, prefix: &str) -> Result<Vec<PathBuf>, BundleError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(io_of(folder))? {
        let entry = entry.map_err(io_of(folder))?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn prune(folder: &Path, keep: NonZeroU32) -> Result<usize, BundleError> {
    let all = bundles(folder)?;
    let over = all
        .len()
        .saturating_sub(usize::try_from(keep.get()).unwrap_or(usize::MAX));
    for path in &all[..over] {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // Half of a bundle must not look like one.
        let going = folder.join(format!("{UNFINISHED}{name}"));
        fs::rename(path, &going).map_err(io_of(path))?;
        fs::remove_dir_all(&going).map_err(io_of(&going))?;
    }
    Ok(over)
}

fn name_now() -> String {
    format!("{PREFIX}{}", SystemClock.now().label())
}

/// When a bundle was begun, by its name.
fn moment_of(bundle: &Path) -> Option<UnixMillis> {
    UnixMillis::of_label(bundle.file_name()?.to_str()?.strip_prefix(PREFIX)?)
}

/// Brings the attachments of a bundle that are not in the storage there. What is there stays.
///
/// # Errors
/// [`BundleError`]. What was brought stays; the next call goes on.
pub(crate) async fn put_back(
    bundle: &Path,
    storage: &dyn BlobStore,
    screen: &Screen,
) -> Result<Copied, BundleError> {
    let from = LocalBlobs::open(LocalSettings::new(bundle.join(ATTACHMENTS))).await?;
    let (_never, stopping) = watch::channel(false);
    let mut gauge = screen.gauge("copying", 0);
    blobs::bring_missing(&from, storage, &mut gauge, &stopping).await
}

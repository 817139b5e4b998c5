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
    secrets::create_private_dir(folder).map_err(WiringError::from)?;
    let _lock = lock(folder)?;
    clear(folder)?;
    let last = bundles(folder)?.pop();
    let name = name_now();
    let draft = Draft::begin(folder.join(format!("{UNFINISHED}{name}")))?;
    let database = save_database(config, draft.0.join(DATABASE), screen).await?;
    let scratch = Scratch::of(config, &draft.0).await?;
    let filled = fill(
        config,
        &draft.0,
        last.as_deref(),
        &scratch.store,
        screen,
        stopping,
    )
    .await;
    scratch.close().await?;
    let (copied, report) = filled?;
    if !report.is_whole {
        return Err(BundleError::Stopped);
    }
    let path = folder.join(name);
    draft.publish(&path)?;
    let removed = prune(folder, keep)?;
    Ok(Bundle {
        database: BackupSummary {
            path: path.join(DATABASE),
            ..database
        },
        path,
        copied,
        report,
        removed,
    })
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
        let linked = tokio::task::spawn_blocking(move || link_tree(&from, &to)).await;
        let linked = linked.unwrap_or_else(|error| Err(io::Error::other(error)));
        linked.map_err(io_of(&attachments))?;
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
        fs::create_dir(&folder).map_err(io_of(&folder))?;
        let database = folder.join(DATABASE);
        fs::copy(bundle.join(DATABASE), &database).map_err(io_of(&database))?;
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
        fs::remove_dir_all(&self.folder).map_err(io_of(&self.folder))
    }
}

/// A bundle that is being made. It goes if it is not published.
struct Draft(PathBuf);

impl Draft {
    fn begin(path: PathBuf) -> Result<Self, BundleError> {
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        {
            use std::os::unix::fs::DirBuilderExt as _;
            builder.mode(0o700);
        }
        builder.create(&path).map_err(io_of(&path))?;
        mosaic_adapter_sqlite::belong_to_folder(&path);
        Ok(Self(path))
    }

    /// Gives it its name, which survives a power cut.
    fn publish(self, path: &Path) -> Result<(), BundleError> {
        let published = sync_folder(&self.0)
            .and_then(|()| fs::rename(&self.0, path))
            .and_then(|()| path.parent().map_or(Ok(()), sync_folder));
        published.map_err(io_of(path))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Gone already where it was published. What can't be removed now goes with the next backup.
        let _ = fs::remove_dir_all(&self.0);
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

/// When the newest bundle in a folder was begun; `None` where there is none, or no folder.
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

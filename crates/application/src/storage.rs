//! That the storage of blobs is the one that the store of records knows.
//!
//! A folder whose drive is not mounted, or another bucket, looks like storage in which everything is missing: files would be taken
//! for lost, uploaded again to the wrong place, and what is in the right place be taken for waste later. So the storage has a
//! name, which the store keeps, and which a small blob in the storage proves. Where the two do not agree, nothing is read,
//! written or removed.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use mosaic_domain::high_water::HighWaterMark;
use mosaic_domain::{UnixMillis, UserId};
use mosaic_ports::{
    BlobError, BlobInfo, BlobName, BlobReader, BlobStore, BlobWriter, IdGenerator, PresignedRead, StoreError,
    StoreIdentity,
};
use tokio::sync::OnceCell;
use uuid::Uuid;

/// Whose the blobs are that prove names, or remember: nobody's.
pub(crate) const MARKERS: UserId = UserId::new(Uuid::nil());

/// What such a blob says to a person who finds it.
const SAYS: &str = "This storage belongs to a Mosaic server. Do not remove this file.\n";

/// So many of them are asked for at once, so many times, and they have at most so many bytes.
const MARKERS_AT_ONCE: u32 = 32;
const MOST_PAGES: usize = 32;
const LONGEST_MARKER: u64 = 4_096;

/// The storage is another one.
#[derive(Debug, thiserror::Error)]
#[error(
    "the storage of attachments is not the one that the database belongs to (is a drive not mounted, or another bucket configured?). \
     If it is meant to be this one: mosaic doctor --accept-storage"
)]
struct WrongStorage;

/// The store has no name for the storage yet, and the storage holds files: of a store that was lost, or of another one.
#[derive(Debug, thiserror::Error)]
#[error(
    "the storage of attachments holds files, and the database knows nothing of them: was it emptied or lost, or is it another one? \
     Restore it from a backup (mosaic restore FILE, or pg_restore). If they belong together all the same: \
     mosaic doctor --accept-storage. To begin anew, move the files elsewhere"
)]
pub struct LostStore;

/// Storage that is used only if it is the right one.
pub struct VerifiedStorage {
    storage: Arc<dyn BlobStore>,
    store: Arc<dyn StoreIdentity>,
    ids: Arc<dyn IdGenerator>,
    proved: OnceCell<()>,
}

impl VerifiedStorage {
    /// Nothing is asked yet: the first use does.
    pub fn new(
        storage: Arc<dyn BlobStore>,
        store: Arc<dyn StoreIdentity>,
        ids: Arc<dyn IdGenerator>,
    ) -> Self {
        Self {
            storage,
            store,
            ids,
            proved: OnceCell::new(),
        }
    }

    /// Whether the storage holds files that a store without a name for it can't have brought: whoever brings some has named
    /// it before.
    ///
    /// # Errors
    /// [`BlobError`].
    pub async fn holds_files_of_another_store(&self) -> Result<bool, BlobError> {
        let is_named = self.store.storage().await.map_err(unknown)?.is_some();
        Ok(!is_named && self.holds_files().await?)
    }

    async fn holds_files(&self) -> Result<bool, BlobError> {
        // Markers alone are no files: two instances that start together may each make one.
        let last_marker = marker(Uuid::max());
        Ok(!self.storage.list(Some(last_marker), 1).await?.is_empty())
    }

    /// Makes this storage the one that the store belongs to, whatever was before.
    ///
    /// # Errors
    /// [`BlobError`].
    pub async fn accept(&self) -> Result<(), BlobError> {
        let name = match self.store.storage().await.map_err(unknown)? {
            Some(name) => name,
            None => self.store.name_storage(self.ids.next()).await.map_err(unknown)?,
        };
        if self.storage.info(marker(name)).await?.is_none() {
            self.prove_by(name).await?;
        }
        Ok(())
    }

    /// What the storage remembers of how far databases had come (R2): more than one where instances wrote at the same time.
    ///
    /// # Errors
    /// [`BlobError`].
    pub async fn marks(&self) -> Result<Vec<HighWaterMark>, BlobError> {
        Ok(self
            .kept_marks()
            .await?
            .into_iter()
            .map(|(_, mark)| mark)
            .collect())
    }

    /// Has the storage remember this, in the place of what it remembered of that database. That goes first: where nothing can be removed,
    /// nothing piles up.
    ///
    /// # Errors
    /// [`BlobError`].
    pub async fn keep_mark(&self, mark: &HighWaterMark) -> Result<(), BlobError> {
        let text = serde_json::to_vec(mark).map_err(|error| BlobError::Unavailable(error.into()))?;
        let before = self.kept_marks().await?;
        for (name, _) in before.iter().filter(|(_, kept)| kept.store() == mark.store()) {
            self.storage.remove(*name).await?;
        }
        self.put(self.ids.next(), text.into()).await
    }

    async fn kept_marks(&self) -> Result<Vec<(BlobName, HighWaterMark)>, BlobError> {
        let storage = self.right().await?;
        let (mut marks, mut after) = (Vec::new(), None);
        for _ in 0..MOST_PAGES {
            let page = storage.list(after, MARKERS_AT_ONCE).await?;
            for info in page.iter().filter(|info| info.name.user == MARKERS) {
                if let Some(text) = self.read_marker(info).await? {
                    // The others prove names.
                    marks.extend(serde_json::from_slice(&text).ok().map(|mark| (info.name, mark)));
                }
            }
            after = page.last().map(|info| info.name);
            if after.is_none_or(|last| last.user != MARKERS) {
                break;
            }
        }
        Ok(marks)
    }

    async fn read_marker(&self, info: &BlobInfo) -> Result<Option<Vec<u8>>, BlobError> {
        if info.size > LONGEST_MARKER {
            return Ok(None);
        }
        let Some(mut reader) = self.storage.read(info.name, None).await? else {
            return Ok(None);
        };
        let mut text = Vec::new();
        while let Some(bytes) = reader.bytes.next().await {
            text.extend_from_slice(&bytes?);
        }
        Ok(Some(text))
    }

    async fn right(&self) -> Result<&dyn BlobStore, BlobError> {
        self.proved.get_or_try_init(|| self.prove()).await?;
        Ok(self.storage.as_ref())
    }

    async fn prove(&self) -> Result<(), BlobError> {
        let name = match self.store.storage().await.map_err(unknown)? {
            Some(name) => name,
            None => self.give_a_name().await?,
        };
        match self.storage.info(marker(name)).await? {
            Some(_) => Ok(()),
            None => Err(BlobError::Unavailable(WrongStorage.into())),
        }
    }

    /// The proof comes first, so that there is no name without one.
    async fn give_a_name(&self) -> Result<Uuid, BlobError> {
        if self.holds_files().await? {
            return Err(BlobError::Unavailable(LostStore.into()));
        }
        let ours = self.ids.next();
        self.prove_by(ours).await?;
        let name = self.store.name_storage(ours).await.map_err(unknown)?;
        if name != ours {
            self.storage.remove(marker(ours)).await?;
        }
        Ok(name)
    }

    async fn prove_by(&self, name: Uuid) -> Result<(), BlobError> {
        self.put(name, Bytes::from_static(SAYS.as_bytes())).await
    }

    async fn put(&self, name: Uuid, bytes: Bytes) -> Result<(), BlobError> {
        let mut writer = self.storage.create(marker(name)).await?;
        writer.write(bytes).await?;
        writer.finish().await.map(drop)
    }
}

const fn marker(name: Uuid) -> BlobName {
    BlobName {
        user: MARKERS,
        id: name,
    }
}

/// As long as the store does not say which storage is the right one, none is.
fn unknown(error: StoreError) -> BlobError {
    BlobError::Unavailable(error.into())
}

#[async_trait]
impl BlobStore for VerifiedStorage {
    async fn create(&self, name: BlobName) -> Result<Box<dyn BlobWriter>, BlobError> {
        self.right().await?.create(name).await
    }

    async fn read(&self, name: BlobName, range: Option<Range<u64>>) -> Result<Option<BlobReader>, BlobError> {
        self.right().await?.read(name, range).await
    }

    async fn info(&self, name: BlobName) -> Result<Option<BlobInfo>, BlobError> {
        self.right().await?.info(name).await
    }

    async fn remove(&self, name: BlobName) -> Result<(), BlobError> {
        self.right().await?.remove(name).await
    }

    async fn list(&self, after: Option<BlobName>, limit: u32) -> Result<Vec<BlobInfo>, BlobError> {
        self.right().await?.list(after, limit).await
    }

    async fn sweep(&self, before: UnixMillis) -> Result<u64, BlobError> {
        self.right().await?.sweep(before).await
    }

    async fn presign_read(&self, name: BlobName, read: PresignedRead) -> Result<Option<String>, BlobError> {
        self.right().await?.presign_read(name, read).await
    }

    async fn presign_write(&self, name: BlobName, expires_in: Duration) -> Result<Option<String>, BlobError> {
        self.right().await?.presign_write(name, expires_in).await
    }

    async fn check(&self) -> Result<(), BlobError> {
        // Its own check takes a moment at most; a proof may have to wait for as long as a request may take.
        self.storage.check().await?;
        self.right().await.map(drop)
    }
}

impl std::fmt::Debug for VerifiedStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("VerifiedStorage")
    }
}

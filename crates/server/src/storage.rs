//! The storage of attachments that the configuration names, and what is done with it beside the store of the records.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mosaic_adapter_blobs::{
    LocalBlobs, LocalSettings, OpenFolderError, S3Blobs, S3Settings, S3SettingsError,
};
use mosaic_adapter_system::{SystemClock, UuidV7Ids};
use mosaic_application::garbage::GarbageCollector;
use mosaic_application::storage::{LostStore, VerifiedStorage};
use mosaic_domain::entity::StorageType;
use mosaic_ports::{BlobError, BlobStore, Health, MissingPart, StoreError, Stores};
use tempfile::TempDir;

use crate::config::{BucketConfig, Config, Endpoint, StorageConfig};
use crate::metrics::CountedBlobs;
use crate::wiring::Opening;

/// How long the store and the storage of attachments may take to say that they work.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// Why attachments can't be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StorageError {
    /// The folder can't be used.
    #[error("attachments.folder (--attachments-folder, MOSAIC_ATTACHMENTS_FOLDER) can not be used: {0}")]
    Folder(#[from] OpenFolderError),
    /// There is no folder, and none was to be made.
    #[error(
        "{}: there is no such folder. Is its drive mounted, and is it the right place (attachments.folder, \
         --attachments-folder, MOSAIC_ATTACHMENTS_FOLDER)? `mosaic serve` makes a new one", .0.display()
    )]
    Absent(PathBuf),
    /// There is no temporary folder.
    #[error("no temporary folder can be made for the attachments: {0}")]
    Temporary(io::Error),
    /// The settings of S3 can't be used.
    #[error("the keys attachments.s3_... can not be used: {0}")]
    S3(#[from] S3SettingsError),
}

/// The storage of attachments of one store, open. Where that belongs to another storage, nothing can be done with this one.
#[derive(Clone)]
pub(crate) struct Storage {
    /// Where bytes are.
    pub(crate) blobs: Arc<dyn BlobStore>,
    /// The same.
    pub(crate) verified: Arc<VerifiedStorage>,
    /// What is counted of it.
    pub(crate) figures: Arc<CountedBlobs>,
    /// What records call it.
    pub(crate) kind: StorageType,
    /// Goes when nobody uses it any more, as the store in memory does.
    _folder: Option<Arc<TempDir>>,
}

impl Storage {
    /// The storage of this configuration as it is, whichever store it belongs to.
    ///
    /// # Errors
    /// [`StorageError`].
    pub(crate) async fn unverified(config: &Config) -> Result<Arc<dyn BlobStore>, StorageError> {
        Ok(open(config, Opening::Create).await?.0)
    }

    /// Opens the storage for a store. A folder is made where there is none and one may be made, and tried out. S3 is not asked for anything: where it is
    /// away, everything but attachments works.
    ///
    /// # Errors
    /// [`StorageError`].
    pub(crate) async fn open(
        config: &Config,
        store: &Stores,
        opening: Opening,
    ) -> Result<Self, StorageError> {
        let (blobs, kind, folder) = open(config, opening).await?;
        let figures = Arc::new(CountedBlobs::new(blobs));
        let verified = VerifiedStorage::new(
            Arc::clone(&figures) as _,
            Arc::clone(&store.identity),
            Arc::new(UuidV7Ids),
        );
        let verified = Arc::new(verified);
        Ok(Self {
            blobs: Arc::clone(&verified) as _,
            verified,
            figures,
            kind,
            _folder: folder,
        })
    }

    /// Fails where the storage holds files and the store knows nothing of them: it was emptied or lost. A storage that does
    /// not answer soon is asked again when it is first used.
    ///
    /// # Errors
    /// [`LostStore`].
    pub(crate) async fn refuse_lost_store(&self) -> Result<(), LostStore> {
        let looked = self.verified.holds_files_of_another_store();
        match tokio::time::timeout(CHECK_TIMEOUT, looked).await {
            Ok(Ok(true)) => Err(LostStore),
            Ok(Ok(false) | Err(_)) | Err(_) => Ok(()),
        }
    }

    /// Makes this storage the one that the store belongs to.
    ///
    /// # Errors
    /// [`BlobError`].
    pub(crate) async fn accept(&self) -> Result<(), BlobError> {
        self.verified.accept().await
    }

    /// The use case that removes bytes which the records of that store don't need.
    pub(crate) fn garbage(&self, store: &Stores) -> GarbageCollector {
        GarbageCollector::new(
            Arc::clone(&store.orphans),
            Arc::clone(&store.uploads),
            Arc::clone(&self.blobs),
            Arc::new(SystemClock),
        )
    }

    /// Whether both the store and this storage can work.
    pub(crate) fn health(&self, store: &Stores) -> Arc<dyn Health> {
        Arc::new(CompositeHealth {
            store: Arc::clone(&store.health),
            blobs: Arc::clone(&self.blobs),
        })
    }
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Storage")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

type Opened = (Arc<dyn BlobStore>, StorageType, Option<Arc<TempDir>>);

async fn open(config: &Config, opening: Opening) -> Result<Opened, StorageError> {
    let (path, temporary) = match &config.storage {
        StorageConfig::S3(bucket) => {
            let blobs = S3Blobs::new(&s3_settings(config, bucket))?;
            return Ok((Arc::new(blobs), StorageType::S3, None));
        }
        StorageConfig::Folder(path) if opening == Opening::Existing && !path.is_dir() => {
            return Err(StorageError::Absent(path.clone()));
        }
        StorageConfig::Folder(path) => (path.clone(), None),
        StorageConfig::Temporary => {
            let folder = TempDir::with_prefix("mosaic-attachments-").map_err(StorageError::Temporary)?;
            (folder.path().to_owned(), Some(Arc::new(folder)))
        }
    };
    let blobs = LocalBlobs::open(LocalSettings::new(path)).await?;
    Ok((Arc::new(blobs), StorageType::Local, temporary))
}

fn s3_settings(config: &Config, bucket: &BucketConfig) -> S3Settings {
    let s3 = &bucket.s3;
    let address = |endpoint: &Endpoint| endpoint.as_str().to_owned();
    S3Settings {
        endpoint: s3.endpoint.as_ref().map(address),
        public_endpoint: s3.public_endpoint.as_ref().map(address),
        allow_http: s3.allow_http,
        path_style: bucket.path_style,
        prefix: s3.prefix.as_str().to_owned(),
        attempt_timeout: s3.timeout,
        timeout: s3.timeout * 3,
        // Parts of uploads wait here, in files without names. A folder of the machine's may be kept in memory.
        spool: config.server.data_dir.clone(),
        ..S3Settings::new(
            bucket.name.as_str(),
            s3.region.as_str(),
            bucket.access_key_id.as_str(),
            bucket.secret_access_key.clone(),
        )
    }
}

/// The store of the records and the storage of attachments together.
struct CompositeHealth {
    store: Arc<dyn Health>,
    blobs: Arc<dyn BlobStore>,
}

#[async_trait]
impl Health for CompositeHealth {
    async fn check(&self) -> Result<Vec<MissingPart>, StoreError> {
        // Both at once: whoever asks waits for so long and no longer.
        let (store, blobs) = tokio::join!(
            tokio::time::timeout(CHECK_TIMEOUT, self.store.check()),
            // Whether the storage is the right one may have to be asked first.
            tokio::time::timeout(CHECK_TIMEOUT, self.blobs.check()),
        );
        let mut missing = store.unwrap_or_else(|elapsed| Err(StoreError::Unavailable(elapsed.into())))?;
        let blobs = blobs.unwrap_or_else(|elapsed| Err(BlobError::Unavailable(elapsed.into())));
        if let Err(error) = blobs {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "the storage of attachments is not ready"
            );
            missing.push(MissingPart::Attachments);
        }
        Ok(missing)
    }
}

#[cfg(test)]
mod tests {
    use mosaic_ports::{MockBlobStore, MockHealth};

    use super::*;

    #[tokio::test]
    async fn a_server_is_ready_where_store_and_storage_are() {
        for (store_works, blobs_work, said) in [
            (true, true, Some(vec![MissingPart::Machines])),
            (
                true,
                false,
                Some(vec![MissingPart::Machines, MissingPart::Attachments]),
            ),
            (false, true, None),
        ] {
            let (mut store, mut blobs) = (MockHealth::new(), MockBlobStore::new());
            store.expect_check().returning(move || {
                let away = || StoreError::Unavailable("the database is away".into());
                store_works.then(|| vec![MissingPart::Machines]).ok_or_else(away)
            });
            blobs.expect_check().returning(move || {
                let away = || BlobError::Unavailable("connection refused".into());
                blobs_work.then_some(()).ok_or_else(away)
            });
            let both = CompositeHealth {
                store: Arc::new(store),
                blobs: Arc::new(blobs),
            };
            assert_eq!(both.check().await.ok(), said);
        }
    }
}

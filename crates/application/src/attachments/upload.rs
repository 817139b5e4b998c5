//! A file becomes a resource.

use mosaic_domain::entity::{FileSize, Filename, KeptObject, MimeType, Resource, ResourcePatch};
use mosaic_domain::{Live, MemoId, Record, RecordKey, ResourceId, UserId};

use super::{Attachments, BlobIngest, StoredBlob};
use crate::error::AppError;
use crate::records::EditBy;

/// Where the metadata of a resource says what its file was said to be, when its bytes were something else.
const DECLARED: &str = "declaredMimeType";

/// What is said of a file beside its bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct NewFile {
    /// The resource that it becomes: a new one, or one that is there and has no bytes yet. Without it, a new one.
    pub id: Option<ResourceId>,
    /// The memo that it belongs to.
    pub memo_id: Option<MemoId>,
    /// Its name.
    pub filename: Filename,
    /// What it is said to be.
    pub declared: Option<MimeType>,
    /// What the app keeps with it.
    pub metadata: Option<KeptObject>,
}

impl Attachments {
    /// Finds out before the bytes are read what would make them useless: a memo that does not exist, a resource that is
    /// deleted, no room for as many bytes as it has at least (`announced`). Where the resource has its bytes already, it may be an upload that
    /// is sent again, which takes no room.
    ///
    /// # Errors
    /// [`AppError::UnknownMemo`], [`AppError::Deleted`], [`AppError::FileTooLarge`], [`AppError::QuotaExceeded`], or a store's
    /// error.
    pub async fn check(&self, by: &EditBy, file: &NewFile, announced: Option<u64>) -> Result<(), AppError> {
        let stored = self.stored(by, file).await?;
        let has_bytes = stored.is_some_and(|stored| stored.content.sha256.is_some());
        match announced {
            Some(announced) if !has_bytes => self.check_room(by.user, announced).await,
            _ => Ok(()),
        }
    }

    async fn check_room(&self, user: UserId, announced: u64) -> Result<(), AppError> {
        self.fits_file(announced)?;
        let usage = self.ports.contents.usage(user).await?;
        let quota = self.limits.user_bytes;
        if usage.has_room_for(announced, quota) {
            return Ok(());
        }
        Err(AppError::QuotaExceeded {
            used: usage.total(),
            quota: usage.quota.of_attachments(quota),
        })
    }

    /// Ends a file and makes it the content of a resource, as [`Attachments::add`] does, on a task of its own: a client that goes
    /// away after its last byte does not interrupt it.
    ///
    /// # Errors
    /// As [`Attachments::add`], or the storage's error.
    pub async fn complete(
        &self,
        by: EditBy,
        file: NewFile,
        ingest: BlobIngest,
    ) -> Result<Live<Resource>, AppError> {
        let this = self.clone();
        let work = async move { this.add(&by, file, ingest.finish().await?).await };
        crate::joined(tokio::spawn(work).await)
    }

    /// Makes what was received the content of a resource, which is written now; it syncs like any other. Sent again with the
    /// same `id`, it changes nothing (W3).
    ///
    /// # Errors
    /// [`AppError::QuotaExceeded`], [`AppError::UnknownMemo`], [`AppError::Deleted`], [`AppError::OtherContent`], and those of
    /// any edit. No record was written then, and the bytes are no longer there, or go with the next purge.
    pub async fn add(
        &self,
        by: &EditBy,
        file: NewFile,
        received: StoredBlob,
    ) -> Result<Live<Resource>, AppError> {
        let stored = match self.stored(by, &file).await {
            Ok(stored) => stored,
            Err(error) => {
                self.discard(received.blob).await;
                return Err(error);
            }
        };
        if let Some(stored) = &stored
            && stored.content.sha256.is_some_and(|has| has != received.sha256)
        {
            self.discard(received.blob).await;
            return Err(AppError::OtherContent);
        }
        self.keep(&received).await?;
        let id = file.id.unwrap_or_else(|| ResourceId::new(self.records.new_id()));
        let patch = self.describe(file, &received, stored.as_ref()).await?;
        self.records.fill(by, id, patch).await
    }

    /// The resource that a file is for, where it is there. It is looked at again under the lock; this is to find out early.
    async fn stored(&self, by: &EditBy, file: &NewFile) -> Result<Option<Live<Resource>>, AppError> {
        by.adjusted_time()?;
        if let Some(memo) = file.memo_id
            && self
                .records
                .record(by.user, RecordKey::Memo(memo))
                .await?
                .is_none()
        {
            return Err(AppError::UnknownMemo(memo));
        }
        let Some(id) = file.id else { return Ok(None) };
        match self.records.record(by.user, RecordKey::Resource(id)).await? {
            Some(record) if record.is_deleted() && by.edit_time.is_none() => {
                Err(AppError::Deleted(record.version.time))
            }
            record => Ok(record.and_then(Record::into_live)),
        }
    }

    /// What the record of a file gets of it.
    async fn describe(
        &self,
        file: NewFile,
        received: &StoredBlob,
        stored: Option<&Live<Resource>>,
    ) -> Result<ResourcePatch, AppError> {
        let NewFile {
            memo_id,
            filename,
            declared,
            metadata,
            ..
        } = file;
        // What a record said of its bytes before they came is as good as what is said with them.
        let declared = declared.or_else(|| stored.map(|stored| stored.content.mime_type.clone()));
        let mime_type = self
            .ports
            .types
            .recognise(&received.head, declared.as_ref(), &filename);
        let file_size = FileSize::new(i64::try_from(received.size).unwrap_or(i64::MAX))?;
        let mut notes = Vec::new();
        let is_corrected =
            |declared: &MimeType| *declared != mime_type && declared.as_str() != MimeType::UNKNOWN;
        if let Some(declared) = declared.as_ref().filter(|declared| is_corrected(declared)) {
            notes.push((DECLARED, declared.as_str()));
        }
        let user = received.blob.user;
        if mime_type.has_variants() && !self.has_thumbnail(user, received.sha256).await {
            notes.push(Resource::NO_THUMBNAIL);
        }
        let kept = metadata
            .clone()
            .or(stored.map(|stored| stored.content.metadata.clone()))
            .unwrap_or_default();
        // Where there is no room for one, it is left out.
        let annotated = notes
            .into_iter()
            .fold(None::<KeptObject>, |before, (name, text)| {
                let base = before.as_ref().unwrap_or(&kept);
                base.with_text(name, text).ok().or(before)
            });
        Ok(ResourcePatch {
            memo_id: memo_id.map(Some),
            filename: Some(filename),
            mime_type: Some(mime_type),
            file_size: Some(file_size),
            sha256: Some(Some(received.sha256)),
            storage_type: Some(self.limits.storage),
            metadata: annotated.or(metadata),
            ..ResourcePatch::default()
        })
    }
}

//! Uploads that take several requests: resumable ones, whose bytes come through the server in parts (tus), and direct ones,
//! whose bytes go past it into the storage.
//!
//! Every request that brings bytes makes a blob of its own of what it brought, also when it was cut off, so nothing that
//! arrived has to be sent again, on whatever instance the next request lands. When all bytes are there they are read once
//! more, in order, into the blob that becomes the content: that is when their hash is known. Doing that twice does no harm.

mod append;
mod locks;

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use mosaic_domain::attachment::{BeginOutcome, Upload, UploadKind, UploadPart, UploadState};
use mosaic_domain::entity::{Filename, KeptObject, MimeType, Resource};
use mosaic_domain::{ClientId, EditTime, Live, MemoId, ResourceId, UnixMillis, UploadId, UserId};
use mosaic_ports::{BlobName, Clock, IdGenerator, UploadStore};
use serde::{Deserialize, Serialize};

use crate::attachments::{Attachments, NewFile, StoredBlob};
use crate::error::AppError;
use crate::records::{EditBy, Records};
use crate::sessions::Actor;

use self::locks::{UploadLock, UploadLocks};

pub use append::{AppendRequest, Checksum, UploadProgress};

/// A user may have so many uploads that are not finished.
const MOST_OPEN: u32 = 200;

/// Takes uploads that need several requests.
#[derive(Clone)]
pub struct Uploads {
    attachments: Attachments,
    records: Records,
    store: Arc<dyn UploadStore>,
    blobs: Arc<dyn mosaic_ports::BlobStore>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGenerator>,
    lifetime_ms: i64,
    locks: Arc<UploadLocks>,
}

/// What the resource will be beside its bytes, kept until all of them are there. The names in its JSON are those in databases.
#[derive(Debug, Serialize, Deserialize)]
struct Fields {
    memo_id: Option<MemoId>,
    filename: Filename,
    declared: Option<MimeType>,
    metadata: Option<KeptObject>,
    created_at: Option<UnixMillis>,
    /// By the server's clock already (W6).
    edit_time: Option<EditTime>,
    /// All that the client sent of it, as it was sent.
    #[serde(default, rename = "said")]
    client_metadata: Option<String>,
}

/// A direct upload that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectUpload {
    /// The upload.
    pub upload: Upload,
    /// Where the bytes are to be sent, with one `PUT`.
    pub address: String,
    /// When the address stops working.
    pub expires_at: UnixMillis,
}

impl Uploads {
    /// Uploads that are given up `lifetime_ms` milliseconds after their last bytes.
    pub fn new(
        attachments: Attachments,
        records: Records,
        store: Arc<dyn UploadStore>,
        lifetime_ms: i64,
    ) -> Self {
        let ports = attachments.ports();
        Self {
            blobs: Arc::clone(&ports.blobs),
            clock: Arc::clone(&ports.clock),
            ids: Arc::clone(&ports.ids),
            attachments,
            records,
            store,
            lifetime_ms,
            locks: Arc::default(),
        }
    }

    /// Begins a resumable upload of that many bytes; `None`: that is told later, and until then as many count as a file may
    /// have. `client_metadata` is given back by [`Uploads::client_metadata`].
    ///
    /// # Errors
    /// [`AppError::FileTooLarge`], [`AppError::QuotaExceeded`], [`AppError::TooManyUploads`], and what would make the bytes
    /// useless: [`AppError::UnknownMemo`], [`AppError::Deleted`], an edit time ahead.
    pub async fn begin(
        &self,
        by: &EditBy,
        length: Option<u64>,
        file: NewFile,
        client_metadata: Option<String>,
    ) -> Result<Upload, AppError> {
        let kind = UploadKind::Parts;
        let upload = self.create(by, length, file, kind, client_metadata).await?;
        if upload.is_whole_with(0) {
            self.complete(by.into(), upload.clone()).await?;
        }
        Ok(upload)
    }

    /// Begins a direct upload of that many bytes, to an address that works for so long.
    ///
    /// # Errors
    /// As [`Uploads::begin`], and [`AppError::NoDirectUploads`].
    pub async fn begin_direct(
        &self,
        by: &EditBy,
        length: u64,
        file: NewFile,
        expires_in: Duration,
    ) -> Result<DirectUpload, AppError> {
        let id = self.ids.next();
        let blob = BlobName { user: by.user, id };
        let expires_at = self
            .clock
            .now()
            .plus(i64::try_from(expires_in.as_millis()).unwrap_or(i64::MAX));
        let address = self.blobs.presign_write(blob, expires_in).await?;
        let address = address.ok_or(AppError::NoDirectUploads)?;
        let upload = self
            .create(by, Some(length), file, UploadKind::Direct { blob: id }, None)
            .await?;
        Ok(DirectUpload {
            upload,
            address,
            expires_at,
        })
    }

    async fn create(
        &self,
        by: &EditBy,
        told: Option<u64>,
        file: NewFile,
        kind: UploadKind,
        client_metadata: Option<String>,
    ) -> Result<Upload, AppError> {
        let length = told.unwrap_or(self.attachments.limits().file_bytes);
        self.attachments.fits_file(length)?;
        self.attachments.check(by, &file, None).await?;
        let created_at = self.clock.now();
        let fields = Fields {
            memo_id: file.memo_id,
            filename: file.filename,
            declared: file.declared,
            metadata: file.metadata,
            created_at: by.created_at,
            edit_time: by.adjusted_time()?,
            client_metadata,
        };
        let upload = Upload {
            id: UploadId::new(self.ids.next()),
            resource: file.id.unwrap_or_else(|| ResourceId::new(self.records.new_id())),
            author: by.client.clone(),
            length,
            is_deferred: told.is_none(),
            kind,
            fields: serde_json::to_string(&fields).map_err(|error| AppError::Internal(error.into()))?,
            created_at,
            expires_at: created_at.plus(self.lifetime_ms),
        };
        let quota = self.attachments.limits().user_bytes;
        let begin = || self.store.begin(by.user, upload.clone(), quota, MOST_OPEN);
        let mut outcome = begin().await?;
        if outcome != BeginOutcome::Begun && self.drop_expired(by.user).await? {
            outcome = begin().await?;
        }
        match outcome {
            BeginOutcome::Begun => Ok(upload),
            BeginOutcome::TooMany => Err(AppError::TooManyUploads),
            BeginOutcome::OverQuota(usage) => Err(AppError::QuotaExceeded {
                used: usage.total(),
                quota: usage.quota.of_attachments(quota),
            }),
        }
    }

    /// Makes room: what has expired is only dropped once a day otherwise. Says whether there was anything.
    async fn drop_expired(&self, user: UserId) -> Result<bool, AppError> {
        let mut any = false;
        loop {
            let dropped = self.store.drop_expired(user, self.clock.now(), MOST_OPEN).await?;
            any |= dropped.more || !dropped.blobs.is_empty();
            self.attachments.discard_orphans(user, dropped.blobs).await?;
            if !dropped.more {
                return Ok(any);
            }
        }
    }

    /// How far an upload has come. Where all bytes are there but the resource is not, because the server was interrupted, it
    /// is written now.
    ///
    /// # Errors
    /// [`AppError::NotFound`], [`AppError::UploadExpired`], and where its bytes become a resource now, those of
    /// [`Attachments::add`].
    pub async fn state(&self, actor: impl Into<Actor>, id: UploadId) -> Result<UploadState, AppError> {
        let actor = actor.into();
        let (_lock, state) = self.lock(actor.user, id).await?;
        let is_whole = state.upload.is_whole_with(state.received);
        if state.finished || state.upload.kind != UploadKind::Parts || !is_whole {
            return Ok(state);
        }
        self.complete(actor, state.upload.clone()).await?;
        Ok(UploadState {
            finished: true,
            ..state
        })
    }

    /// What the client sent of an upload when it began, as it was sent.
    pub fn client_metadata(upload: &Upload) -> Option<String> {
        serde_json::from_str::<Fields>(&upload.fields)
            .ok()?
            .client_metadata
    }

    /// The right to work on an upload, and how far it has come by then.
    async fn lock(&self, user: UserId, id: UploadId) -> Result<(UploadLock, UploadState), AppError> {
        // Nobody has to give way for what is not there.
        self.find(user, id).await?;
        let lock = self.locks.take(id).await?;
        Ok((lock, self.find(user, id).await?))
    }

    async fn find(&self, user: UserId, id: UploadId) -> Result<UploadState, AppError> {
        let state = self.store.upload(user, id).await?;
        let state = state.ok_or(AppError::NotFound)?;
        if state.upload.expires_at <= self.clock.now() {
            return Err(AppError::UploadExpired);
        }
        Ok(state)
    }

    /// Makes a resource of a direct upload whose bytes are in the storage now. Sent again, it answers the same.
    ///
    /// # Errors
    /// [`AppError::NotFound`], [`AppError::UploadExpired`], [`AppError::UploadIncomplete`] where the bytes are not there, or
    /// not as many as announced, and those of [`Attachments::add`].
    pub async fn confirm(&self, actor: impl Into<Actor>, id: UploadId) -> Result<Live<Resource>, AppError> {
        let actor = actor.into();
        let user = actor.user;
        let (_lock, state) = self.lock(user, id).await?;
        let UploadKind::Direct { blob } = state.upload.kind else {
            return Err(AppError::NotFound);
        };
        if state.finished {
            return self.records.get(user, state.upload.resource).await;
        }
        let found = self.blobs.info(BlobName { user, id: blob }).await?;
        let length = state.upload.length;
        match found.map(|found| found.size) {
            Some(size) if size == length => self.complete(actor, state.upload).await,
            Some(size) => Err(AppError::UploadIncomplete(format!(
                "{length} bytes were announced, but {size} were stored"
            ))),
            None => Err(AppError::UploadIncomplete(
                "no bytes were stored at the address that was given out".to_owned(),
            )),
        }
    }

    /// Gives a resumable upload up. A direct one counts until it expires: its address can't be called back.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    pub async fn end(&self, user: UserId, id: UploadId) -> Result<(), AppError> {
        let state = self.store.upload(user, id).await?;
        if state.is_none_or(|state| state.upload.kind != UploadKind::Parts) {
            return Err(AppError::NotFound);
        }
        let blobs = self.store.end(user, id).await?.ok_or(AppError::NotFound)?;
        self.attachments.discard_orphans(user, blobs).await
    }

    /// Makes the resource of an upload whose bytes are all there, on a task of its own: a client that goes away meanwhile
    /// does not interrupt it. One that was finished already, perhaps meanwhile, answers what it became.
    async fn complete(&self, actor: Actor, upload: Upload) -> Result<Live<Resource>, AppError> {
        // What is known to be refused is not put together for it.
        let (by, file) = self.edit(actor, &upload)?;
        let looked = self.attachments.check(&by, &file, None).await;
        looked.map_err(|error| refused(error, upload.kind))?;
        let (this, user) = (self.clone(), actor.user);
        let task = tokio::spawn(async move {
            match this.join(user, &upload).await {
                Ok(received) => this.add(actor, &upload, received).await,
                // Whoever finishes it removes the parts, which somebody else may be reading.
                Err(error) => match this.store.upload(user, upload.id).await? {
                    Some(state) if state.finished => this.records.get(user, upload.resource).await,
                    Some(_) => Err(error),
                    None => Err(AppError::NotFound),
                },
            }
        });
        crate::joined(task.await)
    }

    /// Reads the parts of an upload into one blob.
    async fn join(&self, user: UserId, upload: &Upload) -> Result<StoredBlob, AppError> {
        let parts = match upload.kind {
            UploadKind::Parts => self.store.parts(user, upload.id).await?,
            UploadKind::Direct { blob } => vec![UploadPart {
                offset: 0,
                size: upload.length,
                blob,
            }],
        };
        let mut ingest = self.attachments.receive(user).await?;
        for part in parts {
            let name = BlobName { user, id: part.blob };
            let reader = self.blobs.read(name, None).await?;
            let mut reader = reader.ok_or(AppError::ContentMissing)?;
            while let Some(bytes) = reader.bytes.try_next().await? {
                ingest.write(bytes).await?;
            }
        }
        if ingest.size() != upload.length {
            return Err(AppError::ContentMissing);
        }
        ingest.finish().await
    }

    /// Makes the resource of what was received.
    async fn add(
        &self,
        actor: Actor,
        upload: &Upload,
        received: StoredBlob,
    ) -> Result<Live<Resource>, AppError> {
        let user = actor.user;
        let (by, file) = self.edit(actor, upload)?;
        if self.store.upload(user, upload.id).await?.is_none() {
            // It was given up while its bytes were on their way.
            self.attachments.discard(received.blob).await;
            return Err(AppError::NotFound);
        }
        let added = self.attachments.add(&by, file, received).await;
        let resource = added.map_err(|error| refused(error, upload.kind))?;
        let blobs = self.store.finish(user, upload.id).await?;
        self.attachments.discard_orphans(user, blobs).await?;
        Ok(resource)
    }

    /// The edit that an upload comes to.
    fn edit(&self, actor: Actor, upload: &Upload) -> Result<(EditBy, NewFile), AppError> {
        let fields: Fields =
            serde_json::from_str(&upload.fields).map_err(|error| AppError::Internal(error.into()))?;
        let by = EditBy {
            user: actor.user,
            login: actor.login,
            client: ClientId::clone(&upload.author),
            edit_time: fields.edit_time,
            created_at: fields.created_at,
            client_time: None,
            arrived_at: self.clock.now(),
        };
        let file = NewFile {
            id: Some(upload.resource),
            memo_id: fields.memo_id,
            filename: fields.filename,
            declared: fields.declared,
            metadata: fields.metadata,
        };
        Ok((by, file))
    }
}

/// What an upload that comes through the server is refused with once its bytes are there. Sending them again would not help, and
/// clients of such uploads do so after any conflict.
fn refused(error: AppError, kind: UploadKind) -> AppError {
    let is_final = matches!(
        error,
        AppError::Deleted(_)
            | AppError::OtherContent
            | AppError::Superseded { .. }
            | AppError::UnknownMemo(_)
            | AppError::MemoFull(_)
    );
    if is_final && kind == UploadKind::Parts {
        AppError::UploadRefused(Box::new(error))
    } else {
        error
    }
}

impl std::fmt::Debug for Uploads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Uploads")
    }
}

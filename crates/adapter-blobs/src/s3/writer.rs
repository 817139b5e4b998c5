//! Writing an object: with one request, or part by part.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use mosaic_ports::{BlobError, BlobName, BlobWriter};
use object_store::multipart::{MultipartStore, PartId};
use object_store::{ObjectStoreExt, PutPayload};
use tokio::runtime::Handle;
use tokio::sync::SemaphorePermit;
use tokio::task::JoinSet;

use super::Bucket;
use super::error::Failure;
use super::spool::Spool;

/// Holds what is not a part yet, and the parts that are on their way: on the disk, but for those that are sent just now.
pub(crate) struct S3Writer {
    bucket: Arc<Bucket>,
    name: BlobName,
    gathered: Spool,
    written: u64,
    upload: Option<Upload>,
    broken: bool,
}

/// A multipart upload. Dropped, its parts are no longer sent, and it is aborted.
struct Upload {
    sending: JoinSet<Result<(usize, PartId), Failure>>,
    sent: Vec<(usize, PartId)>,
    next: usize,
    undo: Undo,
}

/// Removes, in the background, what a writer leaves behind when it is dropped.
struct Undo {
    bucket: Arc<Bucket>,
    name: BlobName,
    upload: Option<String>,
    /// Whether the object itself may be there.
    object: bool,
}

impl Undo {
    fn new(bucket: &Arc<Bucket>, name: BlobName, upload: Option<String>) -> Self {
        bucket.live().extend(upload.clone());
        Self {
            bucket: Arc::clone(bucket),
            name,
            upload,
            object: false,
        }
    }

    /// All is well.
    fn nothing(mut self) {
        self.object = false;
        if let Some(upload) = self.upload.take() {
            self.bucket.live().remove(&upload);
        }
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        let (bucket, name, object) = (Arc::clone(&self.bucket), self.name, self.object);
        let upload = self.upload.take();
        if let Some(upload) = &upload {
            bucket.live().remove(upload);
        }
        if upload.is_none() && !object {
            return;
        }
        // Without a runtime the process ends: the next sweep does it.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                if let Some(upload) = upload {
                    let path = bucket.path(name);
                    let aborted = bucket.s3.abort_multipart(&path, &upload);
                    if let Err(failure) = bucket.answer("abort an upload", aborted).await
                        && !failure.is_not_found()
                    {
                        tracing::debug!(%failure, "an upload is left to the next sweep");
                    }
                }
                if object && let Err(failure) = bucket.delete(name).await {
                    tracing::warn!(%failure, user = %name.user, id = %name.id, "a blob may be left behind");
                }
            });
        }
    }
}

impl S3Writer {
    pub(crate) fn new(bucket: Arc<Bucket>, name: BlobName) -> Self {
        Self {
            gathered: Spool::new(&bucket.spool),
            bucket,
            name,
            written: 0,
            upload: None,
            broken: false,
        }
    }

    async fn append(&mut self, mut bytes: Bytes) -> Result<(), Failure> {
        self.written += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = self.bucket.part_size - self.gathered.len();
            if room == 0 {
                self.send().await?;
                continue;
            }
            let piece = bytes.split_to(bytes.len().min(room));
            self.gathered.add(piece).await?;
        }
        Ok(())
    }

    /// Sends what was gathered as a part, once there are few enough on their way.
    async fn send(&mut self) -> Result<(), Failure> {
        let upload = match &mut self.upload {
            Some(upload) => upload,
            None => self.upload.insert(Upload::begin(&self.bucket, self.name).await?),
        };
        while upload.sending.len() >= self.bucket.parts_in_flight {
            upload.join().await?;
        }
        upload.send(self.gathered.take());
        Ok(())
    }

    async fn complete(mut self) -> Result<u64, Failure> {
        if self.upload.is_some() {
            self.send().await?;
        }
        match self.upload.take() {
            Some(upload) => upload.complete(self.written).await?,
            None => self.put().await?,
        }
        Ok(self.written)
    }

    async fn put(&mut self) -> Result<(), Failure> {
        self.bucket.refuse_taken(self.name).await?;
        let mut undo = Undo::new(&self.bucket, self.name, None);
        undo.object = true;
        let path = self.bucket.path(self.name);
        let (_turn, bytes) = self.bucket.load(self.gathered.take()).await?;
        let payload = PutPayload::from(bytes);
        self.bucket
            .answer("store", self.bucket.s3.put(&path, payload))
            .await?;
        undo.nothing();
        Ok(())
    }
}

impl Bucket {
    /// Brings a part into memory, where only so many are at a time: in turn, as long as what comes with it lives.
    async fn load(&self, part: Spool) -> Result<(SemaphorePermit<'_>, Bytes), Failure> {
        let turn = self.in_memory.acquire().await;
        let turn = turn.map_err(|error| Failure::other("store a part", &error))?;
        Ok((turn, part.read().await?))
    }

    async fn refuse_taken(&self, name: BlobName) -> Result<(), Failure> {
        let path = self.path(name);
        match self.answer("look at", self.s3.head(&path)).await {
            Ok(_) => Err(Failure::Taken),
            Err(failure) if failure.is_not_found() => Ok(()),
            Err(failure) => Err(failure),
        }
    }
}

impl Upload {
    async fn begin(bucket: &Arc<Bucket>, name: BlobName) -> Result<Self, Failure> {
        let path = bucket.path(name);
        let id = bucket
            .answer("begin an upload", bucket.s3.create_multipart(&path))
            .await?;
        Ok(Self {
            sending: JoinSet::new(),
            sent: Vec::new(),
            next: 0,
            undo: Undo::new(bucket, name, Some(id)),
        })
    }

    fn id(&self) -> &str {
        self.undo.upload.as_deref().unwrap_or_default()
    }

    fn send(&mut self, part: Spool) {
        let (bucket, name, id) = (
            Arc::clone(&self.undo.bucket),
            self.undo.name,
            self.id().to_owned(),
        );
        let number = self.next;
        self.next += 1;
        self.sending.spawn(async move {
            let path = bucket.path(name);
            let (_turn, bytes) = bucket.load(part).await?;
            let sent = bucket.s3.put_part(&path, &id, number, bytes.into());
            let part = bucket.answer("store a part", sent).await?;
            Ok((number, part))
        });
    }

    /// Waits for one part, if there is any.
    async fn join(&mut self) -> Result<(), Failure> {
        match self.sending.join_next().await {
            None => Ok(()),
            Some(Ok(sent)) => {
                self.sent.push(sent?);
                Ok(())
            }
            Some(Err(error)) => Err(Failure::other("store a part", &error)),
        }
    }

    async fn complete(mut self, written: u64) -> Result<(), Failure> {
        while !self.sending.is_empty() {
            self.join().await?;
        }
        self.sent.sort_unstable_by_key(|(number, _)| *number);
        let parts = std::mem::take(&mut self.sent)
            .into_iter()
            .map(|(_, part)| part)
            .collect();
        let (bucket, name) = (Arc::clone(&self.undo.bucket), self.undo.name);
        bucket.refuse_taken(name).await?;
        self.undo.object = true;
        let path = bucket.path(name);
        let id = self.id().to_owned();
        let completed = bucket.s3.complete_multipart(&path, &id, parts);
        match bucket.answer("store", completed).await {
            Ok(_) => {}
            // The answer to the first attempt was lost, and the second found no upload any more.
            Err(failure) if failure.is_not_found() => match bucket.head(name).await? {
                Some(meta) if meta.size == written => {}
                _ => return Err(failure),
            },
            Err(failure) => return Err(failure),
        }
        self.undo.nothing();
        Ok(())
    }
}

#[async_trait]
impl BlobWriter for S3Writer {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        // Also where nobody waits for the end of this: what it had taken is not known then.
        if std::mem::replace(&mut self.broken, true) {
            return Err(Failure::Broken.into());
        }
        if let Err(failure) = self.append(bytes).await {
            self.upload = None;
            return Err(failure.into());
        }
        self.broken = false;
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<u64, BlobError> {
        if self.broken {
            return Err(Failure::Broken.into());
        }
        Ok(self.complete().await?)
    }
}

//! Storage that speaks S3.
//!
//! A blob is the object `{prefix}{user}/{id}`. Up to one part it is stored with one `PUT`, beyond that with a multipart upload,
//! part by part while it is written; either way nobody sees it before it is whole. A name that is taken is refused, by a look
//! before it is finished: names are given once, so nobody else can come in between.
//!
//! * A request that gets no answer, or that the storage fails, is sent again a few times; an operation as a whole ends after
//!   [`S3Settings::timeout`]. All of them may be repeated without harm.
//! * Where the answer to the last request of a blob is lost, nobody knows whether it is there. Its writer fails then, and the
//!   object is removed in the background, best effort: a blob that nobody knows may be left behind.
//! * Uploads that were dropped are aborted in the background; what a killed process left, [`BlobStore::sweep`] aborts. Storage
//!   that can't list uploads needs a rule in the bucket that removes them (`AbortIncompleteMultipartUpload`).
//! * In a bucket with versions, what is removed stays as an old version until a rule of the bucket removes it.
//! * Parts become whole on the disk (`s3::spool`): in memory are a few at a time, however many clients write, and however slowly.
//! * Directory buckets (S3 Express) don't list in order, and can't be used.

mod error;
mod http;
mod settings;
mod spool;
mod uploads;
mod writer;

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use mosaic_domain::UnixMillis;
use mosaic_ports::{
    BlobBytes, BlobError, BlobInfo, BlobName, BlobReader, BlobStore, BlobWriter, PresignedRead,
};
use object_store::aws::AmazonS3;
use object_store::client::HttpClient;
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path as Key;
use object_store::signer::{Method, SignedUrlOptions, Signer};
use object_store::{GetOptions, GetRange, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt};
use tokio::sync::Semaphore;

use crate::name;
use error::Failure;
use writer::S3Writer;

pub use settings::{S3Settings, S3SettingsError, Secret};

/// How long a health check may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// The most objects that storage lists at once.
const MAX_KEYS: usize = 1_000;

/// The longest that a signed address may be good for.
const MAX_EXPIRY: Duration = Duration::from_hours(7 * 24);

/// Blobs in storage that speaks S3: the docs of the module `s3` say how.
pub struct S3Blobs {
    bucket: Arc<Bucket>,
}

impl fmt::Debug for S3Blobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Blobs")
            .field("bucket", &self.bucket.s3.to_string())
            .field("prefix", &self.bucket.prefix)
            .finish_non_exhaustive()
    }
}

/// One bucket, and how it is spoken to.
pub(crate) struct Bucket {
    s3: AmazonS3,
    /// Signs the addresses that others use.
    signer: AmazonS3,
    http: HttpClient,
    prefix: String,
    part_size: usize,
    parts_in_flight: usize,
    /// So many parts are in memory at a time, of all writers.
    in_memory: Semaphore,
    /// Where parts wait to become whole.
    spool: Arc<Path>,
    timeout: Duration,
    /// Uploads of this process that are neither complete nor aborted.
    live: Mutex<HashSet<String>>,
}

impl S3Blobs {
    /// Prepares everything. Nothing is asked of the storage yet: [`BlobStore::check`] does that.
    ///
    /// # Errors
    /// [`S3SettingsError`].
    pub fn new(settings: &S3Settings) -> Result<Self, S3SettingsError> {
        let built = settings.build()?;
        let bucket = Bucket {
            s3: built.s3,
            signer: built.signer,
            http: built.http,
            prefix: built.prefix,
            part_size: settings.part_size,
            parts_in_flight: settings.parts_in_flight,
            in_memory: Semaphore::new(settings.parts_in_memory),
            spool: settings.spool.as_path().into(),
            timeout: settings.timeout,
            live: Mutex::default(),
        };
        Ok(Self {
            bucket: Arc::new(bucket),
        })
    }

    async fn presign(
        &self,
        method: Method,
        name: BlobName,
        expires_in: Duration,
        options: SignedUrlOptions,
    ) -> Result<Option<String>, BlobError> {
        let path = self.bucket.path(name);
        let expires_in = expires_in.clamp(Duration::from_secs(1), MAX_EXPIRY);
        let signed = self
            .bucket
            .signer
            .signed_url_opts(method, &path, expires_in, &options);
        let url = signed.await.map_err(|error| Failure::of("sign", &error))?;
        Ok(Some(url.into()))
    }
}

impl Bucket {
    fn path(&self, name: BlobName) -> Key {
        // Nothing in it would be escaped: the prefix was looked at, and the rest are UUIDs.
        Key::from(self.key(name))
    }

    fn key(&self, name: BlobName) -> String {
        format!("{}{}", self.prefix, name::key(name))
    }

    fn name_of(&self, key: &str) -> Option<BlobName> {
        name::parse_key(key.strip_prefix(&self.prefix)?)
    }

    /// Waits for an answer, as long as one may take.
    async fn answer<T>(
        &self,
        doing: &'static str,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(self.timeout, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Failure::of(doing, &error)),
            Err(_) => Err(Failure::timeout(doing, self.timeout)),
        }
    }

    /// What is known of an object. That there is none is said only of a bucket that is there.
    async fn head(&self, name: BlobName) -> Result<Option<ObjectMeta>, Failure> {
        let path = self.path(name);
        match self.answer("look at", self.s3.head(&path)).await {
            Ok(meta) => Ok(Some(meta)),
            Err(failure) if failure.is_not_found() => {
                // An answer without a body does not say what is missing, the object or the bucket.
                self.page(None, None, 1).await?;
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Some objects after a key, and how to go on.
    async fn page(
        &self,
        after: Option<String>,
        page_token: Option<String>,
        max_keys: usize,
    ) -> Result<(Vec<ObjectMeta>, Option<String>), Failure> {
        let options = PaginatedListOptions {
            offset: after,
            max_keys: Some(max_keys),
            page_token,
            ..PaginatedListOptions::default()
        };
        let prefix = Some(self.prefix.as_str()).filter(|prefix| !prefix.is_empty());
        let page = self
            .answer("list", self.s3.list_paginated(prefix, options))
            .await?;
        Ok((page.result.objects, page.page_token))
    }

    fn info(name: BlobName, meta: &ObjectMeta) -> BlobInfo {
        // Some answers have whole seconds only: so nobody is told more.
        let ms = meta.last_modified.timestamp().saturating_mul(1_000);
        BlobInfo {
            name,
            size: meta.size,
            stored_at: UnixMillis::clamped(ms),
        }
    }

    async fn delete(&self, name: BlobName) -> Result<(), Failure> {
        let path = self.path(name);
        match self.answer("remove", self.s3.delete(&path)).await {
            Err(failure) if failure.is_missing_key() => Ok(()),
            other => other,
        }
    }

    fn live(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes of an object, all of them or an error.
    fn bytes(self: &Arc<Self>, got: GetResult) -> BlobBytes {
        let timeout = self.timeout;
        let left = got.range.end - got.range.start;
        let state = (got.into_stream(), left);
        Box::pin(stream::try_unfold(state, move |(mut bytes, left)| async move {
            match tokio::time::timeout(timeout, bytes.next()).await {
                Err(_) => Err(Failure::timeout("read", timeout).into()),
                Ok(Some(Err(error))) => Err(Failure::of("read", &error).into()),
                Ok(Some(Ok(piece))) => {
                    let left = left.saturating_sub(piece.len() as u64);
                    Ok(Some((piece, (bytes, left))))
                }
                Ok(None) if left > 0 => Err(Failure::cut_off("read").into()),
                Ok(None) => Ok(None),
            }
        }))
    }
}

/// A range as storage takes it: numbers beyond what it can count say the same as the greatest that it can.
fn as_get_range(range: &Range<u64>) -> GetRange {
    const MAX: u64 = i64::MAX as u64;
    if range.end > MAX {
        GetRange::Offset(range.start.min(MAX))
    } else {
        GetRange::Bounded(range.clone())
    }
}

#[async_trait]
impl BlobStore for S3Blobs {
    async fn create(&self, name: BlobName) -> Result<Box<dyn BlobWriter>, BlobError> {
        Ok(Box::new(S3Writer::new(Arc::clone(&self.bucket), name)))
    }

    async fn read(&self, name: BlobName, range: Option<Range<u64>>) -> Result<Option<BlobReader>, BlobError> {
        let bucket = &self.bucket;
        let path = bucket.path(name);
        let options = GetOptions {
            range: range.as_ref().map(as_get_range),
            ..GetOptions::default()
        };
        match bucket.answer("read", bucket.s3.get_opts(&path, options)).await {
            Ok(got) => Ok(Some(BlobReader {
                size: got.meta.size,
                bytes: bucket.bytes(got),
            })),
            Err(failure) if failure.is_missing_key() => Ok(None),
            // Storage refuses a range of which it has nothing.
            Err(failure) if failure.is_outside() => match (range, bucket.head(name).await?) {
                (_, None) => Ok(None),
                (Some(range), Some(meta)) if range.start >= meta.size => Ok(Some(BlobReader {
                    size: meta.size,
                    bytes: Box::pin(stream::empty()),
                })),
                _ => Err(failure.into()),
            },
            Err(failure) => Err(failure.into()),
        }
    }

    async fn info(&self, name: BlobName) -> Result<Option<BlobInfo>, BlobError> {
        let meta = self.bucket.head(name).await?;
        Ok(meta.map(|meta| Bucket::info(name, &meta)))
    }

    async fn remove(&self, name: BlobName) -> Result<(), BlobError> {
        Ok(self.bucket.delete(name).await?)
    }

    async fn list(&self, after: Option<BlobName>, limit: u32) -> Result<Vec<BlobInfo>, BlobError> {
        let limit = limit as usize;
        let mut listed = Vec::new();
        let mut token = None;
        while listed.len() < limit {
            let after = after.map(|after| self.bucket.key(after));
            let wanted = (limit - listed.len()).min(MAX_KEYS);
            let (objects, next) = self.bucket.page(after, token, wanted).await?;
            listed.extend(objects.iter().filter_map(|meta| {
                let name = self.bucket.name_of(meta.location.as_ref())?;
                Some(Bucket::info(name, meta))
            }));
            token = next.filter(|token| !token.is_empty());
            if token.is_none() {
                break;
            }
        }
        Ok(listed)
    }

    async fn sweep(&self, before: UnixMillis) -> Result<u64, BlobError> {
        Ok(self.bucket.sweep(before).await?)
    }

    async fn presign_read(&self, name: BlobName, read: PresignedRead) -> Result<Option<String>, BlobError> {
        let options = SignedUrlOptions::default().with_query([
            ("response-content-type", read.content_type),
            ("response-content-disposition", read.content_disposition),
        ]);
        self.presign(Method::GET, name, read.expires_in, options).await
    }

    async fn presign_write(&self, name: BlobName, expires_in: Duration) -> Result<Option<String>, BlobError> {
        self.presign(Method::PUT, name, expires_in, SignedUrlOptions::default())
            .await
    }

    async fn check(&self) -> Result<(), BlobError> {
        let page = self.bucket.page(None, None, 1);
        match tokio::time::timeout(CHECK_TIMEOUT, page).await {
            Ok(page) => Ok(page.map(drop)?),
            Err(_) => Err(Failure::timeout("list", CHECK_TIMEOUT).into()),
        }
    }
}

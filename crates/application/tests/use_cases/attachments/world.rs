//! A server without HTTP: all use cases of attachments, for one user.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use mosaic_application::AppError;
use mosaic_application::attachments::{
    AttachmentLimits, AttachmentPorts, Attachments, NewFile, StoredBlob, StoredFile,
};
use mosaic_application::doctor::{Doctor, Finding};
use mosaic_application::garbage::{GarbageCollector, GarbageError};
use mosaic_application::records::{EditBy, Records};
use mosaic_application::uploads::Uploads;
use mosaic_domain::entity::{Filename, KeptObject, MimeType, Resource, Sha256, StorageType, Variant};
use mosaic_domain::write::{WritePlan, WriteScope};
use mosaic_domain::{EditTime, Live, Record, ResourceId, UserId};
use mosaic_ports::{
    AttachmentIndex, Decide, HEAD_BYTES, MediaTypes, PictureError, Pictures, SmallerPicture, StoreError,
    WriteError, WriteStore,
};
use mosaic_testkit::{Harness, MemoryBlobs, at, by, resource_key};
use sha2::Digest as _;

use crate::support::harness;

/// How long a test waits for what happens beside it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Uploads are given up after so long, in milliseconds.
pub(crate) const LIFETIME_MS: i64 = 3 * 3_600_000;
pub(crate) const DAY_MS: i64 = 24 * 3_600_000;

pub(crate) const LIMITS: AttachmentLimits = AttachmentLimits {
    storage: StorageType::Local,
    file_bytes: 1_000_000,
    avatar_bytes: 1_000,
    user_bytes: 4_000_000,
};

/// All use cases, over a store of records and one of blobs.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) h: Harness,
    pub(crate) blobs: MemoryBlobs,
    pub(crate) painter: Arc<Painter>,
    pub(crate) writes: Arc<Unwilling>,
    pub(crate) records: Records,
    pub(crate) attachments: Attachments,
    pub(crate) uploads: Uploads,
    pub(crate) garbage: GarbageCollector,
    pub(crate) user: UserId,
    ports: AttachmentPorts,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(LIMITS).await
    }

    pub(crate) async fn with(limits: AttachmentLimits) -> Self {
        Self::over(limits, |contents| contents).await
    }

    /// The same with uploads that are given up after so long, in milliseconds.
    pub(crate) fn with_lifetime(&self, lifetime_ms: i64) -> Self {
        let under_way = Arc::clone(&self.h.stores.uploads);
        let (attachments, records) = (self.attachments.clone(), self.records.clone());
        let uploads = Uploads::new(attachments, records, under_way, lifetime_ms);
        Self {
            uploads,
            ..self.clone()
        }
    }

    /// Over a storage that gives out no addresses.
    pub(crate) async fn unsigned() -> Self {
        let w = Self::new().await;
        w.blobs.sign(false);
        w
    }

    /// With something between the use cases and what is known of contents.
    pub(crate) async fn over(
        limits: AttachmentLimits,
        wrap: impl FnOnce(Arc<dyn AttachmentIndex>) -> Arc<dyn AttachmentIndex>,
    ) -> Self {
        let h = harness().await;
        let clock = Arc::clone(&h.clock);
        let blobs = MemoryBlobs::new(clock.clone());
        blobs.sign(true);
        let painter = Arc::new(Painter::default());
        let ports = AttachmentPorts {
            blobs: blobs.port(),
            contents: wrap(Arc::clone(&h.stores.contents)),
            variants: Arc::clone(&h.stores.variants),
            avatars: Arc::clone(&h.stores.avatars),
            orphans: Arc::clone(&h.stores.orphans),
            types: Arc::new(Beginnings),
            pictures: painter.clone(),
            clock: clock.clone(),
            ids: h.ids.clone(),
        };
        let writes = Arc::new(Unwilling::over(Arc::clone(&h.stores.write)));
        let records = Records::new(writes.clone(), Arc::clone(&h.stores.reader), h.ids.clone());
        let attachments = Attachments::new(ports.clone(), records.clone(), limits);
        let under_way = Arc::clone(&h.stores.uploads);
        let uploads = Uploads::new(attachments.clone(), records.clone(), under_way, LIFETIME_MS);
        let garbage = GarbageCollector::new(
            Arc::clone(&h.stores.orphans),
            Arc::clone(&h.stores.uploads),
            blobs.port(),
            clock,
        );
        let user = h.user().await;
        Self {
            h,
            blobs,
            painter,
            writes,
            records,
            attachments,
            uploads,
            garbage,
            user,
            ports,
        }
    }

    /// The same for another user.
    pub(crate) async fn another_user(&self) -> Self {
        let user = self.h.user().await;
        Self { user, ..self.clone() }
    }

    /// The same on another instance of the server.
    pub(crate) fn another_instance(&self) -> Self {
        let limits = self.attachments.limits().clone();
        let attachments = Attachments::new(self.ports.clone(), self.records.clone(), limits);
        let under_way = Arc::clone(&self.h.stores.uploads);
        let uploads = Uploads::new(attachments.clone(), self.records.clone(), under_way, LIFETIME_MS);
        Self {
            attachments,
            uploads,
            ..self.clone()
        }
    }

    /// An edit of this moment.
    pub(crate) fn by(&self) -> EditBy {
        EditBy {
            user: self.user,
            login: None,
            client: by("phone"),
            edit_time: None,
            created_at: None,
            client_time: None,
            arrived_at: at(self.h.clock.ms()),
        }
    }

    /// An edit that says when it was made.
    pub(crate) fn by_at(&self, ms: i64) -> EditBy {
        EditBy {
            edit_time: Some(EditTime::new(ms).unwrap()),
            ..self.by()
        }
    }

    /// Receives bytes, in pieces.
    pub(crate) async fn receive(&self, bytes: &Bytes) -> Result<StoredBlob, AppError> {
        let mut ingest = self.attachments.receive(self.user).await?;
        for piece in bytes.chunks(1_000) {
            ingest.write(Bytes::copy_from_slice(piece)).await?;
        }
        ingest.finish().await
    }

    /// What is said before the bytes are read, where so many are announced.
    pub(crate) async fn announce(&self, file: NewFile, bytes: u64) -> Result<(), AppError> {
        self.attachments.check(&self.by(), &file, Some(bytes)).await
    }

    /// An upload in one request.
    pub(crate) async fn add(&self, file: NewFile, bytes: &Bytes) -> Result<Live<Resource>, AppError> {
        self.add_by(&self.by(), file, bytes).await
    }

    pub(crate) async fn add_by(
        &self,
        by: &EditBy,
        file: NewFile,
        bytes: &Bytes,
    ) -> Result<Live<Resource>, AppError> {
        self.attachments.check(by, &file, None).await?;
        let received = self.receive(bytes).await?;
        self.attachments.add(by, file, received).await
    }

    /// All bytes of a resource, or of a smaller picture of it.
    pub(crate) async fn read(&self, id: ResourceId, variant: Option<Variant>) -> Result<Bytes, AppError> {
        let file = self.attachments.file(self.user, id, variant).await?;
        self.bytes_of(&file).await
    }

    pub(crate) async fn bytes_of(&self, file: &StoredFile) -> Result<Bytes, AppError> {
        let pieces: Vec<Bytes> = self.attachments.read(file, None).await?.try_collect().await?;
        Ok(pieces.concat().into())
    }

    /// The record of the resource with that number, as it is stored.
    pub(crate) async fn stored(&self, n: u64) -> Option<Record> {
        self.h.record(self.user, resource_key(n)).await
    }

    /// What does not agree.
    pub(crate) async fn findings(&self) -> Vec<Finding> {
        let doctor = Doctor::new(
            Arc::clone(&self.h.stores.user_ids),
            Arc::clone(&self.h.stores.dump_reader),
            Arc::clone(&self.h.stores.audit),
            Arc::clone(&self.h.stores.orphans),
            self.blobs.port(),
            self.h.clock.clone(),
        );
        let mut findings = Vec::new();
        let ended = doctor
            .run(true, |found| findings.push(found), |_| ControlFlow::Continue(()))
            .await;
        assert!(ended.unwrap().is_continue());
        findings
    }

    /// Records and bytes agree, and nothing is left behind.
    pub(crate) async fn assert_clean(&self) {
        assert_eq!(self.findings().await, []);
        assert_eq!(self.blobs.writers(), 0, "nothing is being written");
    }

    /// The same, and there are so many blobs.
    pub(crate) async fn assert_clean_with(&self, blobs: usize) {
        self.assert_clean().await;
        assert_eq!(self.blobs.count(), blobs);
    }

    /// Removes what nobody needs.
    pub(crate) async fn collect_garbage(&self) -> u64 {
        let mut gone = 0;
        loop {
            let (removed, more) = self.garbage.step(self.user).await.unwrap();
            gone += removed;
            if !more {
                break;
            }
        }
        gone + self.waste().await.unwrap()
    }

    /// Removes what holds nothing.
    pub(crate) async fn waste(&self) -> Result<u64, GarbageError> {
        let (mut gone, mut after) = (0, None);
        loop {
            let (removed, next) = self.garbage.remove_orphans(self.user, after).await?;
            gone += removed;
            if next.is_none() {
                return Ok(gone);
            }
            after = next;
        }
    }

    /// Removes the blobs of all accounts that were removed.
    pub(crate) async fn removed_users(&self) -> Result<u64, GarbageError> {
        let mut gone = 0;
        for user in self.garbage.removed_users(None).await? {
            gone += self.garbage.remove_account(user).await?;
        }
        Ok(gone)
    }
}

/// Waits for something that happens beside the test.
pub(crate) async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    assert!(waited.is_ok(), "waited in vain until {what}");
}

/// A new resource of that name.
pub(crate) fn file(name: &str) -> NewFile {
    NewFile {
        id: None,
        memo_id: None,
        filename: Filename::new(name.to_owned()).unwrap(),
        declared: None,
        metadata: None,
    }
}

/// A resource with that id.
pub(crate) fn file_as(n: u64) -> NewFile {
    NewFile {
        id: Some(mosaic_testkit::resource_id(n)),
        ..file("a.png")
    }
}

/// A picture that is as good as any other.
pub(crate) fn png(what: &str) -> Bytes {
    format!("PNG {what}").into()
}

pub(crate) fn plain(text: &str) -> Bytes {
    format!("TXT {text}").into()
}

pub(crate) fn mime(name: &str) -> MimeType {
    MimeType::new(name).unwrap()
}

pub(crate) fn sha256(bytes: &[u8]) -> Sha256 {
    Sha256::from_bytes(sha2::Sha256::digest(bytes).into())
}

pub(crate) fn kept(json: &str) -> KeptObject {
    serde_json::from_str(json).unwrap()
}

/// A store of records that fails when a test wants it to.
pub(crate) struct Unwilling {
    store: Arc<dyn WriteStore>,
    fails: AtomicU8,
}

impl Unwilling {
    fn over(store: Arc<dyn WriteStore>) -> Self {
        Self {
            store,
            fails: AtomicU8::new(0),
        }
    }

    /// The next write fails; `written`: it is written all the same, only the answer is lost.
    pub(crate) fn fail_next(&self, written: bool) {
        self.fails.store(1 + u8::from(written), Ordering::SeqCst);
    }
}

#[async_trait]
impl WriteStore for Unwilling {
    async fn write(&self, scope: WriteScope, decide: Decide) -> Result<WritePlan, WriteError> {
        let failure = || StoreError::Unavailable("the test wants it so".into());
        match self.fails.swap(0, Ordering::SeqCst) {
            0 => self.store.write(scope, decide).await,
            1 => Err(failure().into()),
            _ => {
                self.store.write(scope, decide).await?;
                Err(failure().into())
            }
        }
    }
}

/// Recognises files by their first letters; is shown no more than it asks for.
struct Beginnings;

impl MediaTypes for Beginnings {
    fn recognise(&self, head: &[u8], declared: Option<&MimeType>, _: &Filename) -> MimeType {
        assert!(head.len() <= HEAD_BYTES, "{}", head.len());
        match head.get(..4) {
            Some(b"PNG ") => mime("image/png"),
            Some(b"TXT ") => mime("text/plain"),
            _ => declared.cloned().unwrap_or_else(MimeType::unknown),
        }
    }
}

/// Makes smaller pictures by writing down what they would be of.
#[derive(Debug, Default)]
pub(crate) struct Painter(AtomicU64);

impl Painter {
    /// How many it made.
    pub(crate) fn painted(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Pictures for Painter {
    async fn smaller(&self, picture: Bytes, longest_side: u32) -> Result<SmallerPicture, PictureError> {
        if picture.starts_with(b"PNG broken") {
            return Err(PictureError::Unreadable("broken".into()));
        }
        if picture.starts_with(b"PNG huge") {
            return Err(PictureError::TooLarge {
                width: 100_000,
                height: 100_000,
            });
        }
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(SmallerPicture {
            bytes: smaller(&picture, longest_side),
            mime_type: mime("image/jpeg"),
        })
    }
}

/// What the smaller picture of a picture is here.
pub(crate) fn smaller(picture: &Bytes, longest_side: u32) -> Bytes {
    format!("{longest_side} pixels of {}", sha256(picture)).into()
}

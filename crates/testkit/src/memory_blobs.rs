//! A blob store in memory, which fails and waits when a test wants it to.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use mosaic_domain::{UnixMillis, UserId};
use mosaic_ports::{
    BlobError, BlobInfo, BlobName, BlobReader, BlobStore, BlobWriter, BoxError, Clock, PresignedRead,
};
use uuid::Uuid;

use crate::gate::{Door, Gate};

/// How many bytes a reader gives at once.
const PIECE: usize = 64 * 1024;

/// What a blob store is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BlobCall {
    /// Begins a blob.
    Create,
    /// Takes bytes.
    Write,
    /// Makes them a blob.
    Finish,
    /// Begins to read.
    Read,
    /// Gives the next bytes of a blob that is being read.
    Piece,
    /// Looks a blob up.
    Info,
    /// Removes a blob.
    Remove,
    /// Lists blobs.
    List,
    /// Removes what is left of blobs that were never finished.
    Sweep,
    /// Signs an address.
    Presign,
    /// Says whether it is healthy.
    Check,
}

/// How it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobFailure {
    /// As [`BlobError::Unavailable`].
    Unavailable,
    /// As [`BlobError::Full`].
    Full,
    /// As [`BlobError::Failed`].
    Failed,
}

impl BlobFailure {
    fn error(self) -> BlobError {
        let source = BoxError::from("the test wants it so");
        match self {
            Self::Unavailable => BlobError::Unavailable(source),
            Self::Full => BlobError::Full(source),
            Self::Failed => BlobError::Failed(source),
        }
    }
}

/// Blobs in memory. Its clones are over the same storage.
#[derive(Clone)]
pub struct MemoryBlobs(Arc<Shared>);

struct Shared {
    clock: Arc<dyn Clock>,
    blobs: Mutex<BTreeMap<BlobName, Blob>>,
    incoming: Mutex<BTreeMap<u64, Incoming>>,
    writers: AtomicU64,
    switches: Mutex<BTreeMap<BlobCall, Switch>>,
    signs: AtomicBool,
}

struct Blob {
    bytes: Bytes,
    stored_at: UnixMillis,
}

/// What a writer has so far.
struct Incoming {
    bytes: BytesMut,
    began_at: UnixMillis,
    was_killed: bool,
}

/// What the test wants of one kind of call.
#[derive(Default)]
struct Switch {
    calls: u64,
    door: Option<Door>,
    fails: Option<BlobFailure>,
    /// By the number of the call.
    fails_once: BTreeMap<u64, BlobFailure>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryBlobs {
    /// An empty store, which notes by this clock when a blob was stored.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Shared {
            clock,
            blobs: Mutex::default(),
            incoming: Mutex::default(),
            writers: AtomicU64::new(0),
            switches: Mutex::default(),
            signs: AtomicBool::new(false),
        }))
    }

    /// Whether it gives out addresses, `memory://...`, from now on. At first it does not.
    pub fn sign(&self, signs: bool) {
        self.0.signs.store(signs, Ordering::SeqCst);
    }

    /// The port.
    pub fn port(&self) -> Arc<dyn BlobStore> {
        Arc::new(self.clone())
    }

    /// Every such call fails, until [`MemoryBlobs::heal`].
    pub fn fail(&self, call: BlobCall, failure: BlobFailure) {
        self.switch(call, |switch| switch.fails = Some(failure));
    }

    /// The next such call fails.
    pub fn fail_next(&self, call: BlobCall, failure: BlobFailure) {
        self.fail_after(call, 0, failure);
    }

    /// After so many such calls, the next one fails.
    pub fn fail_after(&self, call: BlobCall, calls: u64, failure: BlobFailure) {
        self.switch(call, |switch| {
            switch.fails_once.insert(switch.calls + calls, failure);
        });
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        for switch in lock(&self.0.switches).values_mut() {
            switch.fails = None;
            switch.fails_once.clear();
        }
    }

    /// Every such call waits until the gate is opened, or dropped.
    pub fn hold(&self, call: BlobCall) -> Gate {
        let gate = Gate::default();
        self.switch(call, |switch| switch.door = Some(gate.door()));
        gate
    }

    /// How many such calls there were.
    pub fn calls(&self, call: BlobCall) -> u64 {
        self.switch(call, |switch| switch.calls)
    }

    /// The blobs that are there.
    pub fn names(&self) -> Vec<BlobName> {
        lock(&self.0.blobs).keys().copied().collect()
    }

    /// How many blobs are there.
    pub fn count(&self) -> usize {
        lock(&self.0.blobs).len()
    }

    /// How many blobs are being written, or were when the process was killed.
    pub fn writers(&self) -> usize {
        lock(&self.0.incoming).len()
    }

    /// The bytes of a blob.
    pub fn bytes(&self, name: BlobName) -> Option<Bytes> {
        lock(&self.0.blobs).get(&name).map(|blob| blob.bytes.clone())
    }

    /// Stores a blob behind the port's back, in the place of what is there.
    pub fn put(&self, name: BlobName, bytes: Bytes) {
        let stored_at = self.0.clock.now();
        lock(&self.0.blobs).insert(name, Blob { bytes, stored_at });
    }

    /// Loses a blob behind the port's back.
    pub fn lose(&self, name: BlobName) {
        lock(&self.0.blobs).remove(&name);
    }

    /// The process is killed: what is being written is never finished.
    pub fn kill(&self) {
        for incoming in lock(&self.0.incoming).values_mut() {
            incoming.was_killed = true;
        }
    }

    /// Sends bytes to an address, as a phone would. Says whether the storage took them: not after its time, and to no address
    /// that is for reading.
    pub fn send(&self, address: &str, bytes: Bytes) -> bool {
        let name = self.signed("write", address);
        if let Some(name) = name {
            self.put(name, bytes);
        }
        name.is_some()
    }

    /// Reads from an address, as a phone would.
    pub fn fetch(&self, address: &str) -> Option<Bytes> {
        self.bytes(self.signed("read", address)?)
    }

    /// The blob of an address that still works.
    fn signed(&self, method: &str, address: &str) -> Option<BlobName> {
        let mut parts = address.strip_prefix("memory://")?.split('/');
        if parts.next()? != method {
            return None;
        }
        let mut number = || Some(Uuid::from_u128(parts.next()?.parse().ok()?));
        let (user, id) = (UserId::new(number()?), number()?);
        let expires_at: i64 = parts.next()?.parse().ok()?;
        (self.0.clock.now().get() < expires_at).then_some(BlobName { user, id })
    }

    async fn address(
        &self,
        method: &str,
        name: BlobName,
        expires_in: Duration,
    ) -> Result<Option<String>, BlobError> {
        self.pass(BlobCall::Presign).await?;
        if !self.0.signs.load(Ordering::SeqCst) {
            return Ok(None);
        }
        let expires_at = self
            .0
            .clock
            .now()
            .plus(expires_in.as_millis().try_into().unwrap());
        let (user, id) = (name.user.uuid().as_u128(), name.id.as_u128());
        Ok(Some(format!(
            "memory://{method}/{user}/{id}/{}",
            expires_at.get()
        )))
    }

    fn switch<T>(&self, call: BlobCall, change: impl FnOnce(&mut Switch) -> T) -> T {
        change(lock(&self.0.switches).entry(call).or_default())
    }

    /// Counts a call, and waits and fails as the test wants it.
    async fn pass(&self, call: BlobCall) -> Result<(), BlobError> {
        let (number, door) = self.switch(call, |switch| {
            switch.calls += 1;
            (switch.calls - 1, switch.door.clone())
        });
        if let Some(door) = door {
            let passed = tokio::task::spawn_blocking(move || door.pass()).await;
            passed.map_err(|failed| BlobError::Failed(failed.into()))?;
        }
        let failure = self.switch(call, |switch| switch.fails_once.remove(&number).or(switch.fails));
        failure.map_or(Ok(()), |failure| Err(failure.error()))
    }

    fn info_of(name: BlobName, blob: &Blob) -> BlobInfo {
        BlobInfo {
            name,
            size: blob.bytes.len() as u64,
            stored_at: blob.stored_at,
        }
    }
}

#[async_trait]
impl BlobStore for MemoryBlobs {
    async fn create(&self, name: BlobName) -> Result<Box<dyn BlobWriter>, BlobError> {
        self.pass(BlobCall::Create).await?;
        let number = self.0.writers.fetch_add(1, Ordering::SeqCst);
        let incoming = Incoming {
            bytes: BytesMut::new(),
            began_at: self.0.clock.now(),
            was_killed: false,
        };
        lock(&self.0.incoming).insert(number, incoming);
        Ok(Box::new(MemoryWriter {
            store: self.clone(),
            name,
            number,
        }))
    }

    async fn read(&self, name: BlobName, range: Option<Range<u64>>) -> Result<Option<BlobReader>, BlobError> {
        self.pass(BlobCall::Read).await?;
        let Some(mut bytes) = self.bytes(name) else {
            return Ok(None);
        };
        let size = bytes.len();
        if let Some(range) = range {
            let place = |at: u64| usize::try_from(at).unwrap_or(size).min(size);
            bytes = bytes.slice(place(range.start)..place(range.end));
        }
        let pieces = stream::try_unfold((self.clone(), bytes), async |(store, mut rest)| {
            if rest.is_empty() {
                return Ok(None);
            }
            store.pass(BlobCall::Piece).await?;
            let piece = rest.split_to(rest.len().min(PIECE));
            Ok(Some((piece, (store, rest))))
        });
        Ok(Some(BlobReader {
            size: size as u64,
            bytes: Box::pin(pieces),
        }))
    }

    async fn info(&self, name: BlobName) -> Result<Option<BlobInfo>, BlobError> {
        self.pass(BlobCall::Info).await?;
        let blobs = lock(&self.0.blobs);
        Ok(blobs.get(&name).map(|blob| Self::info_of(name, blob)))
    }

    async fn remove(&self, name: BlobName) -> Result<(), BlobError> {
        self.pass(BlobCall::Remove).await?;
        self.lose(name);
        Ok(())
    }

    async fn list(&self, after: Option<BlobName>, limit: u32) -> Result<Vec<BlobInfo>, BlobError> {
        self.pass(BlobCall::List).await?;
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let blobs = lock(&self.0.blobs);
        let page = blobs.range((after, Bound::Unbounded)).take(limit as usize);
        Ok(page.map(|(name, blob)| Self::info_of(*name, blob)).collect())
    }

    async fn sweep(&self, before: UnixMillis) -> Result<u64, BlobError> {
        self.pass(BlobCall::Sweep).await?;
        let mut incoming = lock(&self.0.incoming);
        let there = incoming.len();
        incoming.retain(|_, one| !one.was_killed || one.began_at >= before);
        Ok((there - incoming.len()) as u64)
    }

    async fn presign_read(&self, name: BlobName, read: PresignedRead) -> Result<Option<String>, BlobError> {
        self.address("read", name, read.expires_in).await
    }

    async fn presign_write(&self, name: BlobName, expires_in: Duration) -> Result<Option<String>, BlobError> {
        self.address("write", name, expires_in).await
    }

    async fn check(&self) -> Result<(), BlobError> {
        self.pass(BlobCall::Check).await
    }
}

struct MemoryWriter {
    store: MemoryBlobs,
    name: BlobName,
    number: u64,
}

impl MemoryWriter {
    /// Whatever happens to the blob, its bytes are gone.
    fn forget(&self) -> Option<Incoming> {
        let mut incoming = lock(&self.store.0.incoming);
        let is_alive = !incoming.get(&self.number)?.was_killed;
        is_alive.then(|| incoming.remove(&self.number)).flatten()
    }
}

#[async_trait]
impl BlobWriter for MemoryWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        if let Err(error) = self.store.pass(BlobCall::Write).await {
            self.forget();
            return Err(error);
        }
        match lock(&self.store.0.incoming).get_mut(&self.number) {
            Some(incoming) if !incoming.was_killed => {
                incoming.bytes.extend_from_slice(&bytes);
                Ok(())
            }
            _ => Err(BlobError::Failed("the writer has failed before".into())),
        }
    }

    async fn finish(self: Box<Self>) -> Result<u64, BlobError> {
        self.store.pass(BlobCall::Finish).await?;
        let Some(incoming) = self.forget() else {
            return Err(BlobError::Failed("the writer has failed before".into()));
        };
        let bytes = incoming.bytes.freeze();
        let size = bytes.len() as u64;
        let stored_at = self.store.0.clock.now();
        let mut blobs = lock(&self.store.0.blobs);
        if blobs.contains_key(&self.name) {
            return Err(BlobError::Failed("the name was given before".into()));
        }
        blobs.insert(self.name, Blob { bytes, stored_at });
        Ok(size)
    }
}

impl Drop for MemoryWriter {
    fn drop(&mut self) {
        self.forget();
    }
}

impl std::fmt::Debug for MemoryBlobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryBlobs")
            .field("blobs", &self.count())
            .field("writers", &self.writers())
            .finish_non_exhaustive()
    }
}

//! The conformance suite of blob stores: every promise of [`BlobStore`] is a small case.
//!
//! ```text
//! mosaic_testkit::blob_conformance!(MyFixture);
//! ```

#[cfg(feature = "blobs")]
mod many;

#[cfg(feature = "blobs")]
pub use many::*;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use mosaic_domain::{UnixMillis, UserId};
use mosaic_ports::{BlobError, BlobInfo, BlobName, BlobReader, BlobStore, BlobWriter};
use uuid::Uuid;

/// How long a case waits for what happens in the background.
const PATIENCE: Duration = Duration::from_secs(20);

/// An empty blob store of its own for each case.
#[async_trait]
pub trait BlobFixture: Send + Sync + Sized + 'static {
    /// The size around which something changes: of a piece, or of a part.
    const PART: usize;

    /// Whether it signs addresses.
    const PRESIGNS: bool;

    /// Starts an empty store.
    async fn start() -> Self;

    /// The store.
    fn store(&self) -> Arc<dyn BlobStore>;

    /// Whatever lies in the storage that is no finished blob, for messages.
    async fn leftovers(&self) -> Vec<String>;

    /// Lets what is still going on look as if it had been left by a process that was killed, and returns a store over the
    /// same storage, of a process that was started later.
    async fn restart(&self, killed: Vec<Box<dyn BlobWriter>>) -> Arc<dyn BlobStore>;

    /// Stops the store and removes everything that it left behind. Also called when a case fails.
    async fn stop(self);
}

/// Runs one case against an empty store, and sees to it that it leaves nothing behind but blobs.
pub async fn run<F: BlobFixture>(case: impl AsyncFnOnce(&F)) {
    let fixture = F::start().await;
    let outcome = AssertUnwindSafe(async {
        case(&fixture).await;
        nothing_is_left_behind(&fixture).await;
    })
    .catch_unwind()
    .await;
    fixture.stop().await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

/// Makes one test of each case of the suite, for one [`BlobFixture`].
///
/// The crate that calls it needs `tokio` with the features `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! blob_conformance {
    ($fixture:ty) => {
        $crate::blob_conformance! { $fixture:
            what_is_written_comes_back
            sizes_around_a_part_come_back
            twenty_mebibytes_come_back
            many_small_writes_come_back
            ranges_are_read
            ranges_beyond_the_end_are_left_out
            an_empty_blob_has_no_ranges
            a_blob_is_there_once_it_is_finished
            a_dropped_writer_leaves_nothing
            a_writer_that_is_dropped_while_it_finishes_leaves_all_or_nothing
            what_a_killed_process_left_is_swept
            a_sweep_spares_blobs_and_writers
            a_name_is_given_once
            a_blob_is_known_by_its_size_and_time
            a_removed_blob_is_gone
            what_is_not_there_is_none
            blobs_are_listed_in_order
            blobs_are_listed_in_pages
            users_are_apart
            reading_goes_on_while_a_blob_is_removed
            twenty_write_at_once
            bytes_that_fail_half_way_leave_nothing
            the_store_is_healthy
            a_signed_address_is_read_by_anybody
            a_signed_address_is_written_by_anybody
            a_signed_address_can_not_be_changed
            a_signed_address_expires
        }
    };
    ($fixture:ty: $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::blobs::run::<$fixture>($crate::blobs::$case::<$fixture>).await;
            }
        )*
    };
}

/// A name, by numbers.
pub fn blob(user: u128, id: u128) -> BlobName {
    BlobName {
        user: UserId::new(Uuid::from_u128(user)),
        id: Uuid::from_u128(id),
    }
}

/// Bytes that are different at every place, and by number.
pub fn bytes(number: u64, size: usize) -> Bytes {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    let mut bytes: Vec<u8> = words.take(size.div_ceil(8)).flatten().collect();
    bytes.truncate(size);
    bytes.into()
}

/// Stores a blob, in writes of at most this size.
///
/// # Errors
/// [`BlobError`].
pub async fn put(
    store: &dyn BlobStore,
    name: BlobName,
    bytes: &Bytes,
    piece: usize,
) -> Result<u64, BlobError> {
    let mut writer = store.create(name).await?;
    let mut rest = bytes.clone();
    while !rest.is_empty() {
        writer.write(rest.split_to(rest.len().min(piece))).await?;
    }
    writer.finish().await
}

/// Reads all that a reader has.
///
/// # Errors
/// [`BlobError`].
pub async fn collect(reader: BlobReader) -> Result<Bytes, BlobError> {
    let mut all = Vec::new();
    let mut pieces = reader.bytes;
    while let Some(piece) = pieces.next().await {
        all.extend_from_slice(&piece?);
    }
    Ok(all.into())
}

async fn store_some(store: &dyn BlobStore, name: BlobName, size: usize) -> Bytes {
    let content = bytes(name.id.as_u64_pair().1, size);
    assert_eq!(put(store, name, &content, 64 * 1024).await.unwrap(), size as u64);
    content
}

async fn get(store: &dyn BlobStore, name: BlobName, range: Option<Range<u64>>) -> Option<(u64, Bytes)> {
    let reader = store.read(name, range).await.unwrap()?;
    let size = reader.size;
    Some((size, collect(reader).await.unwrap()))
}

async fn is_there(store: &dyn BlobStore, name: BlobName) -> bool {
    let read = store.read(name, None).await.unwrap().is_some();
    let known = store.info(name).await.unwrap().is_some();
    let listed = names(&store.list(None, 1_000).await.unwrap()).contains(&name);
    assert_eq!((read, known), (listed, listed), "read, known and listed alike");
    listed
}

fn names(infos: &[BlobInfo]) -> Vec<BlobName> {
    infos.iter().map(|info| info.name).collect()
}

/// Same bytes, without printing megabytes when they are not.
fn assert_same(found: &Bytes, expected: &Bytes) {
    assert_eq!(found.len(), expected.len(), "as many bytes");
    let place = found
        .iter()
        .zip(expected)
        .position(|(found, expected)| found != expected);
    assert_eq!(place, None, "the same bytes");
}

async fn nothing_is_left_behind<F: BlobFixture>(fixture: &F) {
    let wait = async {
        loop {
            let left = fixture.leftovers().await;
            if left.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let cleared = tokio::time::timeout(PATIENCE, wait).await.is_ok();
    assert!(cleared, "left behind: {:?}", fixture.leftovers().await);
}

/// Byte for byte, from nothing to a byte.
pub async fn what_is_written_comes_back<F: BlobFixture>(fixture: &F) {
    let store = fixture.store();
    for (id, size) in [(1, 0), (2, 1), (3, 1_000)] {
        let content = store_some(&*store, blob(1, id), size).await;
        let (found, read) = get(&*store, blob(1, id), None).await.unwrap();
        assert_eq!(found, size as u64);
        assert_same(&read, &content);
    }
}

/// One byte less, exactly one, one byte more.
pub async fn sizes_around_a_part_come_back<F: BlobFixture>(fixture: &F) {
    let store = fixture.store();
    for (id, size) in [(1, F::PART - 1), (2, F::PART), (3, F::PART + 1)] {
        let content = store_some(&*store, blob(1, id), size).await;
        let (_, read) = get(&*store, blob(1, id), None).await.unwrap();
        assert_same(&read, &content);
    }
}

/// Several parts, given in one piece.
pub async fn twenty_mebibytes_come_back<F: BlobFixture>(fixture: &F) {
    let store = fixture.store();
    let content = bytes(1, 20 * 1024 * 1024);
    put(&*store, blob(1, 1), &content, usize::MAX).await.unwrap();
    let (_, read) = get(&*store, blob(1, 1), None).await.unwrap();
    assert_same(&read, &content);
}

/// Writes of a few bytes, empty ones among them.
pub async fn many_small_writes_come_back<F: BlobFixture>(fixture: &F) {
    let store = fixture.store();
    let content = bytes(1, F::PART + 10_000);
    let mut writer = store.create(blob(1, 1)).await.unwrap();
    let mut rest = content.clone();
    let mut piece = 0;
    while !rest.is_empty() {
        piece = (piece + 13) % 997;
        writer.write(rest.split_to(rest.len().min(piece))).await.unwrap();
    }
    assert_eq!(writer.finish().await.unwrap(), content.len() as u64);
    let (_, read) = get(&*store, blob(1, 1), None).await.unwrap();
    assert_same(&read, &content);
}

/// The first byte, the last, some in the middle, and across parts.
pub async fn ranges_are_read<F: BlobFixture>(fixture: &F) {
    let store = fixture.store();
    let size = F::PART + F::PART / 2;
    let content = store_some(&*store, blob(1, 1), size).await;
    for range in [
        0..1,
        size - 1..size,
        1_000..1_001,
        F::PART / 3..F::PART / 3 + 70_000,
        F::PART - 10..F::PART + 10,
        0..size,
    ] {
        let asked = range.start as u64..range.end as u64;
        let (found, read) = get(&*store, blob(1, 1), Some(asked)).await.unwrap();
        assert_eq!(found, size as u64, "the size is that of the whole");
        assert_same(&read, &content.slice(range));
    }
}

/// What lies beyond the end is left out.
pub async fn ranges_beyond_the_end_are_left_out<F: BlobFixture>(fixture: &F) {
    let store = fixture.store();
    let content = store_some(&*store, blob(1, 1), 1_000).await;
    for (range, expected) in [
        (990..2_000, content.slice(990..)),
        (0..u64::MAX, content.clone()),
        (999..1_000, content.slice(999..)),
        (1_000..1_001, Bytes::new()),
        (5_000..6_000, Bytes::new()),
        (u64::MAX - 1..u64::MAX, Bytes::new()),
    ] {
        let (found, read) = get(&*store, blob(1, 1), Some(range.clone())).await.unwrap();
        assert_eq!((found, read), (1_000, expected), "{range:?}");
    }
    assert!(get(&*store, blob(1, 2), Some(0..1)).await.is_none());
}

/// Nothing at all is no error.
pub async fn an_empty_blob_has_no_ranges<F: BlobFixture>(fixture: &F) {
    let store = fixture.store();
    store_some(&*store, blob(1, 1), 0).await;
    for range in [0..1, 0..u64::MAX, 7..8] {
        let read = get(&*store, blob(1, 1), Some(range)).await;
        assert_eq!(read, Some((0, Bytes::new())));
    }
}

/// Not before, and not in part.
pub async fn a_blob_is_there_once_it_is_finished<F: BlobFixture>(fixture: &F) {
    let store = fixture.store();
    let mut writer = store.create(blob(1, 1)).await.unwrap();
    assert!(!is_there(&*store, blob(1, 1)).await);
    for _ in 0..3 {
        writer.write(bytes(1, F::PART)).await.unwrap();
        assert!(!is_there(&*store, blob(1, 1)).await);
    }
    writer.finish().await.unwrap();
    assert!(is_there(&*store, blob(1, 1)).await);
}

/// Whether it wrote nothing, a little or a lot.
pub async fn a_dropped_writer_leaves_nothing<F: BlobFixture>(fixture: &F) {
    let store = fixture.store();
    for (id, size) in [(1, 0), (2, 10), (3, 2 * F::PART + 1)] {
        let mut writer = store.create(blob(1, id)).await.unwrap();
        writer.write(bytes(1, size)).await.unwrap();
        drop(writer);
        assert!(!is_there(&*store, blob(1, id)).await);
    }
    nothing_is_left_behind(fixture).await;
    assert_eq!(store.list(None, 10).await.unwrap(), []);
}

/// Never a part of a blob.
pub async fn a_writer_that_is_dropped_while_it_finishes_leaves_all_or_nothing<F: BlobFixture>(fixture: &F) {
    let store = fixture.store();
    let content = bytes(1, F::PART + 1);
    for polls in 0..8 {
        let name = blob(1, polls);
        let mut writer = store.create(name).await.unwrap();
        writer.write(content.clone()).await.unwrap();
        let mut finish = Box::pin(writer.finish());
        for _ in 0..polls {
            if futures_util::poll!(&mut finish).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(finish);
        nothing_is_left_behind(fixture).await;
        if let Some(reader) = store.read(name, None).await.unwrap() {
            // It may be removed any moment: reading fails then, or has all of it.
            if let Ok(read) = collect(reader).await {
                assert_same(&read, &content);
            }
        }
    }
}

/// With the next sweep, and only what is old enough.
pub async fn what_a_killed_process_left_is_swept<F: BlobFixture>(fixture: &F) {
    let store = fixture.store();
    store_some(&*store, blob(1, 1), 10).await;
    let mut killed = Vec::new();
    for id in [2, 3, 4] {
        let mut writer = store.create(blob(1, id)).await.unwrap();
        writer.write(bytes(1, 2 * F::PART + 1)).await.unwrap();
        killed.push(writer);
    }
    let store = fixture.restart(killed).await;
    assert!(!fixture.leftovers().await.is_empty(), "something was left");
    assert_eq!(
        store.sweep(UnixMillis::clamped(1)).await.unwrap(),
        0,
        "nothing is that old"
    );
    assert_eq!(store.sweep(UnixMillis::clamped(i64::MAX)).await.unwrap(), 3);
    assert_eq!(store.sweep(UnixMillis::clamped(i64::MAX)).await.unwrap(), 0);
    assert_eq!(names(&store.list(None, 10).await.unwrap()), [blob(1, 1)]);
}

/// Whatever the time.
pub async fn a_sweep_spares_blobs_and_writers<F: BlobFixture>(fixture: &F) {
    let store = fixture.store();
    store_some(&*store, blob(1, 1), 10).await;
    let content = bytes(2, 2 * F::PART + 1);
    let mut writer = store.create(blob(1, 2)).await.unwrap();
    writer.write(content.clone()).await.unwrap();
    assert_eq!(store.sweep(UnixMillis::clamped(i64::MAX)).await.unwrap(), 0);
    writer.finish().await.unwrap();
    assert_eq!(
        names(&store.list(None, 10).await.unwrap()),
        [blob(1, 1), blob(1, 2)]
    );
    assert_same(&get(&*store, blob(1, 2), None).await.unwrap().1, &content);
}

/// Who comes second is refused, and changes nothing.
pub async fn a_name_is_given_once<F: BlobFixture>(fixture: &F) {
    let store = fixture.store();
    for (id, size) in [(1, 100), (2, F::PART + 1)] {
        let mut late = store.create(blob(1, id)).await.unwrap();
        late.write(bytes(77, size)).await.unwrap();
        let content = store_some(&*store, blob(1, id), size).await;
        let refused = late.finish().await;
        assert!(matches!(refused, Err(BlobError::Failed(_))), "{refused:?}");
        nothing_is_left_behind(fixture).await;
        assert_same(&get(&*store, blob(1, id), None).await.unwrap().1, &content);
    }
}

/// The same whether it is looked up or listed, and the time moves on.
pub async fn a_blob_is_known_by_its_size_and_time<F: BlobFixture>(fixture: &F) {
    let store = fixture.store();
    store_some(&*store, blob(1, 1), 1_234).await;
    store_some(&*store, blob(1, 2), 0).await;
    let first = store.info(blob(1, 1)).await.unwrap().unwrap();
    let second = store.info(blob(1, 2)).await.unwrap().unwrap();
    assert_eq!((first.name, first.size), (blob(1, 1), 1_234));
    assert_eq!((second.name, second.size), (blob(1, 2), 0));
    assert!(first.stored_at.get() > 1_600_000_000_000, "{first:?}");
    assert!(first.stored_at <= second.stored_at);
    assert_eq!(store.list(None, 10).await.unwrap(), [first, second]);
}

/// At once, and as often as one likes.
pub async fn a_removed_blob_is_gone<F: BlobFixture>(fixture: &F) {
    let store = fixture.store();
    store_some(&*store, blob(1, 1), 10).await;
    store_some(&*store, blob(1, 2), 10).await;
    store.remove(blob(1, 1)).await.unwrap();
    assert!(!is_there(&*store, blob(1, 1)).await);
    assert!(is_there(&*store, blob(1, 2)).await);
    store.remove(blob(1, 1)).await.unwrap();
    store.remove(blob(9, 9)).await.unwrap();
    store.remove(blob(1, 2)).await.unwrap();
    assert_eq!(store.list(None, 10).await.unwrap(), []);
}

/// Absence is no failure.
pub async fn what_is_not_there_is_none<F: BlobFixture>(fixture: &F) {
    let store = fixture.store();
    assert!(!is_there(&*store, blob(1, 1)).await);
    store_some(&*store, blob(1, 2), 10).await;
    assert!(!is_there(&*store, blob(1, 1)).await);
    assert!(!is_there(&*store, blob(2, 2)).await);
}

//! What is asked of the storage of attachments, and how long it takes.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use hyper::body::Bytes;
use mosaic_domain::UnixMillis;
use mosaic_ports::{
    BlobError, BlobInfo, BlobName, BlobReader, BlobStore, BlobWriter, Counter, Figure, Figures, Histogram,
    PresignedRead, Reading, Series,
};

/// What can be asked of it. Checks of its health are not counted.
#[derive(Debug, Clone, Copy)]
enum Operation {
    /// From the first byte to where it is durable, the waiting for whoever sends included.
    Write,
    /// Until the first byte can be read.
    Read,
    Info,
    Remove,
    List,
    Sweep,
    Presign,
}

impl Operation {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Write, "write"),
        (Self::Read, "read"),
        (Self::Info, "info"),
        (Self::Remove, "remove"),
        (Self::List, "list"),
        (Self::Sweep, "sweep"),
        (Self::Presign, "presign"),
    ];
}

/// The figures of one operation.
#[derive(Debug)]
struct Counted {
    times: Histogram,
    failed: Counter,
}

/// What is counted.
#[derive(Debug)]
struct Kept {
    operations: [Counted; Operation::ALL.len()],
    written: Counter,
    read: Counter,
}

impl Kept {
    fn add(&self, operation: Operation, took: Duration, is_failed: bool) {
        let counted = &self.operations[operation as usize];
        counted.times.took(took);
        counted.failed.add(u64::from(is_failed));
    }
}

/// Storage whose work is counted.
pub(crate) struct CountedBlobs {
    storage: Arc<dyn BlobStore>,
    kept: Arc<Kept>,
}

impl CountedBlobs {
    /// The same storage, counted.
    pub(crate) fn new(storage: Arc<dyn BlobStore>) -> Self {
        let counted = |_| Counted {
            times: Histogram::of_times(),
            failed: Counter::default(),
        };
        Self {
            storage,
            kept: Arc::new(Kept {
                operations: Operation::ALL.map(counted),
                written: Counter::default(),
                read: Counter::default(),
            }),
        }
    }

    async fn timed<T>(
        &self,
        operation: Operation,
        work: impl Future<Output = Result<T, BlobError>> + Send,
    ) -> Result<T, BlobError> {
        let began = Instant::now();
        let done = work.await;
        self.kept.add(operation, began.elapsed(), done.is_err());
        done
    }
}

#[async_trait]
impl BlobStore for CountedBlobs {
    async fn create(&self, name: BlobName) -> Result<Box<dyn BlobWriter>, BlobError> {
        let began = Instant::now();
        match self.storage.create(name).await {
            Ok(writer) => Ok(Box::new(CountedWriter {
                writer,
                began,
                kept: Arc::clone(&self.kept),
            })),
            Err(error) => {
                self.kept.add(Operation::Write, began.elapsed(), true);
                Err(error)
            }
        }
    }

    async fn read(&self, name: BlobName, range: Option<Range<u64>>) -> Result<Option<BlobReader>, BlobError> {
        let read = self
            .timed(Operation::Read, self.storage.read(name, range))
            .await?;
        let kept = Arc::clone(&self.kept);
        Ok(read.map(|BlobReader { size, bytes }| BlobReader {
            size,
            bytes: Box::pin(bytes.inspect(move |piece| {
                kept.read
                    .add(piece.as_ref().map_or(0, |piece| piece.len() as u64));
            })),
        }))
    }

    async fn info(&self, name: BlobName) -> Result<Option<BlobInfo>, BlobError> {
        self.timed(Operation::Info, self.storage.info(name)).await
    }

    async fn remove(&self, name: BlobName) -> Result<(), BlobError> {
        self.timed(Operation::Remove, self.storage.remove(name)).await
    }

    async fn list(&self, after: Option<BlobName>, limit: u32) -> Result<Vec<BlobInfo>, BlobError> {
        self.timed(Operation::List, self.storage.list(after, limit)).await
    }

    async fn sweep(&self, before: UnixMillis) -> Result<u64, BlobError> {
        self.timed(Operation::Sweep, self.storage.sweep(before)).await
    }

    async fn presign_read(&self, name: BlobName, read: PresignedRead) -> Result<Option<String>, BlobError> {
        self.timed(Operation::Presign, self.storage.presign_read(name, read))
            .await
    }

    async fn presign_write(&self, name: BlobName, expires_in: Duration) -> Result<Option<String>, BlobError> {
        self.timed(Operation::Presign, self.storage.presign_write(name, expires_in))
            .await
    }

    async fn check(&self) -> Result<(), BlobError> {
        self.storage.check().await
    }
}

/// A blob that is being written. One that is given up counts as nothing.
struct CountedWriter {
    writer: Box<dyn BlobWriter>,
    began: Instant,
    kept: Arc<Kept>,
}

#[async_trait]
impl BlobWriter for CountedWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        let written = self.writer.write(bytes).await;
        if written.is_err() {
            self.kept.add(Operation::Write, self.began.elapsed(), true);
        }
        written
    }

    async fn finish(self: Box<Self>) -> Result<u64, BlobError> {
        let Self { writer, began, kept } = *self;
        let finished = writer.finish().await;
        kept.add(Operation::Write, began.elapsed(), finished.is_err());
        kept.written.add(*finished.as_ref().unwrap_or(&0));
        finished
    }
}

impl Figures for CountedBlobs {
    fn figures(&self) -> Vec<Figure> {
        let named = || {
            let operations = Operation::ALL.iter().zip(&self.kept.operations);
            operations.map(|((_, name), counted)| (("operation", (*name).into()), counted))
        };
        let bytes = [("written", &self.kept.written), ("read", &self.kept.read)];
        let bytes = bytes.map(|(direction, counter)| {
            Series::new([("direction", direction.into())], Reading::Counter(counter.get()))
        });
        vec![
            Figure::new(
                "mosaic_blob_operation_duration_seconds",
                "How long the storage of attachments took: to write a file, until it could be read, and so on",
                named().map(|(label, counted)| Series::new([label], counted.times.reading())),
            ),
            Figure::new(
                "mosaic_blob_failures_total",
                "Operations that the storage of attachments failed",
                named().map(|(label, counted)| Series::new([label], Reading::Counter(counted.failed.get()))),
            ),
            Figure::new(
                "mosaic_blob_bytes_total",
                "Bytes of files that went to the storage of attachments, and came from it",
                bytes,
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use mosaic_domain::UserId;
    use mosaic_ports::{MockBlobStore, Spread};
    use mosaic_testkit::{ManualClock, MemoryBlobs};
    use uuid::Uuid;

    use super::*;

    const NAME: BlobName = BlobName {
        user: UserId::new(Uuid::from_u128(1)),
        id: Uuid::from_u128(2),
    };

    /// The reading of a figure about that.
    fn reading(blobs: &CountedBlobs, figure: &str, about: &str) -> u64 {
        let figures = blobs.figures();
        let figure = figures.iter().find(|found| found.name == figure).unwrap();
        let series = figure.series.iter().find(|series| series.labels[0].1 == about);
        match &series.unwrap().reading {
            Reading::Counter(count) | Reading::Histogram(Spread { count, .. }) => *count,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn files_that_come_and_go_are_counted_and_those_that_are_given_up_are_not() {
        let blobs = CountedBlobs::new(MemoryBlobs::new(Arc::new(ManualClock::default())).port());
        drop(blobs.create(NAME).await.unwrap());
        let mut writer = blobs.create(NAME).await.unwrap();
        writer.write("seven b".into()).await.unwrap();
        writer.finish().await.unwrap();
        let mut reader = blobs.read(NAME, None).await.unwrap().unwrap();
        while let Some(piece) = reader.bytes.next().await {
            piece.unwrap();
        }
        blobs.remove(NAME).await.unwrap();
        for (figure, about, count) in [
            ("mosaic_blob_operation_duration_seconds", "write", 1),
            ("mosaic_blob_operation_duration_seconds", "read", 1),
            ("mosaic_blob_operation_duration_seconds", "remove", 1),
            ("mosaic_blob_operation_duration_seconds", "list", 0),
            ("mosaic_blob_failures_total", "write", 0),
            ("mosaic_blob_bytes_total", "written", 7),
            ("mosaic_blob_bytes_total", "read", 7),
        ] {
            assert_eq!(reading(&blobs, figure, about), count, "{figure} {about}");
        }
    }

    #[tokio::test]
    async fn failures_are_counted() {
        let mut storage = MockBlobStore::new();
        let away = || BlobError::Unavailable("connection refused".into());
        storage.expect_create().returning(move |_| Err(away()));
        storage.expect_info().returning(move |_| Err(away()));
        let blobs = CountedBlobs::new(Arc::new(storage));
        assert!(blobs.create(NAME).await.is_err() && blobs.info(NAME).await.is_err());
        for about in ["write", "info"] {
            assert_eq!(reading(&blobs, "mosaic_blob_failures_total", about), 1);
            assert_eq!(
                reading(&blobs, "mosaic_blob_operation_duration_seconds", about),
                1
            );
        }
    }
}

//! What is known of the store as a whole, and of stores whose disk is full or whose file is gone or damaged.

use std::fs;
use std::io::Write as _;
use std::sync::Arc;

use async_trait::async_trait;
use mosaic_ports::{Clock, Health as _, StoreError, Stores, WriteError};
use mosaic_testkit::{Harness, ManualClock, SequentialIds, StoreFixture, memo, memo_key, put};

use super::*;
use crate::{Location, SqliteSettings, SqliteStore};

fn refused(code: i32) -> Failure {
    Failure::Sqlite(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None))
}

/// What the file system says no to is told from what is our fault, by the extended code.
#[test]
fn what_is_full_away_or_damaged_is_told_apart() {
    let full: StoreError = refused(ffi::SQLITE_FULL).into();
    assert!(matches!(full, StoreError::Full(_)), "{full:?}");
    for code in [
        ffi::SQLITE_IOERR,
        ffi::SQLITE_IOERR_WRITE,
        ffi::SQLITE_IOERR_FSYNC,
        ffi::SQLITE_IOERR_READ,
        ffi::SQLITE_IOERR_SHMSIZE,
        ffi::SQLITE_READONLY,
        ffi::SQLITE_READONLY_DBMOVED,
        ffi::SQLITE_CANTOPEN,
        ffi::SQLITE_PERM,
        ffi::SQLITE_PROTOCOL,
        ffi::SQLITE_NOMEM,
        ffi::SQLITE_BUSY,
        ffi::SQLITE_LOCKED,
    ] {
        let error: StoreError = refused(code).into();
        assert!(matches!(error, StoreError::Unavailable(_)), "{code}: {error:?}");
    }
    for code in [ffi::SQLITE_CORRUPT, ffi::SQLITE_CORRUPT_INDEX, ffi::SQLITE_NOTADB] {
        let error: StoreError = refused(code).into();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{code}: {error:?}");
    }
    for code in [
        ffi::SQLITE_ERROR,
        ffi::SQLITE_CONSTRAINT_UNIQUE,
        ffi::SQLITE_MISUSE,
    ] {
        let error: StoreError = refused(code).into();
        assert!(matches!(error, StoreError::Failed(_)), "{code}: {error:?}");
    }
}

#[test]
fn trouble_is_known_until_something_is_committed_and_damage_longer() {
    let condition = Condition::new(None);
    assert!(condition.look().unwrap().0, "nothing is known yet");
    for (code, passes) in [
        (ffi::SQLITE_FULL, true),
        (ffi::SQLITE_IOERR_WRITE, true),
        (ffi::SQLITE_CORRUPT, false),
    ] {
        condition.learn_from(&refused(ffi::SQLITE_BUSY));
        condition.committed();
        assert!(!condition.look().unwrap().0);
        condition.learn_from(&refused(code));
        condition.look().unwrap_err();
        condition.committed();
        assert_eq!(condition.look().is_ok(), passes, "{code}");
    }
}

/// A store in a folder of its own.
struct Opened {
    folder: tempfile::TempDir,
    store: Arc<SqliteStore>,
}

#[async_trait]
impl StoreFixture for Opened {
    const PARALLEL_WRITERS: bool = false;

    async fn start(clock: Arc<dyn Clock>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = SqliteSettings::new(Location::File(folder.path().join("mosaic.db")));
        let store = SqliteStore::open(settings, clock, Arc::new(SequentialIds::default())).await;
        let store = Arc::new(store.unwrap());
        Self { folder, store }
    }

    fn stores(&self) -> Stores {
        Stores::of(&self.store)
    }

    async fn stop(self) {
        self.store.close().await;
    }
}

async fn opened() -> (Opened, Harness) {
    let clock = Arc::new(ManualClock::default());
    let opened = Opened::start(clock.clone()).await;
    let h = Harness::new(&opened, clock);
    (opened, h)
}

#[tokio::test]
async fn w8_a_full_disk_is_said_to_be_full_reads_go_on_and_writes_come_back() {
    let (
        Opened {
            store,
            folder: _folder,
        },
        h,
    ) = opened().await;
    let user = h.user().await;
    h.write(user, [put(memo_key(1), memo("before"))]).await;
    store.check().await.unwrap();
    // As a disk does that has no room for another page.
    let limit = |pages: i64| {
        store.writer.run(move |conn| {
            conn.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
            Ok(())
        })
    };
    limit(1).await.unwrap();
    let large = "x".repeat(500_000);
    let refused = h
        .try_write(user, [put(memo_key(2), memo(&large))])
        .await
        .unwrap_err();
    assert!(
        matches!(refused, WriteError::Store(StoreError::Full(_))),
        "{refused:?}"
    );
    let not_ready = store.check().await.unwrap_err();
    assert!(matches!(not_ready, StoreError::Full(_)), "{not_ready:?}");
    assert!(h.record(user, memo_key(1)).await.is_some());
    assert!(
        h.record(user, memo_key(2)).await.is_none(),
        "nothing of it was written"
    );
    limit(1_000_000).await.unwrap();
    h.write(user, [put(memo_key(2), memo(&large))]).await;
    store.check().await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn w8_nothing_is_acknowledged_in_a_file_that_has_lost_its_name() {
    for replaced in [false, true] {
        let (Opened { folder, store }, h) = opened().await;
        let user = h.user().await;
        let path = folder.path().join("mosaic.db");
        fs::rename(&path, folder.path().join("elsewhere.db")).unwrap();
        if replaced {
            fs::write(&path, "").unwrap();
        }
        let refused = h
            .try_write(user, [put(memo_key(1), memo("x"))])
            .await
            .unwrap_err();
        assert!(
            matches!(refused, WriteError::Store(StoreError::Unavailable(_))),
            "{refused:?}"
        );
        store.check().await.unwrap_err();
        fs::rename(folder.path().join("elsewhere.db"), &path).unwrap();
        h.write(user, [put(memo_key(1), memo("x"))]).await;
        store.check().await.unwrap();
        store.close().await;
    }
}

/// The pages that the connections have in memory are as good as ever.
#[tokio::test]
async fn a_damaged_file_is_noticed_by_reading_it() {
    let (Opened { folder, store }, h) = opened().await;
    let user = h.user().await;
    h.write(user, [put(memo_key(1), memo("x"))]).await;
    store.check().await.unwrap();
    for name in ["mosaic.db", "mosaic.db-wal"] {
        let path = folder.path().join(name);
        let noise = vec![0xA5; usize::try_from(fs::metadata(&path).unwrap().len()).unwrap()];
        let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
        file.write_all(&noise).unwrap();
    }
    let damaged = store.check().await.unwrap_err();
    assert!(
        matches!(damaged, StoreError::Corrupt { .. } | StoreError::Unavailable(_)),
        "{damaged:?}"
    );
    store.close().await;
}

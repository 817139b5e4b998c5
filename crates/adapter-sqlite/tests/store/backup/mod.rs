//! Backups: taken while a server works, and put back without any risk to what is there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use mosaic_adapter_sqlite::{
    BackupError, BackupProgress, BackupSummary, FileError, Flaw, Location, RestoreError, RestoreSummary,
    SqliteSettings, SqliteStore, backup, restore,
};
use mosaic_domain::pull::PageLimits;
use mosaic_domain::write::{RecordEdit, WriteScope, decide};
use mosaic_domain::{Epoch, Record, Stamp, UnixMillis, UserId};
use mosaic_ports::{DumpReader as _, IdGenerator as _, StoreIdentity as _, WriteStore as _};
use mosaic_testkit::{ManualClock, SequentialIds, delete, memo, memo_key, put};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::{add_user, released};
use tokio::runtime::Handle;

mod refused;

/// When the tests restore.
const NOW: UnixMillis = UnixMillis::ZERO;

/// A folder with databases in it.
struct Folder {
    temp: TempDir,
    clock: Arc<ManualClock>,
    ids: Arc<SequentialIds>,
}

impl Folder {
    fn new() -> Self {
        Self {
            temp: tempfile::tempdir().unwrap(),
            clock: Arc::default(),
            ids: Arc::default(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    fn location(&self, name: &str) -> Location {
        Location::File(self.path(name))
    }

    async fn open(&self, name: &str) -> Arc<SqliteStore> {
        let settings = SqliteSettings::new(self.location(name));
        let store = SqliteStore::open(settings, self.clock.clone(), self.ids.clone()).await;
        Arc::new(store.unwrap())
    }

    /// A closed database with one user and some memos, the last of them deleted.
    async fn database(&self, name: &str, memos: u64) -> UserId {
        let store = self.open(name).await;
        let user = add_user(&store, &self.clock, &self.ids).await;
        for n in 1..=memos {
            write(&store, user, put(memo_key(n), memo("some text"))).await;
        }
        write(&store, user, delete(memo_key(memos))).await;
        store.close().await;
        user
    }

    async fn back_up(&self, from: &str, to: &str) -> Result<BackupSummary, BackupError> {
        backup(self.location(from), self.path(to), |_| ()).await
    }

    async fn restore(&self, to: &str, from: &str) -> Result<RestoreSummary, RestoreError> {
        restore(self.location(to), self.path(from), self.ids.clone(), NOW, |_| ()).await
    }

    /// Every file with what it holds.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = self.temp.path().read_dir().unwrap();
        entries
            .map(|entry| entry.unwrap().path())
            .map(|path| (name_of(&path), fs::read(&path).unwrap()))
            .collect()
    }

    fn names(&self) -> Vec<String> {
        self.files().into_keys().collect()
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

async fn write(store: &SqliteStore, user: UserId, edit: RecordEdit) {
    let edits = vec![edit];
    let scope = WriteScope::of(user, &edits);
    let decide = Arc::new(move |locked: &_| decide(locked, &edits));
    store.write(scope, decide).await.unwrap();
}

const EVERYTHING: PageLimits = PageLimits {
    records: usize::MAX,
    bytes: usize::MAX,
};

async fn records(store: &SqliteStore, user: UserId) -> Vec<Record> {
    let dumped = store.dump_records(user, Stamp::ZERO, EVERYTHING).await.unwrap();
    dumped.into_iter().map(|dumped| dumped.record).collect()
}

fn flaw(error: &FileError) -> &Flaw {
    match error {
        FileError::Unusable { flaw, .. } => flaw,
        other => panic!("{other:?}"),
    }
}

fn backup_flaw(error: &BackupError) -> &Flaw {
    match error {
        BackupError::File(error) => flaw(error),
        other => panic!("{other:?}"),
    }
}

fn restore_flaw(error: &RestoreError) -> &Flaw {
    match error {
        RestoreError::File(error) => flaw(error),
        other => panic!("{other:?}"),
    }
}

/// Overwrites the middle of a file.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let (from, to) = (bytes.len() / 4, bytes.len() * 3 / 4);
    bytes[from..to].fill(0x5a);
    fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_one_snapshot_and_the_server_goes_on_writing() {
    let folder = Folder::new();
    let store = folder.open("mosaic.db").await;
    let user = add_user(&store, &folder.clock, &folder.ids).await;
    for n in 1..=10 {
        write(
            &store,
            user,
            put(memo_key(n), memo(&format!("{n} ").repeat(50_000))),
        )
        .await;
    }
    let before = records(&store, user).await;

    // After each of the first steps the server writes something, and has it committed, before the next step.
    let steps = Arc::new(Mutex::new(Vec::new()));
    let tell = {
        let (store, steps, runtime) = (store.clone(), steps.clone(), Handle::current());
        move |progress| {
            let mut steps = steps.lock().unwrap();
            steps.push(progress);
            if steps.len() <= 2 {
                let n = 10 + u64::try_from(steps.len()).unwrap();
                runtime.block_on(write(&store, user, put(memo_key(n), memo("meanwhile"))));
            }
        }
    };
    let summary = backup(folder.location("mosaic.db"), folder.path("backup.db"), tell)
        .await
        .unwrap();
    assert_eq!((summary.users, summary.records), (1, 10));
    assert_eq!(
        summary.bytes,
        fs::metadata(folder.path("backup.db")).unwrap().len()
    );
    assert_eq!(
        records(&store, user).await.len(),
        12,
        "the server has all of them"
    );
    store.close().await;

    // It never began again.
    let mut steps = steps.lock().unwrap().clone();
    assert_eq!(steps.pop(), Some(BackupProgress::Checking));
    let pages: Vec<(u64, u64)> = steps
        .iter()
        .map(|step| match step {
            BackupProgress::Copying { pages, of } => (*pages, *of),
            BackupProgress::Checking => panic!("{steps:?}"),
        })
        .collect();
    assert!(pages.len() > 2, "{pages:?}");
    assert!(pages.is_sorted_by(|a, b| a.0 < b.0 && a.1 == b.1), "{pages:?}");
    assert!(pages.last().is_some_and(|(copied, of)| copied == of), "{pages:?}");

    let store = folder.open("backup.db").await;
    assert_eq!(records(&store, user).await, before);
    store.close().await;
}

#[tokio::test]
async fn a_backup_is_one_plain_file_for_its_owner_alone() {
    let folder = Folder::new();
    folder.database("mosaic.db", 2).await;
    let before = folder.names();
    let summary = folder.back_up("mosaic.db", "backup.db").await.unwrap();
    assert_eq!(summary.path, folder.path("backup.db"));
    let added: Vec<String> = folder
        .names()
        .into_iter()
        .filter(|name| !before.contains(name))
        .collect();
    assert_eq!(added, ["backup.db"]);
    let bytes = fs::read(folder.path("backup.db")).unwrap();
    assert_eq!(bytes[18..20], [1, 1], "a database without a write-ahead log");
    assert_eq!(&bytes[68..72], b"MSIC");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(folder.path("backup.db"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[tokio::test]
async fn a_backup_that_is_not_taken_leaves_nothing_behind() {
    let folder = Folder::new();
    folder.database("mosaic.db", 30).await;
    fs::copy(folder.path("mosaic.db"), folder.path("damaged.db")).unwrap();
    damage(&folder.path("damaged.db"));
    fs::write(folder.path("letter.db"), "Dear Anna, ".repeat(200)).unwrap();
    fs::write(folder.path("empty.db"), "").unwrap();
    Connection::open(folder.path("recipes.db"))
        .unwrap()
        .execute_batch("PRAGMA application_id = 7; CREATE TABLE recipes (n)")
        .unwrap();
    fs::write(folder.path("taken.db"), "something").unwrap();
    let before = folder.files();

    let memory = backup(Location::Memory, folder.path("new.db"), |_| ())
        .await
        .unwrap_err();
    assert!(matches!(memory, BackupError::Memory), "{memory:?}");
    let missing = folder.back_up("nothing.db", "new.db").await.unwrap_err();
    assert!(matches!(missing, BackupError::Missing(_)), "{missing:?}");
    let exists = folder.back_up("mosaic.db", "taken.db").await.unwrap_err();
    assert!(matches!(exists, BackupError::Exists(_)), "{exists:?}");
    let nowhere = folder.back_up("mosaic.db", "no/folder.db").await.unwrap_err();
    assert!(
        matches!(nowhere, BackupError::File(FileError::Io { .. })),
        "{nowhere:?}"
    );
    let letter = folder.back_up("letter.db", "new.db").await.unwrap_err();
    assert_eq!(*backup_flaw(&letter), Flaw::NotADatabase);
    let empty = folder.back_up("empty.db", "new.db").await.unwrap_err();
    assert_eq!(*backup_flaw(&empty), Flaw::NotADatabase);
    let recipes = folder.back_up("recipes.db", "new.db").await.unwrap_err();
    assert_eq!(*backup_flaw(&recipes), Flaw::Foreign);
    let damaged = folder.back_up("damaged.db", "new.db").await.unwrap_err();
    assert!(matches!(backup_flaw(&damaged), Flaw::Corrupt(_)), "{damaged:?}");
    assert!(damaged.to_string().contains("damaged.db"), "{damaged}");

    assert!(folder.files() == before, "{:?}", folder.names());
}

#[tokio::test]
async fn r2_a_restored_database_holds_what_the_backup_held_and_begins_a_history() {
    let folder = Folder::new();
    let user = folder.database("mosaic.db", 3).await;
    folder.back_up("mosaic.db", "backup.db").await.unwrap();
    let store = folder.open("mosaic.db").await;
    let (held, epoch) = (records(&store, user).await, store.epoch().await.unwrap());
    write(&store, user, put(memo_key(9), memo("after the backup"))).await;
    let lost = records(&store, user).await;
    store.close().await;
    let of_backup = fs::read(folder.path("backup.db")).unwrap();

    let summary = folder.restore("mosaic.db", "backup.db").await.unwrap();
    assert_eq!((summary.users, summary.records), (1, 3));
    assert_eq!(name_of(&summary.path), "mosaic.db");
    assert_ne!(summary.epoch, epoch);
    assert!(
        fs::read(folder.path("backup.db")).unwrap() == of_backup,
        "it is left as it is"
    );
    let previous = name_of(&summary.previous.unwrap());
    assert_eq!(previous, "mosaic.db.before-restore-0");
    assert_eq!(
        folder.names(),
        ["backup.db", "mosaic.db", &previous, "mosaic.db.lock"]
    );

    let store = folder.open("mosaic.db").await;
    assert_eq!(records(&store, user).await, held);
    assert_eq!(store.epoch().await.unwrap(), summary.epoch);
    store.close().await;
    let store = folder.open(&previous).await;
    assert_eq!(records(&store, user).await, lost);
    assert_eq!(store.epoch().await.unwrap(), epoch);
    store.close().await;

    // Again, back to what was lost: the first one that was moved aside stays where it is.
    folder.back_up(&previous, "second.db").await.unwrap();
    let summary = folder.restore("mosaic.db", "second.db").await.unwrap();
    assert_eq!(
        name_of(&summary.previous.unwrap()),
        "mosaic.db.before-restore-0-2"
    );
    let store = folder.open("mosaic.db").await;
    assert_eq!(records(&store, user).await, lost);
    store.close().await;
}

#[tokio::test]
async fn a_backup_is_restored_to_where_there_is_nothing() {
    let folder = Folder::new();
    let user = folder.database("mosaic.db", 3).await;
    folder.back_up("mosaic.db", "backup.db").await.unwrap();
    let summary = folder.restore("new/folder/mosaic.db", "backup.db").await.unwrap();
    assert_eq!(summary.previous, None);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(&summary.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let store = folder.open("new/folder/mosaic.db").await;
    assert_eq!(records(&store, user).await.len(), 3);
    store.close().await;
}

#[tokio::test]
async fn what_a_crash_left_in_the_log_goes_aside_with_the_old_database() {
    let folder = Folder::new();
    let user = folder.database("mosaic.db", 3).await;
    folder.back_up("mosaic.db", "backup.db").await.unwrap();
    // A server that was killed: its files as they were in the middle of its work.
    let store = folder.open("mosaic.db").await;
    write(&store, user, put(memo_key(9), memo("in the log alone"))).await;
    fs::create_dir(folder.path("crashed")).unwrap();
    for name in ["mosaic.db", "mosaic.db-wal"] {
        fs::copy(folder.path(name), folder.path("crashed").join(name)).unwrap();
    }
    store.close().await;

    let summary = folder.restore("crashed/mosaic.db", "backup.db").await.unwrap();
    let previous = format!("crashed/{}", name_of(&summary.previous.unwrap()));
    let store = folder.open("crashed/mosaic.db").await;
    assert_eq!(
        records(&store, user).await.len(),
        3,
        "nothing of the old log is in the new database"
    );
    store.close().await;
    let store = folder.open(&previous).await;
    assert_eq!(records(&store, user).await.len(), 4);
    store.close().await;
}

use std::fs::{FileTimes, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::StreamExt;
use mosaic_testkit::blobs::{blob, bytes, collect, put};
use tempfile::TempDir;

use super::*;

/// Writes down what is done, and does not do what it is told not to.
#[derive(Default)]
struct TestDisk {
    log: Mutex<Vec<String>>,
    /// No room is left from now on: what is written goes to a device that is always full.
    full: AtomicBool,
    /// Folders can't be brought to disk from now on.
    no_sync_dir: AtomicBool,
    /// Nothing is really written from now on, only counted.
    counting: AtomicBool,
    written: AtomicU64,
}

impl TestDisk {
    fn note(&self, done: &str, path: &Path) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        self.log.lock().unwrap().push(format!("{done} {name}"));
    }
}

impl Disk for TestDisk {
    fn create(&self, path: &Path) -> io::Result<File> {
        let file = OsDisk.create(path)?;
        if self.full.load(Ordering::Relaxed) {
            return OpenOptions::new().write(true).open("/dev/full");
        }
        Ok(file)
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        self.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if self.counting.load(Ordering::Relaxed) {
            return Ok(());
        }
        OsDisk.write(file, bytes)
    }

    fn sync_file(&self, file: &File, size: u64) -> io::Result<()> {
        self.note("sync", Path::new("file"));
        OsDisk.sync_file(file, size)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.note("link", to);
        OsDisk.link(from, to)
    }

    fn make_dirs(&self, path: &Path) -> io::Result<()> {
        self.note("make", path);
        OsDisk.make_dirs(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.note("sync", path);
        if self.no_sync_dir.load(Ordering::Relaxed) {
            return Err(io::Error::other("an input/output error"));
        }
        OsDisk.sync_dir(path)
    }
}

async fn open(disk: &Arc<TestDisk>) -> (TempDir, LocalBlobs) {
    let temp = tempfile::tempdir().unwrap();
    let settings = LocalSettings::new(temp.path().join("blobs"));
    let store = LocalBlobs::open_on(settings, Arc::<TestDisk>::clone(disk)).await;
    (temp, store.unwrap())
}

async fn plain() -> (TempDir, LocalBlobs) {
    open(&Arc::default()).await
}

fn parts(store: &LocalBlobs) -> Vec<PathBuf> {
    let entries = fs::read_dir(store.folder.incoming.path()).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Waits for what is removed in the background.
async fn no_parts(store: &LocalBlobs) {
    let wait = async {
        while !parts(store).is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap();
}

#[tokio::test]
async fn a_blob_is_on_disk_before_it_has_its_name_and_its_folders_after() {
    let disk = Arc::new(TestDisk::default());
    let (_temp, store) = open(&disk).await;
    disk.log.lock().unwrap().clear();
    let name = blob(1, 0xAB << 120);
    put(&store, name, &bytes(1, 10), 10).await.unwrap();
    let (user, id) = (name.user, name.id);
    assert_eq!(
        *disk.log.lock().unwrap(),
        [
            "sync file".to_owned(),
            "make ab00".to_owned(),
            format!("link {id}"),
            "sync ab00".to_owned(),
            format!("sync {user}"),
            "sync blobs".to_owned(),
        ]
    );
}

#[tokio::test]
async fn a_folder_that_can_not_be_brought_to_disk_has_no_blob() {
    let disk = Arc::new(TestDisk::default());
    let (_temp, store) = open(&disk).await;
    disk.no_sync_dir.store(true, Ordering::Relaxed);
    let failed = put(&store, blob(1, 1), &bytes(1, 10), 10).await;
    assert!(matches!(failed, Err(BlobError::Failed(_))), "{failed:?}");
    assert_eq!(store.info(blob(1, 1)).await.unwrap(), None);
    assert_eq!(store.list(None, 10).await.unwrap(), []);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_is_told() {
    let disk = Arc::new(TestDisk::default());
    let (_temp, store) = open(&disk).await;
    put(&store, blob(1, 1), &bytes(1, 10), 10).await.unwrap();
    disk.full.store(true, Ordering::Relaxed);

    let at_once = put(&store, blob(1, 2), &bytes(1, 1_000_000), 1_000_000).await;
    assert!(matches!(at_once, Err(BlobError::Full(_))), "{at_once:?}");
    let at_the_end = put(&store, blob(1, 2), &bytes(1, 10), 10).await;
    assert!(matches!(at_the_end, Err(BlobError::Full(_))), "{at_the_end:?}");
    let mut broken = store.create(blob(1, 2)).await.unwrap();
    broken.write(bytes(1, 1_000_000)).await.unwrap_err();
    assert!(matches!(
        broken.write(bytes(1, 10)).await,
        Err(BlobError::Failed(_))
    ));
    assert!(matches!(broken.finish().await, Err(BlobError::Failed(_))));
    assert!(matches!(store.check().await, Err(BlobError::Full(_))));

    no_parts(&store).await;
    assert_eq!(store.info(blob(1, 2)).await.unwrap(), None);
    disk.full.store(false, Ordering::Relaxed);
    put(&store, blob(1, 2), &bytes(1, 10), 10).await.unwrap();
    store.check().await.unwrap();
}

#[tokio::test]
async fn two_hundred_mebibytes_are_never_in_memory() {
    const PIECE: usize = 100_000;
    let disk = Arc::new(TestDisk::default());
    let (_temp, store) = open(&disk).await;
    disk.counting.store(true, Ordering::Relaxed);
    let mut writer = store.create(blob(1, 1)).await.unwrap();
    let (mut given, mut most) = (0, 0);
    let before = disk.written.load(Ordering::Relaxed);
    let piece = bytes(1, PIECE);
    while given < 200 * 1024 * 1024 {
        writer.write(piece.clone()).await.unwrap();
        given += PIECE as u64;
        most = most.max(given - (disk.written.load(Ordering::Relaxed) - before));
    }
    assert!(most < 512 * 1024, "{most} bytes are given and not written");
}

#[tokio::test]
async fn files_are_for_their_owner_only() {
    let (_temp, store) = plain().await;
    let name = blob(1, 0xAB << 120);
    put(&store, name, &bytes(1, 10), 10).await.unwrap();
    let root = store.folder.root.clone();
    let user = root.join(name.user.to_string());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for dir in [&root, &root.join(".incoming"), &user, &user.join("ab00")] {
        assert_eq!(mode(dir), 0o700, "{}", dir.display());
    }
    assert_eq!(mode(&user.join("ab00").join(name.id.to_string())), 0o600);
}

#[tokio::test]
async fn what_is_not_ours_is_passed_over() {
    let (_temp, store) = plain().await;
    let name = blob(1, 0xAB << 120);
    put(&store, name, &bytes(1, 10), 10).await.unwrap();
    let root = &store.folder.root;
    let user = root.join(name.user.to_string());
    let id = name.id.to_string();
    for file in [
        root.join("README"),
        root.join("00000000-0000-0000-0000-000000000002"),
        user.join("notes"),
        user.join("cd"),
        user.join("ab00").join("x"),
        user.join("ab00").join(format!("{id}~")),
        user.join("ab00").join(id.to_uppercase()),
        user.join("ab00").join(blob(1, 0xCD << 120).id.to_string()),
        root.join(".incoming").join("x.part"),
        root.join(".incoming").join(format!("{}.{id}.1", name.user)),
    ] {
        fs::write(file, "x").unwrap();
    }
    fs::create_dir_all(user.join("AB")).unwrap();
    fs::create_dir(user.join("ab00").join(blob(1, (0xAB << 120) + 1).id.to_string())).unwrap();
    let listed = store.list(None, 10).await.unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0].name, name);
    assert_eq!(store.sweep(UnixMillis::clamped(i64::MAX)).await.unwrap(), 0);
    assert_eq!(parts(&store).len(), 2);
}

#[tokio::test]
async fn empty_folders_go_with_their_last_blob() {
    let (_temp, store) = plain().await;
    let names = [blob(1, 1), blob(1, 2), blob(1, 0xAB << 120)];
    for name in names {
        put(&store, name, &bytes(1, 10), 10).await.unwrap();
    }
    let user = store.folder.user_dir(names[0]);
    store.remove(names[2]).await.unwrap();
    assert!(!user.join("ab00").exists() && user.join("0000").exists());
    store.remove(names[0]).await.unwrap();
    store.remove(names[1]).await.unwrap();
    assert!(!user.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_come_and_go_under_their_writers() {
    let (_temp, store) = plain().await;
    let store = Arc::new(store);
    let mut tasks = tokio::task::JoinSet::new();
    for id in 0..8 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for round in 0..25 {
                let name = blob(1, id * 1_000 + round);
                put(&*store, name, &bytes(1, 10), 10).await.unwrap();
                store.remove(name).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(store.list(None, 10).await.unwrap(), []);
    assert!(!store.folder.user_dir(blob(1, 0)).exists());
}

#[tokio::test]
async fn a_drive_that_is_not_mounted_is_not_empty() {
    let (_temp, store) = plain().await;
    put(&store, blob(1, 1), &bytes(1, 10), 10).await.unwrap();
    let writer = store.create(blob(1, 2)).await.unwrap();
    let root = store.folder.root.clone();
    fs::rename(&root, root.with_extension("away")).unwrap();
    fs::create_dir(&root).unwrap();
    let unavailable = |outcome: Result<(), BlobError>| {
        assert!(matches!(outcome, Err(BlobError::Unavailable(_))), "{outcome:?}");
    };
    unavailable(store.read(blob(1, 1), None).await.map(drop));
    unavailable(store.info(blob(1, 1)).await.map(drop));
    unavailable(store.remove(blob(1, 1)).await);
    unavailable(store.list(None, 10).await.map(drop));
    unavailable(store.create(blob(1, 3)).await.map(drop));
    unavailable(store.sweep(UnixMillis::clamped(i64::MAX)).await.map(drop));
    unavailable(store.check().await);
    unavailable(writer.finish().await.map(drop));
    assert_eq!(
        fs::read_dir(&root).unwrap().count(),
        0,
        "nothing is made beside the drive"
    );
}

#[tokio::test]
async fn a_file_that_is_cut_off_does_not_end_early() {
    let (_temp, store) = plain().await;
    put(&store, blob(1, 1), &bytes(1, 1_000_000), 1_000_000)
        .await
        .unwrap();
    let mut reader = store.read(blob(1, 1), None).await.unwrap().unwrap();
    reader.bytes.next().await.unwrap().unwrap();
    let file = OpenOptions::new().write(true).open(store.folder.path(blob(1, 1)));
    file.unwrap().set_len(300_000).unwrap();
    let rest = collect(reader).await;
    assert!(matches!(rest, Err(BlobError::Failed(_))), "{rest:?}");
}

#[tokio::test]
async fn a_blob_is_as_old_as_its_end() {
    let (_temp, store) = plain().await;
    for size in [0, 10, 300_000] {
        let mut writer = store.create(blob(1, size as u128)).await.unwrap();
        writer.write(bytes(1, size)).await.unwrap();
        let long_ago = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH);
        for part in parts(&store) {
            let file = OpenOptions::new().write(true).open(part).unwrap();
            file.set_times(long_ago).unwrap();
        }
        writer.finish().await.unwrap();
        let found = store.info(blob(1, size as u128)).await.unwrap().unwrap();
        assert!(found.stored_at.get() > 1_600_000_000_000, "{found:?}");
    }
}

#[tokio::test]
async fn only_what_is_old_is_swept() {
    let (_temp, store) = plain().await;
    let name = format!("{}.{}.7.part", blob(1, 1).user, blob(1, 1).id);
    let part = store.folder.incoming.path().join(name);
    fs::write(&part, "x").unwrap();
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let file = OpenOptions::new().write(true).open(&part).unwrap();
    file.set_times(FileTimes::new().set_modified(at(1_000))).unwrap();
    drop(file);
    assert_eq!(store.sweep(UnixMillis::clamped(1_000_000)).await.unwrap(), 0);
    assert!(part.exists());
    assert_eq!(store.sweep(UnixMillis::clamped(1_000_001)).await.unwrap(), 1);
    assert!(!part.exists());
}

#[tokio::test]
async fn a_writer_takes_another_file_where_one_was_left() {
    let (_temp, store) = plain().await;
    for number in 1..10 {
        let name = format!("{}.{}.{number}.part", blob(1, 1).user, blob(1, 1).id);
        fs::write(store.folder.incoming.path().join(name), "left").unwrap();
    }
    put(&store, blob(1, 1), &Bytes::from_static(b"new"), 10)
        .await
        .unwrap();
    let reader = store.read(blob(1, 1), None).await.unwrap().unwrap();
    assert_eq!(collect(reader).await.unwrap(), "new");
    assert_eq!(store.sweep(UnixMillis::clamped(i64::MAX)).await.unwrap(), 9);
}

#[tokio::test]
async fn a_file_is_no_folder() {
    let temp = tempfile::NamedTempFile::new().unwrap();
    let opened = LocalBlobs::open(LocalSettings::new(temp.path())).await;
    let error = opened.unwrap_err().to_string();
    assert!(error.contains(&temp.path().display().to_string()), "{error}");
}

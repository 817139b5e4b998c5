//! Backups of everything: `mosaic backup --to`, `mosaic restore` of one, and those that a server makes by itself.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::*;

/// The bundles in the folder `backups`, the oldest first.
fn bundles(place: &Place) -> Vec<PathBuf> {
    let entries = fs::read_dir(place.data.path().join("backups")).unwrap();
    let mut found: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| !path.ends_with(".lock"));
    found.sort();
    found
}

/// The numbers of the files that hold attachments.
fn inodes(bundle: &Path) -> Vec<u64> {
    let folder = Folder(bundle.join("attachments"));
    let mut found: Vec<_> = folder
        .blobs()
        .iter()
        .map(|path| fs::metadata(path).unwrap().ino())
        .collect();
    found.sort_unstable();
    found
}

/// Has bundles of before look as if they were of another year: no two have one name.
fn rename(bundle: &Path, year: u32) -> PathBuf {
    let old = bundle.with_file_name(format!("mosaic-{year}-05-16T033000Z"));
    fs::rename(bundle, &old).unwrap();
    old
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_has_everything_and_takes_room_for_what_is_new() {
    let place = Place::embedded();
    let server = place.start();
    let client = server.device("phone").await;
    fill(&client).await;
    let (kept, gone) = (upload(&client, 1).await, upload(&client, 2).await);
    let said = place.mosaic(&["backup", "--to", "backups"]).done();
    assert!(
        said.starts_with("Backed up and compared: 1 user, ") && said.contains("Copied: "),
        "{said}"
    );
    let first = rename(&bundles(&place)[0], 2024);

    upload(&client, 3).await;
    let before = client.everything().await;
    let said = place.mosaic(&["backup", "--to", "backups"]).done();
    assert!(said.contains("Copied: 1 new file, 97.6 KiB"), "{said}");
    let second = bundles(&place)[1].clone();
    let (old, new) = (inodes(&first), inodes(&second));
    assert!(old.iter().all(|file| new.contains(file)), "{old:?} {new:?}");
    assert_eq!(new.len(), old.len() + 1);

    // On another machine, where there is nothing.
    stop(server);
    let elsewhere = Place::embedded();
    let args = ["restore", &second.to_string_lossy(), "--yes"];
    let said = elsewhere.mosaic(&args).done();
    assert!(said.contains("Attachments that were missing: "), "{said}");
    assert_eq!(
        healthy(&elsewhere, &[]),
        ["3 attachments of 1 account, 292.9 KiB read: all as they should be."]
    );
    let server = elsewhere.start();
    let client = server.login("admin", ADMIN_PASSWORD, "tablet").await;
    assert_eq!(client.everything().await.records, before.records);
    assert_eq!(client.download(&bytes_of(&kept)).await.whole(), noise(1, SIZE));
    stop(server);

    // Where it came from, and a file is gone since.
    let lost = holding(&Folder::of(&place.data), &noise(2, SIZE));
    fs::remove_file(&lost).unwrap();
    let args = ["restore", &second.to_string_lossy(), "--yes"];
    let said = place.mosaic(&args).done();
    assert!(
        said.contains("Attachments that were missing: 1 file, 97.6 KiB"),
        "{said}"
    );
    let server = place.start();
    let client = server.login("admin", ADMIN_PASSWORD, "tablet").await;
    assert_eq!(client.download(&bytes_of(&gone)).await.whole(), noise(2, SIZE));
    stop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_backups_go_and_nothing_half_made_stays() {
    let place = Place::embedded();
    let server = place.start();
    upload(&server.device("phone").await, 1).await;
    for year in [2021, 2022] {
        place.mosaic(&["backup", "--to", "backups"]).done();
        let newest = bundles(&place).pop().unwrap();
        rename(&newest, year);
    }
    let folder = place.data.path().join("backups");
    // What is damaged in a backup is not handed on to the next.
    let saved = Folder(folder.join("mosaic-2022-05-16T033000Z/attachments"));
    let cut = File::options()
        .write(true)
        .open(holding(&saved, &noise(1, SIZE)))
        .unwrap();
    cut.set_len(10).unwrap();
    fs::create_dir(folder.join(".unfinished-mosaic-2023-05-16T033000Z")).unwrap();
    fs::create_dir(folder.join("mosaic-photos")).unwrap();
    let said = place.mosaic(&["backup", "--to", "backups", "--keep", "2"]).done();
    assert!(said.contains("Removed: the oldest 1 backup."), "{said}");
    let names: Vec<_> = bundles(&place)
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert_eq!(
        [&*names[0], &*names[2]],
        ["mosaic-2022-05-16T033000Z", "mosaic-photos"]
    );
    holding(&Folder(bundles(&place)[1].join("attachments")), &noise(1, SIZE));

    let lock = File::create(folder.join(".lock")).unwrap();
    lock.lock().unwrap();
    let busy = place.mosaic(&["backup", "--to", "backups"]).failed();
    assert!(
        busy.contains("another backup into this folder is under way"),
        "{busy}"
    );
    drop(lock);
    let none = place
        .mosaic(&["backup", "--to", "mosaic-data/token.key"])
        .failed();
    assert!(none.contains("token.key"), "{none}");
    stop(server);
}

/// What the server has lost is missing in its backup, too: that is said, and everything else is saved.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_says_what_is_missing_in_it() {
    let place = Place::embedded();
    let server = place.start();
    let client = server.device("phone").await;
    upload(&client, 1).await;
    upload(&client, 2).await;
    fs::remove_file(holding(&Folder::of(&place.data), &noise(2, SIZE))).unwrap();
    let ended = place.mosaic(&["backup", "--to", "backups"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.out.contains("\nlost: the file ") && ended.err.contains("lost, damaged or unreadable: 1"),
        "{ended:?}"
    );
    assert_eq!(bundles(&place).len(), 1);

    // And storage that is not the store's is none.
    let other = ["backup", "--to", "backups", "--attachments-folder", "elsewhere"];
    fs::create_dir(place.data.path().join("elsewhere")).unwrap();
    let said = place.mosaic(&other).failed();
    assert!(said.contains("is a drive not mounted"), "{said}");
    assert_eq!(bundles(&place).len(), 1, "nothing is left of it");
    stop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_makes_backups_by_itself() {
    let place = Place::embedded();
    let server = place.start_with(&["--backup-folder", "backups", "--backup-keep", "3"]);
    let made = async {
        while !server.log().contains("backed up: ") {
            tokio::task::yield_now().await;
        }
    };
    let made = tokio::time::timeout(Duration::from_mins(1), made).await;
    assert!(made.is_ok(), "{}", server.log());
    let bundle = bundles(&place).pop().unwrap();
    stop(server);
    let elsewhere = Place::embedded();
    elsewhere
        .mosaic(&["restore", &bundle.to_string_lossy(), "--yes"])
        .done();

    let failing = place.start_with(&["--backup-folder", "mosaic-data/token.key"]);
    let said = async {
        while !failing.log().contains("there is no backup of today") {
            tokio::task::yield_now().await;
        }
    };
    let said = tokio::time::timeout(Duration::from_mins(1), said).await;
    assert!(said.is_ok(), "{}", failing.log());
    stop(failing);
}

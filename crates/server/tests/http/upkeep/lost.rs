//! What was a store and is none any more is not taken for a new one; and what root restores belongs to the service.

use std::fs;
use std::path::{Path, PathBuf};

use crate::files::{file, noise};
use crate::upkeep::support::{Place, on_both_stores, prepared, stop};

on_both_stores! {
    an_emptied_database_beside_attachments_does_not_start_as_a_new_server
}

fn database(place: &Place) -> PathBuf {
    place.data.path().join("mosaic-data/mosaic.db")
}

async fn with_attachment(place: &Place) {
    let server = place.start();
    let client = server.device("phone").await;
    let form = file("a.bin", "application/octet-stream", &noise(1, 1_000));
    client.upload(form).await.ok();
    stop(server);
}

async fn an_emptied_database_beside_attachments_does_not_start_as_a_new_server(place: Place) {
    with_attachment(&place).await;
    match &place.database {
        None => fs::remove_file(database(&place)).unwrap(),
        Some(database) => {
            let emptied = "DROP SCHEMA public CASCADE; CREATE SCHEMA public";
            database.connect().await.batch_execute(emptied).await.unwrap();
        }
    }
    for command in ["migrate", "serve", "serve"] {
        let said = place.mosaic(&[command]).failed();
        assert!(
            said.contains("holds files")
                && said.contains("mosaic restore")
                && said.contains("--accept-storage"),
            "{said}"
        );
    }
    let accounts = place.mosaic(&["user", "list"]).done();
    assert_eq!(accounts.lines().count(), 1, "nobody was made: {accounts}");
    // What the message says works.
    place.mosaic(&["doctor", "--accept-storage"]);
    stop(place.start());
    place.remove().await;
}

#[test]
fn what_is_left_of_a_database_is_refused_and_left_alone() {
    let place = Place::embedded();
    prepared(&place);
    let path = database(&place);
    let whole = fs::read(&path).unwrap();
    let log = path.with_extension("db-wal");
    let refused = |what: &str| {
        let before = fs::read(&path).ok();
        let said = place.mosaic(&["serve"]).failed();
        assert!(said.contains("mosaic.db") && said.contains(what), "{said}");
        assert_eq!(fs::read(&path).ok(), before, "{what}");
    };
    fs::write(&path, "").unwrap();
    refused("is empty, and the data folder has the key");
    fs::write(&log, noise(1, 10_000)).unwrap();
    fs::remove_file(&path).unwrap();
    refused("the log of a database lies beside it");
    assert_eq!(fs::read(&log).unwrap(), noise(1, 10_000));
    fs::remove_file(&log).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    refused("shorter than it says itself");
    fs::write(&path, noise(1, whole.len())).unwrap();
    refused("is not a database of this server");
    let mut foreign = whole.clone();
    foreign[68..72].copy_from_slice(b"ELSE");
    fs::write(&path, foreign).unwrap();
    refused("is not a database of this server");
    fs::write(&path, &whole).unwrap();
    stop(place.start());
}

/// A backup is restored as root, the service runs as somebody else, to whom the data folder belongs.
#[cfg(unix)]
#[test]
fn what_root_restores_belongs_to_whom_the_data_folder_belongs() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

    let place = Place::embedded();
    prepared(&place);
    place.mosaic(&["backup", "saved.db"]).done();
    let folder = place.data.path().join("mosaic-data");
    // Only root can give files away; everybody else has them already.
    let service = if rustix::process::geteuid().is_root() {
        12_345
    } else {
        rustix::process::geteuid().as_raw()
    };
    let belongs_to_the_service = |what: &str| {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            assert_eq!(
                entry.metadata().unwrap().uid(),
                service,
                "{what}: {:?}",
                entry.path()
            );
        }
    };
    for entry in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
        chown(entry, Some(service), None).unwrap();
    }
    chown(&folder, Some(service), None).unwrap();
    fs::set_permissions(database(&place), fs::Permissions::from_mode(0o640)).unwrap();
    place.mosaic(&["restore", "saved.db", "--yes"]).done();
    belongs_to_the_service("in the place of a database");
    let mode = fs::metadata(database(&place)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);

    // Which the server removes one day.
    let backups = place.data.path().join("backups");
    fs::create_dir(&backups).unwrap();
    chown(&backups, Some(service), None).unwrap();
    place.mosaic(&["backup", "--to", "backups"]).done();
    fs::rename(newest(&backups), backups.join("mosaic-2024-05-16T033000Z")).unwrap();
    place.mosaic(&["backup", "--to", "backups"]).done();
    assert_eq!(not_of(service, &backups), Vec::<PathBuf>::new());

    fs::remove_dir_all(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    chown(&folder, Some(service), None).unwrap();
    place.mosaic(&["restore", "saved.db", "--yes"]).done();
    place.mosaic(&["backup", "mosaic-data/again.db"]).done();
    place.mosaic(&["user", "list"]).done();
    belongs_to_the_service("where there was nothing");
    let mode = fs::metadata(database(&place)).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0);
}

fn newest(folder: &Path) -> PathBuf {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.max().unwrap()
}

/// What belongs to others, in a folder and those in it.
fn not_of(user: u32, folder: &Path) -> Vec<PathBuf> {
    use std::os::unix::fs::MetadataExt as _;
    let mut found = Vec::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(not_of(user, &path));
        }
        if path.symlink_metadata().unwrap().uid() != user {
            found.push(path);
        }
    }
    found
}

//! Which files are opened, and by whom.

use super::*;

#[tokio::test]
async fn a_second_open_of_one_file_fails_at_once_and_names_the_file() {
    let database = Database::new();
    let store = database.open().await;
    let refused = database.try_open().await.unwrap_err();
    assert!(matches!(refused, OpenError::InUse(_)), "{refused:?}");
    assert!(refused.to_string().contains("mosaic.db"), "{refused}");
    store.close().await;
    database.open().await.close().await;
}

#[cfg(unix)]
#[tokio::test]
async fn another_name_of_the_file_is_the_same_file() {
    let database = Database::new();
    let store = database.open().await;
    let link = database.folder.path().join("link.db");
    std::os::unix::fs::symlink(database.path(), &link).unwrap();
    let refused = database.try_open_at(&link).await.unwrap_err();
    assert!(matches!(refused, OpenError::InUse(_)), "{refused:?}");
    store.close().await;
}

#[cfg(unix)]
#[tokio::test]
async fn the_files_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let database = Database::new();
    let store = database.open().await;
    let user = database.user(&store).await;
    write(&store, user, vec![put(memo_key(1), memo("x"))])
        .await
        .unwrap();
    for entry in database.folder.path().read_dir().unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", entry.path().display());
    }
    store.close().await;
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let database = Database::new();
    let text = "this is a letter to Anna, and it is long enough to have a header of its own. ".repeat(20);
    std::fs::write(database.path(), &text).unwrap();
    let refused = database.try_open().await.unwrap_err();
    assert!(refused.to_string().contains("mosaic.db"), "{refused}");
    assert_eq!(std::fs::read_to_string(database.path()).unwrap(), text);
}

#[tokio::test]
async fn a_short_text_and_another_program_s_database_are_refused_and_left_alone() {
    let database = Database::new();
    std::fs::write(database.path(), "eggs, flour").unwrap();
    let refused = database.try_open().await.unwrap_err();
    assert!(matches!(refused, OpenError::Foreign(_)), "{refused:?}");
    assert_eq!(std::fs::read_to_string(database.path()).unwrap(), "eggs, flour");

    for sql in ["PRAGMA application_id = 7", "CREATE TABLE meta (epoch)"] {
        std::fs::remove_file(database.path()).unwrap();
        let conn = rusqlite::Connection::open(database.path()).unwrap();
        conn.execute_batch(&format!("{sql}; CREATE TABLE recipes (n)"))
            .unwrap();
        drop(conn);
        let before = std::fs::read(database.path()).unwrap();
        let refused = database.try_open().await.unwrap_err();
        assert!(matches!(refused, OpenError::Foreign(_)), "{refused:?}");
        assert!(refused.to_string().contains("mosaic.db"), "{refused}");
        assert!(std::fs::read(database.path()).unwrap() == before, "{sql}");
    }
}

/// A file that was emptied, or lost its end, was a database: it is no place for a new one.
#[tokio::test]
async fn what_is_left_of_a_database_is_refused_and_left_alone() {
    let database = Database::new();
    database.open().await.close().await;
    let whole = std::fs::read(database.path()).unwrap();
    let log = database.folder.path().join("mosaic.db-wal");
    let half = &whole[..whole.len() / 2];
    for (left, has_log, wanted) in [(&[][..], true, "its log"), (half, false, "its end")] {
        std::fs::write(database.path(), left).unwrap();
        if has_log {
            std::fs::write(&log, "changes that were not written back").unwrap();
        }
        let refused = database.try_open().await.unwrap_err();
        assert!(matches!(refused, OpenError::Lost { .. }), "{wanted}: {refused:?}");
        assert!(std::fs::read(database.path()).unwrap() == left, "{wanted}");
        assert_eq!(log.exists(), has_log, "{wanted}");
        let _ = std::fs::remove_file(&log);
    }
    // Without a log, what is empty is a new file.
    std::fs::write(database.path(), "").unwrap();
    database.open().await.close().await;
}

#[tokio::test]
async fn what_a_crash_before_the_first_migration_leaves_is_opened() {
    let database = Database::new();
    database.tamper(
        "CREATE TABLE refinery_schema_history (version INT4 PRIMARY KEY, name VARCHAR(255),
                                               applied_on VARCHAR(255), checksum VARCHAR(255))",
    );
    database.open().await.close().await;
}

#[tokio::test]
async fn migrations_run_once() {
    let database = Database::new();
    let store = database.open().await;
    assert_eq!(pending_migrations(database.location()).await.unwrap(), []);
    let user = database.user(&store).await;
    let epoch = pull(&store, user).await.unwrap().epoch;
    store.close().await;

    let store = database.open().await;
    assert_eq!(
        pull(&store, user).await.unwrap().epoch,
        epoch,
        "the history goes on (R2)"
    );
    store.close().await;
}

#[tokio::test]
async fn a_schema_of_a_newer_version_is_refused() {
    let database = Database::new();
    database.open().await.close().await;
    database.tamper(
        "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
         VALUES (9999, 'from_the_future', '2030-01-01T00:00:00Z', '1')",
    );
    let refused = database.try_open().await.unwrap_err();
    let asked = pending_migrations(database.location()).await.unwrap_err();
    for refused in [refused, asked] {
        assert!(matches!(refused, OpenError::Migration { .. }), "{refused:?}");
    }
}

/// A database that is only to be used is neither made nor brought up to date, and what it is instead is said.
#[tokio::test]
async fn without_leave_to_migrate_a_database_must_be_there_and_up_to_date() {
    let database = Database::new();
    let existing = |location| {
        let settings = SqliteSettings {
            migrate: false,
            ..SqliteSettings::new(location)
        };
        SqliteStore::open(settings, database.clock.clone(), database.ids.clone())
    };
    let refused = async |location: Location| {
        let asked = pending_migrations(location.clone()).await;
        (existing(location).await.unwrap_err(), asked)
    };
    let elsewhere = Location::File(database.folder.path().join("nowhere/mosaic.db"));
    for location in [Location::Memory, elsewhere, database.location()] {
        let (opened, asked) = refused(location).await;
        for refused in [opened, asked.unwrap_err()] {
            assert!(matches!(refused, OpenError::Absent(_)), "{refused:?}");
        }
    }
    let found = database.folder.path().read_dir().unwrap().count();
    assert_eq!(found, 0, "nothing was made");

    std::fs::write(database.path(), "").unwrap();
    let (opened, _) = refused(database.location()).await;
    assert!(matches!(opened, OpenError::Absent(_)), "{opened:?}");
    assert!(std::fs::read(database.path()).unwrap().is_empty());

    database.open().await.close().await;
    existing(database.location()).await.unwrap().close().await;
    database.tamper("DELETE FROM refinery_schema_history WHERE version = 14");
    let (opened, asked) = refused(database.location()).await;
    let OpenError::Pending { missing, .. } = opened else {
        panic!("{opened:?}")
    };
    assert_eq!(
        (in_words(missing).as_str(), asked.unwrap()),
        ("V14 invites", missing)
    );
}

#[tokio::test]
async fn a_damaged_database_is_said_to_be_one() {
    let database = Database::new();
    database.open().await.close().await;
    let mut whole = std::fs::read(database.path()).unwrap();
    whole[4096..].fill(0xff);
    std::fs::write(database.path(), &whole).unwrap();
    let refused = database.try_open().await.unwrap_err();
    let asked = pending_migrations(database.location()).await.unwrap_err();
    for refused in [refused, asked] {
        assert!(matches!(refused, OpenError::Damaged { .. }), "{refused:?}");
        assert!(refused.to_string().contains("mosaic restore"), "{refused}");
    }
}

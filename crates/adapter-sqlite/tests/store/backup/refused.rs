//! What is not replaced, and what can not be restored.

use super::*;

#[tokio::test]
async fn a_database_that_another_program_reads_is_not_replaced() {
    let folder = Folder::new();
    let user = folder.database("mosaic.db", 3).await;
    folder.back_up("mosaic.db", "backup.db").await.unwrap();
    let reader = Connection::open(folder.path("mosaic.db")).unwrap();
    reader
        .execute_batch("BEGIN; UPDATE meta SET only_row = 1")
        .unwrap();
    let refused = folder.restore("mosaic.db", "backup.db").await.unwrap_err();
    assert!(matches!(refused, RestoreError::InUse(_)), "{refused:?}");
    drop(reader);
    assert_eq!(folder.names(), ["backup.db", "mosaic.db", "mosaic.db.lock"]);
    let store = folder.open("mosaic.db").await;
    assert_eq!(records(&store, user).await.len(), 3);
    store.close().await;
}

#[tokio::test]
async fn a_damaged_database_is_no_obstacle_and_is_kept_with_what_lies_beside_it() {
    let folder = Folder::new();
    let user = folder.database("mosaic.db", 3).await;
    folder.back_up("mosaic.db", "backup.db").await.unwrap();
    fs::write(folder.path("mosaic.db"), "nonsense ".repeat(1_000)).unwrap();
    fs::write(folder.path("mosaic.db-wal"), "a log").unwrap();
    let summary = folder.restore("mosaic.db", "backup.db").await.unwrap();
    let previous = summary.previous.unwrap();
    assert_eq!(fs::read_to_string(&previous).unwrap(), "nonsense ".repeat(1_000));
    let log = folder.path(&format!("{}-wal", name_of(&previous)));
    assert_eq!(fs::read_to_string(log).unwrap(), "a log");
    let store = folder.open("mosaic.db").await;
    assert_eq!(records(&store, user).await.len(), 3);
    store.close().await;
}

#[tokio::test]
async fn a_database_that_is_in_use_is_not_replaced() {
    let folder = Folder::new();
    let user = folder.database("mosaic.db", 3).await;
    folder.back_up("mosaic.db", "backup.db").await.unwrap();
    let store = folder.open("mosaic.db").await;
    let before = folder.names();
    let refused = folder.restore("mosaic.db", "backup.db").await.unwrap_err();
    assert!(matches!(refused, RestoreError::InUse(_)), "{refused:?}");
    assert_eq!(folder.names(), before);
    write(&store, user, put(memo_key(9), memo("the server goes on"))).await;
    assert_eq!(records(&store, user).await.len(), 4);
    store.close().await;
}

#[tokio::test]
async fn a_backup_that_can_t_be_restored_leaves_the_database_byte_for_byte() {
    let folder = Folder::new();
    folder.database("mosaic.db", 30).await;
    folder.back_up("mosaic.db", "backup.db").await.unwrap();
    let good = fs::read(folder.path("backup.db")).unwrap();
    let name = |n: &str| folder.path(n);

    fs::write(name("damaged.db"), &good).unwrap();
    damage(&name("damaged.db"));
    fs::write(name("truncated.db"), &good[..good.len() / 2]).unwrap();
    fs::write(name("letter.db"), "Dear Anna, ".repeat(200)).unwrap();
    fs::write(name("note.db"), "eggs").unwrap();
    fs::write(name("empty.db"), "").unwrap();
    let made = |n: &str, sql: &str| Connection::open(name(n)).unwrap().execute_batch(sql).unwrap();
    made("recipes.db", "CREATE TABLE recipes (n)");
    fs::write(name("marked.db"), &good).unwrap();
    made("marked.db", "PRAGMA application_id = 7");
    fs::write(name("newer.db"), &good).unwrap();
    made(
        "newer.db",
        "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
         VALUES (9999, 'from_the_future', '2030-01-01T00:00:00Z', '1')",
    );
    fs::write(name("orphan.db"), &good).unwrap();
    made(
        "orphan.db",
        "PRAGMA foreign_keys = 0; DELETE FROM sync_clocks; DELETE FROM users",
    );
    let before = folder.files();

    let memory = restore(
        Location::Memory,
        name("backup.db"),
        folder.ids.clone(),
        NOW,
        |_| (),
    )
    .await;
    assert!(matches!(memory, Err(RestoreError::Memory)), "{memory:?}");
    let missing = folder.restore("mosaic.db", "nothing.db").await.unwrap_err();
    assert!(matches!(missing, RestoreError::Missing(_)), "{missing:?}");
    let itself = folder.restore("mosaic.db", "mosaic.db").await.unwrap_err();
    assert!(matches!(itself, RestoreError::SameFile(_)), "{itself:?}");
    for (from, expected) in [
        ("letter.db", Flaw::NotADatabase),
        ("note.db", Flaw::NotADatabase),
        ("empty.db", Flaw::NotADatabase),
        ("recipes.db", Flaw::Foreign),
        ("marked.db", Flaw::Foreign),
        (
            "newer.db",
            Flaw::Newer {
                found: 9999,
                known: 14,
            },
        ),
    ] {
        let refused = folder.restore("mosaic.db", from).await.unwrap_err();
        assert_eq!(*restore_flaw(&refused), expected, "{from}");
        assert!(refused.to_string().contains(from), "{refused}");
    }
    for from in ["damaged.db", "truncated.db", "orphan.db"] {
        let refused = folder.restore("mosaic.db", from).await.unwrap_err();
        assert!(
            matches!(restore_flaw(&refused), Flaw::Corrupt(_)),
            "{from}: {refused:?}"
        );
        assert!(refused.to_string().contains(from), "{refused}");
    }

    assert!(folder.files() == before, "{:?}", folder.names());
}

#[tokio::test]
async fn a_backup_of_an_older_version_is_brought_up_to_date() {
    let folder = Folder::new();
    folder.database("mosaic.db", 3).await;
    let mut conn = Connection::open(folder.path("old.db")).unwrap();
    released::migrations::runner()
        .set_target(refinery::Target::Version(1))
        .run(&mut conn)
        .unwrap();
    let (epoch, user) = (folder.ids.next(), UserId::new(folder.ids.next()));
    conn.execute("INSERT INTO meta (only_row, epoch) VALUES (1, ?1)", [epoch])
        .unwrap();
    conn.execute(
        "INSERT INTO users VALUES (?1, 'anna', 'anna', 'hash', NULL, 'user', 0, 0, 0, 0)",
        [user.uuid()],
    )
    .unwrap();
    conn.execute("INSERT INTO sync_clocks VALUES (?1, 7)", [user.uuid()])
        .unwrap();
    conn.execute(
        "INSERT INTO sync_cursors VALUES ('phone', ?1, 'memo', 7)",
        [user.uuid()],
    )
    .unwrap();
    drop(conn);

    // Both as it is, and as a backup that this version takes of it.
    folder.back_up("old.db", "backup.db").await.unwrap();
    for from in ["old.db", "backup.db"] {
        let summary = folder.restore("mosaic.db", from).await.unwrap();
        assert_eq!((summary.users, summary.records), (1, 0), "{from}");
        let store = folder.open("mosaic.db").await;
        assert_ne!(store.epoch().await.unwrap(), Epoch::new(epoch));
        let dump = store.dump_user(user).await.unwrap().unwrap();
        assert_eq!(dump.clock.get(), 7);
        assert_eq!(dump.cursors[0].served_at, UnixMillis::ZERO, "nobody knows");
        store.close().await;
    }
}

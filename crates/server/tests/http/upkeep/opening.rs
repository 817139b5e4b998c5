//! Every command on every kind of store that it can't work on: absent, older, newer, foreign, damaged. Each says what it found,
//! and none makes anything.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::upkeep::support::{Ended, Place, on_both_stores, stop};

on_both_stores! {
    every_command_says_what_is_wrong_with_a_store_and_makes_none
    a_store_gets_its_administrator_when_it_is_made
}

/// The commands that work on a store that is there. `backup` takes one as it is, whatever its version.
const ON_EVERY_STORE: &[&[&str]] = &[
    &["doctor"],
    &["doctor", "--accept-storage"],
    &["epoch", "renew"],
    &["epoch", "show"],
    &["export", "--user", "admin"],
    &["import", "--user", "admin", "admin.jsonl"],
    &["purge"],
    &["serve", "--no-migrate"],
    &["user", "add", "anna"],
    &["user", "delete", "admin"],
    &["user", "delete", "admin", "--yes"],
    &["user", "disable", "admin"],
    &["user", "enable", "admin"],
    &["audit"],
    &["user", "list"],
    &["user", "passwd", "admin"],
    &["user", "passwd", "admin", "--password-stdin"],
];
const ON_THE_EMBEDDED_STORE: &[&[&str]] = &[
    &["backup", "backup.db"],
    &["copy", "--from", DATABASE, "--to", "sqlite://elsewhere/copy.db"],
];
/// Those that need no store, or may make one.
const OTHERS: [&str; 10] = [
    "check-client",
    "config",
    "dev",
    "healthcheck",
    "help",
    "log-level",
    "migrate",
    "openapi",
    "restore",
    "serve",
];
/// The store of the data folder, named as the configuration names it.
const DATABASE: &str = "sqlite://./mosaic-data/mosaic.db";

/// What a command may leave: an existing file was looked at.
const TRACES: [&str; 3] = ["mosaic.db.lock", "mosaic.db-shm", "mosaic.db-wal"];

fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
        let path = entry.path();
        if TRACES.iter().all(|trace| !path.ends_with(trace)) {
            found.extend(files(&path));
            found.insert(path);
        }
    }
    found
}

#[test]
fn only_what_can_be_distributed_is() {
    let migrate = ["migrate", "--distribute", "citus"];
    let refused = Place::embedded().mosaic(&migrate).failed();
    assert!(refused.contains("--distribute is for PostgreSQL"), "{refused}");
}

#[tokio::test]
async fn a_database_without_the_extension_is_left_as_it_is() {
    let place = Place::postgres().await;
    let refused = place.mosaic(&["migrate", "--distribute", "citus"]).failed();
    assert!(refused.contains("CREATE EXTENSION citus"), "{refused}");
    place.mosaic(&["migrate", "--check"]).done();
    place.remove().await;
}

/// A command may be added, and has to be in one of the lists.
#[test]
fn every_command_is_listed_here() {
    let help = Place::embedded().mosaic(&["--help"]).done();
    let commands = help.split("Commands:\n").nth(1).unwrap();
    let commands: BTreeSet<_> = commands
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let listed = ON_EVERY_STORE
        .iter()
        .chain(ON_THE_EMBEDDED_STORE)
        .map(|args| args[0]);
    assert_eq!(commands, listed.chain(OTHERS).collect());
}

/// Runs all commands on a store that none of them can work on.
fn refused(place: &Place, state: &str, phrase: &str) {
    let before = files(place.data.path());
    let embedded = if place.is_embedded() {
        ON_THE_EMBEDDED_STORE
    } else {
        &[]
    };
    for args in ON_EVERY_STORE.iter().chain(embedded) {
        // A backup may be taken of what this version can't use.
        if args[0] == "backup" && ["older", "newer"].contains(&state) {
            continue;
        }
        let said = place.mosaic(args).failed();
        assert!(said.contains(phrase), "{state}, {args:?}: {said}");
    }
    let checked = place.mosaic(&["migrate", "--check"]).failed();
    assert!(checked.contains(phrase), "{state}, migrate --check: {checked}");
    assert_eq!(files(place.data.path()), before, "{state}");
}

async fn every_command_says_what_is_wrong_with_a_store_and_makes_none(place: Place) {
    let absent = "there is no store. Is it the right place";
    let another = Place::embedded();
    another.mosaic(&["migrate"]).done();
    let export = another.mosaic(&["export", "--user", "admin"]).done();
    fs::write(place.data.path().join("admin.jsonl"), export).unwrap();

    refused(&place, "absent", absent);
    place.mosaic(&["migrate"]).done();
    let newer = "INSERT INTO refinery_schema_history SELECT 999, 'later', applied_on, checksum \
                 FROM refinery_schema_history WHERE version = 1";
    place.execute(newer).await;
    refused(&place, "newer", "made by a newer version of the server: step 999");
    let older = "DELETE FROM refinery_schema_history WHERE version >= 14";
    place.execute(older).await;
    refused(&place, "older", "migrations are pending: V14 invites");
    if place.is_embedded() {
        files_that_are_no_store(&place);
    }
    place.remove().await;
}

fn files_that_are_no_store(place: &Place) {
    let path = place.data.path().join("mosaic-data/mosaic.db");
    let key = place.data.path().join("mosaic-data/token.key");
    fs::remove_file(&path).unwrap();
    place.mosaic(&["migrate"]).done();
    let whole = fs::read(&path).unwrap();
    let mut foreign = whole.clone();
    foreign[68..72].copy_from_slice(b"ELSE");
    let mut damaged = whole.clone();
    damaged[4096..].fill(0xff);
    let half = &whole[..whole.len() / 2];
    for (state, bytes, phrase) in [
        ("emptied", &b""[..], "is empty, and the data folder has the key"),
        ("a text", b"eggs, flour", "is not a database of this server"),
        ("foreign", &foreign, "is not a database of this server"),
        ("cut short", half, "shorter than it says itself"),
        (
            "damaged",
            &damaged,
            "the database is damaged. Restore a backup (mosaic restore FILE)",
        ),
    ] {
        fs::write(&path, bytes).unwrap();
        refused(place, state, phrase);
    }
    let page = |n: usize| 4096 * (n - 1)..4096 * n;
    let mut lost_accounts = whole.clone();
    lost_accounts[page(first_page_of_users(&path, &whole))].fill(0xff);
    fs::write(&path, lost_accounts).unwrap();
    for args in [&["serve"][..], &["user", "list"], &["doctor"], &["purge"]] {
        let said = place.mosaic(args).failed();
        assert!(
            said.contains("is damaged. Restore a backup") && !said.contains("admin"),
            "{args:?}: {said}"
        );
    }
    fs::remove_file(&key).unwrap();
    fs::write(&path, "").unwrap();
    refused(place, "empty", "there is no store");
}

fn first_page_of_users(path: &Path, whole: &[u8]) -> usize {
    fs::write(path, whole).unwrap();
    let file = rusqlite::Connection::open(path).unwrap();
    let sql = "SELECT rootpage FROM sqlite_schema WHERE type = 'table' AND name = 'users'";
    file.query_row(sql, [], |row| row.get::<_, i64>(0))
        .unwrap()
        .try_into()
        .unwrap()
}

async fn a_store_gets_its_administrator_when_it_is_made(place: Place) {
    let migrate = || {
        let mut command = place.command(&["migrate"]);
        command.env_remove("MOSAIC_ADMIN_PASSWORD");
        Ended::of(command.output().unwrap()).done()
    };
    let printed = migrate();
    assert!(
        printed.contains("Log in as `admin`") && printed.contains("Made a new store"),
        "{printed}"
    );
    let password = printed
        .lines()
        .find_map(|line| line.strip_prefix("      "))
        .unwrap();
    assert_eq!(migrate(), "The store is up to date.\n");
    let server = place.start();
    server.login("admin", password, "phone").await;
    stop(server);
    place.remove().await;

    let place = Place::embedded();
    let mut command = place.command(&["migrate"]);
    command.env("MOSAIC_ADMIN_PASSWORD", "a password of mine");
    let said = Ended::of(command.output().unwrap()).done();
    assert!(
        said.starts_with("Made a new store: ") && !said.contains("password"),
        "{said}"
    );
    place.start().login("admin", "a password of mine", "phone").await;
}

/// What can't be restored leaves nothing either, and nobody is asked about it.
#[test]
fn no_backup_leaves_nothing() {
    let place = Place::embedded();
    let name = "no-backup.db";
    for (bytes, phrase) in [
        (None, "there is no such backup"),
        (Some("eggs"), "no SQLite database"),
    ] {
        if let Some(bytes) = bytes {
            fs::write(place.data.path().join(name), bytes).unwrap();
        }
        let before = files(place.data.path());
        for args in [&["restore", name][..], &["restore", name, "--yes"]] {
            let said = place.mosaic(args).failed();
            assert!(said.contains(phrase), "{args:?}: {said}");
        }
        assert_eq!(files(place.data.path()), before);
    }
}

//! The store: the promises of the ports (`conformance`), and what is its own: the file, its lock, its migrations, backups, and
//! what happens when somebody else wrote into it.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has to say so at once")]

mod attachments;
mod backup;
mod conformance;
mod opening;
mod seals;
mod upgrade;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mosaic_adapter_sqlite::{Location, OpenError, SqliteSettings, SqliteStore, pending_migrations};
use mosaic_domain::account::{
    Account, AccountChange, CreateOutcome, PasswordHash, RemoveOutcome, Role, UpdateOutcome, User,
};
use mosaic_domain::login::{IssueOutcome, NewRefreshToken, StoredRefreshToken, TokenHash, TokenSeed};
use mosaic_domain::pull::{PageLimits, PullRequest, Snapshot};
use mosaic_domain::query::{Order, PageNumber, RecordQuery};
use mosaic_domain::search::SearchTerms;
use mosaic_domain::write::{RecordEdit, WritePlan, WriteScope, decide};
use mosaic_domain::{
    Cursor, EntitySet, EntityType, FamilyId, PerEntity, Record, RecordKey, State, UnixMillis, UserId,
};
use mosaic_ports::{
    AccountStore as _, ChangeFeed as _, Clock, DeviceCursors as _, DumpReader as _, Health as _,
    IdGenerator as _, RecordReader, RefreshTokens as _, Retention as _, RevisionPage, ServedCursors,
    StoreError, WriteError, WriteStore as _, in_words,
};
use mosaic_testkit::{
    EditExt as _, ManualClock, SequentialIds, delete, memo, memo_key, patch_memo, put, resource, resource_key,
};
use tempfile::TempDir;

/// The migrations, as versions before ran them.
mod released {
    refinery::embed_migrations!("../../migrations/sqlite");
}

/// A database file in a folder of its own, which outlives the stores that open it.
struct Database {
    folder: TempDir,
    clock: Arc<ManualClock>,
    ids: Arc<SequentialIds>,
}

impl Database {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            clock: Arc::default(),
            ids: Arc::default(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("mosaic.db")
    }

    fn location(&self) -> Location {
        Location::File(self.path())
    }

    async fn try_open(&self) -> Result<SqliteStore, OpenError> {
        self.try_open_at(&self.path()).await
    }

    async fn try_open_at(&self, path: &Path) -> Result<SqliteStore, OpenError> {
        let settings = SqliteSettings::new(Location::File(path.to_owned()));
        SqliteStore::open(settings, self.clock.clone(), self.ids.clone()).await
    }

    async fn open(&self) -> SqliteStore {
        self.try_open().await.unwrap()
    }

    async fn user(&self, store: &SqliteStore) -> UserId {
        add_user(store, &self.clock, &self.ids).await
    }

    /// Changes the file behind the store's back.
    fn tamper(&self, sql: &str) {
        let conn = rusqlite::Connection::open(self.path()).unwrap();
        conn.pragma_update(None, "ignore_check_constraints", true)
            .unwrap();
        conn.execute_batch(sql).unwrap();
    }
}

/// Makes the account `anna`.
async fn add_user(store: &SqliteStore, clock: &ManualClock, ids: &SequentialIds) -> UserId {
    let id = UserId::new(ids.next());
    let user = User {
        id,
        username: "anna".parse().unwrap(),
        avatar_url: None,
        role: Role::User,
        must_change_password: false,
        disabled: false,
        quota: mosaic_domain::Quota::Default,
        time_zone: None,
        created_at: clock.now(),
        updated_at: clock.now(),
    };
    let password = PasswordHash::new("hash".into());
    let created = store.create(Account { user, password }, false, None).await;
    assert_eq!(created.unwrap(), CreateOutcome::Created);
    id
}

async fn write(store: &SqliteStore, user: UserId, edits: Vec<RecordEdit>) -> Result<WritePlan, WriteError> {
    let scope = WriteScope::of(user, &edits);
    store
        .write(scope, Arc::new(move |locked| decide(locked, &edits)))
        .await
}

async fn pull(store: &SqliteStore, user: UserId) -> Result<Snapshot, StoreError> {
    let request = PullRequest {
        client: "phone".parse().unwrap(),
        login: None,
        cursors: PerEntity::default(),
        entities: EntitySet::all(),
        epoch: None,
    };
    let snapshot = store.snapshot(user, &request, PageLimits::PROTOCOL).await?;
    Ok(snapshot.expect("the user exists"))
}

async fn revisions(store: &SqliteStore, user: UserId, key: RecordKey) -> RevisionPage {
    let page = store.revisions(user, key, None, PageLimits::PROTOCOL).await;
    page.unwrap()
}

async fn search(store: &SqliteStore, user: UserId, terms: &str) -> u64 {
    let mut query = RecordQuery::all(EntityType::Memo, Order::NewestFirst, PageNumber::EVERYTHING);
    query.search = SearchTerms::parse(terms).unwrap();
    RecordReader::list(store, user, &query).await.unwrap().total
}

#[tokio::test]
async fn reopening_keeps_everything() {
    let database = Database::new();
    let store = database.open().await;
    let user = database.user(&store).await;
    let edits = vec![
        put(memo_key(1), memo("first")),
        put(memo_key(2), memo("second")),
        put(resource_key(1), resource("a.png")),
        delete(memo_key(2)),
    ];
    write(&store, user, edits).await.unwrap();
    write(&store, user, vec![put(memo_key(3), memo("third"))])
        .await
        .unwrap();
    let served = ServedCursors {
        user,
        client: "phone".parse().unwrap(),
        login: FamilyId::new(database.ids.next()),
        cursors: vec![(EntityType::Memo, Cursor::clamped(7))],
        served_at: database.clock.now(),
    };
    store.remember(served);
    let cursors = store.cursors(user).await.unwrap();
    let before = pull(&store, user).await.unwrap();
    let kept = revisions(&store, user, memo_key(2)).await;
    assert_eq!(kept.items.len(), 1);
    store.close().await;

    let store = database.open().await;
    assert_eq!(pull(&store, user).await.unwrap(), before);
    assert_eq!(revisions(&store, user, memo_key(2)).await, kept);
    assert_eq!(store.cursors(user).await.unwrap(), cursors);
    assert_eq!(search(&store, user, "thir").await, 1);
    assert_eq!(store.by_id(user).await.unwrap().unwrap().user.id, user);
    store.close().await;
}

#[tokio::test]
async fn what_was_remembered_is_written_before_the_store_is_closed() {
    let database = Database::new();
    let store = database.open().await;
    let user = database.user(&store).await;
    for cursor in [5, 9, 7] {
        store.remember(ServedCursors {
            user,
            client: "phone".parse().unwrap(),
            login: FamilyId::new(database.ids.next()),
            cursors: vec![(EntityType::Bot, Cursor::clamped(cursor))],
            served_at: database.clock.now(),
        });
    }
    store.close().await;
    let store = database.open().await;
    let cursors = store.cursors(user).await.unwrap();
    assert_eq!(cursors.len(), 1);
    assert_eq!(
        cursors[0].last_sync_at.get(),
        7,
        "the last call wins, not the greatest cursor"
    );
    store.close().await;
}

#[tokio::test]
async fn a_time_zone_that_only_a_later_version_knows_counts_as_none() {
    let database = Database::new();
    let store = database.open().await;
    let user = database.user(&store).await;
    database.tamper("UPDATE users SET time_zone = 'Mars/Olympus'");
    let account = store.by_id(user).await.unwrap().unwrap();
    assert_eq!(account.user.time_zone, None);
    store.close().await;
}

#[tokio::test]
async fn a_corrupt_stamp_is_reported_as_such() {
    let database = Database::new();
    let store = database.open().await;
    let user = database.user(&store).await;
    database.tamper("UPDATE sync_clocks SET last_stamp = -1");
    let failed = pull(&store, user).await.unwrap_err();
    assert!(
        matches!(
            failed,
            StoreError::Corrupt {
                what: "sync_clocks.last_stamp",
                ..
            }
        ),
        "{failed:?}"
    );
    store.close().await;
}

#[tokio::test]
async fn a_file_that_another_program_holds_makes_the_store_unavailable_not_broken() {
    let database = Database::new();
    let settings = SqliteSettings {
        busy_timeout: std::time::Duration::from_millis(1),
        ..SqliteSettings::new(database.location())
    };
    let store = SqliteStore::open(settings, database.clock.clone(), database.ids.clone())
        .await
        .unwrap();
    let user = database.user(&store).await;
    let other = rusqlite::Connection::open(database.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let failed = write(&store, user, vec![put(memo_key(1), memo("x"))])
        .await
        .unwrap_err();
    assert!(
        matches!(failed, WriteError::Store(StoreError::Unavailable(_))),
        "{failed:?}"
    );
    assert!(pull(&store, user).await.is_ok(), "reads go on");
    other.execute_batch("ROLLBACK").unwrap();
    write(&store, user, vec![put(memo_key(1), memo("x"))])
        .await
        .unwrap();
    store.close().await;
}

#[tokio::test]
async fn the_search_index_holds_exactly_the_live_texts() {
    let database = Database::new();
    let store = database.open().await;
    let user = database.user(&store).await;
    let write = async |edit| write(&store, user, vec![edit]).await.unwrap();
    write(put(memo_key(1), memo("今天天气很好 \"quoted\" AND so on"))).await;
    for found in ["天气", "天天气", "\"quoted\"", "and", "QUO so 好"] {
        assert_eq!(search(&store, user, found).await, 1, "{found}");
    }
    assert_eq!(search(&store, user, "天気").await, 0);
    write(patch_memo(1, "something else")).await;
    assert_eq!(
        (
            search(&store, user, "天气").await,
            search(&store, user, "thing").await
        ),
        (0, 1)
    );
    write(delete(memo_key(1))).await;
    assert_eq!(search(&store, user, "thing").await, 0);
    let rows = |sql: &str| {
        let conn = rusqlite::Connection::open(database.path()).unwrap();
        conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(rows("SELECT count(*) FROM record_search"), 0);
    write(put(memo_key(1), memo("back again")).at(ManualClock::START_MS + 1_000)).await;
    assert_eq!(search(&store, user, "back").await, 1);
    assert_eq!(rows("SELECT count(*) FROM record_search"), 1);
    store.close().await;
}

#[tokio::test]
async fn a_closed_store_is_not_available() {
    let database = Database::new();
    let store = database.open().await;
    let user = database.user(&store).await;
    store.check().await.unwrap();
    store.close().await;
    assert!(matches!(store.check().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(
        pull(&store, user).await,
        Err(StoreError::Unavailable(_))
    ));
    let refused = write(&store, user, vec![delete(memo_key(1))]).await.unwrap_err();
    assert!(
        matches!(refused, WriteError::Store(StoreError::Unavailable(_))),
        "{refused:?}"
    );
}

#[test]
fn a_store_may_be_dropped_outside_of_the_runtime() {
    let database = Database::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = runtime.block_on(async {
        let store = database.open().await;
        let user = database.user(&store).await;
        pull(&store, user).await.unwrap();
        store
    });
    drop(runtime);
    drop(store);
}

fn served(user: UserId, client: &str, login: FamilyId, cursor: i64, at: i64) -> ServedCursors {
    ServedCursors {
        user,
        client: client.parse().unwrap(),
        login,
        cursors: vec![(EntityType::Memo, Cursor::clamped(cursor))],
        served_at: UnixMillis::clamped(at),
    }
}

#[tokio::test]
async fn d1_what_stays_as_it_is_was_served_when_it_came_to_be_so() {
    let database = Database::new();
    let store = database.open().await;
    let user = database.user(&store).await;
    let login = FamilyId::new(database.ids.next());
    let served_at = async || store.cursors(user).await.unwrap()[0].served_at.get();
    // Two that are written together, and two of which the first is written already.
    store.remember(served(user, "phone", login, 5, 100));
    store.remember(served(user, "phone", login, 5, 200));
    assert_eq!(served_at().await, 100);
    store.remember(served(user, "phone", login, 5, 300));
    assert_eq!(served_at().await, 100);
    store.remember(served(user, "phone", login, 6, 400));
    assert_eq!(served_at().await, 400);
    store.close().await;
}

#[tokio::test]
async fn d2_a_login_without_a_device_belongs_to_the_first_one_that_pulls_with_it() {
    let database = Database::new();
    let store = database.open().await;
    let user = database.user(&store).await;
    let login = FamilyId::new(database.ids.next());
    let token = StoredRefreshToken {
        token: NewRefreshToken {
            key: TokenHash([1; 32]),
            hash: TokenHash([2; 32]),
            seed: TokenSeed([3; 32]),
            issued_at: UnixMillis::clamped(10),
            expires_at: UnixMillis::clamped(1_000),
        },
        user,
        family: login,
        client: None,
        device_name: None,
    };
    let issued = store
        .issue(token, PasswordHash::new("hash".into()))
        .await
        .unwrap();
    assert!(matches!(issued, IssueOutcome::Issued(_)), "{issued:?}");
    // Both are written together; the order of the calls counts, not that of the names.
    store.remember(served(user, "tablet", login, 5, 100));
    store.remember(served(user, "phone", login, 5, 100));
    let logins = store.logins(user, UnixMillis::clamped(20)).await.unwrap();
    assert_eq!(logins.len(), 1);
    assert_eq!(logins[0].client.as_str(), "tablet");
    store.close().await;
}

#[tokio::test]
async fn what_is_served_to_somebody_who_is_being_removed_is_not_written() {
    let database = Database::new();
    let store = database.open().await;
    let user = database.user(&store).await;
    for n in 1..=5 {
        write(&store, user, vec![put(memo_key(n), memo("x"))])
            .await
            .unwrap();
    }
    let login = FamilyId::new(database.ids.next());
    let mut steps = 0;
    loop {
        store.remember(served(user, "phone", login, 5 + steps, 100));
        steps += 1;
        match store.remove(user, 2, None).await.unwrap() {
            RemoveOutcome::Removing => {
                store.remember(served(user, "tablet", login, 5, 100));
                assert_eq!(store.cursors(user).await.unwrap(), []);
                let change = AccountChange {
                    disabled: Some(false),
                    ..AccountChange::default()
                };
                let opened = store
                    .update(user, change, database.clock.now(), None)
                    .await
                    .unwrap();
                assert_eq!(opened, UpdateOutcome::NotFound);
                assert_eq!(store.dump_user(user).await.unwrap(), None);
            }
            outcome => {
                assert_eq!(outcome, RemoveOutcome::Removed);
                break;
            }
        }
    }
    assert!(steps > 3, "{steps}");
    let conn = rusqlite::Connection::open(database.path()).unwrap();
    for table in [
        "users",
        "records",
        "record_search",
        "revisions",
        "sync_cursors",
        "sync_clocks",
        "logins",
        "earlier_tokens",
    ] {
        let sql = format!("SELECT count(*) FROM {table}");
        let left: i64 = conn.query_row(&sql, [], |row| row.get(0)).unwrap();
        assert_eq!(left, 0, "{table}");
    }
    drop(conn);
    store.close().await;
}

#[tokio::test]
async fn h2_an_erased_tombstone_keeps_its_row_and_nothing_of_its_content() {
    let database = Database::new();
    let store = database.open().await;
    let user = database.user(&store).await;
    write(&store, user, vec![put(memo_key(1), memo("a secret"))])
        .await
        .unwrap();
    write(&store, user, vec![delete(memo_key(1))]).await.unwrap();
    let before = store.record(user, memo_key(1)).await.unwrap().unwrap();
    let end = UnixMillis::clamped(i64::MAX);
    let purged = store.purge(user, end, 1).await.unwrap();
    assert_eq!((purged.revisions, purged.contents, purged.more), (1, 0, true));
    let purged = store.purge(user, end, 10).await.unwrap();
    assert_eq!((purged.revisions, purged.contents, purged.more), (0, 1, false));
    let after = store.record(user, memo_key(1)).await.unwrap().unwrap();
    assert_eq!(
        after,
        Record {
            state: State::Deleted(None),
            ..before
        }
    );
    store.close().await;
}

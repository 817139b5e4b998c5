//! Attachments: what the migration finds in older databases, and what stands in the columns afterwards.

use std::path::PathBuf;
use std::sync::Arc;

use mosaic_adapter_sqlite::{Location, SqliteSettings, SqliteStore};
use mosaic_domain::account::RemoveOutcome;
use mosaic_domain::attachment::{
    AppendOutcome, Avatar, BeginOutcome, ContentRef, ReferenceOutcome, Upload, UploadKind, UploadPart,
    VariantRef,
};
use mosaic_domain::entity::{Entity as _, MimeType, Resource, Sha256, Variant};
use mosaic_domain::write::{RecordEdit, WriteScope, decide};
use mosaic_domain::{AvatarId, RecordKey, ResourceId, UnixMillis, UploadId, UserId};
use mosaic_ports::{
    AccountStore as _, AttachmentAudit as _, AttachmentIndex as _, AvatarIndex as _, IdGenerator as _,
    OrphanIndex as _, Retention as _, UploadStore as _, VariantIndex as _, WriteStore as _,
};
use mosaic_testkit::{ManualClock, SequentialIds, delete, put, resource, resource_key};
use rusqlite::{Connection, Params};
use tempfile::TempDir;

use crate::released;

/// A database of the version before attachments, with one user.
struct Older {
    folder: TempDir,
    ids: Arc<SequentialIds>,
    user: UserId,
}

impl Older {
    fn new() -> Self {
        let ids = Arc::<SequentialIds>::default();
        let older = Self {
            folder: tempfile::tempdir().unwrap(),
            user: UserId::new(ids.next()),
            ids,
        };
        let mut conn = Connection::open(older.path()).unwrap();
        released::migrations::runner()
            .set_target(refinery::Target::Version(2))
            .run(&mut conn)
            .unwrap();
        drop(conn);
        let user = [older.user.uuid()];
        older.execute("INSERT INTO meta (only_row, epoch) VALUES (1, ?1)", user);
        older.execute(
            "INSERT INTO users VALUES (?1, 'anna', 'anna', 'hash', NULL, 'user', 0, 0, 0, 0)",
            user,
        );
        older.execute("INSERT INTO sync_clocks VALUES (?1, 100)", user);
        older
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("mosaic.db")
    }

    fn execute(&self, sql: &str, values: impl Params) {
        let conn = Connection::open(self.path()).unwrap();
        conn.execute(sql, values).unwrap();
    }

    /// A record as that version wrote it.
    fn record(&self, n: u64, entity: &str, document: Option<&str>, is_deleted: bool) {
        self.execute(
            "INSERT INTO records (user_id, entity_type, record_key, stamp, edit_time, author, created_at,
                                  revision_count, is_deleted, is_archived, sort_order, document)
             VALUES (?1, ?2, ?3, ?4, 1, 'phone', 1, 0, ?5, 0, 0, ?6)",
            (
                self.user.uuid(),
                entity,
                resource_key(n).to_string(),
                i64::try_from(n).unwrap(),
                is_deleted,
                document,
            ),
        );
    }

    /// A revision as that version wrote it.
    fn revision(&self, n: u64, document: &str) {
        self.execute(
            "INSERT INTO revisions VALUES (?1, ?2, 'resource', ?3, 1, 1, 'phone', 1, 'overwritten', 1, ?4)",
            (
                self.user.uuid(),
                self.ids.next(),
                resource_key(n).to_string(),
                document,
            ),
        );
    }

    async fn open(&self) -> SqliteStore {
        let settings = SqliteSettings::new(Location::File(self.path()));
        let clock = Arc::<ManualClock>::default();
        SqliteStore::open(settings, clock, self.ids.clone())
            .await
            .unwrap()
    }

    /// What stands in the column, by key.
    fn attachments(&self, table: &str) -> Vec<(String, Option<[u8; 32]>)> {
        let conn = Connection::open(self.path()).unwrap();
        let sql = format!("SELECT record_key, attachment FROM {table} ORDER BY record_key");
        let mut statement = conn.prepare(&sql).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    }

    fn count(&self, table: &str) -> i64 {
        let conn = Connection::open(self.path()).unwrap();
        conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
            .unwrap()
    }
}

fn hash(n: u8) -> Sha256 {
    Sha256::from_bytes([n; 32])
}

fn picture(sha256: Option<Sha256>) -> Resource {
    Resource {
        sha256,
        ..resource("a.png")
    }
}

fn document(sha256: Option<Sha256>) -> String {
    picture(sha256).into_content().to_document()
}

fn held(n: u8, ids: &SequentialIds) -> ContentRef {
    ContentRef {
        sha256: hash(n),
        blob: ids.next(),
        size: 10,
        touched_at: UnixMillis::clamped(1),
    }
}

async fn write(store: &SqliteStore, user: UserId, edit: RecordEdit) {
    let edits = vec![edit];
    let scope = WriteScope::of(user, &edits);
    let decide = Arc::new(move |locked: &_| decide(locked, &edits));
    store.write(scope, decide).await.unwrap();
}

#[tokio::test]
async fn what_older_records_and_revisions_name_is_found_by_the_migration() {
    let older = Older::new();
    older.record(1, "resource", Some(&document(Some(hash(1)))), false);
    older.record(2, "resource", Some(&document(None)), false);
    older.record(3, "resource", Some(&document(Some(hash(3)))), true);
    older.record(4, "resource", None, true);
    older.record(5, "resource", Some("not a document"), false);
    // Other types name nothing, whatever is in them.
    older.record(6, "bot", Some(&document(Some(hash(6)))), false);
    older.revision(1, &document(Some(hash(7))));
    older.revision(2, &document(None));

    let store = older.open().await;
    let of = |n: u64, named: Option<u8>| (resource_key(n).to_string(), named.map(|n| [n; 32]));
    assert_eq!(
        older.attachments("records"),
        [
            of(1, Some(1)),
            of(2, None),
            of(3, Some(3)),
            of(4, None),
            of(5, None),
            of(6, None)
        ]
    );
    assert_eq!(older.attachments("revisions"), [of(1, Some(7)), of(2, None)]);

    let user = older.user;
    let missing = store.without_content(user, None, 10).await.unwrap();
    assert_eq!(missing, [(resource_key(1), hash(1))], "live ones alone");
    for n in [1, 3, 6, 7] {
        let outcome = store.reference(user, held(n, &older.ids), 1_000).await.unwrap();
        assert_eq!(outcome, ReferenceOutcome::Added);
    }
    assert_eq!(store.without_content(user, None, 10).await.unwrap(), []);
    let all = [1, 3, 6, 7].map(hash).to_vec();
    assert_eq!(store.unreferenced(user, all).await.unwrap(), [hash(6)]);
    store.close().await;
}

#[tokio::test]
async fn h2_what_is_erased_names_nothing() {
    let older = Older::new();
    let (store, user) = (older.open().await, older.user);
    write(&store, user, put(resource_key(1), picture(Some(hash(1))))).await;
    write(&store, user, delete(resource_key(1))).await;
    let named = vec![(resource_key(1).to_string(), Some([1; 32]))];
    assert_eq!(older.attachments("records"), named);
    assert_eq!(older.attachments("revisions"), named);
    store
        .purge(user, UnixMillis::clamped(i64::MAX), 10)
        .await
        .unwrap();
    let erased = [(resource_key(1).to_string(), None)];
    assert_eq!(older.attachments("records"), erased);
    assert_eq!(older.attachments("revisions"), []);
    store.close().await;
}

fn upload(ids: &SequentialIds, length: u64) -> Upload {
    Upload {
        id: UploadId::new(ids.next()),
        resource: ResourceId::new(ids.next()),
        author: "phone".parse().unwrap(),
        length,
        is_deferred: false,
        kind: UploadKind::Parts,
        fields: "{}".to_owned(),
        created_at: UnixMillis::clamped(1),
        expires_at: UnixMillis::clamped(10),
    }
}

#[tokio::test]
async fn an_expired_upload_that_goes_in_steps_has_no_gap_meanwhile() {
    let older = Older::new();
    let (store, user) = (older.open().await, older.user);
    let upload = upload(&older.ids, 50);
    let id = upload.id;
    let begun = store.begin(user, upload, 1_000, 1).await.unwrap();
    assert_eq!(begun, BeginOutcome::Begun);
    let expires_at = UnixMillis::clamped(10);
    let mut blobs = Vec::new();
    for n in 0..5 {
        let part = UploadPart {
            offset: n * 10,
            size: 10,
            blob: older.ids.next(),
        };
        blobs.push(part.blob);
        let appended = store.append(user, id, part, expires_at).await.unwrap();
        assert_eq!(appended, AppendOutcome::Appended);
    }
    let dropped = store.drop_expired(user, expires_at, 2).await.unwrap();
    assert!(dropped.more);
    let state = store.upload(user, id).await.unwrap().unwrap();
    assert_eq!((state.received, state.parts), (30, 3));
    // Somebody goes on with it after all.
    let part = UploadPart {
        offset: 30,
        size: 20,
        blob: older.ids.next(),
    };
    let later = UnixMillis::clamped(20);
    let appended = store.append(user, id, part, later).await.unwrap();
    assert_eq!(appended, AppendOutcome::Appended);
    let dropped = store.drop_expired(user, expires_at, 2).await.unwrap();
    assert!(dropped.blobs.is_empty() && !dropped.more);
    let offsets: Vec<_> = store.parts(user, id).await.unwrap();
    let offsets: Vec<_> = offsets.iter().map(|part| part.offset).collect();
    assert_eq!(offsets, [0, 10, 20, 30]);
    store.close().await;
}

#[tokio::test]
async fn nothing_of_a_removed_account_is_left_but_that_its_blobs_are_to_go() {
    let older = Older::new();
    let (store, user) = (older.open().await, older.user);
    for n in 1..=3 {
        let content = held(n, &older.ids);
        store.reference(user, content, 1_000).await.unwrap();
        let variant = VariantRef {
            variant: Variant::Thumb,
            blob: older.ids.next(),
            size: 1,
            mime_type: MimeType::new("image/png").unwrap(),
        };
        assert!(store.add_variant(user, content.sha256, variant).await.unwrap());
        let avatar = Avatar {
            id: AvatarId::new(older.ids.next()),
            sha256: content.sha256,
            mime_type: MimeType::new("image/png").unwrap(),
            created_at: UnixMillis::clamped(1),
        };
        store.add_avatar(user, avatar).await.unwrap();
        let upload = upload(&older.ids, 20);
        let id = upload.id;
        store.begin(user, upload, 1_000, 10).await.unwrap();
        let part = UploadPart {
            offset: 0,
            size: 10,
            blob: older.ids.next(),
        };
        store
            .append(user, id, part, UnixMillis::clamped(10))
            .await
            .unwrap();
        let key: RecordKey = resource_key(n.into());
        write(&store, user, put(key, picture(Some(content.sha256)))).await;
    }
    let mut steps = 0;
    while store.remove(user, 2, None).await.unwrap() == RemoveOutcome::Removing {
        steps += 1;
        assert_eq!(store.removed_users(None, 10).await.unwrap(), []);
    }
    assert!(steps > 8, "{steps}");
    for table in [
        "users",
        "records",
        "revisions",
        "contents",
        "content_variants",
        "avatars",
        "uploads",
        "upload_parts",
    ] {
        assert_eq!(older.count(table), 0, "{table}");
    }
    assert_eq!(store.removed_users(None, 10).await.unwrap(), [user]);
    store.close().await;
}

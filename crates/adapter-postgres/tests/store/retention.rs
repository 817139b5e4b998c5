//! Forgetting (H2), and removing accounts: what is left in the tables, and who waits for whom.

use std::sync::Arc;

use mosaic_domain::account::RemoveOutcome;
use mosaic_domain::attachment::{Avatar, ContentRef, Upload, UploadKind, UploadPart, VariantRef};
use mosaic_domain::entity::{MimeType, Sha256, Variant};
use mosaic_domain::{AvatarId, EntityType, FamilyId, RecordKey, ResourceId, UploadId, UserId};
use mosaic_ports::{Purged, ServedCursors};
use mosaic_testkit::{
    EditExt as _, Harness, at, by, delete, memo_id, memo_key, patch_memo, put, resource_key, resource_of,
    tagged,
};
use tokio::time::timeout;

use crate::{SOON, Test, lock_user, until, waits, yes};

/// A purge that did not take turns with a write could take away what the write is about to count on.
#[tokio::test(flavor = "multi_thread")]
async fn h2_a_purge_takes_turns_with_the_writes_of_its_user() {
    let test = Test::new().await;
    let (h, sql, holder) = (&test.h, test.sql().await, test.sql().await);
    let (user, other) = (h.user().await, h.user().await);
    for user in [user, other] {
        h.write(user, [put(memo_key(1), tagged("x", &["a"]))]).await;
        h.write(user, [patch_memo(1, "y")]).await;
    }
    let later = at(h.clock.ms() + 1_000);
    lock_user(&holder, user).await;
    let retention = Arc::clone(&h.stores.retention);
    let purging = tokio::spawn(async move { retention.purge(user, later, 100).await.unwrap() });
    until(&sql, waits()).await;
    // Nobody else waits, and a look at a user with nothing to forget does not wait either.
    let purge = |user, before| timeout(SOON, h.stores.retention.purge(user, before, 100));
    assert_eq!(purge(other, later).await.unwrap().unwrap().revisions, 1);
    assert_eq!(purge(user, at(0)).await.unwrap().unwrap(), Purged::default());
    holder.batch_execute("ROLLBACK").await.unwrap();
    let purged = timeout(SOON, purging).await.unwrap().unwrap();
    assert_eq!((purged.revisions, purged.contents, purged.more), (1, 0, false));
    test.stop().await;
}

/// What is old without the lock may be something else by the time that the lock is given.
#[tokio::test(flavor = "multi_thread")]
async fn h2_a_purge_looks_for_what_is_old_under_the_lock() {
    let test = Test::new().await;
    let (h, sql, holder) = (&test.h, test.sql().await, test.sql().await);
    let user = h.user().await;
    h.write(user, [put(memo_key(1), tagged("x", &["a"]))]).await;
    h.write(user, [delete(memo_key(1))]).await;
    sql.batch_execute("DELETE FROM revisions").await.unwrap();
    let counted = async || -> i64 {
        let found = sql.query_one("SELECT record_bytes FROM sync_clocks", &[]).await;
        found.unwrap().get(0)
    };
    let before = counted().await;
    lock_user(&holder, user).await;
    // As a write would that brings it back.
    let back = "UPDATE records SET is_deleted = false";
    holder.batch_execute(back).await.unwrap();
    let (retention, later) = (Arc::clone(&h.stores.retention), at(h.clock.ms() + 1_000));
    let purging = tokio::spawn(async move { retention.purge(user, later, 100).await.unwrap() });
    until(&sql, waits()).await;
    holder.batch_execute("COMMIT").await.unwrap();
    let purged = timeout(SOON, purging).await.unwrap().unwrap();
    assert_eq!((purged, counted().await), (Purged::default(), before));
    test.stop().await;
}

#[tokio::test]
async fn h2_of_a_tombstone_whose_content_is_erased_nothing_can_be_found() {
    let test = Test::new().await;
    let (h, sql) = (&test.h, test.sql().await);
    let user = h.user().await;
    h.write(
        user,
        [
            put(memo_key(1), tagged("secret", &["a"])),
            put(resource_key(1), resource_of(memo_id(1), "secret.png")),
        ],
    )
    .await;
    h.write(user, [delete(memo_key(1))]).await;
    let before: Vec<_> = [memo_key(1), resource_key(1)].into();
    let stamps = async |keys: &[RecordKey]| {
        let mut stamps = Vec::new();
        for key in keys {
            let record = h.record(user, *key).await.unwrap();
            assert!(record.is_deleted());
            stamps.push((record.stamp, record.version, record.created_at));
        }
        stamps
    };
    let stamped = stamps(&before).await;
    assert!(yes(&sql, "bool_or(document IS NOT NULL) FROM records").await);
    let purged = h
        .stores
        .retention
        .purge(user, at(h.clock.ms() + 1_000), 100)
        .await;
    assert_eq!(purged.unwrap().contents, 2);
    let bare = "bool_and(document IS NULL AND parent_key IS NULL AND day IS NULL AND sort_order IS NULL
                         AND tags = '{}' AND NOT is_archived) FROM records";
    assert!(yes(&sql, bare).await);
    assert!(yes(&sql, "count(*) = 0 FROM record_search").await);
    assert!(yes(&sql, "count(*) = 0 FROM revisions").await);
    assert_eq!(stamps(&before).await, stamped);
    test.stop().await;
}

/// Something in each table of attachments.
async fn attach(h: &Harness, user: UserId) {
    let uploads = &h.stores.uploads;
    for n in 1..4 {
        let sha256 = Sha256::from_bytes([n; 32]);
        let (size, touched_at) = (7, at(1));
        let content = ContentRef {
            sha256,
            blob: h.new_id(),
            size,
            touched_at,
        };
        h.stores.contents.reference(user, content, 100).await.unwrap();
        let variant = VariantRef {
            variant: Variant::Thumb,
            blob: h.new_id(),
            size,
            mime_type: MimeType::unknown(),
        };
        assert!(
            h.stores
                .variants
                .add_variant(user, sha256, variant)
                .await
                .unwrap()
        );
        let avatar = Avatar {
            id: AvatarId::new(h.new_id()),
            sha256,
            mime_type: MimeType::unknown(),
            created_at: touched_at,
        };
        h.stores.avatars.add_avatar(user, avatar).await.unwrap();
        let upload = Upload {
            id: UploadId::new(h.new_id()),
            resource: ResourceId::new(h.new_id()),
            author: by("phone"),
            length: size,
            is_deferred: false,
            kind: UploadKind::Parts,
            fields: String::new(),
            created_at: touched_at,
            expires_at: at(9),
        };
        let id = upload.id;
        uploads.begin(user, upload, 100, 9).await.unwrap();
        let part = UploadPart {
            offset: 0,
            size,
            blob: h.new_id(),
        };
        uploads.append(user, id, part, at(9)).await.unwrap();
    }
}

/// Whatever tables there are. What stays is that the account's blobs are to be removed.
#[tokio::test]
async fn of_a_removed_account_no_row_is_left_in_any_table() {
    let test = Test::new().await;
    let (h, sql) = (&test.h, test.sql().await);
    let (user, other) = (h.user().await, h.user().await);
    for user in [user, other] {
        for n in 0..5 {
            h.write(user, [put(memo_key(n), tagged("x", &["a"])).at(1)]).await;
            h.write(user, [patch_memo(n, "y")]).await;
        }
        let purged = h.stores.retention.purge(user, at(h.clock.ms() + 1_000), 2).await;
        assert!(purged.unwrap().more);
        attach(h, user).await;
    }
    let serve = |client: &str| ServedCursors {
        user,
        client: by(client),
        login: FamilyId::new(h.new_id()),
        cursors: EntityType::ALL
            .map(|entity| (entity, mosaic_domain::Cursor::clamped(5)))
            .into(),
        served_at: at(7),
    };
    h.stores.cursors.remember(serve("phone"));
    h.stores.cursors.cursors(user).await.unwrap();
    let tables = sql
        .query(
            "SELECT table_name::text FROM information_schema.columns
             WHERE table_schema = 'public' AND column_name = 'user_id' AND table_name <> 'removed_users'",
            &[],
        )
        .await
        .unwrap();
    let counts = async || {
        let mut counts = Vec::new();
        for row in &tables {
            let table: &str = row.get(0);
            let count = format!("SELECT count(*) FROM {table} WHERE user_id = $1");
            let rows = sql.query_one(&count, &[&user.uuid()]).await.unwrap();
            counts.push((table.to_owned(), rows.get::<_, i64>(0)));
        }
        counts
    };
    assert!(counts().await.iter().filter(|(_, count)| *count > 0).count() >= 11);
    let mut steps = 0;
    while h.stores.accounts.remove(user, 2, None).await.unwrap() == RemoveOutcome::Removing {
        steps += 1;
        // A device that goes on pulling leaves nothing behind.
        h.stores.cursors.remember(serve("tablet"));
    }
    assert!(steps >= 15, "{steps}");
    assert!(
        counts().await.iter().all(|(_, count)| *count == 0),
        "{:?}",
        counts().await
    );
    assert_eq!(h.live(other).await.len(), 5);
    assert_eq!(h.stores.orphans.removed_users(None, 9).await.unwrap(), [user]);
    let again = h.stores.accounts.remove(user, 2, None).await.unwrap();
    assert_eq!(again, RemoveOutcome::NotFound);
    test.stop().await;
}

/// That there is an account is known by its clock alone: whoever removes that is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn d1_of_an_account_that_goes_meanwhile_no_cursor_is_kept() {
    let test = Test::new().await;
    let (h, sql, remover) = (&test.h, test.sql().await, test.sql().await);
    let user = h.user().await;
    let remove = format!("BEGIN; DELETE FROM sync_clocks WHERE user_id = '{user}'");
    remover.batch_execute(&remove).await.unwrap();
    h.stores.cursors.remember(ServedCursors {
        user,
        client: by("phone"),
        login: FamilyId::new(h.new_id()),
        cursors: vec![(EntityType::Memo, mosaic_domain::Cursor::clamped(5))],
        served_at: at(7),
    });
    let cursors = Arc::clone(&h.stores.cursors);
    let looking = tokio::spawn(async move { cursors.cursors(user).await.unwrap() });
    until(&sql, waits()).await;
    remover.batch_execute("COMMIT").await.unwrap();
    assert_eq!(timeout(SOON, looking).await.unwrap().unwrap(), []);
    test.stop().await;
}

/// An account that was removed here and is copied here again keeps its blobs.
#[tokio::test]
async fn the_blobs_of_an_account_that_is_back_are_not_removed() {
    let test = Test::new().await;
    let h = &test.h;
    let user = h.user().await;
    attach(h, user).await;
    let dump = h.stores.dump_reader.dump_user(user).await.unwrap().unwrap();
    while h.stores.accounts.remove(user, 100, None).await.unwrap() == RemoveOutcome::Removing {}
    assert_eq!(h.stores.orphans.removed_users(None, 9).await.unwrap(), [user]);
    h.stores.dump_writer.load_user(dump.clone()).await.unwrap();
    assert_eq!(h.stores.orphans.removed_users(None, 9).await.unwrap(), []);
    assert_eq!(h.stores.avatars.avatars(user).await.unwrap(), dump.avatars);
    test.stop().await;
}

//! Forgetting (H2), and removing accounts: what is left in the tables, and who waits for whom.

use std::sync::Arc;

use mosaic_domain::{EntityType, FamilyId, RecordKey};
use mosaic_ports::{Purged, RemoveOutcome, ServedCursors};
use mosaic_testkit::{
    EditExt as _, at, by, delete, memo_id, memo_key, patch_memo, put, resource_key, resource_of, tagged,
};
use tokio::time::timeout;

use crate::{SOON, Test, WAITS, lock_user, until, yes};

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
    until(&sql, WAITS).await;
    // Nobody else waits, and a look at a user with nothing to forget does not wait either.
    let purge = |user, before| timeout(SOON, h.stores.retention.purge(user, before, 100));
    assert_eq!(purge(other, later).await.unwrap().unwrap().revisions, 1);
    assert_eq!(purge(user, at(0)).await.unwrap().unwrap(), Purged::default());
    holder.batch_execute("ROLLBACK").await.unwrap();
    let purged = timeout(SOON, purging).await.unwrap().unwrap();
    assert_eq!((purged.revisions, purged.contents, purged.more), (1, 0, false));
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

/// Whatever tables there are.
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
             WHERE table_schema = 'public' AND column_name = 'user_id'",
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
    assert!(counts().await.iter().filter(|(_, count)| *count > 0).count() >= 6);
    let mut steps = 0;
    while h.stores.accounts.remove(user, 2).await.unwrap() == RemoveOutcome::Removing {
        steps += 1;
        // A device that goes on pulling leaves nothing behind.
        h.stores.cursors.remember(serve("tablet"));
    }
    assert!(steps >= 8, "{steps}");
    assert!(
        counts().await.iter().all(|(_, count)| *count == 0),
        "{:?}",
        counts().await
    );
    assert_eq!(h.live(other).await.len(), 5);
    let again = h.stores.accounts.remove(user, 2).await.unwrap();
    assert_eq!(again, RemoveOutcome::NotFound);
    test.stop().await;
}

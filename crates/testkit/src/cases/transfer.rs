//! Moving a whole store: what is dumped from one is loaded into another as it was. The other one is the store in memory.

use std::sync::Arc;

use mosaic_domain::account::Role;
use mosaic_domain::pull::PageLimits;
use mosaic_domain::{ClientId, Cursor, EntityType, Epoch, FamilyId, Stamp, UserId};
use mosaic_ports::{
    DumpedRecord, KeptRevision, NewRefreshToken, RevisionPlace, ServedCursors, StoredRefreshToken, TokenHash,
    Transfer,
};
use uuid::Uuid;

use crate::{
    EditExt, Harness, MemoryStore, Stores, at, bot, bot_key, by, delete, diary, diary_key, memo, memo_id,
    memo_key, patch_memo, put, resource_key, resource_of,
};

const SMALL: PageLimits = PageLimits {
    records: 3,
    bytes: 1 << 20,
};

/// A user with records of all types, tombstones, revisions, cursors and logins.
async fn full_user(h: &Harness) -> UserId {
    let account = h.account("anna", Role::Admin);
    let (user, password) = (account.user.id, account.password.clone());
    h.stores.accounts.create(account, false).await.unwrap();
    for n in 0..5 {
        h.write(user, [put(memo_key(n), memo("first")).at(10)]).await;
    }
    let photo = put(resource_key(0), resource_of(memo_id(1), "photo.png"));
    h.write(
        user,
        [
            photo.at(20),
            put(diary_key("2026-05-16"), diary("a day")).at(20),
            put(bot_key(1), bot("robot")),
        ],
    )
    .await;
    h.write(
        user,
        [
            patch_memo(0, "second").at(30),
            delete(memo_key(1)).at(40),
            delete(memo_key(99)).at(50),
        ],
    )
    .await;
    h.write(user, [put(memo_key(0), memo("too late")).at(25)]).await;
    let cursors = vec![
        (EntityType::Memo, Cursor::clamped(7)),
        (EntityType::Bot, Cursor::clamped(9)),
    ];
    h.stores.cursors.remember(ServedCursors {
        user,
        client: by("phone"),
        login: FamilyId::new(Uuid::from_u128(7)),
        cursors,
        served_at: at(1),
    });
    h.stores.tokens.issue(token(user, 1), password).await.unwrap();
    let next = NewRefreshToken {
        hash: TokenHash([2; 32]),
        issued_at: at(2),
        expires_at: at(1_000_000),
    };
    h.stores.tokens.rotate(TokenHash([1; 32]), next).await.unwrap();
    user
}

fn token(user: UserId, byte: u8) -> StoredRefreshToken {
    StoredRefreshToken {
        token: NewRefreshToken {
            hash: TokenHash([byte; 32]),
            issued_at: at(1),
            expires_at: at(1_000_000),
        },
        user,
        family: FamilyId::new(Uuid::from_u128(7)),
        client: Some("phone".parse::<ClientId>().unwrap()),
        device_name: None,
    }
}

/// Everything that a store holds of a user, read in small batches.
async fn dump(from: &dyn Transfer, user: UserId) -> (Vec<DumpedRecord>, Vec<KeptRevision>) {
    let (mut records, mut revisions): (Vec<DumpedRecord>, Vec<KeptRevision>) = Default::default();
    loop {
        let after = records.last().map_or(Stamp::ZERO, |dumped| dumped.record.stamp);
        let more = from.dump_records(user, after, SMALL).await.unwrap();
        if more.is_empty() {
            break;
        }
        records.extend(more);
    }
    loop {
        let after = revisions.last().map(RevisionPlace::of);
        let more = from.dump_revisions(user, after, SMALL).await.unwrap();
        if more.is_empty() {
            return (records, revisions);
        }
        revisions.extend(more);
    }
}

/// Moves a user from one store to another, in small batches.
async fn copy(from: &dyn Transfer, to: &dyn Transfer, user: UserId) {
    to.load_user(from.dump_user(user).await.unwrap().unwrap())
        .await
        .unwrap();
    let (records, revisions) = dump(from, user).await;
    for batch in records.chunks(3) {
        to.load_records(user, batch.to_vec()).await.unwrap();
    }
    for batch in revisions.chunks(3) {
        to.load_revisions(user, batch.to_vec()).await.unwrap();
    }
}

async fn assert_alike(one: &dyn Transfer, other: &dyn Transfer, user: UserId) {
    assert_eq!(
        one.dump_user(user).await.unwrap(),
        other.dump_user(user).await.unwrap()
    );
    let ((records, revisions), theirs) = (dump(one, user).await, dump(other, user).await);
    assert_eq!(records, theirs.0);
    assert_eq!(revisions, theirs.1);
    let loaded = other.loaded(user).await.unwrap();
    assert_eq!(
        (loaded.records, loaded.revisions),
        (records.len() as u64, revisions.len() as u64)
    );
    assert_eq!(loaded.last_stamp, records.last().unwrap().record.stamp);
}

/// A store of the test's own, with the same clock.
fn in_memory(h: &Harness) -> Stores {
    Arc::new(MemoryStore::new(h.clock.clone())).stores()
}

/// What is dumped is what was stored: every record, tombstone, revision, cursor and login.
pub async fn a_store_is_read_out_whole(h: &Harness) {
    let user = full_user(h).await;
    let memory = in_memory(h);
    copy(h.stores.transfer.as_ref(), memory.transfer.as_ref(), user).await;
    assert_alike(h.stores.transfer.as_ref(), memory.transfer.as_ref(), user).await;
    assert_eq!(h.stores.transfer.user_ids(None, 10).await.unwrap(), [user]);
    assert_eq!(h.stores.transfer.user_ids(Some(user), 10).await.unwrap(), []);
    assert_eq!(
        h.stores
            .transfer
            .dump_user(UserId::new(h.new_id()))
            .await
            .unwrap(),
        None
    );
}

/// What is loaded is there as it was, however often it is loaded, and the user's history goes on from it.
pub async fn a_store_is_written_whole(h: &Harness) {
    let mut other = h.clone();
    other.stores = in_memory(h);
    let user = full_user(&other).await;
    let (from, to) = (other.stores.transfer.clone(), h.stores.transfer.clone());
    copy(from.as_ref(), to.as_ref(), user).await;
    copy(from.as_ref(), to.as_ref(), user).await;
    assert_alike(from.as_ref(), to.as_ref(), user).await;

    let clock = from.dump_user(user).await.unwrap().unwrap().clock;
    let edit = patch_memo(0, "after the move").at(60);
    let (here, there) = (
        h.write(user, [edit.clone()]).await,
        other.write(user, [edit]).await,
    );
    assert_eq!(here, there);
    assert!(here.clock > clock);
    assert_alike(from.as_ref(), to.as_ref(), user).await;
}

/// The name of the history moves with it.
pub async fn an_epoch_is_renamed(h: &Harness) {
    let epoch = Epoch::new(Uuid::from_u128(42));
    assert_ne!(h.stores.transfer.epoch().await.unwrap(), epoch);
    h.stores.transfer.set_epoch(epoch).await.unwrap();
    assert_eq!(h.stores.transfer.epoch().await.unwrap(), epoch);
}

/// The numbers of purged revisions move with their record, so that they are not given again elsewhere either; what is erased
/// stays so.
pub async fn h2_what_was_purged_moves_with_its_record(h: &Harness) {
    let mut other = h.clone();
    other.stores = in_memory(h);
    for (from, to) in [(h, &other), (&other, h)] {
        let user = from.user().await;
        for n in 0..4 {
            from.write(user, [put(memo_key(1), memo("x")).at(10 + n)]).await;
        }
        from.write(user, [put(memo_key(2), memo("y")).at(10)]).await;
        from.write(user, [delete(memo_key(2)).at(20)]).await;
        from.clock.advance(1_000);
        let before = at(from.clock.ms());
        let purged = from.stores.retention.purge(user, before, 100).await.unwrap();
        assert_eq!((purged.revisions, purged.contents), (4, 1));
        from.write(user, [put(memo_key(1), memo("x")).at(50)]).await;
        let (here, there) = (from.stores.transfer.clone(), to.stores.transfer.clone());
        let dumped = dump(here.as_ref(), user).await.0;
        let purged = |n| {
            let of_record = |dumped: &&DumpedRecord| dumped.record.key == memo_key(n);
            dumped.iter().find(of_record).unwrap().purged_revisions
        };
        assert_eq!((purged(1), purged(2)), (3, 1));
        copy(here.as_ref(), there.as_ref(), user).await;
        copy(here.as_ref(), there.as_ref(), user).await;
        assert_alike(here.as_ref(), there.as_ref(), user).await;
        assert_eq!(
            to.record(user, memo_key(2)).await,
            from.record(user, memo_key(2)).await
        );
        to.write(user, [put(memo_key(1), memo("x")).at(60)]).await;
        let kept = to.revisions(user, memo_key(1)).await;
        assert_eq!(kept.iter().map(|kept| kept.number).collect::<Vec<_>>(), [5, 4]);
    }
}

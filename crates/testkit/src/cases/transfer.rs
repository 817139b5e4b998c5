//! Moving a whole store: what is dumped from one is loaded into another as it was.

use mosaic_domain::account::Role;
use mosaic_domain::attachment::{Avatar, ContentRef, VariantRef};
use mosaic_domain::entity::{MimeType, Variant};
use mosaic_domain::login::StoredRefreshToken;
use mosaic_domain::pull::PageLimits;
use mosaic_domain::{AvatarId, Cursor, EntityType, Epoch, FamilyId, Quota, Stamp, UnixMillis, UserId};
use mosaic_ports::{DumpedRecord, KeptRevision, RevisionPlace, ServedCursors};
use uuid::Uuid;

use crate::{
    EditExt, Harness, Stores, at, bot, bot_key, by, delete, diary, diary_key, fill, filled, hash, memo,
    memo_id, memo_key, patch_memo, put, resource, resource_key, resource_of,
};

const SMALL: PageLimits = PageLimits {
    records: 3,
    bytes: 1 << 20,
};

/// A user with records of all types, tombstones, revisions, cursors and logins.
async fn full_user(h: &Harness) -> UserId {
    let mut account = h.account("anna", Role::Admin);
    account.user.quota = Quota::Unlimited;
    account.user.time_zone = Some("Asia/Shanghai".parse().unwrap());
    let (user, password) = (account.user.id, account.password.clone());
    h.stores.accounts.create(account, false, None).await.unwrap();
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
    attach(h, user).await;
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
    let login = StoredRefreshToken {
        family: FamilyId::new(Uuid::from_u128(7)),
        ..h.login(user, 1, Some("phone"), 1)
    };
    h.stores.tokens.issue(login, password).await.unwrap();
    h.rotate(1, 2, 2).await;
    user
}

/// Contents that a record, a revision, a tombstone and an avatar name, and one that nothing does; records that name one
/// which is not there.
async fn attach(h: &Harness, user: UserId) {
    for n in 1..=5 {
        let content = content(h, n);
        h.stores.contents.reference(user, content, 100).await.unwrap();
    }
    let thumb = VariantRef {
        variant: Variant::Thumb,
        blob: h.new_id(),
        size: 1,
        mime_type: MimeType::new("image/webp").unwrap(),
    };
    assert!(h.stores.variants.add_variant(user, hash(1), thumb).await.unwrap());
    for n in [1, 2, 3, 6] {
        h.write(user, [fill(resource_key(10 + n), filled("a.png", n)).at(10)])
            .await;
    }
    h.write(user, [put(resource_key(12), resource("a.png")).at(20)])
        .await;
    h.write(user, [delete(resource_key(13)).at(20)]).await;
    for id in [8, 3] {
        h.stores.avatars.add_avatar(user, avatar(id)).await.unwrap();
    }
}

fn content(h: &Harness, n: u64) -> ContentRef {
    ContentRef {
        sha256: hash(n),
        blob: h.new_id(),
        size: 10 + n,
        touched_at: UnixMillis::clamped(1_000 + i64::try_from(n).unwrap()),
    }
}

fn avatar(id: u128) -> Avatar {
    Avatar {
        id: AvatarId::new(Uuid::from_u128(id)),
        sha256: hash(4),
        mime_type: MimeType::new("image/png").unwrap(),
        created_at: at(1_000),
    }
}

/// Everything that a store holds of a user, read in small batches.
async fn dump(from: &Stores, user: UserId) -> (Vec<DumpedRecord>, Vec<KeptRevision>) {
    let (mut records, mut revisions): (Vec<DumpedRecord>, Vec<KeptRevision>) = Default::default();
    loop {
        let after = records.last().map_or(Stamp::ZERO, |dumped| dumped.record.stamp);
        let more = from.dump_reader.dump_records(user, after, SMALL).await.unwrap();
        if more.is_empty() {
            break;
        }
        records.extend(more);
    }
    loop {
        let after = revisions.last().map(RevisionPlace::of);
        let more = from.dump_reader.dump_revisions(user, after, SMALL).await.unwrap();
        if more.is_empty() {
            return (records, revisions);
        }
        revisions.extend(more);
    }
}

/// Which blob holds which content, read in small batches.
async fn dump_contents(from: &Stores, user: UserId) -> Vec<ContentRef> {
    let mut contents: Vec<ContentRef> = Vec::new();
    loop {
        let after = contents.last().map(|content| content.sha256);
        let more = from.dump_reader.dump_contents(user, after, 2).await.unwrap();
        assert!(more.len() <= 2);
        if more.is_empty() {
            return contents;
        }
        contents.extend(more);
        assert!(contents.is_sorted_by(|one, next| one.sha256 < next.sha256));
    }
}

/// Moves a user from one store to another, in small batches.
async fn copy(from: &Stores, to: &Stores, user: UserId) {
    to.dump_writer
        .load_user(from.dump_reader.dump_user(user).await.unwrap().unwrap())
        .await
        .unwrap();
    let (records, revisions) = dump(from, user).await;
    for batch in records.chunks(3) {
        to.dump_writer.load_records(user, batch.to_vec()).await.unwrap();
    }
    for batch in revisions.chunks(3) {
        to.dump_writer.load_revisions(user, batch.to_vec()).await.unwrap();
    }
    for batch in dump_contents(from, user).await.chunks(3) {
        to.dump_writer.load_contents(user, batch.to_vec()).await.unwrap();
    }
}

async fn assert_alike(one: &Stores, other: &Stores, user: UserId) {
    assert_eq!(
        one.dump_reader.dump_user(user).await.unwrap(),
        other.dump_reader.dump_user(user).await.unwrap()
    );
    let ((records, revisions), theirs) = (dump(one, user).await, dump(other, user).await);
    assert_eq!(records, theirs.0);
    assert_eq!(revisions, theirs.1);
    let contents = dump_contents(one, user).await;
    assert_eq!(contents, dump_contents(other, user).await);
    let loaded = other.dump_reader.loaded(user).await.unwrap();
    assert_eq!(
        (loaded.records, loaded.revisions, loaded.contents),
        (
            records.len() as u64,
            revisions.len() as u64,
            contents.len() as u64
        )
    );
    assert_eq!(loaded.last_stamp, records.last().unwrap().record.stamp);
}

/// What is dumped is what is stored: every record, tombstone, revision, cursor and login, as others read them.
pub async fn a_store_is_read_out_whole(h: &Harness) {
    let (user, stores) = (full_user(h).await, &h.stores);
    let (records, revisions) = dump(stores, user).await;
    let stamps = records
        .iter()
        .map(|dumped| (dumped.record.key, dumped.record.stamp));
    assert_eq!(*h.fresh_device(user).await.delivered(), stamps.collect());
    for DumpedRecord { record, .. } in &records {
        assert_eq!(h.record(user, record.key).await.as_ref(), Some(record));
        let of_record = revisions.iter().filter(|kept| kept.revision.key == record.key);
        let kept = h.revisions(user, record.key).await;
        assert!(of_record.eq(kept.iter().rev()), "{}", record.key);
    }
    let contents = dump_contents(stores, user).await;
    let hashes = contents.iter().map(|content| content.sha256);
    assert!(hashes.eq((1..=5).map(hash)), "{contents:?}");

    let dumped = stores.dump_reader.dump_user(user).await.unwrap().unwrap();
    assert_eq!(stores.accounts.by_id(user).await.unwrap(), Some(dumped.account));
    assert_eq!(
        stores.reader.digest(user).await.unwrap().unwrap().clock,
        dumped.clock
    );
    assert_eq!(stores.cursors.cursors(user).await.unwrap(), dumped.cursors);
    assert_eq!(stores.avatars.avatars(user).await.unwrap(), dumped.avatars);
    assert_eq!((dumped.cursors.len(), dumped.avatars.len()), (2, 2));
    let logins: Vec<_> = dumped.logins.iter().map(|login| login.stored.family).collect();
    assert_eq!(logins, [FamilyId::new(Uuid::from_u128(7))]);

    assert_eq!(stores.user_ids.user_ids(None, 10).await.unwrap(), [user]);
    assert_eq!(stores.user_ids.user_ids(Some(user), 10).await.unwrap(), []);
    let nobody = UserId::new(h.new_id());
    assert_eq!(stores.dump_reader.dump_user(nobody).await.unwrap(), None);
}

/// What is loaded is there as it was, however often it is loaded, and the user's history goes on from it.
pub async fn a_store_is_written_whole(h: &Harness) {
    let other = h.another_store().await;
    let user = full_user(&other).await;
    let (from, to) = (&other.stores, &h.stores);
    copy(from, to, user).await;
    copy(from, to, user).await;
    assert_alike(from, to, user).await;

    let clock = from.dump_reader.dump_user(user).await.unwrap().unwrap().clock;
    let edit = patch_memo(0, "after the move").at(60);
    let (here, there) = (
        h.write(user, [edit.clone()]).await,
        other.write(user, [edit]).await,
    );
    assert_eq!(here, there);
    assert!(here.clock > clock);
    assert_alike(from, to, user).await;
}

/// What names a content moves with it: what is needed there is needed here, and what is missing there is missing here. Smaller
/// pictures stay behind.
pub async fn contents_move_with_what_names_them(h: &Harness) {
    let (from, to) = (&h.another_store().await, h);
    let user = from.user().await;
    attach(from, user).await;
    let held = dump_contents(&from.stores, user).await;
    assert_eq!(held.len(), 5);
    for _ in 0..2 {
        copy(&from.stores, &to.stores, user).await;
        assert_alike(&from.stores, &to.stores, user).await;
    }
    let all: Vec<_> = held.iter().map(|content| content.sha256).collect();
    assert_eq!(to.stores.audit.unreferenced(user, all).await.unwrap(), [hash(5)]);
    assert_eq!(
        to.stores.audit.without_content(user, None, 10).await.unwrap(),
        [(resource_key(16), hash(6))]
    );
    let thumb = to
        .stores
        .variants
        .variant(user, hash(1), Variant::Thumb)
        .await
        .unwrap();
    assert_eq!(thumb, None);
    assert_eq!(
        to.stores.avatars.avatars(user).await.unwrap(),
        [avatar(3), avatar(8)]
    );
    // The avatars are younger than that.
    let dropped = to
        .stores
        .orphans
        .collect_unreferenced(user, at(1_000), 10)
        .await
        .unwrap();
    assert!(dropped.blobs.is_empty(), "{dropped:?}");
    let before = at(2_000);
    let mut dropped = to
        .stores
        .orphans
        .collect_unreferenced(user, before, 10)
        .await
        .unwrap()
        .blobs;
    dropped.extend(
        to.stores
            .orphans
            .collect_unreferenced(user, before, 10)
            .await
            .unwrap()
            .blobs,
    );
    dropped.sort_unstable();
    let mut expected = [held[3].blob, held[4].blob];
    expected.sort_unstable();
    assert_eq!(dropped, expected);
}

/// A content that is loaded takes the place of the one that is there; avatars that are not in the dump go, and so do all
/// contents, which are loaded after the user.
pub async fn contents_and_avatars_are_replaced(h: &Harness) {
    let user = h.user().await;
    attach(h, user).await;
    let stores = &h.stores;
    let mut expected = dump_contents(stores, user).await;
    let earlier = ContentRef {
        touched_at: at(1),
        ..content(h, 2)
    };
    let replaced = [earlier, content(h, 4), content(h, 7)];
    (expected[1], expected[3]) = (earlier, replaced[1]);
    expected.push(replaced[2]);
    for _ in 0..2 {
        stores
            .dump_writer
            .load_contents(user, replaced.to_vec())
            .await
            .unwrap();
        assert_eq!(dump_contents(stores, user).await, expected);
    }
    stores.dump_writer.load_contents(user, Vec::new()).await.unwrap();
    assert_eq!(stores.dump_reader.loaded(user).await.unwrap().contents, 6);
    let mut dump = stores.dump_reader.dump_user(user).await.unwrap().unwrap();
    assert_eq!(dump.avatars, [avatar(3), avatar(8)]);
    let changed = Avatar {
        sha256: hash(1),
        created_at: at(7),
        ..avatar(8)
    };
    dump.avatars = vec![avatar(5), changed];
    for _ in 0..2 {
        stores.dump_writer.load_user(dump.clone()).await.unwrap();
        assert_eq!(
            stores.dump_reader.dump_user(user).await.unwrap().as_ref(),
            Some(&dump)
        );
        assert_eq!(dump_contents(stores, user).await, []);
        stores
            .dump_writer
            .load_contents(user, expected.clone())
            .await
            .unwrap();
        assert_eq!(dump_contents(stores, user).await, expected);
        let thumb = h
            .stores
            .variants
            .variant(user, hash(1), Variant::Thumb)
            .await
            .unwrap();
        assert_eq!(thumb, None, "it went with its content");
    }
    let nobody = UserId::new(h.new_id());
    assert_eq!(
        stores.dump_reader.dump_contents(nobody, None, 10).await.unwrap(),
        []
    );
}

/// The name of the history moves with it.
pub async fn an_epoch_is_renamed(h: &Harness) {
    let epoch = Epoch::new(Uuid::from_u128(42));
    let identity = &h.stores.identity;
    let first = identity.epoch().await.unwrap();
    assert_ne!(first, epoch);
    assert!(identity.replace_epoch(first, epoch).await.unwrap());
    assert_eq!(identity.epoch().await.unwrap(), epoch);
    // Who thinks that it has its old name comes too late.
    let late = Epoch::new(Uuid::from_u128(43));
    assert!(!identity.replace_epoch(first, late).await.unwrap());
    assert_eq!(identity.epoch().await.unwrap(), epoch);
}

/// The storage of the blobs has one name, whoever gives it first.
pub async fn a_storage_is_named_once(h: &Harness) {
    let stores = &h.stores;
    assert_eq!(stores.identity.storage().await.unwrap(), None);
    let tasks: Vec<_> = (0..6)
        .map(|n| {
            let h = if n % 2 == 0 { h.clone() } else { h.elsewhere() };
            let name = h.new_id();
            tokio::spawn(async move { (name, h.stores.identity.name_storage(name).await.unwrap()) })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    let name = answers[0].1;
    assert!(answers.iter().all(|(_, answer)| *answer == name));
    assert_eq!(answers.iter().filter(|(given, _)| *given == name).count(), 1);
    assert_eq!(stores.identity.storage().await.unwrap(), Some(name));
    assert_eq!(stores.identity.name_storage(h.new_id()).await.unwrap(), name);
    let (old, new) = (
        stores.identity.epoch().await.unwrap(),
        Epoch::new(Uuid::from_u128(42)),
    );
    assert!(stores.identity.replace_epoch(old, new).await.unwrap());
    assert_eq!(h.elsewhere().stores.identity.storage().await.unwrap(), Some(name));
}

/// The numbers of purged revisions move with their record, so that they are not given again elsewhere either; what is erased
/// stays so.
pub async fn h2_what_was_purged_moves_with_its_record(h: &Harness) {
    let (from, to) = (&h.another_store().await, h);
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
    let (here, there) = (&from.stores, &to.stores);
    let dumped = dump(here, user).await.0;
    let purged = |n| {
        let of_record = |dumped: &&DumpedRecord| dumped.record.key == memo_key(n);
        dumped.iter().find(of_record).unwrap().purged_revisions
    };
    assert_eq!((purged(1), purged(2)), (3, 1));
    copy(here, there, user).await;
    copy(here, there, user).await;
    assert_alike(here, there, user).await;
    assert_eq!(
        to.record(user, memo_key(2)).await,
        from.record(user, memo_key(2)).await
    );
    to.write(user, [put(memo_key(1), memo("x")).at(60)]).await;
    let kept = to.revisions(user, memo_key(1)).await;
    assert_eq!(kept.iter().map(|kept| kept.number).collect::<Vec<_>>(), [5, 4]);
}

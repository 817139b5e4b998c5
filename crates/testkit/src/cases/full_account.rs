//! An account with a row of every kind, and what must be gone with it.

use mosaic_domain::account::{Account, AccountChange, CreateOutcome, RemoveOutcome, Role, UpdateOutcome};
use mosaic_domain::activity::ActivityKind;
use mosaic_domain::attachment::{
    AttachmentUsage, Avatar, ContentRef, Upload, UploadKind, UploadPart, VariantRef,
};
use mosaic_domain::entity::{MimeType, Resource, Variant};
use mosaic_domain::login::{IssueOutcome, LoginRefusal, Rotation, StoredRefreshToken};
use mosaic_domain::query::{Order, PageNumber, RecordQuery};
use mosaic_domain::search::SearchTerms;
use mosaic_domain::{AvatarId, Cursor, EntityType, FamilyId, UploadId, UserId};
use mosaic_ports::{Loaded, ServedCursors, WriteError};
use uuid::Uuid;

use super::activity::{event, trail};
use crate::{
    Device, EditExt, Harness, at, bot, bot_key, by, delete, diary, diary_key, hash, memo, memo_id, memo_key,
    patch_memo, put, resource_id, resource_key, resource_of, tagged,
};

/// More steps than any of these removals takes.
pub(super) const ENOUGH: usize = 2_000;

pub(super) fn login(h: &Harness, account: &Account, n: u8, client: Option<&str>) -> StoredRefreshToken {
    StoredRefreshToken {
        family: FamilyId::new(Uuid::from_u128(u128::from(n))),
        ..h.login(account.user.id, n, client, 1_000)
    }
}

pub(super) fn served(user: UserId, client: &str) -> ServedCursors {
    ServedCursors {
        user,
        client: by(client),
        login: FamilyId::new(Uuid::nil()),
        cursors: EntityType::ALL
            .map(|entity| (entity, Cursor::clamped(5)))
            .to_vec(),
        served_at: at(1_000),
    }
}

pub(super) fn upload_id(n: u64) -> UploadId {
    UploadId::new(Uuid::from_u128(n.into()))
}

/// A content with its variants, an avatar, and an upload with two parts.
pub(super) async fn attach(h: &Harness, user: UserId, n: u64, upload: UploadId) -> Result<(), WriteError> {
    let content = ContentRef {
        sha256: hash(n),
        blob: h.new_id(),
        size: 10,
        touched_at: at(1_000),
    };
    h.stores.contents.reference(user, content, u64::MAX).await?;
    let mime_type = MimeType::new("image/png").unwrap();
    for variant in [Variant::Thumb, Variant::Opt] {
        let variant = VariantRef {
            variant,
            blob: h.new_id(),
            size: 1,
            mime_type: mime_type.clone(),
        };
        h.stores.variants.add_variant(user, hash(n), variant).await?;
    }
    let avatar = Avatar {
        id: AvatarId::new(h.new_id()),
        sha256: hash(n),
        mime_type,
        created_at: at(1_000),
    };
    h.stores.avatars.add_avatar(user, avatar).await?;
    let upload = Upload {
        id: upload,
        resource: resource_id(n),
        author: by("phone"),
        length: 10,
        is_deferred: false,
        kind: UploadKind::Parts,
        fields: "{}".into(),
        created_at: at(1_000),
        expires_at: at(2_000),
    };
    let id = upload.id;
    h.stores.uploads.begin(user, upload, u64::MAX, u32::MAX).await?;
    for offset in [0, 5] {
        let part = UploadPart {
            offset,
            size: 5,
            blob: h.new_id(),
        };
        h.stores.uploads.append(user, id, part, at(2_000)).await?;
    }
    Ok(())
}

/// Whether it is noted that an account was removed.
pub(super) async fn is_noted(h: &Harness, user: UserId) -> bool {
    let removed = h.stores.orphans.removed_users(None, 1_000).await.unwrap();
    removed.contains(&user)
}

/// An account with records of all types, tombstones, attachments, purged and kept revisions, devices and logins; token `n` and the two
/// after it.
pub(super) async fn full(h: &Harness, name: &str, role: Role, n: u8) -> Account {
    let account = h.account(name, role);
    let user = account.user.id;
    let created = h
        .stores
        .accounts
        .create(account.clone(), false, None)
        .await
        .unwrap();
    assert_eq!(created, CreateOutcome::Created);
    for n in 0..8 {
        h.write(user, [put(memo_key(n), tagged("first words", &["tag"])).at(100)])
            .await;
        h.write(user, [patch_memo(n, "second words").at(200)]).await;
    }
    let picture = Resource {
        sha256: Some(hash(1)),
        ..resource_of(memo_id(1), "a.png")
    };
    h.write(
        user,
        [
            put(diary_key("2026-05-16"), diary("a day")),
            put(resource_key(1), picture),
            put(resource_key(2), resource_of(memo_id(2), "b.png")),
            put(bot_key(1), bot("robot")),
            delete(memo_key(2)),
            delete(memo_key(99)).at(100),
        ],
    )
    .await;
    for n in 1..=3 {
        attach(h, user, n, upload_id(n)).await.unwrap();
    }
    for kind in [ActivityKind::LoggedIn, ActivityKind::LoginFailed] {
        let event = event(h, user, kind, 1_000);
        h.stores.activity.keep(event).await.unwrap();
    }
    for client in ["phone", "tablet"] {
        h.stores.cursors.remember(served(user, client));
    }
    for (n, client) in [(n, Some("phone")), (n + 1, Some("tablet")), (n + 2, None)] {
        let login = login(h, &account, n, client);
        let issued = h
            .stores
            .tokens
            .issue(login, account.password.clone())
            .await
            .unwrap();
        assert!(matches!(issued, IssueOutcome::Issued(_)));
    }
    account
}

pub(super) async fn rotate(h: &Harness, spent: u8) -> Rotation {
    h.rotate(spent, spent + 100, 1_010).await
}

/// Records, revisions, events and rows about attachments that are left.
pub(super) async fn rows(h: &Harness, user: UserId) -> usize {
    let loaded = h.stores.dump_reader.loaded(user).await.unwrap();
    let mut rows = h.stores.avatars.avatars(user).await.unwrap().len();
    for n in 1..=3 {
        rows += h.stores.uploads.parts(user, upload_id(n)).await.unwrap().len();
    }
    rows += trail(h, user).await.len();
    rows + usize::try_from(loaded.records + loaded.revisions + loaded.contents).unwrap()
}

pub(super) async fn assert_no_attachments(h: &Harness, user: UserId) {
    let uploads = &h.stores.uploads;
    assert_eq!(
        h.stores.contents.usage(user).await.unwrap(),
        AttachmentUsage::default()
    );
    assert_eq!(h.stores.avatars.avatars(user).await.unwrap(), []);
    for n in 1..=3 {
        assert_eq!(h.stores.contents.content(user, hash(n)).await.unwrap(), None);
        for variant in [Variant::Thumb, Variant::Opt] {
            assert_eq!(
                h.stores.variants.variant(user, hash(n), variant).await.unwrap(),
                None
            );
        }
        assert_eq!(uploads.upload(user, upload_id(n)).await.unwrap(), None);
        assert_eq!(uploads.parts(user, upload_id(n)).await.unwrap(), []);
    }
    assert_eq!(h.stores.audit.without_content(user, None, 10).await.unwrap(), []);
}

/// Asserts that nobody can log in, pull or write.
pub(super) async fn assert_shut(h: &Harness, account: &Account, n: u8) {
    let user = account.user.id;
    let written = h.try_write(user, [put(memo_key(500), memo("x"))]).await;
    assert!(matches!(written, Err(WriteError::UnknownUser)), "{written:?}");
    let attached = attach(h, user, 9, upload_id(9)).await;
    assert!(matches!(attached, Err(WriteError::UnknownUser)), "{attached:?}");
    let device = Device::new("late");
    let pulled = h
        .stores
        .feed
        .snapshot(user, &device.request(), device.limits())
        .await
        .unwrap();
    assert_eq!(pulled, Err(LoginRefusal::Ended));
    let clock = h.stores.feed.clock(user, None).await.unwrap();
    assert_eq!(clock, Err(LoginRefusal::Ended));
    assert_eq!(h.stores.reader.digest(user).await.unwrap(), None);
    assert_eq!(h.stores.dump_reader.dump_user(user).await.unwrap(), None);
    for spent in n..n + 3 {
        assert_eq!(rotate(h, spent).await, Rotation::Refused);
    }
    assert_eq!(h.stores.tokens.logins(user, at(1_010)).await.unwrap(), []);
    let issued = h
        .stores
        .tokens
        .issue(login(h, account, n + 50, None), account.password.clone())
        .await
        .unwrap();
    assert!(
        matches!(issued, IssueOutcome::Closed | IssueOutcome::StaleCredential),
        "{issued:?}"
    );
    let reopen = AccountChange {
        disabled: Some(false),
        ..AccountChange::default()
    };
    let reopened = h
        .stores
        .accounts
        .update(user, reopen, at(1_000), None)
        .await
        .unwrap();
    assert_eq!(reopened, UpdateOutcome::NotFound, "it is opened never again");
}

/// Asserts that nothing is left of an account, also not for one that gets the same id and the same name.
pub(super) async fn assert_nothing_left(h: &Harness, account: &Account) {
    let user = account.user.id;
    let nobody = |found: Option<_>| assert_eq!(found, None);
    nobody(h.stores.accounts.by_id(user).await.unwrap());
    nobody(h.stores.accounts.by_name(&account.user.username).await.unwrap());
    assert_eq!(h.stores.dump_reader.dump_user(user).await.unwrap(), None);
    assert!(
        !h.stores
            .user_ids
            .user_ids(None, 100)
            .await
            .unwrap()
            .contains(&user)
    );
    assert_eq!(remove(h, user, 10).await, RemoveOutcome::NotFound);
    // A pull that was under way does not bring anything back.
    h.stores.cursors.remember(served(user, "late"));
    assert_eq!(h.stores.cursors.cursors(user).await.unwrap(), []);

    // Its blobs are still to be removed.
    assert!(is_noted(h, user).await);
    assert_no_attachments(h, user).await;

    let again = h
        .stores
        .accounts
        .create(account.clone(), false, None)
        .await
        .unwrap();
    assert_eq!(again, CreateOutcome::Created);
    assert_no_attachments(h, user).await;
    assert_eq!(trail(h, user).await, []);
    assert_eq!(
        h.stores.dump_reader.loaded(user).await.unwrap(),
        Loaded::default()
    );
    let dumped = h.stores.dump_reader.dump_user(user).await.unwrap().unwrap();
    assert_eq!(
        (dumped.clock, dumped.cursors.len(), dumped.logins.len()),
        (account.user.first_stamp(), 0, 0)
    );
    assert!(h.live(user).await.is_empty());
    assert!(h.fresh_device(user).await.delivered().is_empty());
    for key in [memo_key(1), diary_key("2026-05-16"), memo_key(99), memo_key(500)] {
        assert!(h.record(user, key).await.is_none());
        assert!(h.revisions(user, key).await.is_empty());
    }
    assert!(
        h.stores
            .reader
            .tags(user, EntityType::Memo)
            .await
            .unwrap()
            .is_empty()
    );
    h.write(user, [put(memo_key(1), memo("again"))]).await;
    h.write(user, [patch_memo(1, "and again")]).await;
    assert_eq!(h.revisions(user, memo_key(1)).await[0].number, 1);
    let mut query = RecordQuery::all(EntityType::Memo, Order::NewestFirst, PageNumber::EVERYTHING);
    query.search = SearchTerms::parse("words").unwrap();
    assert_eq!(h.list(user, &query).await.total, 0);
    h.stores.cursors.remember(served(user, "phone"));
    assert_eq!(h.stores.cursors.cursors(user).await.unwrap().len(), 4);
}

pub(super) async fn remove(h: &Harness, user: UserId, limit: u32) -> RemoveOutcome {
    h.stores.accounts.remove(user, limit, None).await.unwrap()
}

/// Takes steps until it is over.
pub(super) async fn remove_all(h: &Harness, user: UserId, limit: u32) -> RemoveOutcome {
    for _ in 0..ENOUGH {
        let outcome = remove(h, user, limit).await;
        if outcome != RemoveOutcome::Removing {
            return outcome;
        }
    }
    panic!("no end after {ENOUGH} steps");
}

//! Which blob holds which content: the same bytes are kept once, within a quota, for as long as anything names them.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::select_all;
use mosaic_domain::account::Role;
use mosaic_domain::attachment::{
    AppendOutcome, AttachmentUsage, Avatar, Collected, ContentRef, ReferenceOutcome, Upload, UploadKind,
    UploadPart, VariantRef,
};
use mosaic_domain::entity::{Bot, MimeType, Sha256, Variant};
use mosaic_domain::text::{Label, PictureAddress, Text};
use mosaic_domain::write::Outcome;
use mosaic_domain::{AvatarId, RecordKey, UploadId, UserId};
use mosaic_ports::{AccountChange, RemoveOutcome, WriteError};
use uuid::Uuid;

use crate::{
    EditExt, Gate, Harness, ManualClock, at, bot, bot_key, by, delete, fill, filled, hash, memo, memo_key,
    patch_memo, put, resource, resource_id, resource_key, restore,
};

const START: i64 = ManualClock::START_MS;

/// More than anybody holds here.
const PLENTY: u64 = 1 << 40;

/// More steps than any of these drops takes.
const ENOUGH: usize = 100;

/// The content with that number in a new blob: ten bytes, just brought.
fn content(h: &Harness, n: u64) -> ContentRef {
    ContentRef {
        sha256: hash(n),
        blob: h.new_id(),
        size: 10,
        touched_at: at(h.clock.ms()),
    }
}

async fn hold_within(h: &Harness, user: UserId, content: ContentRef, quota: u64) -> ReferenceOutcome {
    h.stores.contents.reference(user, content, quota).await.unwrap()
}

/// Holds the content with that number, which is not held yet.
async fn hold(h: &Harness, user: UserId, n: u64) -> ContentRef {
    let content = content(h, n);
    assert_eq!(
        hold_within(h, user, content, PLENTY).await,
        ReferenceOutcome::Added
    );
    content
}

async fn held(h: &Harness, user: UserId, n: u64) -> Option<ContentRef> {
    h.stores.contents.content(user, hash(n)).await.unwrap()
}

fn picture(h: &Harness, variant: Variant) -> VariantRef {
    VariantRef {
        variant,
        blob: h.new_id(),
        size: 3,
        mime_type: MimeType::new("image/webp").unwrap(),
    }
}

async fn hold_variant(h: &Harness, user: UserId, n: u64, variant: &VariantRef) -> bool {
    h.stores
        .variants
        .add_variant(user, hash(n), variant.clone())
        .await
        .unwrap()
}

async fn variant(h: &Harness, user: UserId, n: u64, variant: Variant) -> Option<VariantRef> {
    h.stores.variants.variant(user, hash(n), variant).await.unwrap()
}

/// A new avatar of the content with that number, made now.
fn avatar(h: &Harness, n: u64) -> Avatar {
    Avatar {
        id: AvatarId::new(h.new_id()),
        sha256: hash(n),
        mime_type: MimeType::new("image/png").unwrap(),
        created_at: at(h.clock.ms()),
    }
}

async fn add_avatar(h: &Harness, user: UserId, n: u64) -> Avatar {
    let avatar = avatar(h, n);
    h.stores.avatars.add_avatar(user, avatar.clone()).await.unwrap();
    avatar
}

async fn avatars(h: &Harness, user: UserId) -> Vec<AvatarId> {
    let avatars = h.stores.avatars.avatars(user).await.unwrap();
    avatars.iter().map(|avatar| avatar.id).collect()
}

fn address(avatar: &Avatar) -> PictureAddress {
    Label::new(format!("https://sync.example.org/api/v1/avatars/{}", avatar.id)).unwrap()
}

fn bot_with(avatar: &Avatar) -> Bot {
    Bot {
        avatar_url: Some(address(avatar)),
        ..bot("robot")
    }
}

async fn usage(h: &Harness, user: UserId) -> AttachmentUsage {
    h.stores.contents.usage(user).await.unwrap()
}

fn holding(held: u64) -> AttachmentUsage {
    AttachmentUsage { held, announced: 0 }
}

async fn known(h: &Harness, user: UserId, blobs: Vec<Uuid>) -> BTreeSet<Uuid> {
    let known = h.stores.orphans.referenced(user, blobs).await.unwrap();
    let distinct: BTreeSet<_> = known.iter().copied().collect();
    assert_eq!(known.len(), distinct.len());
    distinct
}

async fn unnamed(h: &Harness, user: UserId, contents: impl IntoIterator<Item = u64>) -> BTreeSet<Sha256> {
    let contents = contents.into_iter().map(hash).collect();
    let unnamed = h.stores.audit.unreferenced(user, contents).await.unwrap();
    unnamed.into_iter().collect()
}

async fn step(h: &Harness, user: UserId, before: i64, limit: u32) -> Collected {
    h.stores
        .orphans
        .collect_unreferenced(user, at(before), limit)
        .await
        .unwrap()
}

/// Drops in steps until there is no more to do, and says which blobs hold nothing any more.
async fn drop_all(h: &Harness, user: UserId, before: i64, limit: u32) -> BTreeSet<Uuid> {
    let mut blobs = BTreeSet::new();
    for _ in 0..ENOUGH {
        let step = step(h, user, before, limit).await;
        for blob in step.blobs {
            assert!(blobs.insert(blob), "a blob was dropped twice");
        }
        if !step.more {
            return blobs;
        }
    }
    panic!("no end after {ENOUGH} steps");
}

/// Drops everything that nothing names, however young it is.
async fn drop_now(h: &Harness, user: UserId) -> BTreeSet<Uuid> {
    drop_all(h, user, h.clock.ms() + 1, 100).await
}

fn blobs(contents: &[ContentRef]) -> BTreeSet<Uuid> {
    contents.iter().map(|held| held.blob).collect()
}

/// The same bytes are kept once: whoever brings them again learns which blob holds them, and touches them. A time that went
/// by already touches nothing.
pub async fn the_same_content_is_held_once(h: &Harness) {
    let user = h.user().await;
    assert_eq!(held(h, user, 1).await, None);
    let first = ContentRef {
        size: 9_007_199_254_740_991,
        ..content(h, 1)
    };
    assert_eq!(
        hold_within(h, user, first, u64::MAX).await,
        ReferenceOutcome::Added
    );
    assert_eq!(held(h, user, 1).await, Some(first));
    let later = ContentRef {
        touched_at: at(START + 5),
        ..first
    };
    let again = ContentRef {
        blob: h.new_id(),
        ..later
    };
    assert_eq!(
        hold_within(h, user, again, u64::MAX).await,
        ReferenceOutcome::Existing(later)
    );
    let earlier = ContentRef {
        touched_at: at(START + 3),
        ..again
    };
    for content in [earlier, again, first] {
        let outcome = hold_within(h, user, content, u64::MAX).await;
        assert_eq!(outcome, ReferenceOutcome::Existing(later));
    }
    assert_eq!(held(h, user, 1).await, Some(later));
    assert_eq!(usage(h, user).await, holding(first.size));
    hold_within(h, user, content(h, 2), u64::MAX).await;
    assert_eq!(usage(h, user).await, holding(first.size + 10));
    assert_eq!(
        known(h, user, vec![first.blob, again.blob]).await,
        blobs(&[first])
    );
}

/// A user's contents come to the quota at most: to the byte. One that is there already is never over it, and what is refused
/// changes nothing.
pub async fn contents_come_to_the_quota_at_most(h: &Harness) {
    let user = h.user().await;
    let sized = |n, size| ContentRef {
        size,
        ..content(h, n)
    };
    let over = ReferenceOutcome::OverQuota { used: 0 };
    assert_eq!(hold_within(h, user, sized(1, 101), 100).await, over);
    assert_eq!(held(h, user, 1).await, None);
    assert_eq!(
        hold_within(h, user, sized(1, 60), 100).await,
        ReferenceOutcome::Added
    );
    let over = ReferenceOutcome::OverQuota { used: 60 };
    let refused = sized(2, 41);
    assert_eq!(hold_within(h, user, refused, 100).await, over);
    assert_eq!(known(h, user, vec![refused.blob]).await, BTreeSet::new());
    assert_eq!(usage(h, user).await, holding(60));
    assert_eq!(
        hold_within(h, user, sized(2, 40), 100).await,
        ReferenceOutcome::Added
    );
    assert_eq!(usage(h, user).await, holding(100));
    let over = ReferenceOutcome::OverQuota { used: 100 };
    assert_eq!(hold_within(h, user, sized(3, 1), 100).await, over);
    assert_eq!(
        hold_within(h, user, sized(3, 0), 100).await,
        ReferenceOutcome::Added
    );
    for quota in [100, 50, 0] {
        let again = hold_within(h, user, sized(1, 60), quota).await;
        assert!(matches!(again, ReferenceOutcome::Existing(_)), "{again:?}");
    }
    // What others hold does not count.
    let other = h.user().await;
    assert_eq!(
        hold_within(h, other, sized(1, 100), 100).await,
        ReferenceOutcome::Added
    );
}

/// Of different contents that come at the same time, to whatever instance, exactly as many are held as the quota allows.
pub async fn of_contents_that_come_at_once_as_many_are_held_as_fit(h: &Harness) {
    let user = h.user().await;
    for round in 0..5 {
        let quota = (round + 1) * 35;
        let tasks: Vec<_> = (0..8)
            .map(|n| {
                let h = if n % 2 == 0 { h.clone() } else { h.elsewhere() };
                let content = content(&h, round * 100 + n);
                tokio::spawn(async move { hold_within(&h, user, content, quota).await })
            })
            .collect();
        assert!(usage(h, user).await.held <= quota);
        for task in tasks {
            let outcome = task.await.unwrap();
            let ReferenceOutcome::OverQuota { used } = outcome else {
                assert_eq!(outcome, ReferenceOutcome::Added);
                continue;
            };
            assert!(used + 10 > quota, "{used} of {quota}");
        }
        assert_eq!(usage(h, user).await, holding(quota / 10 * 10));
    }
}

/// Of many that bring the same content at the same time one holds it, and all others learn which. The latest time counts.
pub async fn of_many_that_bring_one_content_at_once_one_holds_it(h: &Harness) {
    let user = h.user().await;
    for round in 0..5 {
        let tasks: Vec<_> = (0..8)
            .map(|n| {
                let h = if n % 2 == 0 { h.clone() } else { h.elsewhere() };
                let content = ContentRef {
                    touched_at: at(START + n),
                    ..content(&h, round)
                };
                tokio::spawn(async move { (content.blob, hold_within(&h, user, content, PLENTY).await) })
            })
            .collect();
        let (mut winners, mut others) = (Vec::new(), Vec::new());
        for task in tasks {
            match task.await.unwrap() {
                (blob, ReferenceOutcome::Added) => winners.push(blob),
                (_, ReferenceOutcome::Existing(held)) => others.push(held.blob),
                (_, outcome) => panic!("{outcome:?}"),
            }
        }
        assert_eq!((winners.len(), others.len()), (1, 7));
        assert!(others.iter().all(|blob| *blob == winners[0]));
        let stored = held(h, user, round).await.unwrap();
        assert_eq!((stored.blob, stored.touched_at), (winners[0], at(START + 7)));
    }
    assert_eq!(usage(h, user).await, holding(50));
}

/// Two users hold the same bytes each for themselves; what one of them has, names or drops is nothing to the other.
pub async fn contents_of_two_users_are_apart(h: &Harness) {
    let (anna, ben) = (h.user().await, h.user().await);
    // Blobs are named per user: even the same id is another blob.
    let of_anna = hold(h, anna, 1).await;
    assert_eq!(held(h, ben, 1).await, None);
    assert_eq!(usage(h, ben).await, holding(0));
    assert_eq!(known(h, ben, vec![of_anna.blob]).await, BTreeSet::new());
    assert_eq!(hold_within(h, ben, of_anna, 10).await, ReferenceOutcome::Added);
    let (thumb, avatar) = (picture(h, Variant::Thumb), add_avatar(h, anna, 1).await);
    assert!(hold_variant(h, anna, 1, &thumb).await);
    assert_eq!(variant(h, ben, 1, Variant::Thumb).await, None);
    assert_eq!(known(h, ben, vec![thumb.blob]).await, BTreeSet::new());
    assert_eq!(h.stores.avatars.avatar(ben, avatar.id).await.unwrap(), None);
    assert_eq!(avatars(h, ben).await, []);
    // Anna's record, avatar and bot name nothing of Ben's.
    h.write(anna, [fill(resource_key(1), filled("a.png", 1))]).await;
    let of_ben = Avatar {
        id: avatar.id,
        ..add_avatar(h, ben, 1).await
    };
    h.stores.avatars.add_avatar(ben, of_ben.clone()).await.unwrap();
    h.write(anna, [put(bot_key(1), bot_with(&avatar))]).await;
    assert_eq!(unnamed(h, anna, [1]).await, BTreeSet::new());
    assert_eq!(drop_now(h, ben).await, blobs(&[of_anna]));
    assert_eq!(avatars(h, ben).await, []);
    assert_eq!(held(h, ben, 1).await, None);
    assert_eq!(drop_now(h, anna).await, BTreeSet::new());
    assert_eq!(held(h, anna, 1).await, Some(of_anna));
    assert_eq!(variant(h, anna, 1, Variant::Thumb).await, Some(thumb));
    assert_eq!(
        h.stores.avatars.avatar(anna, avatar.id).await.unwrap(),
        Some(avatar)
    );
}

async fn assert_holds_nothing(h: &Harness, user: UserId) {
    let unknown = |result: Result<String, WriteError>| {
        assert!(matches!(result, Err(WriteError::UnknownUser)), "{result:?}");
    };
    let one = content(h, 1);
    unknown(
        h.stores
            .contents
            .reference(user, one, PLENTY)
            .await
            .map(|o| format!("{o:?}")),
    );
    let by = content(h, 1);
    unknown(
        h.stores
            .contents
            .replace(user, one, by)
            .await
            .map(|o| o.to_string()),
    );
    let thumb = picture(h, Variant::Thumb);
    let held = h.stores.variants.add_variant(user, one.sha256, thumb).await;
    unknown(held.map(|o| o.to_string()));
    unknown(
        h.stores
            .avatars
            .add_avatar(user, avatar(h, 1))
            .await
            .map(|()| String::new()),
    );
    let begun = h.stores.uploads.begin(user, upload(h), PLENTY, 10).await;
    unknown(begun.map(|o| format!("{o:?}")));
    assert_eq!(drop_now(h, user).await, BTreeSet::new());
}

fn upload(h: &Harness) -> Upload {
    Upload {
        id: UploadId::new(h.new_id()),
        resource: resource_id(1),
        author: by("phone"),
        length: 10,
        kind: UploadKind::Parts,
        fields: "{}".into(),
        created_at: at(START),
        expires_at: at(START + 1_000),
    }
}

/// A user who is not there holds nothing, nor does one who is being removed.
pub async fn nobody_holds_anything_without_an_account(h: &Harness) {
    let nobody = UserId::new(h.new_id());
    assert_holds_nothing(h, nobody).await;
    assert_eq!(usage(h, nobody).await, AttachmentUsage::default());
    assert_eq!(held(h, nobody, 1).await, None);
    assert_eq!(variant(h, nobody, 1, Variant::Opt).await, None);
    assert_eq!(avatars(h, nobody).await, []);
    assert_eq!(known(h, nobody, vec![h.new_id()]).await, BTreeSet::new());
    assert_eq!(
        h.stores.audit.without_content(nobody, None, 10).await.unwrap(),
        []
    );

    let account = h.account("going", Role::User);
    let user = account.user.id;
    h.stores.accounts.create(account, false).await.unwrap();
    for n in 0..5 {
        h.write(user, [put(memo_key(n), memo("x"))]).await;
    }
    hold(h, user, 2).await;
    let begun = upload(h);
    let (uploads, part) = (&h.stores.uploads, h.new_id());
    uploads.begin(user, begun.clone(), PLENTY, 10).await.unwrap();
    let part = UploadPart {
        offset: 0,
        size: 4,
        blob: part,
    };
    uploads.append(user, begun.id, part, at(START)).await.unwrap();
    let removing = h.stores.accounts.remove(user, 1).await.unwrap();
    assert_eq!(removing, RemoveOutcome::Removing);
    assert_holds_nothing(h, user).await;
    // Its blobs go with the account, and nobody else removes them.
    let next = UploadPart { offset: 4, ..part };
    let appended = uploads.append(user, begun.id, next, at(START)).await.unwrap();
    assert_eq!(appended, AppendOutcome::Gone);
    assert_eq!(uploads.finish(user, begun.id).await.unwrap(), Vec::<Uuid>::new());
    assert_eq!(uploads.end(user, begun.id).await.unwrap(), None);
    let dropped = uploads.drop_expired(user, at(START + 1), 10).await.unwrap();
    assert_eq!(dropped, Collected::default());
}

/// A blob that is gone is replaced by another one, which is done once. The content's variants stay, and no touch is undone.
pub async fn a_blob_is_replaced_by_another_one_once(h: &Harness) {
    let user = h.user().await;
    let gone = hold(h, user, 1).await;
    let other = hold(h, user, 2).await;
    let thumb = picture(h, Variant::Thumb);
    assert!(hold_variant(h, user, 1, &thumb).await);
    let replace = async |gone, by| h.stores.contents.replace(user, gone, by).await.unwrap();
    let by = ContentRef {
        touched_at: at(START + 5),
        ..content(h, 1)
    };
    assert!(replace(gone, by).await);
    assert_eq!(held(h, user, 1).await, Some(by));
    assert_eq!(known(h, user, vec![gone.blob, by.blob]).await, blobs(&[by]));
    assert_eq!(variant(h, user, 1, Variant::Thumb).await, Some(thumb));
    assert_eq!(held(h, user, 2).await, Some(other));
    assert_eq!(usage(h, user).await, holding(20));
    // It is another one by now.
    assert!(!replace(gone, content(h, 1)).await);
    assert_eq!(held(h, user, 1).await, Some(by));
    assert!(!replace(content(h, 3), content(h, 3)).await);
    assert_eq!(held(h, user, 3).await, None);
    // Somebody brought the bytes meanwhile: they are kept for a while from then on.
    let touched = ContentRef {
        touched_at: at(START + 100),
        ..content(h, 1)
    };
    hold_within(h, user, touched, PLENTY).await;
    let late = content(h, 1);
    assert!(replace(by, late).await, "a touch makes it no other blob");
    let touched = ContentRef {
        touched_at: at(START + 100),
        ..late
    };
    assert_eq!(held(h, user, 1).await, Some(touched));
}

/// Of each smaller picture there is one; none of a content that is not held, and they go with it.
pub async fn a_content_has_each_variant_once(h: &Harness) {
    let user = h.user().await;
    let (thumb, opt) = (picture(h, Variant::Thumb), picture(h, Variant::Opt));
    assert!(!hold_variant(h, user, 1, &thumb).await, "its content is not held");
    assert_eq!(variant(h, user, 1, Variant::Thumb).await, None);
    let first = hold(h, user, 1).await;
    assert!(hold_variant(h, user, 1, &thumb).await);
    assert!(hold_variant(h, user, 1, &thumb).await, "it is this very blob");
    assert_eq!(variant(h, user, 1, Variant::Opt).await, None);
    assert!(hold_variant(h, user, 1, &opt).await);
    let second = picture(h, Variant::Thumb);
    assert!(!hold_variant(h, user, 1, &second).await);
    assert_eq!(variant(h, user, 1, Variant::Thumb).await.as_ref(), Some(&thumb));
    assert_eq!(variant(h, user, 1, Variant::Opt).await.as_ref(), Some(&opt));
    let all = vec![first.blob, thumb.blob, opt.blob, second.blob];
    let three: BTreeSet<_> = all[..3].iter().copied().collect();
    assert_eq!(known(h, user, all).await, three);
    assert_eq!(usage(h, user).await, holding(10), "they don't count");

    assert_eq!(drop_now(h, user).await, three);
    assert_eq!(variant(h, user, 1, Variant::Thumb).await, None);
    assert!(!hold_variant(h, user, 1, &second).await, "its content is gone");
    hold(h, user, 1).await;
    assert_eq!(variant(h, user, 1, Variant::Opt).await, None);
    assert!(hold_variant(h, user, 1, &second).await);
}

/// A smaller picture whose blob is gone is forgotten, so that it can be made again; one that was made meanwhile is not.
pub async fn a_variant_whose_blob_is_gone_is_forgotten(h: &Harness) {
    let user = h.user().await;
    let content = hold(h, user, 1).await;
    let (gone, opt, next) = (
        picture(h, Variant::Thumb),
        picture(h, Variant::Opt),
        picture(h, Variant::Thumb),
    );
    assert!(hold_variant(h, user, 1, &gone).await);
    assert!(hold_variant(h, user, 1, &opt).await);
    let forget = async |user, n, variant: &VariantRef| {
        h.stores
            .variants
            .remove_variant(user, hash(n), variant.clone())
            .await
            .unwrap();
    };
    let other_user = h.user().await;
    for user in [other_user, UserId::new(h.new_id())] {
        forget(user, 1, &gone).await;
    }
    forget(user, 2, &gone).await;
    forget(user, 1, &next).await;
    let disguised = VariantRef {
        variant: Variant::Opt,
        ..gone.clone()
    };
    forget(user, 1, &disguised).await;
    assert_eq!(variant(h, user, 1, Variant::Thumb).await.as_ref(), Some(&gone));
    forget(user, 1, &gone).await;
    assert_eq!(variant(h, user, 1, Variant::Thumb).await, None);
    assert_eq!(known(h, user, vec![gone.blob]).await, BTreeSet::new());
    assert!(hold_variant(h, user, 1, &next).await);
    forget(user, 1, &gone).await;
    assert_eq!(variant(h, user, 1, Variant::Thumb).await, Some(next));
    assert_eq!(variant(h, user, 1, Variant::Opt).await, Some(opt));
    assert_eq!(held(h, user, 1).await, Some(content));
}

/// Of two that make the same picture at the same time one is held.
pub async fn of_two_that_make_one_variant_one_is_held(h: &Harness) {
    let user = h.user().await;
    for n in 0..5 {
        hold(h, user, n).await;
        let tasks = [h.clone(), h.elsewhere()].map(|h| {
            let thumb = picture(&h, Variant::Thumb);
            tokio::spawn(async move { hold_variant(&h, user, n, &thumb).await.then_some(thumb) })
        });
        let mut made = Vec::new();
        for task in tasks {
            made.extend(task.await.unwrap());
        }
        assert_eq!(made.len(), 1);
        assert_eq!(variant(h, user, n, Variant::Thumb).await, made.pop());
    }
}

/// Avatars come back as they were noted, and are listed by id.
pub async fn avatars_are_listed_by_id(h: &Harness) {
    let user = h.user().await;
    hold(h, user, 1).await;
    let mut noted = Vec::new();
    for id in [9, 3, 7] {
        let avatar = Avatar {
            id: AvatarId::new(Uuid::from_u128(id)),
            created_at: at(START - i64::try_from(id).unwrap()),
            ..avatar(h, 1)
        };
        h.stores.avatars.add_avatar(user, avatar.clone()).await.unwrap();
        noted.push(avatar);
    }
    for avatar in &noted {
        let found = h.stores.avatars.avatar(user, avatar.id).await.unwrap();
        assert_eq!(found.as_ref(), Some(avatar));
    }
    noted.sort_by_key(|avatar| avatar.id);
    assert_eq!(h.stores.avatars.avatars(user).await.unwrap(), noted);
    let unknown = AvatarId::new(h.new_id());
    assert_eq!(h.stores.avatars.avatar(user, unknown).await.unwrap(), None);
    assert_eq!(usage(h, user).await, holding(10));
}

/// A content that nothing names stays for a while after it was brought, to the millisecond, and for as long after it was
/// brought again.
pub async fn a_content_that_nothing_names_is_dropped_after_a_while(h: &Harness) {
    let user = h.user().await;
    let first = hold(h, user, 1).await;
    h.clock.advance(10);
    let second = hold(h, user, 2).await;
    assert_eq!(drop_all(h, user, START, 100).await, BTreeSet::new());
    assert_eq!(held(h, user, 1).await, Some(first));
    assert_eq!(drop_all(h, user, START + 1, 100).await, blobs(&[first]));
    assert_eq!(held(h, user, 1).await, None);
    assert_eq!(usage(h, user).await, holding(10));
    assert_eq!(known(h, user, vec![first.blob]).await, BTreeSet::new());
    h.clock.advance(10);
    hold_within(h, user, content(h, 2), PLENTY).await;
    assert_eq!(drop_all(h, user, START + 20, 100).await, BTreeSet::new());
    assert_eq!(drop_all(h, user, START + 21, 100).await, blobs(&[second]));
    assert_eq!(step(h, user, START + 1_000, 100).await, Collected::default());
    // What is gone can come again.
    hold(h, user, 1).await;
}

/// A content stays while a live record names it, a tombstone that has its content, a revision, whatever it was kept for, or
/// an avatar.
pub async fn a_content_stays_while_anything_names_it(h: &Harness) {
    let user = h.user().await;
    let mut all = Vec::new();
    for n in 1..=8 {
        all.push(hold(h, user, n).await);
    }
    // 1: a live record.
    h.write(user, [fill(resource_key(1), filled("a.png", 1))]).await;
    // 2: a tombstone, whose revision goes below.
    h.write(user, [fill(resource_key(2), filled("b.png", 2))]).await;
    h.write(user, [delete(resource_key(2))]).await;
    let purged = h.stores.retention.purge(user, at(START + 1), 100).await.unwrap();
    assert_eq!((purged.revisions, purged.contents), (1, 0));
    // 3: a revision of a record that was overwritten.
    h.write(user, [put(resource_key(3), filled("c.png", 3)).at(100)])
        .await;
    h.write(user, [put(resource_key(3), resource("c.png")).at(200)])
        .await;
    // 4: a revision of an edit that lost.
    let late = put(resource_key(3), filled("d.png", 4)).at(150);
    h.write_as(user, late, Outcome::Superseded).await;
    // 5: a revision of a record that was deleted, and has come back since.
    h.write(user, [put(resource_key(5), filled("e.png", 5)).at(100)])
        .await;
    h.write(user, [delete(resource_key(5)).at(200)]).await;
    h.write(user, [put(resource_key(5), resource("e.png")).at(300)])
        .await;
    // 6: an avatar, which is young.
    h.clock.advance(1);
    add_avatar(h, user, 6).await;
    // 7: a text, which is no name. 8: nothing at all.
    h.write(user, [put(memo_key(1), memo(&hash(7).to_string()))])
        .await;
    assert_eq!(unnamed(h, user, 1..=8).await, [hash(7), hash(8)].into());
    let dropped = drop_all(h, user, START + 1, 100).await;
    assert_eq!(dropped, blobs(&all[6..]));
    for (n, content) in (1..).zip(&all[..6]) {
        assert_eq!(held(h, user, n).await.as_ref(), Some(content), "{n}");
    }
}

/// The content of an avatar stays for as long as the avatar does, whose own time counts.
pub async fn a_content_stays_while_its_avatar_does(h: &Harness) {
    let user = h.user().await;
    let content = hold(h, user, 1).await;
    h.clock.advance(10);
    let avatar = add_avatar(h, user, 1).await;
    assert_eq!(drop_all(h, user, START + 10, 100).await, BTreeSet::new());
    assert_eq!(avatars(h, user).await, [avatar.id]);
    assert_eq!(held(h, user, 1).await, Some(content));
    assert_eq!(unnamed(h, user, [1]).await, BTreeSet::new());
    assert_eq!(drop_all(h, user, START + 11, 100).await, blobs(&[content]));
    assert_eq!(avatars(h, user).await, []);
    // One that was uploaded long ago and whose content was brought again just now.
    let content = hold(h, user, 2).await;
    let old = Avatar {
        created_at: at(START - 10),
        ..self::avatar(h, 2)
    };
    h.stores.avatars.add_avatar(user, old).await.unwrap();
    assert_eq!(drop_all(h, user, START, 100).await, BTreeSet::new());
    assert_eq!(avatars(h, user).await, []);
    assert_eq!(held(h, user, 2).await, Some(content));
}

/// An avatar stays while its id stands in the account's picture, in a bot that is there, in a deleted one that has its
/// content, or in a revision of one; what other records say is nothing to it.
pub async fn an_avatar_stays_while_the_account_or_a_bot_names_it(h: &Harness) {
    let user = h.user().await;
    hold(h, user, 1).await;
    let mut all = Vec::new();
    for _ in 0..7 {
        all.push(add_avatar(h, user, 1).await);
    }
    let [account, live, described, deleted, revised, text, _none] = &all[..] else {
        panic!("seven of them");
    };
    let change = AccountChange {
        avatar_url: Some(Some(address(account))),
        ..AccountChange::default()
    };
    h.stores.accounts.update(user, change, at(START)).await.unwrap();
    let described = Bot {
        description: Text::new(format!("like \"{}\"", described.id)).unwrap(),
        ..bot("other")
    };
    h.write(
        user,
        [
            put(bot_key(1), bot_with(live)),
            put(bot_key(2), described),
            put(bot_key(3), bot_with(deleted)),
            put(bot_key(4), bot_with(revised)).at(100),
            put(memo_key(1), memo(&format!("![]({})", address(text).as_str()))),
        ],
    )
    .await;
    h.write(user, [delete(bot_key(3))]).await;
    h.write(user, [put(bot_key(4), bot("plain")).at(200)]).await;
    let mut expected: Vec<_> = all[..5].iter().map(|avatar| avatar.id).collect();
    expected.sort_unstable();
    assert_eq!(drop_now(h, user).await, BTreeSet::new());
    assert_eq!(avatars(h, user).await, expected);

    // What is erased names nothing, and an account may take another picture.
    h.clock.advance(1_000);
    let purged = h
        .stores
        .retention
        .purge(user, at(START + 500), 100)
        .await
        .unwrap();
    assert_eq!((purged.revisions, purged.contents), (2, 1));
    let change = AccountChange {
        avatar_url: Some(None),
        ..AccountChange::default()
    };
    h.stores.accounts.update(user, change, at(START)).await.unwrap();
    drop_now(h, user).await;
    let mut expected: Vec<_> = all[1..3].iter().map(|avatar| avatar.id).collect();
    expected.sort_unstable();
    assert_eq!(avatars(h, user).await, expected);
    assert!(held(h, user, 1).await.is_some());
}

/// Small steps, each within its limit, come to the same; then there is nothing to do.
pub async fn dropping_in_small_steps_comes_to_the_same(h: &Harness) {
    let user = h.user().await;
    let (mut waste, mut kept) = (BTreeSet::new(), Vec::new());
    for n in 1..=14 {
        let content = hold(h, user, n).await;
        if n % 4 == 0 {
            h.write(user, [fill(resource_key(n), filled("a.png", n))]).await;
            kept.push(content);
            continue;
        }
        waste.insert(content.blob);
        for variant in [Variant::Thumb, Variant::Opt].map(|variant| picture(h, variant)) {
            assert!(hold_variant(h, user, n, &variant).await);
            waste.insert(variant.blob);
        }
        if n % 2 == 0 {
            add_avatar(h, user, n).await;
        }
    }
    let before = h.clock.ms() + 1;
    let first = step(h, user, before, 2).await;
    assert!(first.more && first.blobs.len() <= 6, "{first:?}");
    let rest = drop_all(h, user, before, 2).await;
    assert!(first.blobs.iter().all(|blob| !rest.contains(blob)));
    let dropped: BTreeSet<_> = first.blobs.into_iter().chain(rest).collect();
    assert_eq!(dropped, waste);
    assert_eq!(avatars(h, user).await, []);
    assert_eq!(usage(h, user).await, holding(30));
    assert_eq!(step(h, user, before, 2).await, Collected::default());
    // Many avatars of one content, which goes after the last of them.
    let last = hold(h, user, 20).await;
    for _ in 0..5 {
        add_avatar(h, user, 20).await;
    }
    assert_eq!(drop_all(h, user, before, 2).await, blobs(&[last]));
    assert_eq!(avatars(h, user).await, []);
    for content in kept {
        assert_eq!(
            h.stores.contents.content(user, content.sha256).await.unwrap(),
            Some(content)
        );
    }
}

/// What holds, notes, replaces or drops waits for the write that has the lock.
pub async fn what_changes_contents_takes_turns_with_writes(h: &Harness) {
    let user = h.user().await;
    let there = hold(h, user, 1).await;
    let gate = Gate::default();
    let (writing, door) = (h.clone(), gate.door());
    let edit = put(memo_key(1), memo("x"));
    let write = tokio::spawn(async move { writing.write_through(door, user, [edit]).await });
    gate.reached().await;
    let (port, new) = (h.stores.contents.clone(), content(h, 2));
    let hold = tokio::spawn(async move { port.reference(user, new, PLENTY).await.map(drop) });
    let (port, by) = (h.stores.contents.clone(), content(h, 1));
    let replace = tokio::spawn(async move { port.replace(user, there, by).await.map(drop) });
    let (port, thumb) = (h.stores.variants.clone(), picture(h, Variant::Thumb));
    let picture = tokio::spawn(async move { port.add_variant(user, hash(1), thumb).await.map(drop) });
    let (port, new) = (h.stores.avatars.clone(), avatar(h, 1));
    let avatar = tokio::spawn(async move { port.add_avatar(user, new).await });
    let (port, new) = (h.stores.uploads.clone(), upload(h));
    let begin = tokio::spawn(async move { port.begin(user, new, PLENTY, 10).await.map(drop) });
    // There is something to drop: a look that finds nothing has nobody to wait for.
    let port = h.stores.orphans.clone();
    let forget = tokio::spawn(async move {
        Ok(port
            .collect_unreferenced(user, at(START + 1), 10)
            .await
            .map(drop)?)
    });
    let mut tasks = [hold, replace, picture, avatar, begin, forget];
    // There is no event to wait for when nothing may happen: what does not wait gets some time to show itself.
    let early = tokio::time::timeout(Duration::from_millis(100), select_all(&mut tasks)).await;
    assert!(early.is_err(), "contents changed while a write held the lock");
    gate.open();
    write.await.unwrap().unwrap();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
}

/// A write that names a content is seen by whoever drops after it: the content stays, though nobody brought it again.
pub async fn a_content_that_is_named_meanwhile_is_not_dropped(h: &Harness) {
    let user = h.user().await;
    for instance in [h.clone(), h.elsewhere()] {
        let n = instance.new_id().as_u64_pair().1;
        let content = hold(h, user, n).await;
        h.clock.advance(1_000);
        let gate = Gate::default();
        let (writing, door) = (h.clone(), gate.door());
        let edit = fill(resource_key(n), filled("a.png", n));
        let write = tokio::spawn(async move { writing.write_through(door, user, [edit]).await });
        gate.reached().await;
        let before = h.clock.ms();
        let mut forget = tokio::spawn(async move { drop_all(&instance, user, before, 100).await });
        // There is no event to wait for when nothing may happen: what does not wait gets some time to show itself.
        let early = tokio::time::timeout(Duration::from_millis(100), &mut forget).await;
        assert!(
            early.is_err(),
            "contents were dropped while a write held the lock"
        );
        gate.open();
        write.await.unwrap().unwrap();
        assert_eq!(forget.await.unwrap(), BTreeSet::new());
        assert_eq!(held(h, user, n).await, Some(content));
    }
}

/// Bytes that are brought again while old ones are dropped: whoever wins, the record that is written names bytes that are
/// there.
pub async fn whoever_holds_a_content_may_name_it_while_others_drop(h: &Harness) {
    let user = h.user().await;
    for n in 0..20 {
        let old = hold(h, user, n).await;
        h.clock.advance(1_000);
        let new = content(h, n);
        let before = h.clock.ms();
        let dropping = h.elsewhere();
        let forget = tokio::spawn(async move { drop_all(&dropping, user, before, 100).await });
        let bringing = h.clone();
        let bring = tokio::spawn(async move {
            let outcome = hold_within(&bringing, user, new, PLENTY).await;
            let named = fill(resource_key(n), filled("a.png", n));
            bringing.write_as(user, named, Outcome::Applied).await;
            outcome
        });
        let (dropped, outcome) = (forget.await.unwrap(), bring.await.unwrap());
        let stored = held(h, user, n).await.expect("a record names it");
        assert!(stored.touched_at >= new.touched_at);
        match outcome {
            ReferenceOutcome::Added => assert_eq!((stored.blob, dropped), (new.blob, blobs(&[old]))),
            ReferenceOutcome::Existing(there) => {
                assert_eq!((stored, dropped), (there, BTreeSet::new()));
                assert_eq!(stored.blob, old.blob);
            }
            ReferenceOutcome::OverQuota { .. } => panic!("{outcome:?}"),
        }
    }
    assert_eq!(usage(h, user).await, holding(200));
}

/// A revision that is restored names its content again, which has been there all the time.
pub async fn a_restored_revision_finds_its_content(h: &Harness) {
    let user = h.user().await;
    let content = hold(h, user, 1).await;
    h.write(user, [fill(resource_key(1), filled("a.png", 1))]).await;
    h.write(user, [delete(resource_key(1))]).await;
    drop_now(h, user).await;
    let kept = h.revisions(user, resource_key(1)).await.remove(0);
    h.write_as(user, restore(&kept.revision), Outcome::Applied).await;
    h.clock.advance(1_000);
    h.stores
        .retention
        .purge(user, at(h.clock.ms()), 100)
        .await
        .unwrap();
    assert_eq!(drop_now(h, user).await, BTreeSet::new());
    assert_eq!(held(h, user, 1).await, Some(content));
}

/// Of many blobs the store knows those that hold a content, a variant, a part of an upload or a direct one.
pub async fn a_blob_that_holds_something_is_known(h: &Harness) {
    let user = h.user().await;
    let mut expected = BTreeSet::from([hold(h, user, 1).await.blob]);
    let opt = picture(h, Variant::Opt);
    assert!(hold_variant(h, user, 1, &opt).await);
    let (in_parts, part, direct) = (upload(h), h.new_id(), h.new_id());
    let uploads = &h.stores.uploads;
    uploads.begin(user, in_parts.clone(), PLENTY, 10).await.unwrap();
    let first = UploadPart {
        offset: 0,
        size: 4,
        blob: part,
    };
    uploads
        .append(user, in_parts.id, first, at(START + 1_000))
        .await
        .unwrap();
    let at_once = Upload {
        kind: UploadKind::Direct { blob: direct },
        ..upload(h)
    };
    uploads.begin(user, at_once.clone(), PLENTY, 10).await.unwrap();
    expected.extend([opt.blob, part, direct]);
    let mut asked: Vec<_> = (0..2_000).map(|_| h.new_id()).collect();
    asked.extend(&expected);
    asked.reverse();
    assert_eq!(known(h, user, asked.clone()).await, expected);
    assert_eq!(known(h, user, Vec::new()).await, BTreeSet::new());
    for upload in [in_parts.id, at_once.id] {
        uploads.finish(user, upload).await.unwrap();
    }
    expected.remove(&part);
    expected.remove(&direct);
    assert_eq!(known(h, user, asked.clone()).await, expected);
    drop_now(h, user).await;
    assert_eq!(known(h, user, asked).await, BTreeSet::new());
}

/// Live records whose content nobody holds are found, in pages, in the order of their keys.
pub async fn records_without_their_content_are_found(h: &Harness) {
    let (user, other) = (h.user().await, h.user().await);
    for n in [3, 1, 2, 5, 4, 6] {
        h.write(user, [fill(resource_key(n), filled("a.png", n))]).await;
    }
    h.write(user, [put(resource_key(7), resource("none.png"))]).await;
    h.write(user, [delete(resource_key(2))]).await;
    h.write(
        user,
        [put(memo_key(1), memo("no resource")), patch_memo(1, "at all")],
    )
    .await;
    // A revision that names a content is no live record.
    h.write(user, [put(resource_key(6), resource("a.png")).at(START + 5_000)])
        .await;
    hold(h, user, 4).await;
    hold(h, other, 5).await;
    let page = async |after: Option<RecordKey>, limit| {
        h.stores.audit.without_content(user, after, limit).await.unwrap()
    };
    let found = |ns: &[u64]| {
        ns.iter()
            .map(|n| (resource_key(*n), hash(*n)))
            .collect::<Vec<_>>()
    };
    assert_eq!(page(None, 10).await, found(&[1, 3, 5]));
    assert_eq!(page(None, 2).await, found(&[1, 3]));
    assert_eq!(page(Some(resource_key(3)), 2).await, found(&[5]));
    assert_eq!(page(Some(resource_key(2)), 2).await, found(&[3, 5]));
    assert_eq!(page(Some(resource_key(5)), 2).await, []);
    assert_eq!(h.stores.audit.without_content(other, None, 10).await.unwrap(), []);
    // Two records may name one content.
    h.write(user, [fill(resource_key(9), filled("b.png", 1))]).await;
    assert_eq!(page(Some(resource_key(5)), 2).await, [(resource_key(9), hash(1))]);
    hold(h, user, 1).await;
    assert_eq!(page(None, 10).await, found(&[3, 5]));
}

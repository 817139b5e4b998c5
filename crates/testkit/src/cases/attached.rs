//! What the cases about contents, variants and avatars have in common.

use std::collections::BTreeSet;

use mosaic_domain::attachment::{
    AttachmentUsage, Avatar, Collected, ContentRef, ReferenceOutcome, Upload, UploadKind, VariantRef,
};
use mosaic_domain::entity::{Bot, MimeType, Sha256, Variant};
use mosaic_domain::text::{Label, PictureAddress};
use mosaic_domain::{AvatarId, UploadId, UserId};
use uuid::Uuid;

use crate::{Harness, ManualClock, at, bot, by, hash, resource_id};

pub(super) const START: i64 = ManualClock::START_MS;

/// More than anybody holds here.
pub(super) const PLENTY: u64 = 1 << 40;

/// More steps than any of these drops takes.
pub(super) const ENOUGH: usize = 100;

/// The content with that number in a new blob: ten bytes, just brought.
pub(super) fn content(h: &Harness, n: u64) -> ContentRef {
    ContentRef {
        sha256: hash(n),
        blob: h.new_id(),
        size: 10,
        touched_at: at(h.clock.ms()),
    }
}

pub(super) async fn hold_within(
    h: &Harness,
    user: UserId,
    content: ContentRef,
    quota: u64,
) -> ReferenceOutcome {
    h.stores.contents.reference(user, content, quota).await.unwrap()
}

/// Holds the content with that number, which is not held yet.
pub(super) async fn hold(h: &Harness, user: UserId, n: u64) -> ContentRef {
    let content = content(h, n);
    assert_eq!(
        hold_within(h, user, content, PLENTY).await,
        ReferenceOutcome::Added
    );
    content
}

pub(super) async fn held(h: &Harness, user: UserId, n: u64) -> Option<ContentRef> {
    h.stores.contents.content(user, hash(n)).await.unwrap()
}

pub(super) fn picture(h: &Harness, variant: Variant) -> VariantRef {
    VariantRef {
        variant,
        blob: h.new_id(),
        size: 3,
        mime_type: MimeType::new("image/webp").unwrap(),
    }
}

pub(super) async fn hold_variant(h: &Harness, user: UserId, n: u64, variant: &VariantRef) -> bool {
    h.stores
        .variants
        .add_variant(user, hash(n), variant.clone())
        .await
        .unwrap()
}

pub(super) async fn variant(h: &Harness, user: UserId, n: u64, variant: Variant) -> Option<VariantRef> {
    h.stores.variants.variant(user, hash(n), variant).await.unwrap()
}

/// A new avatar of the content with that number, made now.
pub(super) fn avatar(h: &Harness, n: u64) -> Avatar {
    Avatar {
        id: AvatarId::new(h.new_id()),
        sha256: hash(n),
        mime_type: MimeType::new("image/png").unwrap(),
        created_at: at(h.clock.ms()),
    }
}

pub(super) async fn add_avatar(h: &Harness, user: UserId, n: u64) -> Avatar {
    let avatar = avatar(h, n);
    h.stores.avatars.add_avatar(user, avatar.clone()).await.unwrap();
    avatar
}

pub(super) async fn avatars(h: &Harness, user: UserId) -> Vec<AvatarId> {
    let avatars = h.stores.avatars.avatars(user).await.unwrap();
    avatars.iter().map(|avatar| avatar.id).collect()
}

pub(super) fn address(avatar: &Avatar) -> PictureAddress {
    Label::new(format!("https://sync.example.org/api/v1/avatars/{}", avatar.id)).unwrap()
}

pub(super) fn bot_with(avatar: &Avatar) -> Bot {
    Bot {
        avatar_url: Some(address(avatar)),
        ..bot("robot")
    }
}

pub(super) async fn usage(h: &Harness, user: UserId) -> AttachmentUsage {
    h.stores.contents.usage(user).await.unwrap()
}

pub(super) fn holding(held: u64) -> AttachmentUsage {
    AttachmentUsage {
        held,
        ..AttachmentUsage::default()
    }
}

pub(super) async fn known(h: &Harness, user: UserId, blobs: Vec<Uuid>) -> BTreeSet<Uuid> {
    let known = h.stores.orphans.referenced(user, blobs).await.unwrap();
    let distinct: BTreeSet<_> = known.iter().copied().collect();
    assert_eq!(known.len(), distinct.len());
    distinct
}

pub(super) async fn unnamed(
    h: &Harness,
    user: UserId,
    contents: impl IntoIterator<Item = u64>,
) -> BTreeSet<Sha256> {
    let contents = contents.into_iter().map(hash).collect();
    let unnamed = h.stores.audit.unreferenced(user, contents).await.unwrap();
    unnamed.into_iter().collect()
}

pub(super) async fn step(h: &Harness, user: UserId, before: i64, limit: u32) -> Collected {
    h.stores
        .orphans
        .collect_unreferenced(user, at(before), limit)
        .await
        .unwrap()
}

/// Drops in steps until there is no more to do, and says which blobs hold nothing any more.
pub(super) async fn drop_all(h: &Harness, user: UserId, before: i64, limit: u32) -> BTreeSet<Uuid> {
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
pub(super) async fn drop_now(h: &Harness, user: UserId) -> BTreeSet<Uuid> {
    drop_all(h, user, h.clock.ms() + 1, 100).await
}

pub(super) fn blobs(contents: &[ContentRef]) -> BTreeSet<Uuid> {
    contents.iter().map(|held| held.blob).collect()
}

pub(super) fn upload(h: &Harness) -> Upload {
    Upload {
        id: UploadId::new(h.new_id()),
        resource: resource_id(1),
        author: by("phone"),
        length: 10,
        is_deferred: false,
        kind: UploadKind::Parts,
        fields: "{}".into(),
        created_at: at(START),
        expires_at: at(START + 1_000),
    }
}

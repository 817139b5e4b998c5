//! Smaller pictures and avatars: what is noted beside a content.

use std::collections::BTreeSet;

use mosaic_domain::attachment::{Avatar, VariantRef};
use mosaic_domain::entity::Variant;
use mosaic_domain::{AvatarId, UserId};
use uuid::Uuid;

use super::attached::{
    START, avatar, drop_now, held, hold, hold_variant, holding, known, picture, usage, variant,
};
use crate::{Harness, at, hash};

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

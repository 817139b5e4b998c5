//! Which blob holds which content: the same bytes are kept once, within a quota.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::select_all;
use mosaic_domain::UserId;
use mosaic_domain::account::{RemoveOutcome, Role};
use mosaic_domain::attachment::{
    AppendOutcome, AttachmentUsage, Avatar, Collected, ContentRef, ReferenceOutcome, UploadPart,
};
use mosaic_domain::entity::Variant;
use mosaic_ports::WriteError;
use uuid::Uuid;

use super::attached::{
    PLENTY, START, add_avatar, avatar, avatars, blobs, bot_with, content, drop_now, held, hold, hold_variant,
    hold_within, holding, known, picture, unnamed, upload, usage, variant,
};
use crate::{Gate, Harness, at, bot_key, fill, filled, hash, memo, memo_key, put, resource_key};

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
    let over = |used| ReferenceOutcome::OverQuota { used, quota: 100 };
    assert_eq!(hold_within(h, user, sized(1, 101), 100).await, over(0));
    assert_eq!(held(h, user, 1).await, None);
    assert_eq!(
        hold_within(h, user, sized(1, 60), 100).await,
        ReferenceOutcome::Added
    );
    let refused = sized(2, 41);
    assert_eq!(hold_within(h, user, refused, 100).await, over(60));
    assert_eq!(known(h, user, vec![refused.blob]).await, BTreeSet::new());
    assert_eq!(usage(h, user).await, holding(60));
    assert_eq!(
        hold_within(h, user, sized(2, 40), 100).await,
        ReferenceOutcome::Added
    );
    assert_eq!(usage(h, user).await, holding(100));
    assert_eq!(hold_within(h, user, sized(3, 1), 100).await, over(100));
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
            let ReferenceOutcome::OverQuota { used, .. } = outcome else {
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
    h.stores.accounts.create(account, false, None).await.unwrap();
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
    let removing = h.stores.accounts.remove(user, 1, None).await.unwrap();
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

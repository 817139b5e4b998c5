//! What nobody needs any more goes, and nothing else does.

use std::collections::BTreeSet;
use std::time::Duration;

use mosaic_domain::RecordKey;
use mosaic_domain::account::AccountChange;
use mosaic_domain::attachment::{Avatar, Collected, ReferenceOutcome, Upload, UploadKind, UploadPart};
use mosaic_domain::entity::{Bot, Variant};
use mosaic_domain::text::Text;
use mosaic_domain::write::Outcome;

use super::attached::{
    PLENTY, START, add_avatar, address, avatar, avatars, blobs, bot_with, content, drop_all, drop_now, held,
    hold, hold_variant, hold_within, holding, known, picture, step, unnamed, upload, usage,
};
use crate::{
    EditExt, Gate, Harness, at, bot, bot_key, delete, fill, filled, hash, memo, memo_key, patch_memo, put,
    resource, resource_key, restore,
};

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
    h.stores
        .accounts
        .update(user, change, at(START), None)
        .await
        .unwrap();
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
    h.stores
        .accounts
        .update(user, change, at(START), None)
        .await
        .unwrap();
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

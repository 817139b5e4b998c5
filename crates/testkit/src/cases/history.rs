//! Revisions: H1.

use mosaic_domain::write::{Locked, RecordEdit, decide};
use mosaic_domain::{Content, RevisionReason};

use crate::{
    EditExt, Harness, bot, bot_key, delete, diary, diary_key, memo, memo_id, memo_key, patch_memo, put,
    resource_key, resource_of, tagged,
};

/// Revisions are numbered per record from 1, and read the latest kept first, with who, when and why.
pub async fn h1_revisions_are_numbered_and_read_the_latest_first(h: &Harness) {
    let user = h.user().await;
    h.write(user, [put(memo_key(1), memo("one")).at(100).by("a").created(50)])
        .await;
    h.write(user, [put(memo_key(1), memo("two")).at(300).by("b")])
        .await;
    h.clock.advance(1_000);
    h.write(user, [put(memo_key(1), memo("late")).at(200).by("c").created(60)])
        .await;
    h.write(user, [delete(memo_key(1)).at(400).by("d")]).await;
    h.write(user, [put(memo_key(2), memo("other"))]).await;
    h.write(user, [patch_memo(2, "changed")]).await;
    let kept: Vec<_> = h
        .revisions(user, memo_key(1))
        .await
        .into_iter()
        .map(|kept| {
            let revision = kept.revision;
            (
                kept.number,
                revision.reason,
                revision.version.author.to_string(),
                revision.content,
            )
        })
        .collect();
    let content = |text| Content::Memo(memo(text));
    assert_eq!(
        kept,
        [
            (3, RevisionReason::Deleted, "b".to_owned(), content("two")),
            (2, RevisionReason::Superseded, "c".to_owned(), content("late")),
            (1, RevisionReason::Overwritten, "a".to_owned(), content("one")),
        ]
    );
    assert_eq!(h.revisions(user, memo_key(2)).await[0].number, 1);
}

/// A revision comes back exactly as the plan said, for every type.
pub async fn h1_a_revision_comes_back_as_it_was_kept(h: &Harness) {
    let user = h.user().await;
    h.write(user, [put(memo_key(9), memo("parent"))]).await;
    let edits = [
        put(memo_key(1), tagged("日記\u{1F600}", &["t", "\u{10FFFF}"]))
            .at(1)
            .created(2),
        put(diary_key("2026-05-16"), diary("x")).at(3),
        put(resource_key(1), resource_of(memo_id(9), "a.png")).at(4),
        put(bot_key(1), bot("y")).at(5),
    ];
    h.write(user, edits.clone()).await;
    h.clock.advance(77);
    let deletes: Vec<_> = edits.iter().map(|edit| delete(edit.key)).collect();
    let plan = h.write(user, deletes).await;
    assert_eq!(plan.revisions.len(), 4);
    for revision in plan.revisions {
        let kept = h.revisions(user, revision.key).await;
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].revision, revision);
    }
}

/// A version that is kept already stays as it is, whether it comes again in the same plan or in a later one.
pub async fn h1_a_version_is_kept_once(h: &Harness) {
    let user = h.user().await;
    h.write(user, [put(memo_key(1), memo("winner")).at(500)]).await;
    let loser = put(memo_key(1), memo("loser")).at(100).created(1);
    let without_history = |locked: &Locked, edits: &[RecordEdit]| {
        let mut locked = locked.clone();
        locked.revisions.clear();
        decide(&locked, edits)
    };
    let twice = [loser.clone(), loser.clone()];
    let plan = h.write_with(user, twice, without_history).await.unwrap();
    assert_eq!(plan.revisions.len(), 2);
    let first = h.revisions(user, memo_key(1)).await;
    assert_eq!(first.len(), 1);
    h.clock.advance(1_000);
    let plan = h.write_with(user, [loser], without_history).await.unwrap();
    assert_eq!(plan.revisions.len(), 1);
    assert_eq!(h.revisions(user, memo_key(1)).await, first);
    h.write(user, [put(memo_key(1), memo("another")).at(200)]).await;
    assert_eq!(h.revisions(user, memo_key(1)).await[0].number, 2);
}

/// A write that only keeps a revision moves neither clock nor devices.
pub async fn h1_keeping_a_losing_edit_moves_no_clock(h: &Harness) {
    let user = h.user().await;
    h.write(user, [put(memo_key(1), memo("winner")).at(500)]).await;
    let device = h.fresh_device(user).await;
    h.write(user, [put(memo_key(1), memo("loser")).at(100)]).await;
    assert_eq!(h.revisions(user, memo_key(1)).await.len(), 1);
    assert_eq!(h.fresh_device(user).await.cursors, device.cursors);
}

/// The same version of the same key under two users is kept for each, and neither sees the other's.
pub async fn h1_two_users_keep_the_same_version_each(h: &Harness) {
    let users = [h.user().await, h.user().await, h.user().await];
    let edits = [
        put(memo_key(1), memo("x")).at(100).created(1),
        put(memo_key(1), memo("y")).at(200).created(1),
    ];
    for user in &users[..2] {
        for edit in &edits {
            h.write(*user, [edit.clone()]).await;
        }
    }
    let kept = [
        h.revisions(users[0], memo_key(1)).await,
        h.revisions(users[1], memo_key(1)).await,
    ];
    assert_eq!(kept[0][0].revision.id, kept[1][0].revision.id);
    assert_eq!((kept[0].len(), kept[1].len()), (1, 1));
    assert!(h.revisions(users[2], memo_key(1)).await.is_empty());
}

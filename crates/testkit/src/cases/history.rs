//! Revisions: H1.

use mosaic_domain::pull::PageLimits;
use mosaic_domain::write::{Locked, Outcome, RecordEdit, decide};
use mosaic_domain::{Content, RecordKey, RevisionId, RevisionReason, UserId};

use crate::{
    EditExt, Harness, at, bot, bot_key, delete, diary, diary_key, memo, memo_id, memo_key, new_content,
    patch_memo, put, resource, resource_key, resource_of, restore, tagged,
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

/// Eleven versions of a memo, all as long as each other; ten are kept.
async fn ten_revisions(h: &Harness, user: UserId) {
    for n in 0..11 {
        let text = format!("{}{n:02}", "日記".repeat(50));
        h.write(user, [put(memo_key(1), memo(&text)).at(100 + n)]).await;
    }
}

/// The numbers of one page, and whether there are older ones.
async fn page(h: &Harness, user: UserId, before: Option<u32>, limits: PageLimits) -> (Vec<u32>, bool) {
    let page = h.revision_page(user, memo_key(1), before, limits).await;
    (page.items.iter().map(|kept| kept.number).collect(), page.more)
}

/// Revisions are read in pages: those below a number, the latest first, until there is no older one.
pub async fn h1_revisions_are_paged_by_number(h: &Harness) {
    let user = h.user().await;
    ten_revisions(h, user).await;
    let limits = |records| PageLimits {
        records,
        ..PageLimits::PROTOCOL
    };
    assert_eq!(page(h, user, None, limits(4)).await, (vec![10, 9, 8, 7], true));
    assert_eq!(page(h, user, Some(7), limits(4)).await, (vec![6, 5, 4, 3], true));
    assert_eq!(page(h, user, Some(3), limits(4)).await, (vec![2, 1], false));
    assert_eq!(page(h, user, Some(3), limits(2)).await, (vec![2, 1], false));
    assert_eq!(page(h, user, Some(3), limits(1)).await, (vec![2], true));
    assert_eq!(page(h, user, Some(1), limits(4)).await, (vec![], false));
    assert_eq!(page(h, user, Some(0), limits(4)).await, (vec![], false));
    assert_eq!(page(h, user, Some(11), limits(10)).await.0.len(), 10);
    assert_eq!(
        page(h, user, Some(u32::MAX), limits(9)).await,
        ((2..=10).rev().collect(), true)
    );
    assert_eq!(h.revisions(user, memo_key(1)).await.len(), 10);
    let nothing = h.revision_page(user, memo_key(2), None, limits(4)).await;
    assert_eq!((nothing.items.len(), nothing.more), (0, false));
}

/// A page of revisions ends after the one with which its documents reach the bytes, and has at least one.
pub async fn h1_a_page_of_revisions_ends_with_its_bytes(h: &Harness) {
    let user = h.user().await;
    ten_revisions(h, user).await;
    let bytes = h.revisions(user, memo_key(1)).await[0]
        .revision
        .content
        .to_document()
        .len();
    let limits = |bytes| PageLimits {
        bytes,
        ..PageLimits::PROTOCOL
    };
    assert_eq!(page(h, user, None, limits(1)).await, (vec![10], true));
    assert_eq!(page(h, user, None, limits(bytes)).await, (vec![10], true));
    assert_eq!(page(h, user, None, limits(bytes + 1)).await, (vec![10, 9], true));
    assert_eq!(
        page(h, user, None, limits(bytes * 3)).await,
        (vec![10, 9, 8], true)
    );
    assert_eq!(
        page(h, user, Some(4), limits(bytes * 3)).await,
        (vec![3, 2, 1], false)
    );
    assert_eq!(page(h, user, Some(2), limits(1)).await, (vec![1], false));
}

async fn revision(h: &Harness, user: UserId, key: RecordKey, id: RevisionId) -> Option<u32> {
    let kept = h.stores.reader.revision(user, key, id).await.unwrap();
    kept.map(|kept| kept.number)
}

/// A single revision is found by its record and its id, and by nothing else.
pub async fn h1_a_single_revision_is_read(h: &Harness) {
    let (anna, ben) = (h.user().await, h.user().await);
    for (user, text) in [(anna, "anna's"), (ben, "ben's")] {
        for key in [memo_key(1), memo_key(2)] {
            h.write(user, [put(key, memo(text)).at(100)]).await;
            h.write(user, [put(key, memo("newer")).at(200)]).await;
        }
        h.write(user, [put(bot_key(1), bot(text)).at(100)]).await;
    }
    let kept = h.revisions(anna, memo_key(1)).await;
    let id = kept[0].revision.id;
    let one = h.stores.reader.revision(anna, memo_key(1), id).await.unwrap();
    assert_eq!(one.as_ref(), Some(&kept[0]));
    let others = h.revisions(anna, memo_key(2)).await[0].revision.id;
    assert_eq!(revision(h, anna, memo_key(2), others).await, Some(1));
    for (user, key, id) in [
        (ben, memo_key(1), id),
        (anna, memo_key(2), id),
        (anna, memo_key(1), others),
        (anna, bot_key(1), id),
        (anna, memo_key(3), id),
        (UserId::new(h.new_id()), memo_key(1), id),
        (anna, memo_key(1), RevisionId::new(h.new_id())),
    ] {
        assert_eq!(revision(h, user, key, id).await, None, "{key}");
    }
}

/// Three contents of each type.
fn contents() -> [(RecordKey, [RecordEdit; 3]); 4] {
    let texts = ["first", "second", "third"];
    let (memo_1, day, resource_1, bot_1) =
        (memo_key(1), diary_key("2026-05-16"), resource_key(1), bot_key(1));
    [
        (memo_1, texts.map(|text| put(memo_1, tagged(text, &["t"])))),
        (day, texts.map(|text| put(day, diary(text)))),
        (resource_1, texts.map(|text| put(resource_1, resource(text)))),
        (bot_1, texts.map(|text| put(bot_1, bot(text)))),
    ]
}

fn content_of(edit: &RecordEdit) -> Content {
    new_content(edit).expect("a whole record")
}

async fn kept_contents(h: &Harness, user: UserId, key: RecordKey) -> Vec<(Content, RevisionReason)> {
    let kept = h.revisions(user, key).await.into_iter();
    kept.map(|kept| (kept.revision.content, kept.revision.reason))
        .collect()
}

/// What loses, is overwritten or deleted is always there, whatever its type: nothing that a person typed is ever gone.
pub async fn h1_superseded_content_of_every_type_is_there(h: &Harness) {
    let user = h.user().await;
    for (key, [first, winner, late]) in contents() {
        let [a, b, c] = [&first, &winner, &late].map(content_of);
        h.write_as(user, first.at(100).by("a"), Outcome::Applied).await;
        h.write_as(user, winner.at(300).by("b"), Outcome::Applied).await;
        h.write_as(user, late.at(200).by("c"), Outcome::Superseded).await;
        h.write_as(user, delete(key).at(400), Outcome::Applied).await;
        assert_eq!(
            kept_contents(h, user, key).await,
            [
                (b, RevisionReason::Deleted),
                (c, RevisionReason::Superseded),
                (a, RevisionReason::Overwritten),
            ]
        );
    }
}

/// Restoring a revision is a new edit, the latest there is: its content is back, also over a tombstone, and what it
/// replaced is kept.
pub async fn h1_a_restored_revision_is_a_new_edit(h: &Harness) {
    let user = h.user().await;
    let ahead = h.clock.ms() + 60_000;
    for (key, [first, second, _]) in contents() {
        let [a, b] = [&first, &second].map(content_of);
        h.write(user, [first.at(100).created(50)]).await;
        h.write(user, [second.at(ahead)]).await;
        let old = h.revisions(user, key).await.remove(0).revision;
        let plan = h
            .write_as(user, restore(&old).by("tablet"), Outcome::Applied)
            .await;
        let back = h.record(user, key).await.unwrap();
        assert_eq!((back.live_content(), back.created_at), (Some(&a), at(50)));
        assert_eq!((back.version.time.get(), back.revision_count), (ahead + 1, 3));
        assert_eq!(back.version.author.as_str(), "tablet");
        let overwritten = RevisionReason::Overwritten;
        let kept = [(b.clone(), overwritten), (a.clone(), overwritten)];
        assert_eq!(kept_contents(h, user, key).await, kept);
        h.write_as(user, restore(&old), Outcome::Unchanged).await;
        h.write_as(user, delete(key), Outcome::Applied).await;
        let newer = h.revisions(user, key).await[1].revision.clone();
        assert_eq!(newer.content, b);
        h.write_as(user, restore(&newer), Outcome::Applied).await;
        assert_eq!(h.record(user, key).await.unwrap().live_content(), Some(&b));
        assert_eq!(kept_contents(h, user, key).await.len(), 3);
        assert!(plan.clock < h.record(user, key).await.unwrap().stamp);
    }
    let device = h.fresh_device(user).await;
    h.assert_converged(user, &device).await;
}

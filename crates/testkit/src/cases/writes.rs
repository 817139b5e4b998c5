//! Writes: W1 to W5, W7 to W9, and what a write finds and leaves.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use mosaic_domain::entity::{Bot, ResourcePatch, SortGroup};
use mosaic_domain::write::{Locked, Outcome, RecordEdit, Refusal, WriteScope, decide};
use mosaic_domain::{Content, EditTime, EntityType, Patch, State, UserId, Version};
use mosaic_ports::WriteError;

use crate::{
    EditExt, Gate, Harness, bot, bot_key, by, delete, diary, diary_key, every_field, memo, memo_id, memo_key,
    patch, patch_memo, put, resource, resource_id, resource_key, resource_of, tagged,
};

/// An edit without a time is later than whatever is stored.
pub async fn w1_an_edit_without_a_time_applies_over_one_from_the_future(h: &Harness) {
    let user = h.user().await;
    let ahead = h.clock.ms() + 60_000;
    h.write(user, [put(memo_key(1), memo("ahead")).at(ahead)]).await;
    h.write_as(user, patch_memo(1, "now"), Outcome::Applied).await;
    let stored = h.record(user, memo_key(1)).await.unwrap();
    assert_eq!(
        stored.version,
        Version::new(EditTime::clamped(ahead + 1), by("phone"))
    );
}

/// Whatever the order in which edits arrive, the newest version is stored, and its client id with it.
pub async fn w2_the_newest_version_is_stored_whatever_the_order(h: &Harness) {
    let edits = [
        put(memo_key(1), memo("z, by a")).at(100).by("a").created(1),
        put(memo_key(1), memo("m, by b")).at(100).by("b").created(1),
        put(memo_key(1), memo("late, by c")).at(90).by("c").created(1),
    ];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [1, 0, 2]] {
        let user = h.user().await;
        for i in order {
            h.write(user, [edits[i].clone()]).await;
        }
        let stored = h.record(user, memo_key(1)).await.unwrap();
        assert_eq!(stored.live_content(), Some(&Content::Memo(memo("m, by b"))));
        assert_eq!(stored.version, Version::new(EditTime::clamped(100), by("b")));
        assert_eq!(h.revisions(user, memo_key(1)).await.len(), 2);
    }
}

/// A write finds the revisions of the versions that it carries, so that a partial edit which was overwritten since is known
/// again.
pub async fn w3_the_replay_of_an_overwritten_edit_keeps_nothing_new(h: &Harness) {
    let user = h.user().await;
    h.write(user, [put(memo_key(1), tagged("first", &["a"])).at(100)])
        .await;
    let partial = patch_memo(1, "second").at(200);
    h.write(user, [partial.clone()]).await;
    h.write(user, [put(memo_key(1), tagged("third", &["b"])).at(300)])
        .await;
    let plan = h.write_as(user, partial, Outcome::Superseded).await;
    assert!(plan.is_empty());
    assert_eq!(h.revisions(user, memo_key(1)).await.len(), 2);
}

/// A late create does not bring back what was deleted before it arrived.
pub async fn w5_a_tombstone_of_an_unknown_record_stops_a_late_create(h: &Harness) {
    let user = h.user().await;
    h.write_as(user, delete(memo_key(1)).at(200), Outcome::Applied)
        .await;
    h.write_as(user, put(memo_key(1), memo("late")).at(100), Outcome::Superseded)
        .await;
    assert!(h.record(user, memo_key(1)).await.unwrap().is_deleted());
    h.write_as(user, delete(memo_key(2)), Outcome::Refused(Refusal::NotFound))
        .await;
    assert!(h.record(user, memo_key(2)).await.is_none());
}

/// A tombstone keeps its content, so that a newer partial edit can bring it back.
pub async fn w5_a_newer_partial_edit_brings_a_record_back(h: &Harness) {
    let user = h.user().await;
    h.write(user, [put(memo_key(1), tagged("x", &["kept"])).at(100)])
        .await;
    h.write(user, [delete(memo_key(1)).at(200)]).await;
    let kept = State::Deleted(Some(Content::Memo(tagged("x", &["kept"]))));
    assert_eq!(h.record(user, memo_key(1)).await.unwrap().state, kept);
    h.write_as(user, patch_memo(1, "back").at(300), Outcome::Applied)
        .await;
    let device = h.fresh_device(user).await;
    let back = Content::Memo(tagged("back", &["kept"]));
    assert_eq!(device.content(memo_key(1)), Some(back));
}

/// Writes edits, and says what the decision was given.
async fn found(h: &Harness, user: UserId, edits: &[RecordEdit]) -> Locked {
    let seen = Arc::<Mutex<Vec<Locked>>>::default();
    let given = seen.clone();
    let spy = move |locked: &Locked, edits: &[RecordEdit]| {
        given.lock().unwrap().push(locked.clone());
        decide(locked, edits)
    };
    h.write_with(user, edits, spy).await.unwrap();
    let seen = seen.lock().unwrap();
    seen.last().unwrap().clone()
}

/// A write finds the records that it names, tombstones included, and their memos; nothing else.
pub async fn a_write_finds_the_records_that_it_names_and_their_memos(h: &Harness) {
    let user = h.user().await;
    h.write(user, [1, 2, 3].map(|n| put(memo_key(n), memo("x"))))
        .await;
    h.write(
        user,
        [1, 2].map(|n| put(resource_key(n), resource_of(memo_id(1), "a.png"))),
    )
    .await;
    h.write(
        user,
        [
            put(resource_key(3), resource_of(memo_id(2), "b.png")),
            delete(memo_key(3)),
        ],
    )
    .await;
    h.write(user, [delete(resource_key(3))]).await;
    let keys = |locked: Locked| locked.records.into_keys().collect::<Vec<_>>();
    let one = found(h, user, &[put(resource_key(1), resource("c.png"))]).await;
    assert_eq!(keys(one), [memo_key(1), resource_key(1)]);
    let tombstone = found(
        h,
        user,
        &[delete(resource_key(3)), delete(memo_key(3)), delete(memo_key(9))],
    )
    .await;
    assert_eq!(keys(tombstone), [memo_key(2), memo_key(3), resource_key(3)]);
    let named = found(h, user, &[put(resource_key(4), resource_of(memo_id(2), "d.png"))]).await;
    assert_eq!(keys(named), [memo_key(2)]);
}

/// A write finds every record as it was stored, and the user's clock.
pub async fn a_write_finds_records_as_they_were_stored(h: &Harness) {
    let user = h.user().await;
    let plan = h
        .write(user, [put(memo_key(1), tagged("x", &["t"])).at(100).created(7)])
        .await;
    let locked = found(h, user, &[patch_memo(1, "y")]).await;
    assert_eq!(locked.records[&memo_key(1)], plan.records[0]);
    assert_eq!(locked.clock.last(), plan.clock);
    assert_eq!(locked.clock.now().get(), h.clock.ms());
}

/// A write that deletes a memo finds the memo's live resources, and only those.
pub async fn w9_a_delete_finds_the_live_resources_of_its_memo(h: &Harness) {
    let user = h.user().await;
    h.write(user, [1, 2].map(|n| put(memo_key(n), memo("x")))).await;
    h.write(
        user,
        [1, 2, 3].map(|n| put(resource_key(n), resource_of(memo_id(1), "a.png"))),
    )
    .await;
    h.write(
        user,
        [
            put(resource_key(4), resource_of(memo_id(2), "b.png")),
            delete(resource_key(2)),
        ],
    )
    .await;
    let plan = h.write(user, [delete(memo_key(1))]).await;
    let keys: Vec<_> = plan.records.iter().map(|record| record.key).collect();
    assert_eq!(keys, [memo_key(1), resource_key(1), resource_key(3)]);
    assert!(h.record(user, resource_key(3)).await.unwrap().is_deleted());
    assert!(!h.record(user, resource_key(4)).await.unwrap().is_deleted());
    let device = h.fresh_device(user).await;
    h.assert_converged(user, &device).await;
}

/// A write of resources finds how many live ones their memos have: those that it names, those that its resources belong to, and
/// those that they belonged to before they were deleted.
pub async fn w9_a_write_counts_the_resources_of_the_memos_that_it_gives_to(h: &Harness) {
    let (user, other) = (h.user().await, h.user().await);
    for somebody in [user, other] {
        let memos = [1, 2, 3].map(|n| put(memo_key(n), memo("x")));
        h.write(somebody, memos).await;
        let of = |n, of| put(resource_key(n), resource_of(memo_id(of), "a.png"));
        h.write(somebody, [of(1, 1), of(2, 1), of(3, 1), of(4, 2)]).await;
    }
    h.write(
        user,
        [delete(resource_key(3)), put(resource_key(9), resource("b.png"))],
    )
    .await;
    let cases = [
        (
            put(resource_key(5), resource_of(memo_id(3), "c.png")),
            vec![(3, 0)],
        ),
        (put(resource_key(5), resource("c.png")), vec![(3, 1)]),
        (
            patch(
                resource_key(4),
                every_field(Content::Resource(resource_of(memo_id(1), "c.png"))),
            ),
            vec![(1, 2), (2, 1)],
        ),
        (delete(resource_key(3)), vec![(1, 3)]),
        (patch_memo(1, "y"), vec![]),
        (delete(memo_key(1)), vec![]),
    ];
    for (edit, counts) in cases {
        let told = format!("{edit:?}");
        let resources_of = |memo| SortGroup {
            entity_type: EntityType::Resource,
            parent: Some(memo_id(memo)),
        };
        let counts: BTreeMap<_, _> = counts
            .into_iter()
            .map(|(memo, count)| (resources_of(memo), count))
            .collect();
        assert_eq!(found(h, user, &[edit]).await.children, counts, "{told}");
    }
}

/// A resource that was edited later than its memo's delete stays, detached, and devices are told of it.
pub async fn w9_a_resource_edited_later_stays_detached(h: &Harness) {
    let user = h.user().await;
    h.write(user, [put(memo_key(1), memo("x")).at(100)]).await;
    h.write(
        user,
        [put(resource_key(1), resource_of(memo_id(1), "a.png")).at(300)],
    )
    .await;
    let mut device = h.fresh_device(user).await;
    h.write(user, [delete(memo_key(1)).at(200)]).await;
    h.pull_all(user, &mut device).await;
    h.assert_converged(user, &device).await;
    assert_eq!(device.content(resource_key(1)).unwrap().parent(), None);
}

/// A resource that is brought back finds that its memo is deleted.
pub async fn w9_a_resource_that_is_brought_back_lets_its_deleted_memo_go(h: &Harness) {
    let user = h.user().await;
    h.write(user, [put(memo_key(1), memo("x")).at(100)]).await;
    h.write(
        user,
        [put(resource_key(1), resource_of(memo_id(1), "a.png")).at(100)],
    )
    .await;
    h.write(user, [delete(memo_key(1)).at(200)]).await;
    let rename = ResourcePatch {
        filename: Some(resource("b.png").filename),
        ..ResourcePatch::default()
    };
    h.write_as(
        user,
        patch(resource_key(1), Patch::Resource(rename)).at(300),
        Outcome::Applied,
    )
    .await;
    assert_eq!(h.record(user, resource_key(1)).await.unwrap().parent(), None);
}

/// A memo takes the resources that it names, in order, and lets its others go.
pub async fn w9_a_memo_takes_the_resources_that_it_names(h: &Harness) {
    let user = h.user().await;
    h.write(user, [put(memo_key(1), memo("x"))]).await;
    h.write(
        user,
        [1, 2].map(|n| put(resource_key(n), resource_of(memo_id(1), "a.png"))),
    )
    .await;
    h.write(user, [put(resource_key(3), resource("free.png"))]).await;
    h.write_as(user, patch_memo(1, "y").attaching(&[3, 2]), Outcome::Applied)
        .await;
    let mut places = Vec::new();
    for n in 1..=3 {
        let facets = h
            .record(user, resource_key(n))
            .await
            .unwrap()
            .live_content()
            .unwrap()
            .facets();
        places.push((facets.parent, facets.sort_order));
    }
    let memo = Some(memo_id(1));
    assert_eq!(places, [(None, Some(0)), (memo, Some(1)), (memo, Some(0))]);
    let missing = Refusal::UnknownResource {
        index: 0,
        id: resource_id(9),
    };
    h.write_as(
        user,
        patch_memo(1, "z").attaching(&[9]),
        Outcome::Refused(missing),
    )
    .await;
}

/// A new record without a place comes after the greatest place of its group; tombstones hold none.
pub async fn a_write_finds_the_last_place_of_each_group(h: &Harness) {
    let user = h.user().await;
    let far = Bot {
        sort_order: 40,
        ..bot("far")
    };
    h.write(
        user,
        [put(bot_key(1), bot("a")).append_to_end(), put(bot_key(2), far)],
    )
    .await;
    h.write(user, [put(memo_key(1), memo("x"))]).await;
    h.write(
        user,
        [put(resource_key(1), resource_of(memo_id(1), "a")).append_to_end()],
    )
    .await;
    h.write(user, [delete(bot_key(2))]).await;
    let locked = found(h, user, &[put(bot_key(3), bot("c")).append_to_end()]).await;
    let group = |entity_type, parent| SortGroup { entity_type, parent };
    assert_eq!(
        locked.last_places.into_iter().collect::<Vec<_>>(),
        [(group(EntityType::Bot, None), 0)]
    );
    let named = put(resource_key(2), resource_of(memo_id(1), "b")).append_to_end();
    let locked = found(h, user, &[named]).await;
    let in_memo = group(EntityType::Resource, Some(memo_id(1)));
    assert_eq!(locked.last_places.into_iter().collect::<Vec<_>>(), [(in_memo, 0)]);
    let place = h
        .record(user, resource_key(2))
        .await
        .unwrap()
        .live_content()
        .unwrap()
        .facets()
        .sort_order;
    assert_eq!(place, Some(1));
}

/// Writes of different users never wait for each other.
pub async fn s1_writes_of_other_users_do_not_wait(h: &Harness) {
    if !h.parallel_writers {
        return;
    }
    let (first, second) = (h.user().await, h.user().await);
    let gate = Gate::default();
    let (held, door) = (h.clone(), gate.door());
    let holder = tokio::spawn(async move {
        held.write_through(door, first, [put(memo_key(1), memo("a"))])
            .await
    });
    gate.reached().await;
    h.write(second, [put(memo_key(1), memo("b"))]).await;
    gate.open();
    holder.await.unwrap().unwrap();
}

/// Reads and pulls of anybody go on while a write holds its lock.
pub async fn reads_do_not_wait_for_a_write(h: &Harness) {
    if !h.reads_beside_writes {
        return;
    }
    let user = h.user().await;
    h.write(user, [put(memo_key(1), memo("before"))]).await;
    let gate = Gate::default();
    let (held, door) = (h.clone(), gate.door());
    let holder = tokio::spawn(async move { held.write_through(door, user, [patch_memo(1, "after")]).await });
    gate.reached().await;
    let device = h.fresh_device(user).await;
    let before = Content::Memo(memo("before"));
    assert_eq!(device.content(memo_key(1)), Some(before));
    h.assert_converged(user, &device).await;
    gate.open();
    holder.await.unwrap().unwrap();
}

/// Writes of many users at once all arrive, each in its own history.
pub async fn many_users_write_at_once(h: &Harness) {
    let mut users = Vec::new();
    for _ in 0..12 {
        users.push(h.user().await);
    }
    let writers: Vec<_> = users
        .iter()
        .map(|&user| {
            let h = h.clone();
            tokio::spawn(async move {
                for n in 0..20 {
                    h.write(user, [put(memo_key(n), memo("x"))]).await;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let start = crate::ManualClock::START_MS;
    for user in users {
        let device = h.fresh_device(user).await;
        let stamps: Vec<i64> = device.delivered().iter().map(|(_, stamp)| stamp.get()).collect();
        assert_eq!(stamps, (start..start + 20).collect::<Vec<_>>());
    }
}

/// The same keys under two users are two records: nothing is ever visible or changed across users.
pub async fn users_are_isolated(h: &Harness) {
    let (anna, ben) = (h.user().await, h.user().await);
    let day = diary_key("2026-05-16");
    h.write(
        anna,
        [put(memo_key(1), memo("anna's")), put(day, diary("anna's"))],
    )
    .await;
    assert!(h.live(ben).await.is_empty());
    assert!(h.record(ben, memo_key(1)).await.is_none());
    assert!(h.fresh_device(ben).await.delivered().is_empty());
    h.write_as(ben, patch_memo(1, "ben's"), Outcome::Refused(Refusal::NotFound))
        .await;
    h.write_as(ben, delete(memo_key(1)), Outcome::Refused(Refusal::NotFound))
        .await;
    let foreign = put(resource_key(1), resource_of(memo_id(1), "a.png"));
    h.write_as(ben, foreign, Outcome::Refused(Refusal::UnknownMemo(memo_id(1))))
        .await;
    h.write(
        ben,
        [
            put(memo_key(1), memo("ben's")),
            put(day, diary("ben's")),
            delete(memo_key(1)),
            delete(day),
        ],
    )
    .await;
    let anna_has: Vec<_> = h
        .live(anna)
        .await
        .iter()
        .map(|r| r.live_content().cloned().unwrap())
        .collect();
    assert_eq!(
        anna_has,
        [Content::Memo(memo("anna's")), Content::Diary(diary("anna's"))]
    );
    assert!(h.revisions(anna, memo_key(1)).await.is_empty());
    let device = h.fresh_device(anna).await;
    h.assert_converged(anna, &device).await;
}

/// Nobody writes for a user who does not exist.
pub async fn an_unknown_user_can_not_write(h: &Harness) {
    let nobody = UserId::new(h.new_id());
    let refused = h.try_write(nobody, [put(memo_key(1), memo("x"))]).await;
    assert!(matches!(refused, Err(WriteError::UnknownUser)), "{refused:?}");
    let nothing = WriteScope::of(nobody, &[]);
    let refused = h
        .stores
        .write
        .write(nothing, Arc::new(|locked| decide(locked, &[])))
        .await;
    assert!(matches!(refused, Err(WriteError::UnknownUser)), "{refused:?}");
    assert!(h.record(nobody, memo_key(1)).await.is_none());
}

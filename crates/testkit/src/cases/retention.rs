//! Retention: H2.

use std::collections::BTreeSet;
use std::time::Duration;

use mosaic_domain::attachment::{ContentRef, ReferenceOutcome};
use mosaic_domain::pull::{PageLimits, PullRequest};
use mosaic_domain::query::{Order, PageNumber, RecordQuery};
use mosaic_domain::search::SearchTerms;
use mosaic_domain::write::{Outcome, Refusal};
use mosaic_domain::{Content, EntityType, PerEntity, Record, RecordKey, Revision, Stamp, State, UserId};
use mosaic_ports::Purged;

use crate::{
    Device, EditExt, Gate, Harness, ManualClock, at, bot, bot_key, delete, diary, diary_key, filled, hash,
    memo, memo_id, memo_key, patch_memo, put, resource, resource_key, resource_of, tagged,
};

const START: i64 = ManualClock::START_MS;

/// Purges in steps until there is no more to do, and says what all of them did.
async fn purge(h: &Harness, user: UserId, before: i64, limit: u32) -> (u64, u64) {
    let (mut revisions, mut contents) = (0, 0);
    loop {
        let step = step(h, user, before, limit).await;
        revisions += step.revisions;
        contents += step.contents;
        if !step.more {
            return (revisions, contents);
        }
        assert!(
            step.revisions + step.contents > 0,
            "a step that does nothing, and more to do"
        );
    }
}

async fn step(h: &Harness, user: UserId, before: i64, limit: u32) -> Purged {
    let step = h.stores.retention.purge(user, at(before), limit).await.unwrap();
    assert!(step.revisions + step.contents <= u64::from(limit), "{step:?}");
    step
}

async fn clock(h: &Harness, user: UserId) -> Stamp {
    h.stores.reader.digest(user).await.unwrap().unwrap().clock
}

async fn numbers(h: &Harness, user: UserId, key: RecordKey) -> Vec<u32> {
    let kept = h.revisions(user, key).await;
    kept.iter().map(|kept| kept.number).collect()
}

async fn search(h: &Harness, user: UserId, text: &str) -> Vec<RecordKey> {
    let mut query = RecordQuery::all(EntityType::Memo, Order::NewestFirst, PageNumber::EVERYTHING);
    query.search = SearchTerms::parse(text).unwrap();
    h.list(user, &query)
        .await
        .items
        .iter()
        .map(|record| record.key)
        .collect()
}

/// The four keys, one of each type.
fn keys() -> [RecordKey; 4] {
    [memo_key(1), diary_key("2026-05-16"), resource_key(1), bot_key(1)]
}

/// One record of each type, written and deleted, the clock moving on by a second before each write.
async fn deleted(h: &Harness, user: UserId) {
    let [memo_1, day, resource_1, bot_1] = keys();
    for edit in [
        put(memo_1, tagged("erased words", &["gone"])).created(7),
        put(day, diary("a day")),
        put(resource_1, resource_of(memo_id(2), "photo.png")),
        put(bot_1, bot("robot")),
    ] {
        if edit.key == resource_1 {
            h.write(user, [put(memo_key(2), memo("its memo"))]).await;
        }
        h.clock.advance(1_000);
        h.write(user, [edit]).await;
    }
    for key in keys() {
        h.clock.advance(1_000);
        h.write(user, [delete(key)]).await;
    }
}

/// Revisions that were kept before the moment go, and those kept at it or later stay, to the millisecond.
pub async fn h2_revisions_kept_before_the_moment_go(h: &Harness) {
    let user = h.user().await;
    for text in ["one", "two", "three", "four"] {
        h.write(user, [put(memo_key(1), memo(text)).at(h.clock.ms())])
            .await;
        h.clock.advance(1);
    }
    // Kept at START + 1, + 2 and + 3.
    assert_eq!(purge(h, user, START + 1, 100).await, (0, 0));
    assert_eq!(numbers(h, user, memo_key(1)).await, [3, 2, 1]);
    assert_eq!(purge(h, user, START + 2, 100).await, (1, 0));
    assert_eq!(numbers(h, user, memo_key(1)).await, [3, 2]);
    assert_eq!(purge(h, user, START + 3, 100).await, (1, 0));
    let left = h.revisions(user, memo_key(1)).await;
    assert_eq!(left[0].revision.recorded_at, at(START + 3));
    assert_eq!(left[0].revision.content, Content::Memo(memo("three")));
    let live = h.record(user, memo_key(1)).await.unwrap();
    assert_eq!(live.live_content(), Some(&Content::Memo(memo("four"))));
    assert_eq!(live.revision_count, 4);
}

/// The content of a record goes when it was deleted before the moment, by its stamp and to the millisecond; key, version,
/// stamp, creation time and count stay. What a person says about the time of the delete plays no part.
pub async fn h2_the_content_of_what_was_deleted_before_the_moment_is_erased(h: &Harness) {
    let user = h.user().await;
    h.write(user, [put(memo_key(1), memo("x")).at(100).created(50)])
        .await;
    h.clock.advance(1_000);
    let plan = h.write(user, [delete(memo_key(1)).at(200)]).await;
    let before = h.record(user, memo_key(1)).await.unwrap();
    assert_eq!((&before, before.stamp.get()), (&plan.records[0], START + 1_000));
    assert_eq!(purge(h, user, START + 1_000, 100).await, (0, 0));
    assert_eq!(h.record(user, memo_key(1)).await.as_ref(), Some(&before));
    assert_eq!(purge(h, user, START + 1_001, 100).await, (1, 1));
    let erased = Record {
        state: State::Deleted(None),
        ..before
    };
    assert_eq!(h.record(user, memo_key(1)).await, Some(erased));
    assert!(h.revisions(user, memo_key(1)).await.is_empty());
}

/// A clock that stood still when the delete came gave it a later stamp: that decides.
pub async fn h2_the_stamp_of_a_delete_decides_not_the_clock(h: &Harness) {
    let user = h.user().await;
    let edits = [put(memo_key(1), memo("x")), put(memo_key(2), memo("y"))];
    h.write(user, edits).await;
    h.write(user, [delete(memo_key(1))]).await;
    // Its revision was kept at START, its stamp is START + 2.
    assert_eq!(purge(h, user, START + 2, 100).await, (1, 0));
    assert_eq!(purge(h, user, START + 3, 100).await, (0, 1));
}

/// All types are purged; live records lose nothing, whatever their age, and a purge draws no stamp.
pub async fn h2_live_records_lose_nothing_and_no_stamp_is_drawn(h: &Harness) {
    let user = h.user().await;
    deleted(h, user).await;
    h.write(user, [put(memo_key(5), tagged("alive", &["t"])).at(3)])
        .await;
    let (live, last) = (h.live(user).await, clock(h, user).await);
    let mut device = h.fresh_device(user).await;
    assert_eq!(purge(h, user, START + 1_000_000, 100).await, (4, 4));
    assert_eq!((h.live(user).await, clock(h, user).await), (live, last));
    let delivered = device.delivered().clone();
    h.pull_all(user, &mut device).await;
    assert_eq!(device.delivered(), &delivered);
    for key in keys() {
        let stone = h.record(user, key).await.unwrap();
        assert_eq!((stone.state, stone.revision_count), (State::Deleted(None), 2));
        assert!(h.revisions(user, key).await.is_empty());
    }
    assert_eq!(h.record(user, keys()[0]).await.unwrap().created_at.get(), 7);
}

/// A device that lay in a drawer all the time is told the deletes all the same, in their old places.
pub async fn h2_a_device_that_comes_later_is_still_told_the_deletes(h: &Harness) {
    let user = h.user().await;
    let mut drawer = Device::new("drawer");
    deleted(h, user).await;
    let before = h.fresh_device(user).await;
    purge(h, user, START + 1_000_000, 3).await;
    h.pull_all(user, &mut drawer).await;
    assert_eq!(drawer.delivered(), before.delivered());
    assert_eq!(drawer.cursors, before.cursors);
    h.assert_converged(user, &drawer).await;
    let mut small = Device::with_page_of("small", 1);
    h.pull_all(user, &mut small).await;
    assert_eq!(small.delivered(), before.delivered());
    let request = PullRequest {
        cursors: PerEntity::default(),
        ..drawer.request()
    };
    let snapshot = h
        .stores
        .feed
        .snapshot(user, &request, PageLimits::PROTOCOL)
        .await
        .unwrap()
        .unwrap();
    let erased = &snapshot.changes[EntityType::Resource].changes[0];
    assert_eq!((erased.record.key, erased.parent_stamp), (resource_key(1), None));
}

/// The tombstone decides as before: a late create loses, an older delete changes nothing, a replay is free.
pub async fn h2_a_late_create_still_loses_against_an_erased_tombstone(h: &Harness) {
    let user = h.user().await;
    let create = put(memo_key(1), memo("x")).at(100);
    let bury = delete(memo_key(1)).at(200);
    h.write(user, [create.clone()]).await;
    h.write(user, [bury.clone()]).await;
    h.clock.advance(1_000);
    purge(h, user, h.clock.ms(), 100).await;
    let erased = h.record(user, memo_key(1)).await.unwrap();
    h.write_as(user, put(memo_key(1), memo("late")).at(199), Outcome::Superseded)
        .await;
    h.write_as(user, create, Outcome::Superseded).await;
    h.write_as(user, bury, Outcome::Unchanged).await;
    h.write_as(user, delete(memo_key(1)).at(150), Outcome::Unchanged)
        .await;
    h.write_as(user, delete(memo_key(1)), Outcome::Unchanged).await;
    let deleted = Outcome::Refused(Refusal::Deleted(erased.version.time));
    h.write_as(user, put(memo_key(1), memo("x")), deleted).await;
    assert_eq!(h.record(user, memo_key(1)).await, Some(erased));
    let texts: Vec<_> = h
        .revisions(user, memo_key(1))
        .await
        .into_iter()
        .map(|k| k.revision.content)
        .collect();
    assert_eq!(texts, ["x", "late"].map(|text| Content::Memo(memo(text))));
    h.write_as(user, delete(memo_key(1)).at(300), Outcome::Applied)
        .await;
    let stone = h.record(user, memo_key(1)).await.unwrap();
    assert_eq!(
        (stone.state, stone.version.time.get()),
        (State::Deleted(None), 300)
    );
}

/// A partial edit can't be completed any more where the content is gone; a whole record that is newer comes back, and so
/// does a diary's day.
pub async fn h2_only_a_whole_record_brings_back_what_is_erased(h: &Harness) {
    let user = h.user().await;
    deleted(h, user).await;
    h.clock.advance(1_000);
    purge(h, user, h.clock.ms(), 100).await;
    let newer = h.clock.ms();
    let deleted_at = h.record(user, memo_key(1)).await.unwrap().version.time;
    let erased = Outcome::Refused(Refusal::ContentGone(deleted_at));
    h.write_as(user, patch_memo(1, "part").at(newer), erased.clone())
        .await;
    let gone = Outcome::Refused(Refusal::Gone(deleted_at));
    h.write_as(user, patch_memo(1, "part"), gone).await;
    assert!(h.live(user).await.iter().all(|record| record.key != memo_key(1)));
    let whole = put(memo_key(1), memo("whole")).at(newer);
    let plan = h.write_as(user, whole, Outcome::Applied).await;
    assert!(plan.revisions.is_empty());
    let back = h.record(user, memo_key(1)).await.unwrap();
    assert_eq!(back.live_content(), Some(&Content::Memo(memo("whole"))));
    assert_eq!((back.revision_count, back.created_at.get()), (3, newer));
    let day = put(diary_key("2026-05-16"), diary("again"));
    h.write_as(user, day, Outcome::Applied).await;
    let resource = put(resource_key(1), resource_of(memo_id(2), "b.png")).at(newer);
    h.write_as(user, resource, Outcome::Applied).await;
    let device = h.fresh_device(user).await;
    h.assert_converged(user, &device).await;
    assert_eq!(device.records().len(), 4);
}

/// Lists, searches and tags find nothing of what is erased, also not when the record comes back with other words.
pub async fn h2_what_is_erased_is_not_found(h: &Harness) {
    let user = h.user().await;
    deleted(h, user).await;
    h.clock.advance(1_000);
    purge(h, user, h.clock.ms(), 100).await;
    assert!(search(h, user, "erased").await.is_empty());
    assert_eq!(h.live(user).await.len(), 1);
    let newer = h.clock.ms();
    h.write(
        user,
        [put(memo_key(1), tagged("other thing", &["new"])).at(newer)],
    )
    .await;
    assert!(search(h, user, "erased").await.is_empty());
    assert_eq!(search(h, user, "other").await, [memo_key(1)]);
    let tags = h.stores.reader.tags(user, EntityType::Memo).await.unwrap();
    assert_eq!(
        tags.iter().map(|tag| tag.tag.as_str()).collect::<Vec<_>>(),
        ["new"]
    );
}

/// The number of a purged revision is never given again, not even that of the latest one.
pub async fn h2_numbers_go_on_after_a_purge(h: &Harness) {
    let user = h.user().await;
    let write = |text: &'static str| async move {
        h.clock.advance(10);
        h.write(user, [put(memo_key(1), memo(text)).at(h.clock.ms())])
            .await;
    };
    for text in ["a", "b", "c", "d"] {
        write(text).await;
    }
    h.clock.advance(10);
    assert_eq!(purge(h, user, h.clock.ms(), 100).await, (3, 0));
    write("e").await;
    assert_eq!(numbers(h, user, memo_key(1)).await, [4]);
    write("f").await;
    h.clock.advance(10);
    assert_eq!(purge(h, user, h.clock.ms(), 1).await, (2, 0));
    assert_eq!(numbers(h, user, memo_key(1)).await, [0; 0]);
    write("g").await;
    assert_eq!(numbers(h, user, memo_key(1)).await, [6]);
    h.write(user, [put(memo_key(2), memo("x")).at(1)]).await;
    h.write(user, [put(memo_key(2), memo("y")).at(2)]).await;
    assert_eq!(numbers(h, user, memo_key(2)).await, [1]);
}

/// A clock that steps back leaves a later number with an earlier time: it goes alone, and is not given again.
pub async fn h2_numbers_go_on_where_the_latest_was_purged_first(h: &Harness) {
    let user = h.user().await;
    for (ms, edited) in [(0, 1), (1_000, 2), (-1_000, 3)] {
        h.clock.set(START + ms);
        h.write(user, [put(memo_key(1), memo("x")).at(edited)]).await;
    }
    // Number 1 was kept at START + 1,000, number 2 at START - 1,000.
    assert_eq!(numbers(h, user, memo_key(1)).await, [2, 1]);
    assert_eq!(purge(h, user, START, 100).await, (1, 0));
    assert_eq!(numbers(h, user, memo_key(1)).await, [1]);
    h.write(user, [put(memo_key(1), memo("x")).at(4)]).await;
    assert_eq!(numbers(h, user, memo_key(1)).await, [3, 1]);
}

/// A small limit takes many steps, each within it, and comes to the same; again there is nothing to do.
pub async fn h2_small_steps_come_to_the_same(h: &Harness) {
    let user = h.user().await;
    for n in 0..7 {
        h.write(user, [put(memo_key(n), memo("x")).at(100)]).await;
        h.write(user, [put(memo_key(n), memo("y")).at(200)]).await;
        h.write(user, [delete(memo_key(n)).at(300)]).await;
    }
    h.clock.advance(1_000);
    let before = h.clock.ms();
    h.write(user, [patch_memo(0, "back").at(400)]).await;
    let first = step(h, user, before, 3).await;
    assert_eq!((first.revisions + first.contents, first.more), (3, true));
    let rest = purge(h, user, before, 3).await;
    // Two versions of each memo, and the six that are still deleted.
    assert_eq!(first.revisions + rest.0, 14);
    assert_eq!(first.contents + rest.1, 6);
    assert_eq!(step(h, user, before, 3).await, Purged::default());
    assert_eq!(step(h, user, before, 1_000).await, Purged::default());
    assert_eq!(h.live(user).await.len(), 1);
}

/// A revision that went and a tombstone that is erased name the content of an attachment no more; a live record does.
pub async fn h2_what_is_erased_names_no_content_any_more(h: &Harness) {
    let user = h.user().await;
    let mut blobs = Vec::new();
    for n in 1..=4 {
        let content = ContentRef {
            sha256: hash(n),
            blob: h.new_id(),
            size: 1,
            touched_at: at(START),
        };
        blobs.push(content.blob);
        let outcome = h.stores.contents.reference(user, content, 100).await.unwrap();
        assert_eq!(outcome, ReferenceOutcome::Added);
        h.write(user, [put(resource_key(n), filled("a.png", n)).at(100)])
            .await;
    }
    h.write(user, [put(resource_key(1), resource("a.png")).at(200)])
        .await;
    h.write(user, [put(resource_key(5), filled("a.png", 2)).at(100)])
        .await;
    for n in [2, 3, 5] {
        h.write(user, [delete(resource_key(n)).at(200)]).await;
    }
    h.clock.advance(1_000);
    let drop = async || {
        let before = at(h.clock.ms());
        let mut dropped = h
            .stores
            .orphans
            .collect_unreferenced(user, before, 100)
            .await
            .unwrap()
            .blobs;
        dropped.sort_unstable();
        dropped
    };
    assert_eq!(drop().await, blobs[..0]);
    assert_eq!(purge(h, user, START, 2).await, (0, 0));
    assert_eq!(drop().await, blobs[..0]);
    assert_eq!(purge(h, user, h.clock.ms(), 2).await, (4, 3));
    assert_eq!(drop().await, blobs[..3]);
    assert_eq!(drop().await, blobs[..0]);
    let left = h.stores.contents.content(user, hash(4)).await.unwrap().unwrap();
    assert_eq!(left.blob, blobs[3]);
    assert_eq!(h.stores.audit.without_content(user, None, 10).await.unwrap(), []);
}

/// Nobody else's history is touched, and there is nothing to do for a user who is not there.
pub async fn h2_other_users_are_untouched(h: &Harness) {
    let (anna, ben) = (h.user().await, h.user().await);
    for user in [anna, ben] {
        h.write(user, [put(memo_key(1), memo("x")).at(100)]).await;
        h.write(user, [delete(memo_key(1)).at(200)]).await;
    }
    let before = h.record(ben, memo_key(1)).await;
    h.clock.advance(1_000);
    assert_eq!(purge(h, anna, h.clock.ms(), 100).await, (1, 1));
    assert_eq!(h.record(ben, memo_key(1)).await, before);
    assert_eq!(numbers(h, ben, memo_key(1)).await, [1]);
    let nobody = UserId::new(h.new_id());
    assert_eq!(step(h, nobody, h.clock.ms(), 10).await, Purged::default());
}

/// A purge waits for the write that holds the lock, and takes nothing from it.
pub async fn h2_a_purge_takes_turns_with_writes(h: &Harness) {
    let user = h.user().await;
    h.write(user, [put(memo_key(1), tagged("x", &["kept"])).at(100)])
        .await;
    h.write(user, [delete(memo_key(1)).at(200)]).await;
    h.clock.advance(1_000);
    let gate = Gate::default();
    let (held, door) = (h.clone(), gate.door());
    let revival = patch_memo(1, "back").at(300);
    let write = tokio::spawn(async move { held.write_through(door, user, [revival]).await });
    gate.reached().await;
    let (purging, before) = (h.clone(), h.clock.ms());
    let mut purge = tokio::spawn(async move { purge(&purging, user, before, 100).await });
    // Nothing may happen here, so there is no event to wait for: a purge that does not wait gets some time to show itself.
    let early = tokio::time::timeout(Duration::from_millis(100), &mut purge).await;
    assert!(early.is_err(), "a purge ran while a write held the lock");
    gate.open();
    write.await.unwrap().unwrap();
    assert_eq!(purge.await.unwrap(), (1, 0));
    let back = h.record(user, memo_key(1)).await.unwrap();
    assert_eq!(
        back.live_content(),
        Some(&Content::Memo(tagged("back", &["kept"])))
    );
}

/// While somebody writes, purging loses no write that was acknowledged, nothing that is newer, and gives no number twice.
pub async fn h2_purging_beside_writes_loses_nothing_newer(h: &Harness) {
    const WRITES: u32 = 60;
    let user = h.user().await;
    let writer = {
        let h = h.clone();
        tokio::spawn(async move {
            let mut kept: Vec<Revision> = Vec::new();
            for n in 0..WRITES {
                h.clock.advance(10);
                let edit = match n % 3 {
                    2 => delete(memo_key(1)),
                    _ => put(memo_key(1), memo(&format!("number {n}"))),
                };
                // Always the newest: after a delete it is the whole record that brings it back.
                let plan = h.write_as(user, edit.at(h.clock.ms()), Outcome::Applied).await;
                kept.extend(plan.revisions);
            }
            kept
        })
    };
    let mut before = START;
    while !writer.is_finished() {
        before = h.clock.ms() - 50;
        step(h, user, before, 3).await;
    }
    let kept = writer.await.unwrap();
    purge(h, user, before, 3).await;
    let expected: BTreeSet<_> = kept
        .iter()
        .filter(|revision| revision.recorded_at >= at(before))
        .map(|revision| revision.id)
        .collect();
    let left = h.revisions(user, memo_key(1)).await;
    assert_eq!(
        left.iter().map(|kept| kept.revision.id).collect::<BTreeSet<_>>(),
        expected
    );
    let total = u32::try_from(kept.len()).unwrap();
    let count = u32::try_from(left.len()).unwrap();
    let latest: Vec<u32> = left.iter().map(|kept| kept.number).collect();
    assert_eq!(latest, (total - count + 1..=total).rev().collect::<Vec<_>>());
    let stored = h.record(user, memo_key(1)).await.unwrap();
    assert!(stored.is_deleted());
    assert_eq!(
        (stored.revision_count, stored.version.time.get()),
        (WRITES, START + 600)
    );
    let device = h.fresh_device(user).await;
    h.assert_converged(user, &device).await;
}

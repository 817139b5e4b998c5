//! The user's clock: S1 to S5.

use mosaic_domain::account::{CreateOutcome, Role};
use mosaic_domain::write::Outcome;
use mosaic_domain::{EntityType, MAX_SAFE_INTEGER, Record};

use crate::{
    EditExt, Gate, Harness, ManualClock, bot, bot_key, delete, diary, diary_key, memo, memo_key, patch_memo,
    pulled, put, resource, resource_key,
};

fn stamps(records: &[Record]) -> Vec<i64> {
    records.iter().map(|record| record.stamp.get()).collect()
}

/// Every write, of whatever type, has a stamp of its own, greater than all before, and the clock stands at the last.
pub async fn s1_stamps_are_unique_and_increasing_across_types(h: &Harness) {
    let user = h.user().await;
    let edits = [
        put(memo_key(1), memo("a")),
        put(diary_key("2026-05-16"), diary("b")),
        put(resource_key(1), resource("c.png")),
        put(bot_key(1), bot("d")),
    ];
    let first = h.write(user, edits.clone()).await;
    let second = h.write(user, [patch_memo(1, "e")]).await;
    let mut seen = stamps(&first.records);
    seen.extend(stamps(&second.records));
    let start = ManualClock::START_MS;
    assert_eq!(seen, [start, start + 1, start + 2, start + 3, start + 4]);
    assert_eq!(second.clock.get(), start + 4);
    let stored = h.record(user, memo_key(1)).await.unwrap();
    assert_eq!(stored.stamp, second.clock);
}

/// The clock of a new account stands where the account was made; the first write goes on from there.
pub async fn s1_a_new_account_s_clock_starts_when_it_was_made(h: &Harness) {
    let account = h.account("new", Role::User);
    let (user, made) = (account.user.id, h.clock.ms());
    let outcome = h.stores.accounts.create(account, false, None).await.unwrap();
    assert_eq!(outcome, CreateOutcome::Created);
    let device = h.fresh_device(user).await;
    assert!(device.delivered().is_empty());
    let clock = h.stores.feed.clock(user, None).await.unwrap().unwrap();
    assert_eq!(clock.get(), made);
    for entity in EntityType::ALL {
        assert_eq!(device.request().cursors[entity], clock.into(), "{entity}");
    }
    // A clock that stands still, too.
    let plan = h.write(user, [put(memo_key(1), memo("x"))]).await;
    assert_eq!(stamps(&plan.records), [made + 1]);
}

/// While one write holds the lock, another of the same user decides nothing, and a pull sees neither.
pub async fn s1_writes_of_one_user_never_interleave(h: &Harness) {
    let user = h.user().await;
    let before = h.write(user, [put(memo_key(1), memo("before"))]).await;
    let gate = Gate::default();
    let (held, door) = (h.clone(), gate.door());
    let first = tokio::spawn(async move { held.write_through(door, user, [patch_memo(1, "first")]).await });
    gate.reached().await;
    let second_gate = Gate::default();
    second_gate.open();
    let (waiting, door) = (h.clone(), second_gate.door());
    let second =
        tokio::spawn(async move { waiting.write_through(door, user, [patch_memo(1, "second")]).await });
    second_gate.assert_not_reached().await;
    assert!(!second.is_finished());
    if h.reads_beside_writes {
        assert_eq!(h.fresh_device(user).await.records(), pulled(&before.records));
    }
    gate.open();
    let first = first.await.unwrap().unwrap();
    let second = second.await.unwrap().unwrap();
    assert!(second.clock > first.clock);
    let kept = h.revisions(user, memo_key(1)).await;
    assert_eq!(
        (kept[0].number, &kept[0].revision.content),
        (2, first.records[0].live_content().unwrap())
    );
}

/// A user who has written nothing has a clock, and pulls nothing.
pub async fn s1_a_new_user_has_a_clock(h: &Harness) {
    let user = h.user().await;
    let device = h.fresh_device(user).await;
    assert!(device.delivered().is_empty());
    assert_eq!(device.pages(), 1);
}

/// The time of a write that had to wait is that of its turn, not that of its arrival.
pub async fn s2_time_is_read_under_the_lock(h: &Harness) {
    let user = h.user().await;
    let gate = Gate::default();
    let (held, door) = (h.clone(), gate.door());
    let first = tokio::spawn(async move {
        held.write_through(door, user, [put(memo_key(1), memo("first"))])
            .await
    });
    gate.reached().await;
    let second_gate = Gate::default();
    second_gate.open();
    let (waiting, door) = (h.clone(), second_gate.door());
    let second = tokio::spawn(async move {
        waiting
            .write_through(door, user, [put(memo_key(2), memo("second"))])
            .await
    });
    second_gate.assert_not_reached().await;
    h.clock.advance(60_000);
    gate.open();
    let first = first.await.unwrap().unwrap();
    let second = second.await.unwrap().unwrap();
    assert_eq!(first.clock.get(), ManualClock::START_MS);
    assert_eq!(second.clock.get(), ManualClock::START_MS + 60_000);
    assert_eq!(
        second.records[0].version.time.get(),
        ManualClock::START_MS + 60_000
    );
}

/// A clock that steps back changes nothing but the digits: stamps go on, and a device gets what is written then.
pub async fn s2_a_clock_that_steps_back_moves_stamps_forward(h: &Harness) {
    let user = h.user().await;
    h.write(user, [put(memo_key(1), memo("a"))]).await;
    let mut device = h.fresh_device(user).await;
    h.clock.step_back(3_600_000);
    let plan = h.write(user, [put(memo_key(2), memo("b"))]).await;
    assert_eq!(plan.clock.get(), ManualClock::START_MS + 1);
    h.pull_all(user, &mut device).await;
    h.assert_converged(user, &device).await;
}

/// Updates and deletes of all types draw from one clock, so that one number says how far a device is.
pub async fn s3_updates_and_tombstones_of_all_types_share_one_clock(h: &Harness) {
    let user = h.user().await;
    let keys = [memo_key(1), diary_key("2026-05-16"), resource_key(1), bot_key(1)];
    let edits = [
        put(keys[0], memo("a")),
        put(keys[1], diary("b")),
        put(keys[2], resource("c.png")),
        put(keys[3], bot("d")),
    ];
    h.write(user, edits).await;
    let mut drawn = Vec::new();
    for key in keys {
        let plan = h.write(user, [delete(key)]).await;
        drawn.push(plan.records[0].stamp.get());
    }
    let start = ManualClock::START_MS + 4;
    assert_eq!(drawn, [start, start + 1, start + 2, start + 3]);
    let device = h.fresh_device(user).await;
    assert_eq!(device.delivered().len(), 4);
    assert!(device.cursors.iter().all(|(_, cursor)| cursor.get() == start + 3));
}

/// The same edit again changes nothing: no stamp, no revision, nothing to pull.
pub async fn s4_a_replay_draws_no_stamp_and_writes_nothing(h: &Harness) {
    let user = h.user().await;
    let edits = [
        put(memo_key(1), memo("a")).at(1_000),
        delete(memo_key(2)).at(2_000),
        put(diary_key("2026-05-16"), diary("b")).at(3_000),
    ];
    let first = h.write(user, edits.clone()).await;
    let mut device = h.fresh_device(user).await;
    h.clock.advance(5_000);
    let again = h.write(user, edits).await;
    assert!(again.is_empty());
    assert!(
        again
            .results
            .iter()
            .all(|result| result.outcome == Outcome::Unchanged)
    );
    assert_eq!(again.clock, first.clock);
    let before = device.delivered().len();
    h.pull_all(user, &mut device).await;
    assert_eq!(device.delivered().len(), before);
    assert!(h.revisions(user, memo_key(1)).await.is_empty());
}

/// Stamps, edit times and cursors are 64-bit integers end to end.
pub async fn s5_integers_up_to_2_pow_53_minus_1_survive(h: &Harness) {
    let user = h.user().await;
    h.clock.set(MAX_SAFE_INTEGER);
    let edit = put(memo_key(1), memo("far"))
        .at(MAX_SAFE_INTEGER)
        .created(MAX_SAFE_INTEGER);
    h.write(user, [edit]).await;
    let stored = h.record(user, memo_key(1)).await.unwrap();
    assert_eq!(stored.stamp.get(), MAX_SAFE_INTEGER);
    assert_eq!(stored.version.time.get(), MAX_SAFE_INTEGER);
    assert_eq!(stored.created_at.get(), MAX_SAFE_INTEGER);
    let device = h.fresh_device(user).await;
    assert!(
        device
            .cursors
            .iter()
            .all(|(_, cursor)| cursor.get() == MAX_SAFE_INTEGER)
    );
    h.assert_converged(user, &device).await;
}

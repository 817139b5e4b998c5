//! A write happens whole or not at all, and what was acknowledged is there (W8).

use std::future::Future;
use std::pin::Pin;

use futures_util::future::join3;
use futures_util::poll;
use mosaic_domain::stamp::ClockExhausted;
use mosaic_domain::write::{Locked, RecordEdit, decide};
use mosaic_domain::{Content, MAX_SAFE_INTEGER, RecordKey, UserId};
use mosaic_ports::WriteError;

use crate::{Device, EditExt, Gate, Harness, memo, memo_key, patch_memo, put};

/// Nothing of a user's history is changed: not the clock, not a record, not a revision.
async fn assert_untouched(h: &Harness, user: UserId, before: &(Device, usize)) {
    let device = h.fresh_device(user).await;
    assert_eq!(device.cursors, before.0.cursors);
    assert_eq!(device.delivered(), before.0.delivered());
    assert_eq!(device.records(), before.0.records());
    assert_eq!(h.revisions(user, memo_key(1)).await.len(), before.1);
}

async fn state_of(h: &Harness, user: UserId) -> (Device, usize) {
    (
        h.fresh_device(user).await,
        h.revisions(user, memo_key(1)).await.len(),
    )
}

/// A decision that fails writes nothing.
pub async fn w8_a_decision_that_fails_writes_nothing(h: &Harness) {
    let user = h.user().await;
    h.write(user, [put(memo_key(1), memo("x"))]).await;
    let before = state_of(h, user).await;
    h.clock.set(MAX_SAFE_INTEGER);
    let edits = [patch_memo(1, "y"), put(memo_key(2), memo("z"))];
    let failed = h.try_write(user, edits.clone()).await;
    assert!(
        matches!(failed, Err(WriteError::Clock(ClockExhausted))),
        "{failed:?}"
    );
    assert_untouched(h, user, &before).await;
    h.clock.set(crate::ManualClock::START_MS);
    h.write(user, edits).await;
}

/// A plan that the store can't carry out to its end is not carried out at all.
pub async fn w8_a_plan_that_fails_half_way_writes_nothing(h: &Harness) {
    let user = h.user().await;
    h.write(user, [put(memo_key(1), memo("x"))]).await;
    let before = state_of(h, user).await;
    let edits = [patch_memo(1, "y"), put(memo_key(2), memo("z"))];
    let twice = |locked: &Locked, edits: &[RecordEdit]| {
        let mut plan = decide(locked, edits)?;
        plan.records[1].stamp = plan.records[0].stamp;
        Ok(plan)
    };
    let failed = h.write_with(user, edits.clone(), twice).await;
    assert!(matches!(failed, Err(WriteError::Store(_))), "{failed:?}");
    assert_untouched(h, user, &before).await;
    h.write(user, edits).await;
}

/// A write that fails leaves those beside it in the queue alone.
pub async fn w8_a_write_that_fails_leaves_its_neighbours_alone(h: &Harness) {
    let (first, second) = (h.user().await, h.user().await);
    let gate = Gate::default();
    let (held, door) = (h.clone(), gate.door());
    let holder = tokio::spawn(async move {
        held.write_through(door, first, [put(memo_key(1), memo("a"))])
            .await
    });
    gate.reached().await;
    let good = h.write(first, [put(memo_key(2), memo("b"))]);
    let bad = h.write_with(second, [put(memo_key(1), memo("c"))], |_, _| Err(ClockExhausted));
    let other = h.write(second, [put(memo_key(2), memo("d"))]);
    let mut queue = Box::pin(join3(good, bad, other));
    assert!(poll!(&mut queue).is_pending());
    gate.open();
    holder.await.unwrap().unwrap();
    let (_, failed, _) = queue.await;
    assert!(failed.is_err());
    assert_eq!(h.live(first).await.len(), 2);
    assert_eq!(h.live(second).await.len(), 1);
}

/// What was acknowledged is seen by every read that begins afterwards.
pub async fn w8_an_acknowledged_write_is_seen_by_every_read_after_it(h: &Harness) {
    let user = h.user().await;
    for n in 0..50 {
        let text = format!("number {n}");
        h.write(user, [put(memo_key(1), memo(&text)).at(n)]).await;
        let content = Some(Content::Memo(memo(&text)));
        assert_eq!(
            h.record(user, memo_key(1)).await.unwrap().live_content(),
            content.as_ref()
        );
        assert_eq!(h.live(user).await[0].live_content(), content.as_ref());
        assert_eq!(h.fresh_device(user).await.content(memo_key(1)), content);
    }
}

/// When the future of a write is dropped, the write happens whole or not at all, and holds no lock.
pub async fn w8_a_dropped_write_happens_whole_or_not_at_all(h: &Harness) {
    let user = h.user().await;
    for (round, polls) in (0..).zip([0, 1, 2, 3, 5, 8, 13]) {
        let pair = [memo_key(round * 2), memo_key(round * 2 + 1)];
        let mut write: Pin<Box<dyn Future<Output = _>>> =
            Box::pin(h.write(user, pair.map(|key| put(key, memo("both or none")))));
        for _ in 0..polls {
            if poll!(&mut write).is_ready() {
                write = Box::pin(std::future::pending());
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(write);
        h.write(user, [put(memo_key(1_000 + round), memo("goes on"))])
            .await;
        assert_whole(h, user, pair).await;
    }
}

/// The same, dropped while the decision runs under the lock.
pub async fn w8_a_write_dropped_under_the_lock_happens_whole_or_not_at_all(h: &Harness) {
    let user = h.user().await;
    let gate = Gate::default();
    let pair = [memo_key(1), memo_key(2)];
    let (held, door) = (h.clone(), gate.door());
    let write = tokio::spawn(async move {
        held.write_through(door, user, pair.map(|key| put(key, memo("x"))))
            .await
    });
    gate.reached().await;
    write.abort();
    gate.open();
    h.write(user, [put(memo_key(3), memo("goes on"))]).await;
    assert_whole(h, user, pair).await;
    let device = h.fresh_device(user).await;
    h.assert_converged(user, &device).await;
}

async fn assert_whole(h: &Harness, user: UserId, pair: [RecordKey; 2]) {
    let device = h.fresh_device(user).await;
    let there = pair.map(|key| device.record(key).is_some());
    assert_eq!(there[0], there[1], "W8: half a write");
}

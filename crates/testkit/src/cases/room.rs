//! What a user may store: W10.

use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use mosaic_domain::account::{AccountChange, UpdateOutcome};
use mosaic_domain::attachment::{BeginOutcome, ContentRef, ReferenceOutcome};
use mosaic_domain::pull::PageLimits;
use mosaic_domain::write::{Outcome, Refusal, decide, decide_within};
use mosaic_domain::{Quota, UserId};

use crate::{
    EditExt, Harness, ManualClock, at, bot, bot_key, bury, delete, diary, diary_key, hash, memo, memo_id,
    memo_key, patch_memo, put, resource_key, resource_of, restore,
};

const START: i64 = ManualClock::START_MS;

/// What the store says under the lock.
async fn counted(h: &Harness, user: UserId) -> u64 {
    let seen = Arc::new(Mutex::new(None));
    let noted = Arc::clone(&seen);
    let look = h.write_with(user, Vec::new(), move |locked, edits| {
        *noted.lock().expect("nobody panics here") = Some(locked.bytes);
        decide(locked, edits)
    });
    look.await.unwrap();
    let seen = seen.lock().unwrap().take();
    seen.unwrap()
}

/// What there is.
async fn stored(h: &Harness, user: UserId) -> u64 {
    let everything = PageLimits {
        records: usize::MAX >> 1,
        bytes: usize::MAX >> 1,
    };
    let reader = &h.stores.dump_reader;
    let records = reader.dump_records(user, mosaic_domain::Stamp::ZERO, everything);
    let revisions = reader.dump_revisions(user, None, everything);
    let records = records.await.unwrap();
    let revisions = revisions.await.unwrap();
    let records: u64 = records.iter().map(|dumped| dumped.record.bytes()).sum();
    let revisions: u64 = revisions.iter().map(|kept| kept.revision.bytes()).sum();
    records + revisions
}

/// Whatever is written, kept once more or purged: what is counted is what is there.
pub async fn w10_what_a_user_stores_is_counted_to_the_byte(h: &Harness) {
    let (user, other) = (h.user().await, h.user().await);
    assert_eq!(counted(h, user).await, 0);
    h.write(other, [put(memo_key(1), memo("of somebody else"))]).await;
    let before = counted(h, other).await;
    let writes = [
        vec![
            put(memo_key(1), memo("日記 with letters of several bytes")).at(START),
            put(resource_key(1), resource_of(memo_id(1), "photo.png")),
            put(diary_key("2026-05-16"), diary("a day")),
            put(bot_key(1), bot("robot")),
        ],
        vec![patch_memo(1, "longer than before, by some words").at(START + 10)],
        vec![patch_memo(1, "short").at(START + 20)],
        // Replays, and losing edits that are kept once.
        vec![put(memo_key(1), memo("lost")).at(START + 5)],
        vec![put(memo_key(1), memo("lost")).at(START + 5)],
        vec![put(memo_key(1), memo("日記 with letters of several bytes")).at(START)],
        // Twice in one write.
        vec![patch_memo(1, "a"), patch_memo(1, "bb")],
        vec![bury(memo_key(7)).at(START + 1), delete(memo_key(1))],
        vec![put(memo_key(1), memo("back")).at(START + 1_000_000)],
        vec![delete(memo_key(1)).at(START + 2_000_000)],
    ];
    for (n, edits) in writes.into_iter().enumerate() {
        h.clock.advance(1_000);
        h.write(user, edits).await;
        assert_eq!(counted(h, user).await, stored(h, user).await, "after write {n}");
    }
    // A version that is kept already is not kept, nor counted, again.
    let kept = h.revisions(user, memo_key(1)).await;
    let first = kept.last().unwrap().revision.clone();
    for _ in 0..2 {
        h.write(user, [restore(&first)]).await;
        h.write(user, [patch_memo(1, "over it")]).await;
        assert_eq!(counted(h, user).await, stored(h, user).await);
    }
    let dumped = h.stores.dump_reader.dump_user(user).await.unwrap().unwrap();
    assert_eq!(dumped.record_bytes, counted(h, user).await);
    h.write(user, [delete(memo_key(1)), delete(bot_key(1))]).await;
    loop {
        let purged = h.stores.retention.purge(user, at(START + 10_000_000), 2).await;
        assert_eq!(counted(h, user).await, stored(h, user).await);
        if !purged.unwrap().more {
            break;
        }
    }
    assert!(counted(h, user).await < dumped.record_bytes);
    assert_eq!(counted(h, other).await, before);
}

/// Of writes that come at once as many are taken as fit, and what was refused is not counted.
pub async fn w10_of_writes_that_come_at_once_as_many_are_taken_as_fit(h: &Harness) {
    let user = h.user().await;
    let text = "x".repeat(1_000);
    h.write(user, [put(memo_key(0), memo(&text))]).await;
    let quota = 4 * counted(h, user).await;
    let outcomes = join_all((1..9).map(|n| {
        let edits = [put(memo_key(n), memo(&text))];
        h.write_with(user, edits, move |locked, edits| {
            decide_within(quota, locked, edits)
        })
    }))
    .await;
    let refused = Outcome::Refused(Refusal::NoRoom { used: quota, quota });
    let count = |wanted: &Outcome| {
        let same = outcomes
            .iter()
            .filter(|plan| plan.as_ref().unwrap().results[0].outcome == *wanted);
        same.count()
    };
    assert_eq!((count(&Outcome::Applied), count(&refused)), (3, 5));
    assert_eq!(counted(h, user).await, quota);
    assert_eq!(stored(h, user).await, quota);
}

/// What is said of one account takes the place of what is said of all: for records, attachments and uploads, as soon as it is
/// said.
pub async fn a4_w10_an_account_may_have_a_quota_of_its_own(h: &Harness) {
    let user = h.user().await;
    let change = async |quota| {
        let change = AccountChange {
            quota: Some(quota),
            ..AccountChange::default()
        };
        let changed = h.stores.accounts.update(user, change, at(START), None).await;
        assert!(matches!(changed, Ok(UpdateOutcome::Updated { user, .. }) if user.quota == quota));
        let dumped = h.stores.dump_reader.dump_user(user).await.unwrap().unwrap();
        assert_eq!(dumped.account.user.quota, quota);
    };
    let write = async |n| {
        let edits = [put(memo_key(n), memo("words"))];
        let plan = h.write_with(user, edits, |locked, edits| decide_within(1_000, locked, edits));
        plan.await.unwrap().results[0].outcome.clone()
    };
    let hold = async |n: u64, size| {
        let content = ContentRef {
            sha256: hash(n),
            blob: h.new_id(),
            size,
            touched_at: at(START),
        };
        h.stores.contents.reference(user, content, 1_000).await.unwrap()
    };
    let begin = async |length| {
        let upload = super::uploads::upload(h, length);
        h.stores.uploads.begin(user, upload, 1_000, 100).await.unwrap()
    };
    assert_eq!(
        (write(1).await, hold(1, 10).await),
        (Outcome::Applied, ReferenceOutcome::Added)
    );
    let stored = counted(h, user).await;
    let quota = stored + 1;
    change(Quota::Bytes(quota)).await;
    assert_eq!(
        write(2).await,
        Outcome::Refused(Refusal::NoRoom { used: stored, quota })
    );
    let over = ReferenceOutcome::OverQuota { used: quota, quota };
    assert_eq!(hold(2, quota - 10).await, ReferenceOutcome::Added);
    assert_eq!(hold(3, 1).await, over);
    assert!(matches!(begin(1).await, BeginOutcome::OverQuota(usage) if usage.quota == Quota::Bytes(quota)));
    change(Quota::Unlimited).await;
    assert_eq!(
        (hold(3, 5_000).await, begin(5_000).await),
        (ReferenceOutcome::Added, BeginOutcome::Begun)
    );
    assert_eq!(write(2).await, Outcome::Applied);
    change(Quota::Default).await;
    assert!(matches!(
        hold(4, 1).await,
        ReferenceOutcome::OverQuota { quota: 1_000, .. }
    ));
}

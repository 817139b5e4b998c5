//! Pulls: P1 to P7, R1, R2.

use std::collections::BTreeSet;

use mosaic_domain::login::LoginRefusal;
use mosaic_domain::pull::{PageLimits, PullRequest, PulledRecord, PulledState, Snapshot};
use mosaic_domain::stamp::ClockExhausted;
use mosaic_domain::write::{Locked, RecordEdit};
use mosaic_domain::{
    Content, Cursor, EntitySet, EntityType, Epoch, FamilyId, PerEntity, RecordKey, State, UserId,
};
use mosaic_ports::ServedCursors;
use uuid::Uuid;

use crate::{
    Device, EditExt, Harness, Ledger, at, bot, bot_key, by, delete, diary, diary_key, memo, memo_id,
    memo_key, patch_memo, put, resource_key, resource_of,
};

fn page_of(records: usize) -> PageLimits {
    PageLimits {
        records,
        ..PageLimits::PROTOCOL
    }
}

async fn snapshot(h: &Harness, user: UserId, request: &PullRequest, limits: PageLimits) -> Snapshot {
    h.stores
        .feed
        .snapshot(user, request, limits)
        .await
        .unwrap()
        .unwrap()
}

/// How many memos one snapshot from the beginning holds, and whether there are more.
async fn first_memos(h: &Harness, user: UserId, limits: PageLimits) -> (usize, bool) {
    let snapshot = snapshot(h, user, &Device::new("phone").request(), limits).await;
    let memos = &snapshot.changes[EntityType::Memo];
    (memos.changes.len(), memos.more)
}

/// A page ends after the limit, updated and deleted counted together, and says whether there is more.
pub async fn p1_a_page_ends_after_the_limit_and_says_whether_there_is_more(h: &Harness) {
    let user = h.user().await;
    let edits = [1, 2, 3].map(|n| put(memo_key(n), memo("x")));
    h.write(user, edits).await;
    h.write(user, [delete(memo_key(1)), delete(memo_key(4)).at(5)])
        .await;
    let mut found = Vec::new();
    for limit in [1, 3, 4, 5] {
        found.push(first_memos(h, user, page_of(limit)).await);
    }
    assert_eq!(found, [(1, true), (3, true), (4, false), (4, false)]);
}

/// Live records and tombstones come in one order: that of their stamps.
pub async fn p1_updates_and_tombstones_come_in_stamp_order(h: &Harness) {
    let user = h.user().await;
    h.write(user, [1, 2, 3, 4].map(|n| put(memo_key(n), memo("x"))))
        .await;
    h.write(user, [patch_memo(2, "y"), delete(memo_key(1))]).await;
    h.write(user, [patch_memo(4, "z")]).await;
    let snapshot = snapshot(h, user, &Device::new("phone").request(), page_of(10)).await;
    let memos = &snapshot.changes[EntityType::Memo].changes;
    let keys: Vec<_> = memos.iter().map(|change| change.record.key).collect();
    assert_eq!(keys, [memo_key(3), memo_key(2), memo_key(1), memo_key(4)]);
    assert!(memos.is_sorted_by(|a, b| a.record.stamp < b.record.stamp));
}

/// A page ends after the record with which its documents reach the bytes; it always holds one.
pub async fn p1_a_page_ends_after_the_record_that_reaches_the_bytes(h: &Harness) {
    let user = h.user().await;
    let text = "x".repeat(1_000);
    h.write(user, [1, 2, 3, 4].map(|n| put(memo_key(n), memo(&text))))
        .await;
    let mut found = Vec::new();
    for bytes in [0, 1, 1_500, 2_500, 100_000] {
        found.push(first_memos(h, user, PageLimits { records: 200, bytes }).await);
    }
    assert_eq!(found, [(1, true), (1, true), (2, true), (3, true), (4, false)]);
}

/// By the protocol's limits a page has 200 records.
pub async fn p1_the_protocol_s_pages_have_two_hundred_records(h: &Harness) {
    let user = h.user().await;
    for from in [0, 150, 300] {
        let edits: Vec<_> = (from..from + 150).map(|n| put(memo_key(n), memo("x"))).collect();
        h.write(user, edits).await;
    }
    let device = h.fresh_device(user).await;
    assert_eq!((device.delivered().len(), device.pages()), (450, 3));
}

/// A device at rest holds four equal cursors, the user's clock; its next pull finds nothing.
pub async fn p2_a_device_at_rest_holds_the_user_s_clock(h: &Harness) {
    let user = h.user().await;
    let plan = h
        .write(user, [put(memo_key(1), memo("x")), put(bot_key(1), bot("y"))])
        .await;
    let mut device = h.fresh_device(user).await;
    let rest = PerEntity::from_fn(|_| Cursor::from(plan.clock));
    assert_eq!(device.cursors, rest);
    let clock = h.stores.feed.clock(user, None).await.unwrap();
    assert_eq!(clock, Ok(plan.clock));
    let page = h.pull(user, &device.request(), PageLimits::PROTOCOL).await;
    assert!(!page.moves(&device.request()));
    device.take(&page);
    assert_eq!(device.delivered().len(), 2);
}

/// What changes between two pages comes once more, in its new place, and nothing else does.
pub async fn p3_what_changes_between_two_pages_is_delivered_in_its_new_place(h: &Harness) {
    let user = h.user().await;
    let mut ledger = Ledger::default();
    ledger.note(
        &h.write(user, [1, 2, 3, 4].map(|n| put(memo_key(n), memo("x"))))
            .await,
    );
    let mut device = Device::with_page_of("phone", 2);
    assert!(h.pull_page(user, &mut device).await);
    ledger.note(
        &h.write(
            user,
            [patch_memo(1, "seen before"), patch_memo(3, "not seen yet")],
        )
        .await,
    );
    ledger.note(&h.write(user, [delete(memo_key(2)), delete(memo_key(4))]).await);
    h.pull_all(user, &mut device).await;
    ledger.assert_delivered_to(&device);
    h.assert_converged(user, &device).await;
    assert_eq!(device.delivered().len(), 2 + 4);
}

/// 1,000 memos with one edit time and 300 deletes, pulled while another connection keeps writing: nothing is left out,
/// nothing comes twice.
pub async fn p3_a_thousand_equal_edit_times_and_three_hundred_deletes_while_another_writes(h: &Harness) {
    let user = h.user().await;
    let mut ledger = Ledger::default();
    let all: Vec<RecordEdit> = (0..1_000)
        .map(|n| put(memo_key(n), memo("x")).at(1_000))
        .collect();
    for edits in all.chunks(250) {
        ledger.note(&h.write(user, edits).await);
    }
    let deletes: Vec<RecordEdit> = (0..300).map(|n| delete(memo_key(n * 3)).at(1_000)).collect();
    ledger.note(&h.write(user, deletes).await);
    let (writing, mut device) = (h.clone(), Device::new("fresh"));
    let (pages, mut page_taken) = tokio::sync::mpsc::channel(1);
    let writer = tokio::spawn(async move {
        let mut ledger = Ledger::default();
        let mut n = 0;
        while page_taken.recv().await.is_some() {
            for _ in 0..10 {
                n += 1;
                let edits = [
                    patch_memo(n * 3 + 1, "y"),
                    put(memo_key(5_000 + n), memo("new")),
                    delete(memo_key(n * 3 + 2)),
                ];
                ledger.note(&writing.write(user, edits).await);
            }
        }
        ledger
    });
    for _ in 0..12 {
        h.pull_page(user, &mut device).await;
        pages.send(()).await.unwrap();
    }
    drop(pages);
    ledger.merge(writer.await.unwrap());
    h.pull_all(user, &mut device).await;
    ledger.assert_delivered_to(&device);
    h.assert_converged(user, &device).await;
}

const WRITERS: u64 = 8;
const WRITES: u64 = 200;

/// What one of several writers does in its turn: records of its own, and records that all of them fight for.
fn edit_of(writer: u64, turn: u64) -> RecordEdit {
    let own = 1_000 + writer * WRITES + turn;
    let edit = match turn % 5 {
        0 => put(memo_key(own), memo("own")),
        1 => put(memo_key(turn), memo(&format!("by {writer}"))).at(i64::try_from(turn * 7 + writer).unwrap()),
        2 => delete(memo_key(turn - 1)).at(i64::try_from(turn * 3).unwrap()),
        3 => put(resource_key(own), resource_of(memo_id(own - 3), "a.png")),
        _ => put(
            diary_key(&format!("2026-05-{:02}", turn % 28 + 1)),
            diary(&format!("by {writer}")),
        ),
    };
    edit.by(&format!("writer-{writer}"))
}

/// Eight writers of 200 writes each for one user, a puller running throughout: it ends with exactly what is stored.
pub async fn p3_eight_writers_and_a_puller_end_with_exactly_what_is_stored(h: &Harness) {
    let user = h.user().await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let h = h.clone();
            tokio::spawn(async move {
                let mut ledger = Ledger::default();
                for turn in 0..WRITES {
                    ledger.note(&h.write(user, [edit_of(writer, turn)]).await);
                }
                ledger
            })
        })
        .collect();
    let mut device = Device::with_page_of("puller", 50);
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        h.pull_page(user, &mut device).await;
        tokio::task::yield_now().await;
    }
    let mut ledger = Ledger::default();
    for writer in writers {
        ledger.merge(writer.await.unwrap());
    }
    h.pull_all(user, &mut device).await;
    ledger.assert_delivered_to(&device);
    h.assert_converged(user, &device).await;
    assert_eq!(h.fresh_device(user).await.records(), device.records());
}

/// One response is one snapshot: what was written together is seen together, and nothing past the clock is.
pub async fn p4_a_snapshot_shows_each_write_whole_or_not_at_all(h: &Harness) {
    let user = h.user().await;
    let round = |n: u64| {
        let text = n.to_string();
        [
            put(memo_key(1), memo(&text)),
            put(diary_key("2026-05-16"), diary(&text)),
            put(bot_key(1), bot(&text)),
        ]
        .map(|edit| edit.at(i64::try_from(n).unwrap()))
    };
    h.write(user, round(1)).await;
    let writing = h.clone();
    let writer = tokio::spawn(async move {
        for n in 2..150 {
            writing.write(user, round(n)).await;
        }
    });
    let request = Device::new("phone").request();
    while !writer.is_finished() {
        let snapshot = snapshot(h, user, &request, PageLimits::PROTOCOL).await;
        let records = || {
            snapshot
                .changes
                .iter()
                .flat_map(|(_, found)| &found.changes)
                .map(|change| &change.record)
        };
        let texts: BTreeSet<String> = records().map(text_of).collect();
        assert_eq!(texts.len(), 1, "P4: a write was seen in part: {texts:?}");
        assert_eq!(records().map(|record| record.stamp).max(), Some(snapshot.clock));
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
}

fn text_of(record: &PulledRecord) -> String {
    let PulledState::Live(document) = &record.state else {
        panic!("{record:?}");
    };
    match &record
        .key
        .entity_type()
        .parse_document(document.as_str())
        .unwrap()
    {
        Content::Memo(memo) => memo.content.as_str(),
        Content::Diary(diary) => diary.summary.as_str(),
        Content::Resource(resource) => resource.filename.as_str(),
        Content::Bot(bot) => bot.name.as_str(),
        Content::Unreadable(unreadable) => &unreadable.document,
    }
    .to_owned()
}

/// Each change of a record that belongs to a memo carries the memo's stamp in the same snapshot.
pub async fn p5_a_change_carries_the_stamp_of_its_memo(h: &Harness) {
    let user = h.user().await;
    h.write(user, [put(memo_key(1), memo("x")), put(memo_key(2), memo("y"))])
        .await;
    h.write(
        user,
        [
            put(resource_key(1), resource_of(memo_id(1), "a")),
            put(resource_key(2), crate::resource("b")),
        ],
    )
    .await;
    let memo = h.write(user, [patch_memo(1, "later")]).await.records[0].stamp;
    let snapshot = snapshot(h, user, &Device::new("phone").request(), PageLimits::PROTOCOL).await;
    let parents = |entity| -> Vec<_> {
        snapshot.changes[entity]
            .changes
            .iter()
            .map(|change| change.parent_stamp)
            .collect()
    };
    assert_eq!(parents(EntityType::Resource), [Some(memo), None]);
    assert_eq!(parents(EntityType::Memo), [None, None]);
}

/// However the pages are cut, no resource comes before its memo, though memos are edited after their resources.
pub async fn p5_parents_come_first_however_the_pages_are_cut(h: &Harness) {
    let user = h.user().await;
    for n in 0..10 {
        h.write(user, [put(memo_key(n), memo("x"))]).await;
        let resources = [0, 1].map(|m| put(resource_key(n * 2 + m), resource_of(memo_id(n), "a.png")));
        h.write(user, resources).await;
    }
    for n in (0..10).rev() {
        h.write(user, [patch_memo(n, "later")]).await;
    }
    h.write(
        user,
        [
            delete(memo_key(4)),
            patch_memo(5, "takes over").attaching(&[12, 10]),
        ],
    )
    .await;
    for records in [1, 2, 3, 7, 200] {
        let mut device = Device::with_page_of("phone", records);
        h.pull_all(user, &mut device).await;
        h.assert_converged(user, &device).await;
    }
}

/// The same cursors give the same records again: a lost response loses nothing, and what is remembered decides nothing.
pub async fn p6_the_same_cursors_give_the_same_records_again(h: &Harness) {
    let user = h.user().await;
    h.write(user, [1, 2, 3].map(|n| put(memo_key(n), memo("x"))))
        .await;
    let device = Device::with_page_of("phone", 2);
    let lost = h.pull(user, &device.request(), device.limits()).await;
    h.stores.cursors.remember(ServedCursors {
        user,
        client: by("phone"),
        login: FamilyId::new(Uuid::nil()),
        cursors: vec![(EntityType::Memo, Cursor::clamped(i64::MAX))],
        served_at: at(h.clock.ms()),
    });
    assert_eq!(h.stores.cursors.cursors(user).await.unwrap().len(), 1);
    assert_eq!(h.pull(user, &device.request(), device.limits()).await, lost);
    let mut device = device;
    h.pull_all(user, &mut device).await;
    h.assert_converged(user, &device).await;
}

/// Two phones that share one client id both converge.
pub async fn p6_two_phones_with_one_client_id_both_converge(h: &Harness) {
    let user = h.user().await;
    h.write(user, [1, 2, 3].map(|n| put(memo_key(n), memo("x"))))
        .await;
    let mut phone = Device::with_page_of("phone", 2);
    h.pull_page(user, &mut phone).await;
    let mut twin = phone.clone();
    h.pull_all(user, &mut phone).await;
    h.write(user, [delete(memo_key(1)), patch_memo(3, "y")]).await;
    h.pull_all(user, &mut twin).await;
    h.pull_all(user, &mut phone).await;
    h.assert_converged(user, &phone).await;
    h.assert_converged(user, &twin).await;
}

/// Keys come back as they were written, from the first to the last that there can be.
pub async fn p7_keys_come_back_as_they_were_written(h: &Harness) {
    let user = h.user().await;
    let uuids = [Uuid::nil(), Uuid::max(), h.new_id()];
    let mut keys: Vec<RecordKey> = uuids
        .iter()
        .map(|id| EntityType::Memo.parse_key(&id.to_string()).unwrap())
        .collect();
    keys.extend(["0001-01-01", "2024-02-29", "9999-12-31"].map(diary_key));
    let edits: Vec<_> = keys.iter().map(|key| delete(*key).at(1)).collect();
    h.write(user, edits).await;
    let device = h.fresh_device(user).await;
    let delivered: BTreeSet<RecordKey> = device.delivered().iter().map(|(key, _)| *key).collect();
    assert_eq!(delivered, keys.iter().copied().collect());
    for key in keys {
        let stored = h.record(user, key).await.unwrap();
        assert_eq!((stored.key, stored.state), (key, State::Deleted(None)));
    }
}

/// Only the types that were asked for are read.
pub async fn a_pull_of_some_types_reads_only_those(h: &Harness) {
    let user = h.user().await;
    h.write(user, [put(memo_key(1), memo("x")), put(bot_key(1), bot("y"))])
        .await;
    let mut request = Device::new("phone").request();
    request.entities = [EntityType::Bot].into_iter().collect();
    let snapshot = snapshot(h, user, &request, PageLimits::PROTOCOL).await;
    let counts = snapshot.changes.map(|_, found| found.changes.len());
    assert_eq!(
        counts.into_pairs().map(|(_, count)| count).collect::<Vec<_>>(),
        [0, 0, 0, 1]
    );
}

/// However often a device has asked in vain: the next change is told, whichever instance made it; and a write that came to
/// nothing moves nothing.
pub async fn p2_a_device_at_rest_is_told_of_the_next_change(h: &Harness) {
    let user = h.user().await;
    let login = h.log_in(user, 1).await.family;
    let mut request = PullRequest {
        login: Some(login),
        ..Device::new("phone").request()
    };
    let edits = [
        put(memo_key(1), memo("x")),
        put(diary_key("2026-01-01"), diary("y")),
        delete(memo_key(1)),
    ];
    for (n, edit) in (0..).zip(edits.into_iter().cycle().take(12)) {
        let elsewhere = h.elsewhere();
        let writer = if n % 2 == 0 { h } else { &elsewhere };
        let key = edit.key;
        let clock = writer.write(user, [edit.at(n + 1)]).await.clock;
        let found = snapshot(h, user, &request, PageLimits::PROTOCOL).await;
        let changed = &found.changes[key.entity_type()].changes;
        assert_eq!((found.clock, changed.len()), (clock, 1), "{n}");
        request.cursors = PerEntity::from_fn(|_| clock.into());
        let fails = |_: &Locked, _: &[RecordEdit]| Err(ClockExhausted);
        let failed = writer.write_with(user, [put(memo_key(9), memo("z"))], fails);
        assert!(failed.await.is_err());
        for h in [h, &elsewhere, h] {
            let found = snapshot(h, user, &request, PageLimits::PROTOCOL).await;
            assert!(request.is_at_rest(found.clock, found.epoch), "{n}");
            let told = h.stores.feed.clock(user, Some(login)).await.unwrap();
            assert_eq!(told, Ok(clock), "{n}");
        }
        // Another history than the server's: nobody is at rest in it (R1).
        let mut ahead = request.clone();
        ahead.cursors[EntityType::Memo] = Cursor::clamped(clock.get() + 1);
        let found = snapshot(h, user, &ahead, PageLimits::PROTOCOL).await;
        assert_eq!(found.changes[EntityType::Memo].changes.len(), 1, "{n}");
    }
}

/// A cursor ahead of the user's clock comes from another history: that type is served from the beginning.
pub async fn r1_a_cursor_ahead_of_the_clock_is_served_from_the_beginning(h: &Harness) {
    let user = h.user().await;
    let plan = h
        .write(user, [put(memo_key(1), memo("x")), put(bot_key(1), bot("y"))])
        .await;
    let mut request = Device::new("phone").request();
    request.cursors = PerEntity::from_fn(|_| Cursor::from(plan.clock));
    request.cursors[EntityType::Memo] = Cursor::clamped(plan.clock.get() + 1);
    let page = h.pull(user, &request, PageLimits::PROTOCOL).await;
    assert_eq!(page.reset.iter().collect::<Vec<_>>(), [EntityType::Memo]);
    let served = |entity: EntityType| page.types[entity].as_ref().unwrap().records.len();
    assert_eq!((served(EntityType::Memo), served(EntityType::Bot)), (1, 0));
}

/// Another epoch resets all types; the epoch stays the same from pull to pull and from user to user.
pub async fn r2_another_epoch_resets_all_types(h: &Harness) {
    let (user, other) = (h.user().await, h.user().await);
    h.write(user, [put(memo_key(1), memo("x"))]).await;
    let mut device = h.fresh_device(user).await;
    let page = h.pull(user, &device.request(), PageLimits::PROTOCOL).await;
    assert_eq!(
        h.pull(other, &Device::new("x").request(), PageLimits::PROTOCOL)
            .await
            .epoch,
        page.epoch
    );
    device.epoch = Some(page.epoch);
    assert!(
        h.pull(user, &device.request(), PageLimits::PROTOCOL)
            .await
            .reset
            .is_empty()
    );
    device.epoch = Some(Epoch::new(h.new_id()));
    let page = h.pull(user, &device.request(), PageLimits::PROTOCOL).await;
    assert_eq!(page.reset, EntitySet::all());
    assert_eq!(page.types[EntityType::Memo].as_ref().unwrap().records.len(), 1);
}

/// There is nothing to pull for a user who does not exist.
pub async fn an_unknown_user_has_no_snapshot(h: &Harness) {
    let nobody = UserId::new(h.new_id());
    let request = Device::new("phone").request();
    let found = h
        .stores
        .feed
        .snapshot(nobody, &request, PageLimits::PROTOCOL)
        .await
        .unwrap();
    assert_eq!(found, Err(LoginRefusal::Ended));
}

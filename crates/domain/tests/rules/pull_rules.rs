//! Cutting pages, rule by rule: P1, P2, P5, P6, P7, R1, R2, S5.

use mosaic_domain::pull::{
    Change, PageLimits, PullPage, PullRequest, PulledRecord, PulledState, Snapshot, TypeChanges, cut,
};
use mosaic_domain::write::RecordEdit;
use mosaic_domain::{
    Content, Cursor, EditTime, EntitySet, EntityType, Epoch, PerEntity, RecordKey, Stamp, UnixMillis,
};
use mosaic_testkit::{
    Device, EditExt, Model, bot, bot_key, delete, diary, diary_key, memo, memo_id, memo_key, put, resource,
    resource_key, resource_of,
};
use uuid::Uuid;

fn request() -> PullRequest {
    Device::new("phone").request()
}

fn epoch(n: u128) -> Epoch {
    Epoch::new(Uuid::from_u128(n))
}

fn record(key: RecordKey, stamp: i64, content: &Content) -> PulledRecord {
    PulledRecord {
        key,
        edit_time: EditTime::clamped(1),
        stamp: Stamp::clamped(stamp),
        created_at: UnixMillis::ZERO,
        revision_count: 1,
        state: PulledState::live(content),
    }
}

fn live_memo(n: u64, stamp: i64) -> Change {
    Change {
        record: record(memo_key(n), stamp, &Content::Memo(memo("x"))),
        parent_stamp: None,
    }
}

/// A resource of memo 1, which has that stamp itself.
fn attached(n: u64, stamp: i64, parent_stamp: i64) -> Change {
    let content = Content::Resource(resource_of(memo_id(1), "x.png"));
    Change {
        record: record(resource_key(n), stamp, &content),
        parent_stamp: Some(Stamp::clamped(parent_stamp)),
    }
}

fn tombstone(mut change: Change) -> Change {
    change.record.state = PulledState::Deleted;
    change
}

/// A snapshot with memos and resources; `more` says whether there are memos after these.
fn snapshot(clock: i64, memos: Vec<Change>, more: bool, resources: Vec<Change>) -> Snapshot {
    let mut changes = PerEntity::<TypeChanges>::default();
    changes[EntityType::Memo] = TypeChanges { changes: memos, more };
    changes[EntityType::Resource] = TypeChanges {
        changes: resources,
        more: false,
    };
    Snapshot {
        clock: Stamp::clamped(clock),
        epoch: epoch(1),
        changes,
    }
}

fn page(page: &PullPage, entity: EntityType) -> (Vec<i64>, i64, bool) {
    let page = page.types[entity].as_ref().unwrap();
    let stamps = page.records.iter().map(|record| record.stamp.get()).collect();
    (stamps, page.cursor.get(), page.more)
}

fn written(edits: &[RecordEdit]) -> Model {
    let mut model = Model::default();
    model.write(UnixMillis::clamped(1_000), edits).unwrap();
    model
}

#[test]
fn p1_a_page_holds_two_hundred_records_updated_and_deleted_together() {
    let protocol = (PageLimits::PROTOCOL.records, PageLimits::PROTOCOL.bytes);
    assert_eq!(protocol, (200, 4_194_304));
    let mut edits: Vec<_> = (0..150).map(|n| put(memo_key(n), memo("x")).at(1)).collect();
    edits.extend((150..250).map(|n| delete(memo_key(n)).at(1)));
    let model = written(&edits);
    let first = model.pull(&request(), PageLimits::PROTOCOL);
    let (stamps, cursor, more) = page(&first, EntityType::Memo);
    assert_eq!((stamps.len(), cursor, more), (200, 1_199, true));
    assert!(stamps.is_sorted());
}

#[test]
fn p2_a_type_with_more_to_come_gets_the_stamp_of_its_last_record() {
    let cut = cut(
        &request(),
        snapshot(90, vec![live_memo(1, 10), live_memo(2, 20)], true, vec![]),
    );
    assert_eq!(page(&cut, EntityType::Memo), (vec![10, 20], 20, true));
    assert!(cut.has_more());
}

#[test]
fn p2_a_type_that_is_caught_up_gets_the_user_s_clock() {
    let cut = cut(&request(), snapshot(90, vec![live_memo(1, 10)], false, vec![]));
    for entity in EntityType::ALL {
        let (_, cursor, more) = page(&cut, entity);
        assert_eq!((cursor, more), (90, false), "{entity}");
    }
    assert!(!cut.has_more() && cut.records().next().is_some());
}

#[test]
fn p2_a_device_at_rest_asks_the_store_for_nothing_and_is_not_moved() {
    let mut request = request();
    request.cursors = PerEntity::from_fn(|_| Cursor::clamped(90));
    let start = request.start(Stamp::clamped(90), epoch(1));
    assert!(start.behind(request.entities, Stamp::clamped(90)).is_empty());
    let rest = cut(&request, snapshot(90, vec![], false, vec![]));
    assert!(rest.records().next().is_none() && !rest.moves(&request));
    let news = cut(&request, snapshot(91, vec![live_memo(1, 91)], false, vec![]));
    assert!(news.records().next().is_some() && news.moves(&request));
}

#[test]
fn p3_a_cursor_covers_its_own_stamp_and_nothing_after() {
    let cursor = Cursor::clamped(10);
    assert!(cursor.covers(Stamp::clamped(10)));
    assert!(!cursor.covers(Stamp::clamped(11)));
}

#[test]
fn p5_the_resource_page_stops_before_the_first_resource_whose_memo_lies_past_the_memo_page() {
    let resources = vec![attached(1, 11, 10), attached(2, 12, 80), attached(3, 13, 10)];
    let cut = cut(&request(), snapshot(90, vec![live_memo(1, 10)], true, resources));
    assert_eq!(page(&cut, EntityType::Resource), (vec![11], 11, true));
}

#[test]
fn p5_a_resource_page_that_has_to_wait_whole_stays_at_its_cursor() {
    let mut request = request();
    request.cursors[EntityType::Resource] = Cursor::clamped(5);
    let cut = cut(
        &request,
        snapshot(90, vec![live_memo(1, 10)], true, vec![attached(1, 11, 80)]),
    );
    assert_eq!(page(&cut, EntityType::Resource), (vec![], 5, true));
}

#[test]
fn p5_nothing_waits_once_the_memos_are_all_there() {
    let cut = cut(
        &request(),
        snapshot(90, vec![live_memo(1, 80)], false, vec![attached(1, 11, 80)]),
    );
    assert_eq!(page(&cut, EntityType::Resource), (vec![11], 90, false));
}

#[test]
fn p5_a_tombstone_waits_for_no_memo() {
    let gone = tombstone(attached(1, 11, 80));
    let cut = cut(&request(), snapshot(90, vec![live_memo(1, 10)], true, vec![gone]));
    assert_eq!(page(&cut, EntityType::Resource), (vec![11], 90, false));
}

#[test]
fn p5_who_asks_for_resources_alone_gets_them_as_they_are() {
    let mut request = request();
    request.entities = [EntityType::Resource].into_iter().collect();
    let cut = cut(&request, snapshot(90, vec![], true, vec![attached(1, 11, 80)]));
    assert_eq!(page(&cut, EntityType::Resource), (vec![11], 90, false));
    assert!(cut.types[EntityType::Memo].is_none());
}

#[test]
fn p5_parents_come_before_their_children_in_every_list_of_types() {
    let order: Vec<_> = EntityType::ALL.iter().map(|entity| entity.name()).collect();
    assert_eq!(order, ["memo", "diary", "resource", "bot"]);
    assert!(EntityType::Memo < EntityType::Resource);
    let pairs: Vec<_> = PerEntity::from_fn(|entity| entity).into_pairs().collect();
    assert!(pairs.iter().all(|(entity, value)| entity == value));
}

#[test]
fn p6_only_the_request_says_where_a_pull_starts() {
    let model = written(&[put(memo_key(1), memo("a")).at(1), put(bot_key(1), bot("b")).at(1)]);
    let first = model.pull(&request(), PageLimits::PROTOCOL);
    assert_eq!(model.pull(&request(), PageLimits::PROTOCOL), first);
}

#[test]
fn p7_deleted_ids_are_uuids_and_for_diaries_dates() {
    assert_eq!(memo_key(0xa1).to_string(), "00000000-0000-0000-0000-0000000000a1");
    assert_eq!(
        resource_key(1).to_string(),
        "00000000-0000-0000-0000-000000000001"
    );
    assert_eq!(bot_key(1).to_string(), "00000000-0000-0000-0000-000000000001");
    assert_eq!(diary_key("2026-05-16").to_string(), "2026-05-16");
    for key in [memo_key(1), diary_key("2026-05-16"), resource_key(1), bot_key(1)] {
        assert_eq!(key.entity_type().parse_key(&key.to_string()).unwrap(), key);
    }
}

#[test]
fn r1_a_cursor_ahead_of_the_clock_is_served_from_the_beginning() {
    let mut request = request();
    request.cursors[EntityType::Memo] = Cursor::clamped(91);
    request.cursors[EntityType::Bot] = Cursor::clamped(90);
    let start = request.start(Stamp::clamped(90), epoch(1));
    assert_eq!(start.cursors[EntityType::Memo], Cursor::ZERO);
    assert_eq!(start.cursors[EntityType::Bot].get(), 90);
    assert_eq!(start.reset.iter().collect::<Vec<_>>(), [EntityType::Memo]);
    let cut = cut(&request, snapshot(90, vec![live_memo(1, 10)], false, vec![]));
    assert_eq!(cut.reset, start.reset);
    assert_eq!(page(&cut, EntityType::Memo), (vec![10], 90, false));
}

#[test]
fn r1_a_type_that_was_not_asked_for_is_not_reset() {
    let mut request = request();
    request.entities = [EntityType::Bot].into_iter().collect();
    request.cursors[EntityType::Memo] = Cursor::clamped(91);
    assert!(request.start(Stamp::clamped(90), epoch(1)).reset.is_empty());
}

#[test]
fn r2_another_epoch_resets_all_types_and_none_is_not_checked() {
    let mut request = request();
    request.cursors = PerEntity::from_fn(|_| Cursor::clamped(50));
    let reset = |request: &PullRequest| request.start(Stamp::clamped(90), epoch(1)).reset;
    assert!(reset(&request).is_empty());
    request.epoch = Some(epoch(1));
    assert!(reset(&request).is_empty());
    request.epoch = Some(epoch(2));
    assert_eq!(reset(&request), EntitySet::all());
    let start = request.start(Stamp::clamped(90), epoch(1));
    assert_eq!(start.cursors, PerEntity::default());
}

#[test]
fn s5_cursors_are_plain_integers_below_2_pow_53() {
    let most = mosaic_domain::MAX_SAFE_INTEGER;
    assert_eq!(
        serde_json::to_string(&Cursor::clamped(most)).unwrap(),
        "9007199254740991"
    );
    assert_eq!(
        serde_json::from_str::<Cursor>("9007199254740991").unwrap().get(),
        most
    );
    for bad in ["9007199254740992", "-1", "1.5", "\"1\"", "1e3"] {
        assert!(serde_json::from_str::<Cursor>(bad).is_err(), "{bad}");
    }
    assert_eq!(Cursor::from(Stamp::clamped(most)).get(), most);
}

#[test]
fn s3_all_types_draw_from_one_clock() {
    let model = written(&[
        put(memo_key(1), memo("a")).at(1),
        put(diary_key("2026-05-16"), diary("b")).at(1),
        put(resource_key(1), resource("c.png")).at(1),
        delete(bot_key(1)).at(1),
    ]);
    let mut stamps: Vec<_> = model.records().map(|record| record.stamp.get()).collect();
    stamps.sort_unstable();
    assert_eq!(stamps, [1_000, 1_001, 1_002, 1_003]);
    assert_eq!(model.clock().get(), 1_003);
}

#[test]
fn p2_a_device_is_at_rest_where_all_that_it_asks_for_stands_at_the_clock_of_this_history() {
    let all = EntitySet::all();
    let bots = EntitySet::from_iter([EntityType::Bot]);
    // Cursors of memos and of all others, what is asked for, the history, and whether it may be at rest, and is at 7.
    for (memos, others, entities, history, may_be, is) in [
        (7, 7, all, None, true, true),
        (7, 7, all, Some(1), true, true),
        (7, 7, all, Some(2), true, false),
        (0, 0, all, None, false, false),
        (6, 6, all, None, true, false),
        (8, 8, all, None, true, false),
        (7, 6, all, None, false, false),
        (6, 7, all, None, false, false),
        (6, 7, bots, None, true, true),
        (7, 0, bots, None, false, false),
    ] {
        let cursors = PerEntity::from_fn(|entity| match entity {
            EntityType::Memo => Cursor::clamped(memos),
            _ => Cursor::clamped(others),
        });
        let asked = PullRequest {
            cursors,
            entities,
            epoch: history.map(epoch),
            ..request()
        };
        let rest = (
            asked.may_be_at_rest(),
            asked.is_at_rest(Stamp::clamped(7), epoch(1)),
        );
        assert_eq!(rest, (may_be, is), "{memos} {others} {entities:?} {history:?}");
    }
}

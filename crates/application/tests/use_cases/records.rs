//! The common road of records over mocked ports: the mock of the write store runs the real rule.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use mosaic_application::AppError;
use mosaic_application::bots::Bots;
use mosaic_application::days::Days;
use mosaic_application::memos::Memos;
use mosaic_application::records::{EditBy, Records, Upsert};
use mosaic_domain::entity::{Bot, Memo, MemoPatch, Resource, ResourcePatch, Unreadable};
use mosaic_domain::text::{Label, Tags, Text};
use mosaic_domain::write::{Locked, WritePlan, WriteScope};
use mosaic_domain::{
    BotId, ClientId, Content, EditTime, EntityType, FamilyId, MemoId, Record, RecordKey, ResourceId,
    Revision, RevisionReason, Stamp, State, SyncClock, TimeZone, UnixMillis, UserId, Version,
};
use mosaic_ports::{
    KeptRevision, MockAccountStore, MockIdGenerator, MockRecordReader, MockWriteStore, RevisionPage,
    StoreError, WriteError,
};
use uuid::Uuid;

const NOW: i64 = 1_715_000_000_000;
const USER: UserId = UserId::new(Uuid::from_u128(1));
const MEMO: MemoId = MemoId::new(Uuid::from_u128(2));

fn client() -> ClientId {
    "phone".parse().unwrap()
}

fn now_edit() -> EditBy {
    EditBy {
        user: USER,
        login: None,
        client: client(),
        edit_time: None,
        created_at: None,
        client_time: None,
        arrived_at: UnixMillis::clamped(NOW),
    }
}

fn edit_at(time: i64) -> EditBy {
    EditBy {
        edit_time: Some(EditTime::new(time).unwrap()),
        ..now_edit()
    }
}

fn memo(content: &str) -> Memo {
    Memo {
        content: Text::new(content.into()).unwrap(),
        ..Memo::default()
    }
}

fn upsert(content: &str) -> Upsert<Memo> {
    Upsert {
        patch: MemoPatch {
            content: Some(memo(content).content),
            ..MemoPatch::default()
        },
        attachments: None,
        creates: true,
    }
}

fn stored(content: &str, time: i64) -> Record {
    Record {
        key: RecordKey::Memo(MEMO),
        version: Version::new(EditTime::clamped(time), "tablet".parse().unwrap()),
        stamp: Stamp::clamped(time),
        created_at: UnixMillis::clamped(time),
        revision_count: 1,
        state: State::Live(Content::Memo(memo(content))),
    }
}

/// What a store was asked and what it carried out.
#[derive(Default)]
struct Seen {
    scopes: Vec<WriteScope>,
    plans: Vec<WritePlan>,
}

/// A write store that holds these records and runs whatever decision it is given.
fn store_with(records: Vec<Record>) -> (MockWriteStore, Arc<Mutex<Seen>>) {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let log = Arc::clone(&seen);
    let mut store = MockWriteStore::new();
    store.expect_write().returning(move |scope, decide| {
        let records: BTreeMap<_, _> = records
            .iter()
            .map(|record| (record.key, record.clone()))
            .collect();
        let clock = SyncClock::new(Stamp::clamped(NOW - 1_000), UnixMillis::clamped(NOW));
        let locked = Locked {
            clock,
            records,
            children: BTreeMap::new(),
            last_places: BTreeMap::new(),
            revisions: Vec::new(),
            bytes: 0,
            quota: mosaic_domain::Quota::Default,
        };
        let plan = decide(&locked)?;
        let mut log = log.lock().unwrap();
        log.scopes.push(scope);
        log.plans.push(plan.clone());
        Ok(plan)
    });
    (store, seen)
}

fn records_over(store: MockWriteStore, reader: MockRecordReader) -> Records {
    let mut ids = MockIdGenerator::new();
    ids.expect_next().returning(|| Uuid::from_u128(99));
    Records::new(Arc::new(store), Arc::new(reader), Arc::new(ids))
}

fn empty_reader() -> MockRecordReader {
    let mut reader = MockRecordReader::new();
    reader.expect_children().returning(|_, _, _| Ok(Vec::new()));
    reader
}

#[tokio::test]
async fn a_create_answers_the_record_that_was_stored() {
    let (store, seen) = store_with(Vec::new());
    let created = records_over(store, empty_reader())
        .write(&now_edit(), MEMO, upsert("hello"))
        .await
        .unwrap();
    assert_eq!((created.key, created.content.content.as_str()), (MEMO, "hello"));
    assert_eq!((created.stamp.get(), created.version.time.get()), (NOW, NOW));
    let seen = seen.lock().unwrap();
    assert_eq!(seen.scopes[0].user, USER);
    assert_eq!(seen.plans[0].records.len(), 1);
}

#[tokio::test]
async fn w3_a_create_without_a_time_that_is_sent_again_overwrites_nothing() {
    let (store, seen) = store_with(vec![stored("somebody's edit", NOW - 5)]);
    let again = records_over(store, empty_reader())
        .write(&now_edit(), MEMO, upsert("hello"))
        .await
        .unwrap();
    assert_eq!(again.content.content.as_str(), "somebody's edit");
    assert!(seen.lock().unwrap().plans[0].is_empty());
}

#[tokio::test]
async fn w4_a_losing_edit_answers_the_winner_and_is_kept() {
    let (store, seen) = store_with(vec![stored("newer", NOW - 5)]);
    let lost = records_over(store, empty_reader())
        .write(&edit_at(NOW - 10), MEMO, upsert("older"))
        .await;
    let Err(AppError::Superseded { current }) = lost else {
        panic!("{lost:?}")
    };
    assert_eq!(*current, stored("newer", NOW - 5));
    let seen = seen.lock().unwrap();
    assert_eq!(seen.plans[0].records, []);
    assert_eq!(seen.plans[0].revisions[0].reason, RevisionReason::Superseded);
    assert_eq!(seen.plans[0].revisions[0].content, Content::Memo(memo("older")));
}

#[tokio::test]
async fn w6_an_edit_time_far_ahead_never_reaches_the_store() {
    let mut store = MockWriteStore::new();
    store.expect_write().never();
    let ahead = edit_at(NOW + 5 * 60_000 + 1);
    let refused = records_over(store, empty_reader())
        .write(&ahead, MEMO, upsert("x"))
        .await;
    let Err(AppError::EditTimeAhead { server_time }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(server_time.get(), NOW);
}

#[tokio::test]
async fn w6_the_device_s_own_clock_shifts_its_edit_times() {
    let (store, _) = store_with(Vec::new());
    let hour = 3_600_000;
    let by = EditBy {
        client_time: Some(UnixMillis::clamped(NOW + hour)),
        ..edit_at(NOW + hour - 20)
    };
    let created = records_over(store, empty_reader())
        .write(&by, MEMO, upsert("x"))
        .await
        .unwrap();
    assert_eq!(created.version.time.get(), NOW - 20);
}

#[tokio::test]
async fn w7_a_partial_edit_leaves_the_other_fields() {
    let mut before = memo("text");
    before.tags = Tags::new(vec!["a".into()]).unwrap();
    let record = Record {
        state: State::Live(Content::Memo(before)),
        ..stored("", NOW - 5)
    };
    let (store, _) = store_with(vec![record]);
    let patch = MemoPatch {
        is_archived: Some(true),
        ..MemoPatch::default()
    };
    let records = records_over(store, empty_reader());
    let upsert = Upsert {
        patch,
        attachments: None,
        creates: false,
    };
    let after = records.write::<Memo>(&now_edit(), MEMO, upsert).await.unwrap();
    assert!(after.content.is_archived);
    assert_eq!(after.content.content.as_str(), "text");
    assert_eq!(after.content.tags.iter().collect::<Vec<_>>(), ["a"]);
}

#[tokio::test]
async fn w7_a_partial_edit_of_what_never_was_is_not_found() {
    let (store, seen) = store_with(Vec::new());
    let upsert = Upsert {
        creates: false,
        ..upsert("all that a memo needs")
    };
    let missing = records_over(store, empty_reader())
        .write(&edit_at(NOW - 10), MEMO, upsert)
        .await;
    assert!(matches!(missing, Err(AppError::NotFound)), "{missing:?}");
    assert!(seen.lock().unwrap().plans[0].is_empty());
}

#[tokio::test]
async fn w10_an_edit_that_finds_no_room_is_refused_and_nothing_is_written() {
    let (store, seen) = store_with(Vec::new());
    let refused = records_over(store, empty_reader())
        .with_quota(100)
        .write(&now_edit(), MEMO, upsert("x"))
        .await;
    assert!(
        matches!(refused, Err(AppError::NoRoom { used: 0, quota: 100 })),
        "{refused:?}"
    );
    assert!(seen.lock().unwrap().plans[0].is_empty());
}

#[tokio::test]
async fn l1_an_edit_is_written_by_its_login() {
    let login = Some(FamilyId::new(Uuid::from_u128(5)));
    let (store, seen) = store_with(Vec::new());
    let by = EditBy { login, ..now_edit() };
    records_over(store, empty_reader())
        .write(&by, MEMO, upsert("x"))
        .await
        .unwrap();
    assert_eq!(seen.lock().unwrap().scopes[0].login, login);
}

#[tokio::test]
async fn w5_deleting_what_never_was_is_not_found() {
    let (store, _) = store_with(Vec::new());
    let missing = records_over(store, empty_reader())
        .delete::<Memo>(&now_edit(), MEMO)
        .await;
    assert!(matches!(missing, Err(AppError::NotFound)), "{missing:?}");
}

#[tokio::test]
async fn w9_a_resource_of_an_unknown_memo_is_refused_and_nothing_is_written() {
    let (store, seen) = store_with(Vec::new());
    let resource: Resource = serde_json::from_value(serde_json::json!({
        "memoId": MEMO, "filename": "a.png", "mimeType": "image/png", "fileSize": 1, "sha256": null,
        "storageType": "local", "sortOrder": 0, "metadata": {},
    }))
    .unwrap();
    let upsert = Upsert::<Resource> {
        patch: ResourcePatch {
            memo_id: Some(resource.memo_id),
            filename: Some(resource.filename),
            file_size: Some(resource.file_size),
            ..ResourcePatch::default()
        },
        attachments: None,
        creates: true,
    };
    let id = ResourceId::new(Uuid::from_u128(7));
    let refused = records_over(store, empty_reader())
        .write(&now_edit(), id, upsert)
        .await;
    assert!(
        matches!(refused, Err(AppError::UnknownMemo(memo)) if memo == MEMO),
        "{refused:?}"
    );
    assert!(seen.lock().unwrap().plans[0].is_empty());
}

#[tokio::test]
async fn a_memo_that_names_an_unknown_resource_says_which_and_writes_nothing() {
    let (store, seen) = store_with(Vec::new());
    let days = Days::new(Arc::new(MockAccountStore::new()), TimeZone::UTC);
    let memos = Memos::new(records_over(store, empty_reader()), days);
    let upsert = Upsert {
        attachments: Some(vec![ResourceId::new(Uuid::from_u128(7))]),
        ..upsert("x")
    };
    let refused = memos.write(&now_edit(), MEMO, upsert).await;
    let Err(AppError::UnknownReference(violation)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(
        (violation.path.as_str(), violation.code),
        ("resourceIds[0]", "unknown_resource")
    );
    assert!(seen.lock().unwrap().plans[0].is_empty());
}

#[tokio::test]
async fn reordering_bots_is_all_or_nothing() {
    let bot_id = BotId::new(Uuid::from_u128(3));
    let bot = Bot {
        name: Label::new("b".into()).unwrap(),
        avatar_url: None,
        description: Text::default(),
        tags: Tags::default(),
        auto_reply: true,
        sort_order: 5,
        model: None,
        ai_config: None,
    };
    let record = Record {
        key: RecordKey::Bot(bot_id),
        state: State::Live(Content::Bot(bot)),
        ..stored("", NOW - 5)
    };
    let (store, seen) = store_with(vec![record]);
    let bots = Bots::new(records_over(store, empty_reader()));
    let refused = bots
        .reorder(&now_edit(), &[bot_id, BotId::new(Uuid::from_u128(4))])
        .await;
    let Err(AppError::UnknownReference(violation)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(
        (violation.path.as_str(), violation.code),
        ("order[1]", "unknown_bot")
    );
    assert!(seen.lock().unwrap().plans[0].is_empty());
    bots.reorder(&now_edit(), &[bot_id]).await.unwrap();
    let moved = &seen.lock().unwrap().plans[1].records[0];
    assert_eq!(moved.live_content().unwrap().facets().sort_order, Some(0));
}

#[tokio::test]
async fn a_store_that_is_away_is_said_to_be_away() {
    let mut store = MockWriteStore::new();
    store
        .expect_write()
        .returning(|_, _| Err(WriteError::Store(StoreError::Unavailable("down".into()))));
    let failed = records_over(store, empty_reader())
        .write(&now_edit(), MEMO, upsert("x"))
        .await;
    assert!(
        matches!(failed, Err(AppError::Store(StoreError::Unavailable(_)))),
        "{failed:?}"
    );
}

#[tokio::test]
async fn h1_revisions_of_a_record_that_never_was_are_not_found() {
    let mut reader = MockRecordReader::new();
    reader.expect_record().returning(|_, _| Ok(None));
    let missing = records_over(MockWriteStore::new(), reader)
        .revisions::<Memo>(USER, MEMO, None, 10)
        .await;
    assert!(matches!(missing, Err(AppError::NotFound)), "{missing:?}");
}

#[tokio::test]
async fn w5_a_deleted_record_is_gone_since_then_and_one_that_never_was_is_not_found() {
    for (is_stored, code) in [(true, "gone"), (false, "not found")] {
        let mut reader = MockRecordReader::new();
        let tombstone = is_stored.then(|| Record {
            state: State::Deleted(None),
            ..stored("", NOW - 50)
        });
        reader
            .expect_record()
            .returning(move |_, _| Ok(tombstone.clone()));
        let records = records_over(MockWriteStore::new(), reader);
        let read = match records.get::<Memo>(USER, MEMO).await {
            Err(AppError::Gone(since)) if since.get() == NOW - 50 => "gone",
            Err(AppError::NotFound) => "not found",
            other => panic!("{other:?}"),
        };
        assert_eq!(read, code);
    }
}

#[tokio::test]
async fn h1_a_list_of_revisions_has_as_many_as_are_asked_for_and_no_more_than_two_hundred() {
    for (asked, expected) in [(0, 1), (7, 7), (1_000, 200)] {
        let mut reader = MockRecordReader::new();
        reader
            .expect_record()
            .returning(|_, _| Ok(Some(stored("x", NOW))));
        reader
            .expect_revisions()
            .withf(move |_, _, before, limits| (*before, limits.records) == (Some(9), expected))
            .returning(|_, _, _, _| {
                Ok(RevisionPage {
                    items: Vec::new(),
                    more: false,
                })
            });
        let records = records_over(MockWriteStore::new(), reader);
        let page = records
            .revisions::<Memo>(USER, MEMO, Some(9), asked)
            .await
            .unwrap();
        assert_eq!((page.items.len(), page.next_before), (0, None));
    }
}

/// A reader with one revision of the memo.
fn reader_of(content: Content) -> (MockRecordReader, Revision) {
    let version = Version::new(EditTime::clamped(NOW - 50), client());
    let (created_at, kept_at) = (UnixMillis::clamped(NOW - 60), UnixMillis::clamped(NOW - 5));
    let why = RevisionReason::Overwritten;
    let revision = Revision::new(RecordKey::Memo(MEMO), version, created_at, content, why, kept_at);
    let kept = KeptRevision {
        number: 1,
        revision: revision.clone(),
    };
    let mut reader = MockRecordReader::new();
    reader
        .expect_revision()
        .returning(move |_, _, _| Ok(Some(kept.clone())));
    (reader, revision)
}

#[tokio::test]
async fn h1_a_revision_is_restored_as_it_was_by_an_edit_that_is_made_now() {
    let (store, _) = store_with(vec![stored("after", NOW - 5)]);
    let (reader, revision) = reader_of(Content::Memo(memo("before")));
    let restored = records_over(store, reader)
        .restore::<Memo>(&now_edit(), MEMO, revision.id)
        .await
        .unwrap();
    assert_eq!(restored.content, memo("before"));
    assert_eq!(restored.created_at, revision.created_at);
    assert_eq!(restored.version.time.get(), NOW);
}

#[tokio::test]
async fn p8_what_can_not_be_read_is_said_to_be_so() {
    let unreadable = Content::Unreadable(Unreadable {
        entity_type: EntityType::Memo,
        document: "half of a memo".into(),
        parent: None,
        attachment: None,
    });
    let (mut reader, revision) = reader_of(unreadable.clone());
    let record = Record {
        state: State::Live(unreadable),
        ..stored("", NOW)
    };
    reader
        .expect_record()
        .returning(move |_, _| Ok(Some(record.clone())));
    let records = records_over(MockWriteStore::new(), reader);
    let read = records.get::<Memo>(USER, MEMO).await;
    assert!(matches!(read, Err(AppError::Unreadable)), "{read:?}");
    let read = records.revision::<Memo>(USER, MEMO, revision.id).await;
    assert!(matches!(read, Err(AppError::Unreadable)), "{read:?}");
}

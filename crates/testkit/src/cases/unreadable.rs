//! Documents that can't be read: changed by hand, damaged, or written by another version. Each concerns its own record, and
//! nothing else of the account or the installation.

use mosaic_domain::account::RemoveOutcome;
use mosaic_domain::entity::{Bot, KeptObject, Resource, Unreadable};
use mosaic_domain::pull::{PageLimits, PulledState};
use mosaic_domain::query::{Order, PageNumber, RecordQuery};
use mosaic_domain::search::SearchTerms;
use mosaic_domain::write::{Outcome, RecordEdit, Refusal, decide};
use mosaic_domain::{Content, EntityType, Record, RevisionReason, Stamp, State, UserId};

use crate::{
    EditExt, Harness, at, bot, bot_key, delete, diary, diary_key, filled, memo, memo_id, memo_key,
    patch_memo, put, resource, resource_key, resource_of, tagged,
};

/// What is in no way the document of a record: no JSON, JSON of another shape, and nesting that no stack survives.
fn documents() -> Vec<String> {
    let mut documents: Vec<String> = [
        "",
        "{",
        "[]",
        "{}",
        "null",
        "\u{fffd}",
        r#"{"tags":5}"#,
        r#"{"tags":[7]}"#,
    ]
    .map(str::to_owned)
    .to_vec();
    documents.push("[".repeat(100_000));
    documents
}

fn unreadable(content: &Content, document: &str) -> Content {
    let facets = content.facets();
    Content::Unreadable(Unreadable {
        entity_type: content.entity_type(),
        document: document.to_owned(),
        parent: facets.parent,
        attachment: facets.attachment,
    })
}

/// Writes records, and something unreadable instead of what they hold.
async fn plant(h: &Harness, user: UserId, edits: impl Into<Vec<RecordEdit>>, document: &str) -> Vec<Record> {
    let document = document.to_owned();
    let spoiled = move |locked: &_, edits: &[RecordEdit]| {
        let mut plan = decide(locked, edits)?;
        for record in &mut plan.records {
            if let State::Live(content) = &record.state {
                record.state = State::Live(unreadable(content, &document));
            }
        }
        Ok(plan)
    };
    h.write_with(user, edits, spoiled).await.unwrap().records
}

/// Reads go on past it: pulls, lists, searches, tags and the record itself, which say that it can't be read.
pub async fn p8_what_can_not_be_read_stands_in_nobody_s_way(h: &Harness) {
    for document in documents() {
        let user = h.user().await;
        h.write(user, [put(memo_key(1), tagged("readable", &["a"]))])
            .await;
        let planted = plant(h, user, [put(memo_key(2), tagged("lost", &["b"]))], &document).await;
        h.write(user, [put(memo_key(3), tagged("readable too", &["a"]))])
            .await;
        let stored = h.record(user, memo_key(2)).await.unwrap();
        assert!(stored.is_unreadable(), "{stored:?}");
        assert_eq!(stored, planted[0]);
        let device = h.fresh_device(user).await;
        assert_eq!(device.records().len(), 3);
        let pulled = device.record(memo_key(2)).map(|record| &record.state);
        assert_eq!(pulled, Some(&PulledState::Unreadable), "{document}");
        assert_eq!(h.live(user).await.len(), 3);
        let all = RecordQuery::all(EntityType::Memo, Order::NewestFirst, PageNumber::EVERYTHING);
        let mut tagged = all.clone();
        tagged.tags = vec!["a".to_owned().try_into().unwrap()];
        assert_eq!(h.list(user, &tagged).await.items.len(), 2);
        let mut searched = all.clone();
        searched.search = SearchTerms::parse("readable").unwrap();
        assert_eq!(h.list(user, &searched).await.items.len(), 2);
        let tags = h.stores.reader.tags(user, EntityType::Memo).await.unwrap();
        assert!(
            tags.iter().any(|tag| tag.tag == "a" && tag.count == 2),
            "{tags:?}"
        );
        assert!(h.stores.reader.digest(user).await.unwrap().is_some());
    }
}

/// A whole record takes its place, whatever its edit time; what stood there is a revision like any other.
pub async fn h1_a_whole_record_takes_the_place_of_what_can_not_be_read(h: &Harness) {
    let user = h.user().await;
    for (n, time) in (1..).zip([Some(10), Some(100), Some(200), None]) {
        let key = memo_key(n);
        let planted = plant(h, user, [put(key, memo("lost")).at(100)], "{").await;
        let edit = put(key, memo("whole"));
        let edit = match time {
            Some(time) => edit.at(time),
            None => edit,
        };
        h.write_as(user, edit, Outcome::Applied).await;
        let stored = h.record(user, key).await.unwrap();
        assert_eq!(stored.live_content(), Some(&Content::Memo(memo("whole"))));
        let kept = h.revisions(user, key).await;
        assert_eq!(kept.len(), 1, "{kept:?}");
        let (revision, lost) = (&kept[0].revision, planted[0].live_content());
        assert_eq!(
            (Some(&revision.content), revision.reason),
            (lost, RevisionReason::Overwritten)
        );
        let one = h.stores.reader.revision(user, key, revision.id).await.unwrap();
        assert_eq!(one.as_ref(), Some(&kept[0]));
    }
    let device = h.fresh_device(user).await;
    h.assert_converged(user, &device).await;
}

/// A partial edit has nothing to be completed from, and says so; nothing else of its write is in its way.
pub async fn w7_a_partial_edit_of_what_can_not_be_read_is_refused(h: &Harness) {
    let user = h.user().await;
    plant(h, user, [put(memo_key(1), memo("lost"))], "{").await;
    let edits = [patch_memo(1, "patched"), put(memo_key(2), memo("fine"))];
    let plan = h.write(user, edits).await;
    let outcomes: Vec<_> = plan.results.into_iter().map(|result| result.outcome).collect();
    assert_eq!(
        outcomes,
        [Outcome::Refused(Refusal::Unreadable), Outcome::Applied]
    );
}

/// It can be deleted, also with its memo; a purge takes it, and so does the removal of the account.
pub async fn w9_what_can_not_be_read_can_be_deleted_and_purged(h: &Harness) {
    let user = h.user().await;
    h.write(user, [put(memo_key(1), memo("a memo"))]).await;
    let child = Resource {
        memo_id: Some(memo_id(1)),
        ..filled("a.png", 7)
    };
    let others = [
        put(resource_key(1), child.clone()).at(5),
        put(memo_key(2), memo("b")),
        put(diary_key("2026-05-16"), diary("d")),
        put(bot_key(1), bot("robot")),
    ];
    plant(h, user, others, "{").await;
    plant(
        h,
        user,
        [put(resource_key(2), resource_of(memo_id(1), "later.png")).at(h.clock.ms() + 60_000)],
        "{",
    )
    .await;
    let memo_gone = h.clock.ms();
    h.write_as(user, delete(memo_key(1)).at(memo_gone), Outcome::Applied)
        .await;
    let gone = h.record(user, resource_key(1)).await.unwrap();
    assert!(gone.is_deleted(), "{gone:?}");
    // The bytes that it names are kept for as long as a version does.
    assert_eq!(gone.state.content().unwrap().facets().attachment, child.sha256);
    for key in [memo_key(2), diary_key("2026-05-16"), bot_key(1), resource_key(2)] {
        h.write_as(user, delete(key), Outcome::Applied).await;
        assert!(h.record(user, key).await.unwrap().is_deleted());
    }
    let device = h.fresh_device(user).await;
    h.assert_converged(user, &device).await;
    h.clock.advance(1_000);
    let later = at(h.clock.ms());
    while h.stores.retention.purge(user, later, 100).await.unwrap().more {}
    assert_eq!(
        h.record(user, resource_key(1)).await.unwrap().state,
        State::Deleted(None)
    );
    plant(h, user, [put(memo_key(9), memo("last"))], "{").await;
    while h.stores.accounts.remove(user, 100, None).await.unwrap() == RemoveOutcome::Removing {}
    assert_eq!(h.stores.accounts.by_id(user).await.unwrap(), None);
}

/// A dump has it as it stands, and a load writes it so.
pub async fn a_dump_has_what_can_not_be_read_as_it_stands(h: &Harness) {
    let user = h.user().await;
    plant(
        h,
        user,
        [
            put(memo_key(1), memo("lost")),
            put(resource_key(1), filled("a.png", 7)),
        ],
        "{\"a\":",
    )
    .await;
    h.write(user, [put(memo_key(1), memo("whole"))]).await;
    let (reader, writer) = (&h.stores.dump_reader, &h.stores.dump_writer);
    let all = PageLimits::PROTOCOL;
    let records = reader.dump_records(user, Stamp::ZERO, all).await.unwrap();
    let revisions = reader.dump_revisions(user, None, all).await.unwrap();
    assert!(records[0].record.is_unreadable() && revisions[0].revision.content.is_unreadable());
    writer.load_records(user, records.clone()).await.unwrap();
    writer.load_revisions(user, revisions.clone()).await.unwrap();
    assert_eq!(
        reader.dump_records(user, Stamp::ZERO, all).await.unwrap(),
        records
    );
    assert_eq!(reader.dump_revisions(user, None, all).await.unwrap(), revisions);
    // A revision that can't be read is in no edit's way, not even of one that has its version.
    let version = revisions[0].revision.version.clone();
    let again = put(memo_key(1), memo("lost"))
        .by(version.author.as_str())
        .at(version.time.get());
    h.write_as(user, again, Outcome::Superseded).await;
}

/// What is written of an object that an app keeps is what can be read, whatever its names are.
pub async fn kept_objects_are_read_whatever_their_names_are(h: &Harness) {
    let user = h.user().await;
    for (n, json) in (1..).zip([
        r#"{"$serde_json::private::RawValue":"{}"}"#,
        r#"{"x":{"$serde_json::private::RawValue":"[[[","a":1}}"#,
        r#"{"x":[{"$serde_json::private::Number":"1"},{"$serde_json::private::Number":1}]}"#,
        r#"{"":{"__proto__":[[[[[[[[[[[[[[]]]]]]]]]]]]]]}}"#,
        r#"{"\ud83d\ude00":"\u001f\u2028\\","a":-0,"b":123456789012345678901234567890,"c":1e-400,"a":[]}"#,
    ]) {
        let kept: KeptObject = serde_json::from_str(json).unwrap();
        let (key, other) = (resource_key(n), bot_key(n));
        let with_metadata = Resource {
            metadata: kept.clone(),
            ..resource("a.png")
        };
        let with_config = Bot {
            ai_config: Some(kept),
            ..bot("robot")
        };
        h.write(
            user,
            [put(key, with_metadata.clone()), put(other, with_config.clone())],
        )
        .await;
        for (key, content) in [
            (key, Content::Resource(with_metadata)),
            (other, Content::Bot(with_config)),
        ] {
            let stored = h.record(user, key).await.unwrap();
            assert_eq!(stored.live_content(), Some(&content), "{json}");
        }
    }
    let device = h.fresh_device(user).await;
    h.assert_converged(user, &device).await;
}

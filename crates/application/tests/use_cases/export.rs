//! Exports and imports, over a store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use mosaic_application::AppError;
use mosaic_application::export::{Check, Export, Import, ImportError, Imported, Manifest, Pass, skipped};
use mosaic_domain::activity::Doer;
use mosaic_domain::entity::{Bot, KeptObject};
use mosaic_domain::write::{WritePlan, WriteScope};
use mosaic_domain::{EntityType, Record, RecordKey, RevisionReason, UserId};
use mosaic_ports::{Decide, WriteError, WriteStore};
use mosaic_testkit::{
    EditExt as _, Harness, at, bot, bot_key, delete, diary, diary_key, memo, memo_id, memo_key, overwrite,
    patch_memo, put, resource, resource_key, resource_of,
};
use uuid::Uuid;

use crate::support::{damaged, harness, no_trail};

/// A user with records of all types, each with a history, in an order in which children stand before their memos.
async fn anna(h: &Harness) -> UserId {
    let user = h.user().await;
    h.write(user, [put(memo_key(1), memo("first")).at(10).created(5)])
        .await;
    h.write(
        user,
        [put(resource_key(1), resource_of(memo_id(1), "a.jpg")).at(20)],
    )
    .await;
    h.write(user, [patch_memo(1, "second").at(30).by("tablet")]).await;
    h.write(user, [put(memo_key(1), memo("late")).at(25).by("old")])
        .await;
    h.write(user, [put(memo_key(2), memo("to be deleted")).at(10)])
        .await;
    h.write(
        user,
        [put(resource_key(2), resource_of(memo_id(2), "b.jpg")).at(20)],
    )
    .await;
    let late = put(resource_key(2), resource_of(memo_id(2), "late.jpg"));
    h.write(user, [late.at(15).by("old")]).await;
    let gone_before = put(resource_key(4), resource_of(memo_id(2), "c.jpg"));
    h.write(user, [gone_before.at(20)]).await;
    h.write(user, [delete(resource_key(4)).at(35)]).await;
    h.write(user, [delete(memo_key(2)).at(40)]).await;
    h.write(user, [delete(memo_key(3)).at(50)]).await;
    h.write(user, [put(diary_key("2026-05-16"), diary("a day")).at(10)])
        .await;
    h.write(
        user,
        [
            put(bot_key(1), bot("Mo")).at(10),
            put(resource_key(3), resource("c.jpg")).at(1),
        ],
    )
    .await;
    user
}

async fn export(h: &Harness, user: UserId) -> String {
    let clock = Arc::clone(&h.clock) as _;
    let export = Export::new(
        Arc::clone(&h.stores.accounts),
        Arc::clone(&h.stores.dump_reader),
        Arc::clone(&h.stores.identity),
        clock,
        no_trail(),
    );
    let chunks: Vec<String> = export.run(user, Doer::Server).try_collect().await.unwrap();
    chunks.concat()
}

fn check(text: &str) -> Result<Manifest, ImportError> {
    let mut check = Check::at(at(1_000_000));
    text.lines().try_for_each(|line| check.line(line))?;
    check.finish()
}

async fn import(h: &Harness, user: UserId, text: &str) -> Imported {
    check(text).unwrap();
    import_lines(h, user, text).await
}

async fn import_lines(h: &Harness, user: UserId, text: &str) -> Imported {
    let mut import = Import::new(Arc::clone(&h.stores.write), user);
    for pass in Pass::all() {
        import.begin(pass).await.unwrap();
        for line in text.lines() {
            import.line(line).await.unwrap();
        }
    }
    import.finish().await.unwrap()
}

#[tokio::test]
async fn the_longest_and_the_deepest_records_are_read_as_well() {
    let h = harness().await;
    let anna = h.user().await;
    let deep = ["[".repeat(15), "]".repeat(15)].concat();
    let deep: KeptObject = serde_json::from_str(&format!(r#"{{"a":{deep}}}"#)).unwrap();
    let deep = Bot {
        ai_config: Some(deep),
        ..bot("Mo")
    };
    // Each letter is written as six.
    let long = memo(&"\u{1}".repeat(1024 * 1024));
    h.write(anna, [put(memo_key(1), long).at(10)]).await;
    h.write(anna, [put(bot_key(1), deep).at(10)]).await;
    assert_eq!(check(&export(&h, anna).await).unwrap().records, 2);
}

/// The memos that resources belong to, and are not there.
#[tokio::test]
async fn what_can_not_be_imported_is_counted() {
    let h = harness().await;
    let (anna, ben) = (anna(&h).await, h.user().await);
    let text = export(&h, anna).await;
    let is_kept = |line: &&str| line.contains(r#""entity":"resource""#);
    let resources: Vec<_> = text.lines().filter(is_kept).collect();
    let imported = import_lines(&h, ben, &resources.join("\n")).await;
    assert_eq!((imported.applied, imported.refused), (3, 4));
    let mut import = Import::new(Arc::clone(&h.stores.write), ben);
    import.begin(Pass::all().next().unwrap()).await.unwrap();
    let unread = import.line("{").await;
    assert!(
        matches!(unread, Err(ImportError::Line { line: 1, .. })),
        "{unread:?}"
    );
}

/// A store that counts how often it is written to.
struct Counted(Arc<dyn WriteStore>, AtomicU64);

#[async_trait]
impl WriteStore for Counted {
    async fn write(&self, scope: WriteScope, decide: Decide) -> Result<WritePlan, WriteError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.write(scope, decide).await
    }
}

/// Whoever else writes waits for each of them.
#[tokio::test]
async fn an_import_is_written_in_batches_of_four_mebibytes() {
    let h = harness().await;
    let user = h.user().await;
    // Each letter is written as six.
    let long = memo(&"\u{1}".repeat(400_000));
    h.write(user, [1, 2, 3].map(|n| put(memo_key(n), long.clone())))
        .await;
    let text = export(&h, user).await;
    let store = Arc::new(Counted(Arc::clone(&h.stores.write), AtomicU64::new(0)));
    let mut import = Import::new(Arc::clone(&store) as _, h.user().await);
    // The pass of live memos.
    import.begin(Pass::all().nth(1).unwrap()).await.unwrap();
    for line in text.lines() {
        import.line(line).await.unwrap();
    }
    assert_eq!(import.finish().await.unwrap().applied, 3);
    assert_eq!(store.1.load(Ordering::SeqCst), 2);
}

/// Everything of a record that an export carries, but for its place in the user's history.
type Seen = (RecordKey, String, i64, String, bool, Option<String>);

async fn seen(h: &Harness, user: UserId) -> Vec<Seen> {
    let mut keys = vec![diary_key("2026-05-16"), bot_key(1)];
    keys.extend((1..=4).flat_map(|n| [memo_key(n), resource_key(n)]));
    let mut records = Vec::new();
    for key in keys {
        records.extend(h.record(user, key).await.map(|record| look(&record)));
    }
    records
}

fn look(record: &Record) -> Seen {
    (
        record.key,
        record.version.author.as_str().to_owned(),
        record.version.time.get(),
        record.created_at.to_string(),
        record.is_deleted(),
        record.live_content().map(mosaic_domain::Content::to_document),
    )
}

async fn kept(h: &Harness, user: UserId, key: RecordKey) -> Vec<(i64, RevisionReason, String)> {
    let revisions = h.revisions(user, key).await;
    let mut kept: Vec<_> = revisions
        .into_iter()
        .map(|kept| kept.revision)
        .map(|revision| {
            (
                revision.version.time.get(),
                revision.reason,
                revision.content.to_document(),
            )
        })
        .collect();
    kept.sort_by_key(|(time, ..)| *time);
    kept
}

#[tokio::test]
async fn what_is_exported_is_imported_with_its_history() {
    let h = harness().await;
    let (anna, ben) = (anna(&h).await, h.user().await);
    let text = export(&h, anna).await;
    let imported = import(&h, ben, &text).await;
    assert_eq!(imported.refused, 0, "{imported:?}");
    let Manifest {
        records, revisions, ..
    } = check(&text).unwrap();
    let written = imported.applied + imported.unchanged + imported.superseded;
    assert_eq!(written, records + revisions, "each once");
    let (theirs, ours) = (seen(&h, anna).await, seen(&h, ben).await);
    assert_eq!(ours.len(), 9);
    // A tombstone has no time of creation that anybody sees.
    let live = |all: &[Seen]| all.iter().filter(|seen| !seen.4).cloned().collect::<Vec<_>>();
    assert_eq!(live(&ours), live(&theirs));
    let deleted = |all: &[Seen]| {
        let deleted = all.iter().filter(|seen| seen.4);
        deleted
            .map(|seen| (seen.0, seen.1.clone(), seen.2))
            .collect::<Vec<_>>()
    };
    assert_eq!(deleted(&ours), deleted(&theirs));
    for key in [memo_key(1), memo_key(2), resource_key(2), resource_key(4)] {
        assert_eq!(kept(&h, ben, key).await, kept(&h, anna, key).await, "{key:?}");
    }
    let count = |record: Option<Record>| record.unwrap().revision_count;
    assert_eq!(
        count(h.record(ben, memo_key(1)).await),
        count(h.record(anna, memo_key(1)).await)
    );
}

#[tokio::test]
async fn an_import_that_is_repeated_changes_nothing() {
    let h = harness().await;
    let (anna, ben) = (anna(&h).await, h.user().await);
    let text = export(&h, anna).await;
    import(&h, ben, &text).await;
    let clock = h.stores.dump_reader.dump_user(ben).await.unwrap().unwrap().clock;
    let loaded = h.stores.dump_reader.loaded(ben).await.unwrap();
    let again = import(&h, ben, &text).await;
    let expected = Imported {
        unchanged: 9,
        superseded: 6,
        ..Imported::default()
    };
    assert_eq!(again, expected);
    assert_eq!(h.stores.dump_reader.loaded(ben).await.unwrap(), loaded);
    assert_eq!(
        h.stores.dump_reader.dump_user(ben).await.unwrap().unwrap().clock,
        clock
    );
    // Into the account that it comes from, too.
    let back = import(&h, anna, &text).await;
    assert_eq!((back.applied, back.refused), (0, 0), "{back:?}");
}

#[tokio::test]
async fn what_is_newer_in_the_account_stays() {
    let h = harness().await;
    let (anna, ben) = (anna(&h).await, h.user().await);
    h.write(ben, [put(memo_key(1), memo("newer")).at(1_000)]).await;
    import(&h, ben, &export(&h, anna).await).await;
    let newer = h.record(ben, memo_key(1)).await.unwrap();
    assert_eq!(newer.version.time.get(), 1_000);
    let kept = kept(&h, ben, memo_key(1)).await;
    assert!(
        kept.iter().any(|(time, ..)| *time == 30),
        "what lost is kept: {kept:?}"
    );
}

#[tokio::test]
async fn an_export_says_what_it_is() {
    let h = harness().await;
    let user = anna(&h).await;
    let manifest = check(&export(&h, user).await).unwrap();
    assert_eq!((manifest.records, manifest.username.as_str()), (9, "user-0"));
    assert_eq!(manifest.revisions, 6);
    let nobody = UserId::new(Uuid::from_u128(99));
    let clock = Arc::clone(&h.clock) as _;
    let export = Export::new(
        Arc::clone(&h.stores.accounts),
        Arc::clone(&h.stores.dump_reader),
        Arc::clone(&h.stores.identity),
        clock,
        no_trail(),
    );
    let missing: Result<Vec<String>, AppError> = export.run(nobody, Doer::Server).try_collect().await;
    assert!(matches!(missing, Err(AppError::NotFound)));
}

#[tokio::test]
async fn p8_what_can_not_be_read_is_left_out_and_counted() {
    let h = harness().await;
    let user = anna(&h).await;
    let whole = export(&h, user).await;
    assert_eq!((skipped(&whole), whole.contains("skipped")), (0, false));
    let spoil = |n| overwrite(memo_key(n), damaged(EntityType::Memo), at(0));
    h.write(user, [spoil(8).at(10), spoil(9).at(10)]).await;
    h.write(user, [put(memo_key(9), memo("again")).at(20)]).await;
    let text = export(&h, user).await;
    assert_eq!((skipped(&text), check(&text).unwrap().records), (2, 10));
    let header = text.lines().next().unwrap();
    assert_eq!(skipped(header), 0, "the last chunk says it");
}

#[tokio::test]
async fn an_export_of_an_account_that_is_being_removed_has_no_last_line() {
    let h = harness().await;
    let user = anna(&h).await;
    let clock = Arc::clone(&h.clock) as _;
    let export = Export::new(
        Arc::clone(&h.stores.accounts),
        Arc::clone(&h.stores.dump_reader),
        Arc::clone(&h.stores.identity),
        clock,
        no_trail(),
    );
    let mut chunks = std::pin::pin!(export.run(user, Doer::Server));
    assert!(chunks.try_next().await.unwrap().is_some(), "the header");
    h.stores.accounts.remove(user, 1, None).await.unwrap();
    let rest: Result<Vec<String>, AppError> = chunks.try_collect().await;
    assert!(rest.is_err(), "{rest:?}");
}

#[tokio::test]
async fn a_file_that_is_not_whole_is_recognised_wherever_it_ends() {
    let h = harness().await;
    let user = anna(&h).await;
    let text = export(&h, user).await;
    let lines: Vec<&str> = text.lines().collect();
    for end in 1..lines.len() {
        let cut = lines[..end].join("\n");
        assert!(matches!(check(&cut), Err(ImportError::CutShort)), "{end} lines");
    }
    let half_a_line = &text[..text.len() / 2];
    assert!(matches!(
        check(half_a_line),
        Err(ImportError::Line { .. } | ImportError::CutShort)
    ));
    let without_one = [&lines[..2], &lines[3..]].concat().join("\n");
    assert!(matches!(check(&without_one), Err(ImportError::Damaged(_))));
    let changed = text.replacen("second", "SECOND", 1);
    assert!(matches!(check(&changed), Err(ImportError::Damaged(_))));
    let longer = format!("{text}{}", lines[1]);
    assert!(matches!(check(&longer), Err(ImportError::Damaged(_))));
}

#[tokio::test]
async fn w6_an_edit_time_that_no_device_could_push_is_refused() {
    let h = harness().await;
    let user = h.user().await;
    let minutes = |n: i64| 1_000_000 + n * 60_000;
    h.write(user, [put(memo_key(1), memo("a little ahead")).at(minutes(4))])
        .await;
    check(&export(&h, user).await).unwrap();
    h.write(user, [put(memo_key(2), memo("for years")).at(minutes(6))])
        .await;
    let refused = check(&export(&h, user).await).unwrap_err();
    assert!(matches!(refused, ImportError::Ahead { line: 3 }), "{refused}");
    // A revision is an edit like any other.
    let other = h.user().await;
    for time in [10, 20] {
        h.write(other, [put(memo_key(1), memo("x")).at(time)]).await;
    }
    let by_hand = export(&h, other)
        .await
        .replace(r#""updatedAt":10,"#, &format!(r#""updatedAt":{},"#, minutes(6)));
    let refused = check(&by_hand).unwrap_err();
    assert!(matches!(refused, ImportError::Ahead { line: 3 }), "{refused}");
}

#[tokio::test]
async fn what_is_no_export_is_refused() {
    for foreign in [
        "",
        "x",
        "{}",
        r#"{"record":{}}"#,
        "[1,2]",
        r#"{"header":{"format":"other"}}"#,
    ] {
        assert!(
            matches!(check(foreign), Err(ImportError::Foreign(_))),
            "{foreign}"
        );
    }
    let newer = r#"{"header":{"format":"mosaic-export","version":2,"username":"a","avatarUrl":null,"epoch":"x","exportedAt":1}}"#;
    assert!(matches!(check(newer), Err(ImportError::Newer(2))));
    let other = newer.replace("mosaic-export", "other");
    assert!(matches!(check(&other), Err(ImportError::Foreign(_))));
    let header = newer.replace("\"version\":2", "\"version\":1");
    for (line, why) in [
        (r#"{"record":{"entity":"foo"}}"#, "missing field"),
        (
            r#"{"record":{"entity":"foo","key":"k","stamp":1,"updatedAt":1,"clientId":"a","createdAt":1,"revisionCount":1,"deleted":true,"content":null}}"#,
            "must be one of memo",
        ),
        (
            r#"{"record":{"entity":"memo","key":"k","stamp":1,"updatedAt":1,"clientId":"a","createdAt":1,"revisionCount":1,"deleted":true,"content":null}}"#,
            "must be a UUID",
        ),
    ] {
        let refused = check(&format!("{header}\n{line}")).unwrap_err();
        assert!(matches!(refused, ImportError::Line { line: 2, .. }), "{refused}");
        assert!(refused.to_string().contains(why), "{refused}");
    }
}

//! A phone lies in a drawer for longer than deleted things are kept, and comes back (H2).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{ENTITIES, Server};
use crate::kinds::{BOT, DIARY, KINDS, Kind, MEMO, RESOURCE};
use crate::phone::{App, Key, assert_alike, key, now, path};
use crate::scenario_stage::Stage;

/// How long everything has been like this when the phone comes back.
const DAYS: i64 = 400;
const DAY: i64 = 86_400_000;
/// So many records of each type; the first half is deleted while the phone is away.
const RECORDS: usize = 120;
/// Records that the phone edits before it is put away, unsynced: before the others delete them.
const EDITED_EARLIER: usize = 3;
/// The same, with a later time than the delete.
const EDITED_LATER: usize = 4;

fn deleted_keys() -> BTreeSet<Key> {
    let of = |kind: Kind| (0..RECORDS / 2).map(move |n| key(kind, n));
    KINDS.into_iter().flat_map(of).collect()
}

/// Everybody has all records, and each has been edited once.
async fn fill(phone: &mut App, others: &mut App, at: i64) {
    for kind in KINDS {
        for n in 0..RECORDS {
            let mut fields = json!({kind.text: "as it was first", "tags": ["secret"]});
            if kind.name == RESOURCE.name {
                fields = json!({kind.text: "as it was first", "memoId": MEMO.key(n)});
            }
            others.write(&key(kind, n), &fields, at);
        }
    }
    others.sync().await;
    for kind in KINDS {
        for n in 0..RECORDS {
            others.write(&key(kind, n), &json!({kind.text: "as it was then"}), at + 1_000);
        }
    }
    others.sync().await;
    phone.sync().await;
}

/// The phone's last edits, and then those of the others, who never see them.
async fn part(phone: &mut App, others: &mut App, at: i64) {
    for kind in KINDS {
        let early = json!({kind.text: "edited before it was deleted"});
        let late = json!({kind.text: "edited after it was deleted"});
        phone.write(&key(kind, EDITED_EARLIER), &early, at);
        phone.write(&key(kind, EDITED_LATER), &late, at + 2_000);
    }
    for key in deleted_keys() {
        // Resources go with their memos.
        if key.0 != RESOURCE.name {
            others.delete(&key, at + 1_000);
        }
    }
    others.sync().await;
}

/// Moves the whole history into the past, stamps and the cursors of all devices alike.
async fn let_time_pass(stage: &Stage, phones: [&mut App; 2]) {
    let by = DAYS * DAY;
    stage
        .execute(&format!(
            "UPDATE records SET stamp = stamp - {by}; UPDATE sync_clocks SET last_stamp = last_stamp - {by} \
             WHERE last_stamp > {by}; UPDATE revisions SET recorded_at = recorded_at - {by}; \
             UPDATE sync_cursors SET last_sync_at = last_sync_at - {by} WHERE last_sync_at > {by}"
        ))
        .await;
    for phone in phones {
        phone.move_cursors(-by);
    }
}

async fn revisions(others: &App, key: &Key) -> Vec<Value> {
    let answer = others.client.get(&format!("{}/revisions", path(key))).await.ok();
    serde_json::from_value(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn h2_a_phone_from_a_drawer_is_told_of_every_delete_though_the_contents_are_purged() {
    let stage = Stage::new().await;
    let server = stage.start(&[]);
    let mut phone = App::new(server.device("phone").await);
    let mut others = App::new(server.device("tablet").await);
    let start = now() - 3_600_000;
    fill(&mut phone, &mut others, start).await;
    part(&mut phone, &mut others, start + 10_000).await;
    let unsynced = phone.unsynced();
    stage.crash_and_forget(server);

    let_time_pass(&stage, [&mut phone, &mut others]).await;
    // Each record was overwritten once, and the deletes kept what they deleted.
    let deleted = i64::try_from(deleted_keys().len()).unwrap();
    let kept = i64::try_from(KINDS.len() * RECORDS).unwrap() + deleted;
    assert_eq!(stage.count("revisions").await, kept);
    stage.mosaic(&["purge", "--retention-days", "1000"]);
    assert_eq!(stage.count("revisions").await, kept, "nothing is that old");
    stage.mosaic(&["purge", "--retention-days", "1"]);
    assert_eq!(stage.count("revisions").await, 0);
    let tombstones = "records WHERE is_deleted";
    assert_eq!(stage.count(tombstones).await, deleted);
    let erased = "records WHERE is_deleted AND document IS NULL";
    assert_eq!(stage.count(erased).await, deleted);

    let server = stage.start(&["--retention-days", "1"]);
    for app in [&mut phone, &mut others] {
        app.client.url.clone_from(&server.url);
    }
    assert_contents_are_gone(&others).await;
    come_back(&mut phone, &unsynced).await;
    others.sync().await;
    assert_alike(&[&phone, &others]).await;
    assert_outcome(&phone, &others).await;
    assert_erased_ones_take_no_part(&server, &others).await;
    drop(server);
    stage.remove().await;
}

/// What was deleted has no content and no history any more; what lives has only lost its history.
async fn assert_contents_are_gone(others: &App) {
    for kind in KINDS {
        for n in [0, RECORDS - 1] {
            assert_eq!(revisions(others, &key(kind, n)).await, [] as [Value; 0]);
        }
        let stored = others.client.get(&path(&key(kind, RECORDS - 1))).await.ok();
        assert_eq!(stored[kind.text], "as it was then");
    }
    others.assert_in_sync().await;
}

/// It first is told of every delete, and keeps its edits; then these are judged.
async fn come_back(phone: &mut App, unsynced: &[Key]) {
    phone.pull_all().await;
    assert!(phone.resets.is_empty(), "no cursor goes stale by age");
    assert_eq!(phone.told_deleted, deleted_keys());
    assert_eq!(phone.unsynced(), unsynced);
    phone.sync().await;
    assert!(phone.refused.is_empty(), "{:?}", phone.refused);
    assert_eq!(phone.outcomes["superseded"], KINDS.len());
    assert_eq!(phone.outcomes["applied"], KINDS.len());
}

async fn assert_outcome(phone: &App, others: &App) {
    let seen = others.seen();
    assert_eq!(seen.len(), KINDS.len() * (RECORDS / 2 + 1));
    for kind in KINDS {
        // The older edit has lost, and is kept.
        let lost = key(kind, EDITED_EARLIER);
        assert_eq!(phone.get(&lost), None);
        let kept = revisions(others, &lost).await;
        assert_eq!(kept.len(), 1, "{kept:?}");
        assert_eq!(kept[0][kind.text], "edited before it was deleted");
        assert_eq!(kept[0]["clientId"], "phone");
        // Numbers are never given again: two went with the purge.
        assert_eq!(kept[0]["revisionNumber"], 3, "{kept:?}");
        // The newer one has brought its record back, whole.
        let back = &seen[&key(kind, EDITED_LATER)];
        assert_eq!(back[kind.text], "edited after it was deleted");
        if kind.name == MEMO.name || kind.name == BOT.name {
            assert_eq!(back["tags"], json!(["secret"]));
        }
    }
    assert_eq!(seen[&key(RESOURCE, EDITED_LATER)]["fileSize"], 1);
}

/// A partial edit can't bring back what is erased, however new it is. A day is never gone: it begins anew.
async fn assert_erased_ones_take_no_part(server: &Server, others: &App) {
    let before = others.digest();
    let laptop = server.device("laptop").await;
    for kind in KINDS.into_iter().filter(|kind| !kind.is_diary()) {
        let at = now();
        let answer = kind
            .edit(&laptop, 0, "from nothing", &json!({"updatedAt": at}))
            .await;
        answer.problem(404, "deleted");
        kind.edit(&laptop, 0, "from nothing", &json!({}))
            .await
            .problem(404, "deleted");
    }
    let digest = laptop.get("/sync/digest").await.ok();
    assert!(
        ENTITIES
            .iter()
            .all(|entity| digest["entities"][entity] == before[entity])
    );
    let day = DIARY
        .edit(&laptop, 0, "a new day", &json!({"updatedAt": now()}))
        .await
        .ok();
    assert_eq!(day["summary"], "a new day");
}

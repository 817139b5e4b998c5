//! Bulk pushes (B1, B2): many edits in one request, each judged as if it had come alone.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::{Value, json};

use crate::bad_input::bad_fields;
use crate::harness::{Client, ENTITIES, Phone, Server};
use crate::kinds::{BOT, DIARY, KEYED_BY_ID, KINDS, Kind, MEMO, RESOURCE, T, column, names, with};

async fn phone() -> (Server, Client) {
    let server = Server::start();
    let phone = server.device("phone").await;
    (server, phone)
}

fn at(time: i64) -> Value {
    json!({"updatedAt": time})
}

/// The changes of several types.
fn all(changes: &[Value]) -> Value {
    changes.iter().fold(json!({}), |all, one| with(&all, one))
}

/// The outcomes of one type, in order.
fn outcomes(answer: &Value, kind: Kind) -> Vec<&str> {
    column(&answer["results"][kind.name], "outcome")
}

/// The only result of a push of one edit.
fn only(answer: &Value, kind: Kind) -> Value {
    let results = answer["results"][kind.name].as_array().expect("results");
    assert_eq!(results.len(), 1, "{answer}");
    results[0].clone()
}

/// Pushes one record; returns what became of it.
async fn push_one(client: &Client, kind: Kind, record: Value) -> Value {
    only(&client.push(&kind.updates(&[record])).await.ok(), kind)
}

/// Pushes one delete; returns what became of it.
async fn push_delete(client: &Client, kind: Kind, n: usize, updated_at: Option<i64>) -> Value {
    let deleted = kind.deletion(n, updated_at);
    only(&client.push(&kind.deletions(&[deleted])).await.ok(), kind)
}

/// Fails unless this result is a rejection with this code, and with a violation at this path where one is named.
#[track_caller]
fn assert_rejected(result: &Value, code: &str, path: &str, violation: &str) {
    assert_eq!(result["outcome"], "rejected", "{result}");
    let error = &result["error"];
    assert_eq!(error["code"], code, "{result}");
    assert!(error["message"].is_string(), "{result}");
    let errors = error["errors"].as_array().expect("errors");
    let found = errors
        .iter()
        .any(|one| one["path"] == path && one["code"] == violation && one["message"].is_string());
    assert!(found, "no {violation} at {path} in {result}");
    for absent in ["stamp", "current"] {
        assert!(result[absent].is_null(), "{absent} in {result}");
    }
}

/// Two hundred records of each type; the resources belong to the memos.
fn eight_hundred(time: i64) -> Value {
    let records = |kind: Kind| {
        let record = |n: usize| {
            let memo = if kind.name == RESOURCE.name {
                json!({"memoId": MEMO.key(n)})
            } else {
                json!({})
            };
            kind.record(n, &format!("{} {n}", kind.name), &with(&memo, &at(time)))
        };
        kind.updates(&(0..200).map(record).collect::<Vec<_>>())
    };
    // Children stand before their parents.
    all(&[records(BOT), records(RESOURCE), records(DIARY), records(MEMO)])
}

fn stamps(answer: &Value, kind: Kind) -> Vec<i64> {
    let results = answer["results"][kind.name].as_array().expect("results");
    results
        .iter()
        .map(|result| result["stamp"].as_i64().expect("a stamp"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn b1_eight_hundred_records_at_once_and_another_device_pulls_exactly_them() {
    let (server, phone) = phone().await;
    let changes = eight_hundred(T);
    let answer = phone.push(&changes).await.ok();
    assert_eq!(names(&answer), ["clock", "results", "serverTime"]);
    for kind in KINDS {
        let sent = &changes[kind.name]["updated"];
        let results = &answer["results"][kind.name];
        assert_eq!(column(results, "id"), column(sent, kind.key), "in the order sent");
        assert_eq!(outcomes(&answer, kind), ["applied"; 200]);
    }
    let tablet = server.device("tablet").await.everything().await;
    assert_eq!((tablet.delivered.len(), tablet.records.len()), (800, 800));
    assert_eq!(tablet.largest_page, 200);
    for kind in KINDS {
        for sent in changes[kind.name]["updated"].as_array().unwrap() {
            let key = sent[kind.key].as_str().unwrap().to_owned();
            let got = &tablet.records[&(kind.name.to_owned(), key)];
            assert_eq!(&with(got, sent), got, "all that was sent is in it");
        }
    }
    assert_eq!(tablet.cursors()["memo"], answer["clock"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn b1_stamps_are_contiguous_and_parents_come_first_whatever_the_order_in_the_body() {
    let (_server, phone) = phone().await;
    BOT.create(&phone, 999, "before", &json!({})).await.ok();
    let before = phone.clock().await;
    let answer = phone.push(&eight_hundred(T)).await.ok();
    let of = |kind| stamps(&answer, kind);
    let mut drawn: Vec<i64> = KINDS.into_iter().flat_map(of).collect();
    drawn.sort_unstable();
    let first = drawn[0];
    assert!(first > before);
    assert_eq!(drawn, (first..first + 800).collect::<Vec<_>>());
    assert_eq!(answer["clock"], json!(first + 799));
    assert_eq!(phone.clock().await, first + 799);
    assert!(of(MEMO).iter().max() < of(RESOURCE).iter().min());
    for kind in KINDS {
        assert!(of(kind).is_sorted(), "{}: in the order sent", kind.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b1_w3_a_push_that_is_sent_again_changes_nothing_and_moves_no_clock() {
    let (_server, phone) = phone().await;
    let changes = eight_hundred(T);
    let first = phone.push(&changes).await.ok();
    let before = phone.everything().await;
    let again = phone.push(&changes).await.ok();
    for kind in KINDS {
        assert_eq!(outcomes(&again, kind), ["unchanged"; 200]);
        assert_eq!(stamps(&again, kind), stamps(&first, kind));
        assert_eq!(kind.revisions(&phone, 7).await.len(), 0);
    }
    assert_eq!(again["clock"], first["clock"]);
    phone.assert_untouched(&before, "a push that is sent again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b1_two_hundred_deletes_of_each_type_at_once() {
    let (_server, phone) = phone().await;
    phone.push(&eight_hundred(T)).await.ok();
    let cursors = phone.everything().await.cursors();
    let deletions = |kind: Kind| {
        let deleted: Vec<Value> = (0..200).map(|n| kind.deletion(n, Some(T + 1))).collect();
        kind.deletions(&deleted)
    };
    let changes = all(&KINDS.map(deletions));
    let answer = phone.push(&changes).await.ok();
    let pulled = phone.pull(&cursors).await;
    for kind in KINDS {
        let deleted = pulled["changes"][kind.name]["deletedIds"].as_array().unwrap();
        assert_eq!(deleted.len(), 200);
        // The resources went with their memos, with the same version.
        let expected = if kind.name == RESOURCE.name {
            "unchanged"
        } else {
            "applied"
        };
        assert_eq!(outcomes(&answer, kind), [expected; 200], "{}", kind.name);
    }
    let again = phone.push(&changes).await.ok();
    assert_eq!(again["clock"], answer["clock"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn b1_what_a_pull_sent_is_taken_by_a_push_as_it_is() {
    let server = Server::start();
    let anna = server.new_user("anna", "phone").await;
    let bert = server.new_user("bert", "phone").await;
    let more = json!({"tags": ["a"], "diaryDate": "2024-05-06", "aiSummary": "short", "isArchived": true});
    MEMO.create(&anna, 1, "full", &with(&more, &at(T))).await.ok();
    let more = json!({"memoId": MEMO.key(1), "mimeType": "image/png", "metadata": {"width": 3}});
    RESOURCE
        .create(&anna, 1, "a.png", &with(&more, &at(T)))
        .await
        .ok();
    let more = json!({"moodKey": "joy", "moodScore": 9, "generatedFromMemoIds": [MEMO.key(1)]});
    DIARY.create(&anna, 1, "full", &with(&more, &at(T))).await.ok();
    let more = json!({"description": "d", "aiConfig": {"a": [1]}, "model": "m", "autoReply": false});
    BOT.create(&anna, 1, "Bot", &with(&more, &at(T))).await.ok();
    let pulled = anna.pull(&json!({})).await;
    let answer = bert
        .push(&all(&KINDS.map(|kind| {
            kind.updates(pulled["changes"][kind.name]["updated"].as_array().unwrap())
        })))
        .await
        .ok();
    for kind in KINDS {
        assert_eq!(outcomes(&answer, kind), ["applied"]);
    }
    assert_eq!(bert.everything().await.records, anna.everything().await.records);
}

#[tokio::test(flavor = "multi_thread")]
async fn b1_updated_come_before_deleted_in_the_answer_and_a_diary_s_day_is_its_id() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        let changes = json!({kind.name: {
            "deleted": [kind.deletion(3, None), kind.deletion(4, Some(T))],
            "updated": [kind.record(2, "two", &at(T)), kind.record(1, "one", &at(T))],
        }});
        let answer = phone.push(&changes).await.ok();
        let keys = [2, 1, 3, 4].map(|n| kind.key(n));
        assert_eq!(column(&answer["results"][kind.name], "id"), keys);
        assert_eq!(outcomes(&answer, kind), ["applied"; 4]);
        assert_eq!(names(&answer["results"]), [kind.name]);
    }
    let deleted = json!([{"date": DIARY.key(1), "updatedAt": T + 1}]);
    let by_date = phone.push(&json!({"diary": {"deleted": deleted}})).await.ok();
    assert_eq!(only(&by_date, DIARY)["outcome"], "applied");
    assert_eq!(DIARY.get(&phone, 1).await, Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn b1_the_edits_are_those_of_the_device_that_the_body_names() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        let body = json!({"clientId": "tablet", "changes": kind.updates(&[kind.record(1, "one", &at(T))])});
        phone.post("/sync/push", &body).await.ok();
        kind.edit(&phone, 1, "two", &at(T + 1)).await.ok();
        assert_eq!(kind.revisions(&phone, 1).await[0]["clientId"], "tablet");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b1_a_push_of_nothing_answers_the_clock() {
    let (_server, phone) = phone().await;
    MEMO.create(&phone, 1, "one", &json!({})).await.ok();
    let before = phone.everything().await;
    for changes in [
        json!({}),
        json!({"memo": {}}),
        json!({"memo": {"updated": [], "deleted": []}, "bot": {"updated": []}}),
    ] {
        let answer = phone.push(&changes).await.ok();
        assert_eq!(answer["clock"], before.cursors()["memo"], "{changes}");
        assert!(answer["serverTime"].is_i64());
        for (name, results) in answer["results"].as_object().expect("results") {
            assert_eq!(results, &json!([]), "{name} for {changes}");
        }
    }
    phone.assert_untouched(&before, "pushes of nothing").await;
}

/// Whole edits of one record: when, by which device, and the text; none deletes it.
const EDITS: [(i64, &str, Option<&str>); 4] = [
    (T, "b", Some("zero")),
    (T + 1, "a", Some("two")),
    (T + 1, "b", Some("one")),
    (T + 1, "b", Some("three")),
];

/// All orders of four things.
fn orders() -> Vec<[usize; 4]> {
    let all = (0..256).map(|n| [n & 3, n >> 2 & 3, n >> 4 & 3, n >> 6 & 3]);
    all.filter(|order| (0..4).all(|i| order.contains(&i))).collect()
}

/// The edits of all records that come in this round from this device.
fn round(kind: Kind, edits: [(i64, &str, Option<&str>); 4], round: usize, device: &str) -> Value {
    let (mut updated, mut deleted) = (Vec::new(), Vec::new());
    for (n, order) in orders().into_iter().enumerate() {
        match edits[order[round]] {
            (_, by, _) if by != device => {}
            (time, _, Some(text)) => {
                updated.push(kind.record(n, text, &json!({"updatedAt": time, "createdAt": T - 1})));
            }
            (time, _, None) => deleted.push(kind.deletion(n, Some(time))),
        }
    }
    json!({kind.name: {"updated": updated, "deleted": deleted}})
}

#[tokio::test(flavor = "multi_thread")]
async fn w2_whatever_the_order_of_arrival_in_pushes_the_same_edit_wins() {
    let (_server, phone) = phone().await;
    for number in 0..4 {
        for device in ["a", "b"] {
            let changes = KINDS.map(|kind| round(kind, EDITS, number, device));
            let answer = phone.on(device).push(&all(&changes)).await.ok();
            for kind in KINDS {
                let outcomes = outcomes(&answer, kind);
                assert!(
                    outcomes
                        .iter()
                        .all(|outcome| ["applied", "superseded"].contains(outcome))
                );
            }
        }
    }
    let everything = phone.everything().await;
    assert_eq!(everything.records.len(), 4 * 24);
    for kind in KINDS {
        for n in 0..24 {
            let record = &everything.records[&(kind.name.to_owned(), kind.key(n))];
            assert_eq!(
                (&record[kind.text], &record["updatedAt"], &record["createdAt"]),
                (&json!("three"), &json!(T + 1), &json!(T - 1))
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w2_of_equal_versions_a_delete_wins_in_pushes_too() {
    let (_server, phone) = phone().await;
    let edits = [
        (T, "b", None),
        (T + 1, "a", Some("zzz")),
        (T + 1, "b", Some("zzz")),
        (T + 1, "b", None),
    ];
    for number in 0..4 {
        for device in ["b", "a"] {
            let changes = KINDS.map(|kind| round(kind, edits, number, device));
            phone.on(device).push(&all(&changes)).await.ok();
        }
    }
    let everything = phone.everything().await;
    assert_eq!(
        (everything.records.len(), everything.delivered.len()),
        (0, 4 * 24)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn w1_w3_without_a_time_a_push_creates_and_never_overwrites_but_a_diary() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        let before = phone.server_time().await;
        let created = push_one(&phone, kind, kind.record(1, "one", &json!({}))).await;
        assert_eq!(created["outcome"], "applied");
        let stored = kind.pulled(&phone, 1).await;
        assert!(stored["updatedAt"].as_i64().unwrap() >= before);
        let again = push_one(&phone, kind, kind.record(1, "one", &json!({}))).await;
        assert_eq!(
            (&again["outcome"], &again["stamp"]),
            (&json!("unchanged"), &created["stamp"])
        );
        let other = push_one(&phone, kind, kind.record(1, "another", &json!({}))).await;
        let (outcome, text) = if kind.is_diary() {
            ("applied", "another")
        } else {
            ("unchanged", "one")
        };
        assert_eq!(other["outcome"], outcome);
        assert_eq!(kind.pulled(&phone, 1).await[kind.text], text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w4_an_edit_that_loses_is_told_the_winner_and_kept() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        kind.create(&phone, 1, "winner", &at(T + 10)).await.ok();
        let (winner, clock) = (kind.pulled(&phone, 1).await, phone.clock().await);
        for (n, time) in [(1, T + 9), (2, T + 8), (2, T + 8)] {
            let text = format!("lost {n}");
            let result = push_one(&phone.on("old"), kind, kind.record(1, &text, &at(time))).await;
            assert_eq!(
                (&result["outcome"], &result["current"], &result["id"]),
                (&json!("superseded"), &winner, &json!(kind.key(1)))
            );
            assert!(result["error"].is_null(), "{result}");
        }
        let lost = push_delete(&phone.on("old"), kind, 1, Some(T + 7)).await;
        assert_eq!(
            (&lost["outcome"], &lost["current"]),
            (&json!("superseded"), &winner)
        );
        assert_eq!(
            (kind.pulled(&phone, 1).await, phone.clock().await),
            (winner, clock)
        );
        let kept = kind.revisions(&phone, 1).await;
        let told: Vec<_> = kept
            .iter()
            .map(|kept| (&kept[kind.text], &kept["reason"], &kept["clientId"]))
            .collect();
        let lost = |text| json!([text, "superseded", "old"]);
        assert_eq!(json!(told), json!([lost("lost 2"), lost("lost 1")]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w4_once_the_winners_of_an_answer_reach_4_mib_they_are_left_out() {
    let (_server, phone) = phone().await;
    let mebibyte = "x".repeat(1024 * 1024);
    for n in 0..6 {
        DIARY.create(&phone, n, &mebibyte, &at(T + 1)).await.ok();
    }
    let lost: Vec<Value> = (0..6).map(|n| DIARY.record(n, "lost", &at(T))).collect();
    let answer = phone.push(&DIARY.updates(&lost)).await.ok();
    assert_eq!(outcomes(&answer, DIARY), ["superseded"; 6]);
    let results = answer["results"]["diary"].as_array().unwrap();
    let shown: Vec<bool> = results
        .iter()
        .map(|result| result["current"].is_object())
        .collect();
    assert_eq!(shown, [true, true, true, true, false, false]);
    assert_eq!(
        DIARY.revisions(&phone, 5).await[0]["summary"],
        "lost",
        "kept all the same"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn w4_a_tombstone_that_wins_is_shown_by_its_key_and_times() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        kind.create(&phone, 1, "one", &json!({"updatedAt": T, "createdAt": T - 7}))
            .await
            .ok();
        kind.delete(&phone, 1, Some(T + 5)).await.ok();
        let late = push_one(&phone, kind, kind.record(1, "late", &at(T + 4))).await;
        assert_eq!(late["outcome"], "superseded");
        assert_eq!(
            late["current"],
            json!({kind.key: kind.key(1), "isDeleted": true, "createdAt": T - 7, "updatedAt": T + 5})
        );
        assert_eq!(kind.revisions(&phone, 1).await[0][kind.text], "late");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w5_deletes_of_unknown_records_leave_tombstones_with_and_without_a_time() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        for (n, time) in [(1, Some(T + 5)), (2, None)] {
            assert_eq!(push_delete(&phone, kind, n, time).await["outcome"], "applied");
            let late = push_one(&phone, kind, kind.record(n, "late", &at(T))).await;
            assert_eq!(
                (&late["outcome"], &late["current"]["isDeleted"]),
                (&json!("superseded"), &json!(true))
            );
            kind.create(&phone, n, "late", &at(T))
                .await
                .problem(409, "superseded");
            assert_eq!(kind.get(&phone, n).await, Value::Null);
        }
    }
    let everything = phone.everything().await;
    assert_eq!((everything.records.len(), everything.delivered.len()), (0, 8));
}

#[tokio::test(flavor = "multi_thread")]
async fn w5_deleting_again_changes_nothing_unless_it_is_newer_and_a_newer_edit_brings_back() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        kind.create(&phone, 1, "one", &at(T)).await.ok();
        for (time, outcome) in [
            (Some(T + 1), "applied"),
            (Some(T + 1), "unchanged"),
            (None, "unchanged"),
            (Some(T + 9), "applied"),
            (Some(T + 5), "unchanged"),
        ] {
            let result = push_delete(&phone, kind, 1, time).await;
            assert_eq!(result["outcome"], outcome, "{} {time:?}", kind.name);
        }
        let late = push_one(&phone, kind, kind.record(1, "late", &at(T + 8))).await;
        assert_eq!(late["current"]["updatedAt"], json!(T + 9));
        let back = push_one(&phone, kind, kind.record(1, "back", &at(T + 10))).await;
        assert_eq!(back["outcome"], "applied");
        assert_eq!(kind.pulled(&phone, 1).await[kind.text], "back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w3_w5_a_record_without_a_time_never_undoes_a_delete_but_begins_a_new_diary() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        kind.create(&phone, 1, "one", &json!({})).await.ok();
        kind.delete(&phone, 1, None).await.ok();
        let result = push_one(&phone, kind, kind.record(1, "new", &json!({}))).await;
        if kind.is_diary() {
            assert_eq!(result["outcome"], "applied");
        } else {
            assert_eq!(
                (&result["outcome"], &result["error"]["code"]),
                (&json!("rejected"), &json!("deleted"))
            );
            assert_ne!(result["retryable"], true, "it will never succeed: {result}");
        }
    }
}

/// A push with this device clock in its body.
async fn push_at(client: &Client, client_time: i64, changes: &Value) -> Value {
    let body = json!({"clientId": client.id, "clientTime": client_time, "changes": changes});
    client.post("/sync/push", &body).await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn w6_a_wrong_clock_shifts_edit_times_by_whole_seconds_and_never_createdat() {
    let (_server, phone) = phone().await;
    for (n, off) in [(1, -3_600_000), (2, 3_600_000), (3, -11_000), (4, 5_000)] {
        let device_clock = phone.server_time().await + off;
        let edited = device_clock - 7_123;
        let times = json!({"updatedAt": edited, "createdAt": edited});
        let changes = KINDS.map(|kind| kind.updates(&[kind.record(n, "skewed", &times)]));
        let changes = all(&changes);
        let first = push_at(&phone, device_clock, &changes).await;
        let shift = if off.abs() > 10_000 { -off } else { 0 };
        for kind in KINDS {
            let stored = kind.pulled(&phone, n).await;
            assert_eq!(
                (&stored["updatedAt"], &stored["createdAt"]),
                (&json!(edited + shift), &json!(edited)),
                "{} with a clock that is off by {off} ms",
                kind.name
            );
        }
        let again = push_at(&phone, device_clock, &changes).await;
        assert_eq!(again["clock"], first["clock"], "a retry gets the same times");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w6_deletes_are_shifted_too_and_a_clock_that_is_ahead_can_not_win_for_years() {
    let (_server, phone) = phone().await;
    let year = 365 * 86_400_000;
    for kind in KINDS {
        kind.create(&phone, 1, "one", &at(T)).await.ok();
        let device_clock = phone.server_time().await + year;
        let deleted = device_clock - 1_000;
        let refused = push_delete(&phone, kind, 1, Some(deleted)).await;
        assert_eq!(refused["error"]["code"], "edit_time_ahead");
        let changes = kind.deletions(&[kind.deletion(1, Some(deleted))]);
        let answer = push_at(&phone, device_clock, &changes).await;
        assert_eq!(outcomes(&answer, kind), ["applied"]);
        let late = kind.edit(&phone, 1, "late", &at(T + 1)).await;
        assert_eq!(
            late.problem(409, "superseded")["current"]["updatedAt"],
            json!(deleted - year)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_w6_an_edit_time_ahead_is_rejected_alone_and_may_succeed_later() {
    let (_server, phone) = phone().await;
    let ahead = phone.server_time().await + 6 * 60_000;
    for kind in KINDS {
        let changes = json!({kind.name: {
            "updated": [kind.record(1, "now", &at(T)), kind.record(2, "then", &at(ahead))],
            "deleted": [kind.deletion(3, Some(ahead)), kind.deletion(4, Some(T))],
        }});
        let answer = phone.push(&changes).await.ok();
        let results = answer["results"][kind.name].as_array().unwrap();
        assert_eq!(
            outcomes(&answer, kind),
            ["applied", "rejected", "rejected", "applied"]
        );
        for (index, path) in [(1, "updated[1]"), (2, "deleted[0]")] {
            let path = format!("changes.{}.{path}.updatedAt", kind.name);
            assert_rejected(&results[index], "edit_time_ahead", &path, "edit_time_ahead");
            assert_eq!(results[index]["retryable"], true);
        }
        assert_eq!(kind.get(&phone, 2).await, Value::Null);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w9_deleting_a_memo_in_a_push_deletes_its_resources_and_detaches_later_ones() {
    let (_server, phone) = phone().await;
    let of_memo = |time| json!({"memoId": MEMO.key(1), "updatedAt": time});
    MEMO.create(&phone, 1, "one", &at(T)).await.ok();
    for n in 1..=3 {
        RESOURCE.create(&phone, n, "a.png", &of_memo(T)).await.ok();
    }
    let changes = json!({
        "resource": {"updated": [RESOURCE.record(3, "later.png", &of_memo(T + 9)), RESOURCE.record(4, "new.png", &of_memo(T))]},
        "memo": {"deleted": [MEMO.deletion(1, Some(T + 5))]},
    });
    let answer = phone.push(&changes).await.ok();
    assert_eq!(outcomes(&answer, MEMO), ["applied"]);
    // The third is a tombstone of T + 5 when its later edit is judged: that brings it back, without its memo.
    assert_eq!(outcomes(&answer, RESOURCE), ["applied", "applied"]);
    let everything = phone.everything().await;
    let left: Vec<_> = everything
        .records
        .values()
        .map(|r| (&r["filename"], &r["memoId"]))
        .collect();
    assert_eq!(json!(left), json!([["later.png", null], ["new.png", null]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_a_resource_of_an_unknown_memo_is_rejected_alone_and_succeeds_once_the_memo_is_there() {
    let (_server, phone) = phone().await;
    let resource = RESOURCE.record(1, "a.png", &json!({"memoId": MEMO.key(1), "updatedAt": T}));
    let changes = RESOURCE.updates(&[RESOURCE.record(2, "b.png", &at(T)), resource.clone()]);
    let answer = phone.push(&changes).await.ok();
    assert_eq!(outcomes(&answer, RESOURCE), ["applied", "rejected"]);
    let rejected = &answer["results"]["resource"][1];
    assert_rejected(
        rejected,
        "unknown_memo",
        "changes.resource.updated[1].memoId",
        "unknown_memo",
    );
    assert_eq!(
        (&rejected["retryable"], &rejected["id"]),
        (&json!(true), &json!(RESOURCE.key(1)))
    );
    MEMO.create(&phone, 1, "late", &json!({})).await.ok();
    assert_eq!(push_one(&phone, RESOURCE, resource).await["outcome"], "applied");
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_a_resource_whose_memo_is_rejected_is_rejected_with_it() {
    let (_server, phone) = phone().await;
    let memos = [MEMO.record(1, "nul\0", &at(T)), MEMO.record(2, "good", &at(T))];
    let of_memo = |n| RESOURCE.record(n, "a.png", &json!({"memoId": MEMO.key(n), "updatedAt": T}));
    let changes = all(&[MEMO.updates(&memos), RESOURCE.updates(&[1, 2].map(of_memo))]);
    let answer = phone.push(&changes).await.ok();
    assert_eq!(outcomes(&answer, MEMO), ["rejected", "applied"]);
    assert_eq!(outcomes(&answer, RESOURCE), ["rejected", "applied"]);
    assert_eq!(answer["results"]["resource"][0]["retryable"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_of_a_record_that_stands_twice_the_later_edit_is_rejected_and_may_be_sent_again() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        let changes = json!({kind.name: {
            "updated": [kind.record(1, "first", &at(T)), kind.record(1, "second", &at(T + 1)), kind.record(2, "two", &at(T))],
            "deleted": [kind.deletion(1, Some(T + 2))],
        }});
        let answer = phone.push(&changes).await.ok();
        assert_eq!(
            outcomes(&answer, kind),
            ["applied", "rejected", "applied", "rejected"]
        );
        for index in [1, 3] {
            let result = &answer["results"][kind.name][index];
            assert_eq!(
                (&result["error"]["code"], &result["retryable"], &result["id"]),
                (&json!("duplicate"), &json!(true), &json!(kind.key(1)))
            );
        }
        assert_eq!(kind.pulled(&phone, 1).await[kind.text], "first");
        // Capitals name the same record.
        if !kind.is_diary() {
            let shouted = json!({"id": "ABCDEF00-0000-4000-8000-000000000000"});
            let whispered = json!({"id": "abcdef00-0000-4000-8000-000000000000"});
            let records = [shouted, whispered].map(|id| kind.record(3, "three", &with(&id, &at(T))));
            let answer = phone.push(&kind.updates(&records)).await.ok();
            assert_eq!(outcomes(&answer, kind), ["applied", "rejected"]);
        }
    }
}

/// A record that can't be accepted: what stands at its place, as JSON, the codes of its rejection and of the violation, and
/// where in the record that is.
type BadRecord = (String, &'static str, &'static str, &'static str);

/// What is wrong with records, one of each kind.
fn bad_records(kind: Kind, n: usize) -> Vec<BadRecord> {
    let text = |value: Value| {
        kind.record(n, "x", &json!({kind.text: value, "updatedAt": T}))
            .to_string()
    };
    let field = |more: Value| kind.record(n, "x", &with(&at(T), &more)).to_string();
    let invalid = |record: String, code, path| (record, "validation_failed", code, path);
    let mut nameless = kind.record(n, "x", &at(T));
    nameless.as_object_mut().unwrap().remove(kind.key);
    let surrogate = text(json!("SURROGATE")).replace("SURROGATE", r"\ud800");
    let name = format!("\"{}\":", kind.text);
    let twice = text(json!("a")).replacen(&name, &format!("{name} \"b\", {name}"), 1);
    let mut bad = vec![
        invalid("7".into(), "invalid_type", ""),
        invalid("[]".into(), "invalid_type", ""),
        invalid("null".into(), "invalid_type", ""),
        invalid(nameless.to_string(), "required", kind.key),
        invalid(field(json!({kind.key: 7})), "invalid_type", kind.key),
        invalid(field(json!({kind.key: null})), "null", kind.key),
        invalid(text(json!("a\0b")), "nul", kind.text),
        invalid(text(json!(7)), "invalid_type", kind.text),
        invalid(text(Value::Null), "null", kind.text),
        invalid(text(json!("x".repeat(1024 * 1024 + 1))), "too_long", kind.text),
        invalid(field(json!({"updatedAt": -1})), "out_of_range", "updatedAt"),
        invalid(field(json!({"updatedAt": "now"})), "invalid_type", "updatedAt"),
        invalid(field(json!({"createdAt": -1})), "out_of_range", "createdAt"),
        invalid(twice, "duplicate_field", kind.text),
        (surrogate, "malformed_json", "malformed_json", kind.text),
    ];
    let hundred_and_one: Vec<String> = (0..101).map(|n| n.to_string()).collect();
    let deep = (0..20).fold(json!(1), |inner, _| json!([inner]));
    bad.extend(match kind.name {
        "memo" => vec![
            invalid(field(json!({"id": "x"})), "invalid_uuid", "id"),
            invalid(field(json!({"tags": hundred_and_one})), "too_many", "tags"),
            invalid(field(json!({"tags": ["a", "a"]})), "repeated", "tags[1]"),
            invalid(
                field(json!({"diaryDate": "2026-02-30"})),
                "invalid_date",
                "diaryDate",
            ),
        ],
        "diary" => vec![
            invalid(field(json!({"date": "2026-02-30"})), "invalid_date", "date"),
            invalid(field(json!({"moodKey": "joyful"})), "unknown_value", "moodKey"),
            invalid(field(json!({"moodScore": 11})), "out_of_range", "moodScore"),
        ],
        "resource" => vec![
            invalid(field(json!({"id": "x"})), "invalid_uuid", "id"),
            invalid(field(json!({"filename": "../a"})), "not_a_name", "filename"),
            invalid(field(json!({"metadata": {"a": deep}})), "too_deep", "metadata"),
            invalid(field(json!({"memoId": "x"})), "invalid_uuid", "memoId"),
        ],
        _ => vec![
            invalid(field(json!({"id": "x"})), "invalid_uuid", "id"),
            invalid(field(json!({"tags": hundred_and_one})), "too_many", "tags"),
            invalid(field(json!({"aiConfig": {"a": deep}})), "too_deep", "aiConfig"),
        ],
    });
    bad
}

/// A push in whose records one stands as this text.
fn with_one_bad(kind: Kind, good: &[Value], place: usize, bad: &str) -> String {
    let mut records: Vec<String> = good.iter().map(Value::to_string).collect();
    records.insert(place, bad.to_owned());
    let records = records.join(",");
    format!(
        r#"{{"clientId": "phone", "changes": {{"{}": {{"updated": [{records}]}}}}}}"#,
        kind.name
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_one_bad_record_among_199_good_ones_is_rejected_alone() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        for (nth, (bad, code, violation, inner)) in (0..).zip(bad_records(kind, 500)) {
            // Another version each time: the good ones have something to apply.
            let text = format!("version {nth}");
            let good: Vec<Value> = (0..199).map(|n| kind.record(n, &text, &at(T + nth))).collect();
            let place = usize::try_from(nth * 13 % 200).unwrap();
            let answer = phone
                .raw(
                    &Method::POST,
                    "/sync/push",
                    with_one_bad(kind, &good, place, &bad),
                )
                .await
                .ok();
            let mut expected = ["applied"; 200];
            expected[place] = "rejected";
            assert_eq!(outcomes(&answer, kind), expected);
            let dot = if inner.is_empty() { "" } else { "." };
            let path = format!("changes.{}.updated[{place}]{dot}{inner}", kind.name);
            let result = &answer["results"][kind.name][place];
            assert_rejected(result, code, &path, violation);
            assert_ne!(result["retryable"], true, "sent again it is as bad: {result}");
            let has_its_key = inner != kind.key && !inner.is_empty();
            if has_its_key {
                assert_eq!(result["id"], kind.key(500));
            }
        }
        let last = format!("version {}", bad_records(kind, 500).len() - 1);
        let everything = phone.everything().await;
        let of_kind = everything
            .records
            .iter()
            .filter(|((name, _), _)| name == kind.name);
        let texts: Vec<&Value> = of_kind.map(|(_, record)| &record[kind.text]).collect();
        assert_eq!(
            texts,
            vec![&json!(last); 199],
            "{}: nothing of the bad ones is stored",
            kind.name
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_every_field_of_every_record_is_checked_as_in_a_post() {
    let (_server, phone) = phone().await;
    for (kind, bad) in bad_fields() {
        for (chunk, bad) in bad.chunks(10).enumerate() {
            let good = kind.record(chunk, "good", &at(T));
            let mut records = vec![good];
            for (n, (field, _, _)) in bad.iter().enumerate() {
                records.push(kind.record(1_000 + n, "bad", &with(&at(T), field)));
            }
            let answer = phone.push(&kind.updates(&records)).await.ok();
            assert_eq!(answer["results"][kind.name][0]["outcome"], "applied");
            for (n, (_, path, code)) in bad.iter().enumerate() {
                let path = format!("changes.{}.updated[{}].{path}", kind.name, n + 1);
                assert_rejected(
                    &answer["results"][kind.name][n + 1],
                    "validation_failed",
                    &path,
                    code,
                );
            }
        }
    }
    let everything = phone.everything().await;
    let good = |record: &Value| KINDS.iter().any(|kind| record[kind.text] == "good");
    assert!(everything.records.values().all(good));
    assert_eq!(everything.records.len(), everything.delivered.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_bad_deletes_are_rejected_alone() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        kind.create(&phone, 1, "stays", &at(T)).await.ok();
        kind.create(&phone, 2, "goes", &at(T)).await.ok();
        let (bad_key, code) = if kind.is_diary() {
            ("2026-02-30", "invalid_date")
        } else {
            ("x", "invalid_uuid")
        };
        let bad = [
            (json!("x"), "", "invalid_type"),
            (json!({"updatedAt": T}), kind.key, "required"),
            (json!({"id": bad_key}), kind.key, code),
            (json!({"id": 7}), kind.key, "invalid_type"),
            (
                json!({"id": kind.key(1), "updatedAt": -1}),
                "updatedAt",
                "out_of_range",
            ),
            (
                json!({"id": kind.key(1), "updatedAt": "soon"}),
                "updatedAt",
                "invalid_type",
            ),
        ];
        let mut deleted: Vec<Value> = bad.iter().map(|(value, _, _)| value.clone()).collect();
        deleted.push(kind.deletion(2, Some(T + 1)));
        let answer = phone.push(&kind.deletions(&deleted)).await.ok();
        let results = answer["results"][kind.name].as_array().unwrap();
        for (index, (value, inner, code)) in bad.iter().enumerate() {
            assert_eq!(results[index]["outcome"], "rejected", "{value}");
            let inner = match *inner {
                "" => String::new(),
                // A diary's key may stand in either.
                key if key == kind.key && value.get("id").is_some() => ".id".to_owned(),
                inner => format!(".{inner}"),
            };
            let path = format!("changes.{}.deleted[{index}]{inner}", kind.name);
            let errors = &results[index]["error"]["errors"];
            assert_eq!(errors[0]["code"], *code, "{errors}");
            let by_day = path.replace(".id", ".date");
            assert!(
                errors[0]["path"] == path || kind.is_diary() && errors[0]["path"] == by_day,
                "{errors}"
            );
        }
        assert_eq!(results[bad.len()]["outcome"], "applied");
        assert_eq!(kind.pulled(&phone, 1).await[kind.text], "stays");
        assert_eq!(kind.pulled(&phone, 2).await, Value::Null);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_more_than_two_hundred_records_of_a_type_are_refused_whole() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        kind.create(&phone, 1, "stored", &at(T)).await.ok();
    }
    let before = phone.everything().await;
    for kind in KINDS {
        let updated =
            |count: usize| -> Vec<Value> { (0..count).map(|n| kind.record(n, "new", &at(T + 1))).collect() };
        let other = if kind.name == BOT.name { MEMO } else { BOT };
        let others = other.updates(&[other.record(1, "new", &at(T + 1))]);
        for changes in [
            json!({"updated": updated(201)}),
            json!({"updated": updated(200), "deleted": [kind.deletion(900, Some(T))]}),
            json!({"deleted": (0..201).map(|n| kind.deletion(n, Some(T + 1))).collect::<Vec<_>>()}),
            json!({"updated": vec![json!(7); 201]}),
        ] {
            let changes = with(&others, &json!({kind.name: changes}));
            let path = format!("changes.{}", kind.name);
            phone.push(&changes).await.invalid(&path, "too_many");
        }
    }
    phone.assert_untouched(&before, "pushes of 201 records").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_a_push_that_is_no_push_is_refused_whole() {
    let (_server, phone) = phone().await;
    MEMO.create(&phone, 1, "stored", &at(T)).await.ok();
    let before = phone.everything().await;
    let memo = MEMO.updates(&[MEMO.record(1, "new", &at(T + 1))]);
    let changes = |more: Value| json!({"changes": with(&memo, &more)});
    for (field, path, code) in [
        (json!({"clientId": ""}), "clientId", "empty"),
        (json!({"clientId": "ü".repeat(65)}), "clientId", "too_long"),
        (json!({"clientId": "a\0"}), "clientId", "nul"),
        (json!({"clientId": null}), "clientId", "null"),
        (json!({"clientId": 7}), "clientId", "invalid_type"),
        (json!({"clientTime": -1}), "clientTime", "out_of_range"),
        (json!({"clientTime": 1_i64 << 53}), "clientTime", "out_of_range"),
        (json!({"clientTime": "soon"}), "clientTime", "invalid_type"),
        (json!({"clientTime": 1.5}), "clientTime", "invalid_type"),
        (changes(json!({"foo": {}})), "changes.foo", "unknown_entity"),
        (
            changes(json!({"Memo": {"updated": []}})),
            "changes.Memo",
            "unknown_entity",
        ),
        (changes(json!({"bot": []})), "changes.bot", "invalid_type"),
        (changes(json!({"bot": 7})), "changes.bot", "invalid_type"),
        (
            changes(json!({"bot": {"updated": {}}})),
            "changes.bot.updated",
            "invalid_type",
        ),
        (
            changes(json!({"bot": {"deleted": "x"}})),
            "changes.bot.deleted",
            "invalid_type",
        ),
        (json!({"changes": []}), "changes", "invalid_type"),
        (json!({"changes": "memo"}), "changes", "invalid_type"),
    ] {
        let body = with(&json!({"clientId": "phone", "changes": memo}), &field);
        phone.post("/sync/push", &body).await.invalid(path, code);
    }
    phone.assert_untouched(&before, "bad pushes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_a_body_that_is_no_json_or_too_large_applies_nothing() {
    let server = Server::start_with(&["--http-max-body-bytes", "65536"]);
    let phone = server.device("phone").await;
    let good = MEMO.record(1, "good", &at(T)).to_string();
    for bad in ["{", "{]", r#"{"id": 01}"#, "nonsense", r#"{"content": "\x"}"#] {
        let body =
            format!(r#"{{"clientId": "phone", "changes": {{"memo": {{"updated": [{good}, {bad}]}}}}}}"#);
        phone
            .raw(&Method::POST, "/sync/push", body)
            .await
            .problem(400, "malformed_json");
    }
    let large = MEMO.record(2, &"x".repeat(65_536), &at(T));
    let records = [MEMO.record(1, "good", &at(T)), large];
    phone
        .push(&MEMO.updates(&records))
        .await
        .problem(413, "body_too_large");
    assert_eq!(phone.everything().await.delivered, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_another_user_s_ids_in_a_push_never_touch_their_records() {
    let server = Server::start();
    let anna = server.new_user("anna", "phone").await;
    let bert = server.new_user("bert", "phone").await;
    for kind in KINDS {
        kind.create(&anna, 1, "hers", &at(T)).await.ok();
    }
    RESOURCE
        .create(
            &anna,
            2,
            "hers.png",
            &json!({"memoId": MEMO.key(1), "updatedAt": T}),
        )
        .await
        .ok();
    let of_anna = anna.everything().await;
    let memo = json!({"memoId": MEMO.key(1), "updatedAt": T + 1});
    let resources = [
        RESOURCE.record(3, "a.png", &memo),
        RESOURCE.record(4, "b.png", &at(T)),
    ];
    let attached = bert.push(&RESOURCE.updates(&resources)).await.ok();
    assert_eq!(outcomes(&attached, RESOURCE), ["rejected", "applied"]);
    let rejected = &attached["results"]["resource"][0];
    assert_rejected(
        rejected,
        "unknown_memo",
        "changes.resource.updated[0].memoId",
        "unknown_memo",
    );
    let writes = KINDS.map(|kind| kind.updates(&[kind.record(1, "his", &at(T + 1))]));
    let answer = bert.push(&all(&writes)).await.ok();
    for kind in KINDS {
        assert_eq!(
            outcomes(&answer, kind),
            ["applied"],
            "a record of his own with the same id"
        );
        assert_eq!(kind.pulled(&bert, 1).await[kind.text], "his");
    }
    let deletes = KINDS.map(|kind| kind.deletions(&[kind.deletion(1, Some(T + 2)), kind.deletion(2, None)]));
    bert.push(&all(&deletes)).await.ok();
    anna.assert_untouched(&of_anna, "his pushes").await;
    assert_eq!(MEMO.revisions(&anna, 1).await.len(), 0);
}

/// One edit of the mixture: of which type, of which record, and whether it deletes it.
#[derive(Clone)]
struct Edit {
    kind: Kind,
    n: usize,
    time: i64,
    text: Option<String>,
}

/// The same numbers in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u16) -> u16 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let [high, low, ..] = self.0.to_be_bytes();
        u16::from_be_bytes([high, low]) % limit
    }
}

/// Batches of edits, in none of which a record stands twice.
fn mixture() -> Vec<Vec<Edit>> {
    let mut dice = Dice(7);
    let mut batches = Vec::new();
    for number in 0..40 {
        let mut named = BTreeSet::new();
        let mut batch = Vec::new();
        for _ in 0..=dice.below(60) {
            let kind = KINDS[usize::from(dice.below(4))];
            let n = usize::from(dice.below(25));
            let text = (dice.below(5) > 0).then(|| format!("{number} {}", dice.below(3)));
            let time = T + i64::from(dice.below(30));
            if named.insert((kind.name, n)) {
                batch.push(Edit { kind, n, time, text });
            }
        }
        // As a push applies them.
        batch.sort_by_key(|edit| {
            (
                ENTITIES.iter().position(|name| *name == edit.kind.name),
                edit.text.is_none(),
            )
        });
        batches.push(batch);
    }
    batches
}

impl Edit {
    /// What every edit of this record says besides: each second resource belongs to the memo with the same number.
    fn more(&self) -> Value {
        let of_memo = self.kind.name == RESOURCE.name && self.n.is_multiple_of(2);
        let memo = if of_memo {
            json!({"memoId": MEMO.key(self.n)})
        } else {
            json!({})
        };
        with(&memo, &at(self.time))
    }

    /// By CRUD; returns what a push would call it.
    async fn send(&self, client: &Client) -> &'static str {
        let before = client.clock().await;
        let answer = match &self.text {
            Some(text) => self.kind.create(client, self.n, text, &self.more()).await,
            None => self.kind.delete(client, self.n, Some(self.time)).await,
        };
        match answer.status.as_u16() {
            409 => "superseded",
            422 => "rejected",
            200 | 204 if client.clock().await == before => "unchanged",
            200 | 204 => "applied",
            _ => panic!("{answer:?}"),
        }
    }
}

/// Sends the edits as one push; returns the outcomes in the order of the edits.
async fn push_all(client: &Client, batch: &[Edit]) -> Vec<String> {
    let mut changes: BTreeMap<&str, [Vec<Value>; 2]> = BTreeMap::new();
    for edit in batch {
        let [updated, deleted] = changes.entry(edit.kind.name).or_default();
        match &edit.text {
            Some(text) => updated.push(edit.kind.record(edit.n, text, &edit.more())),
            None => deleted.push(edit.kind.deletion(edit.n, Some(edit.time))),
        }
    }
    let changes: serde_json::Map<_, _> = changes
        .into_iter()
        .map(|(name, [updated, deleted])| (name.to_owned(), json!({"updated": updated, "deleted": deleted})))
        .collect();
    let answer = client.push(&Value::Object(changes)).await.ok();
    let in_order = ENTITIES.iter().filter_map(|name| answer["results"].get(*name));
    in_order
        .flat_map(|results| column(results, "outcome"))
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn b1_pushes_mixed_with_single_requests_end_as_the_same_edits_one_by_one() {
    let server = Server::start();
    let anna = server.new_user("anna", "phone").await;
    let bert = server.new_user("bert", "phone").await;
    for (number, batch) in mixture().into_iter().enumerate() {
        let mut one_by_one = Vec::new();
        for edit in &batch {
            one_by_one.push(edit.send(&anna).await.to_owned());
        }
        let pushed = if number % 3 == 2 {
            let mut sent = Vec::new();
            for edit in &batch {
                sent.push(edit.send(&bert).await.to_owned());
            }
            sent
        } else {
            push_all(&bert, &batch).await
        };
        assert_eq!(pushed, one_by_one, "batch {number}");
    }
    let (of_anna, of_bert) = (anna.everything().await, bert.everything().await);
    assert_eq!(of_bert.records, of_anna.records);
    assert_eq!(
        of_bert.delivered, of_anna.delivered,
        "in the same order, tombstones included"
    );
    for (name, key) in &of_anna.delivered {
        let kind = KINDS.into_iter().find(|kind| kind.name == name).unwrap();
        let kept = |client: Client| async move {
            let path = format!("{}/{key}/revisions", kind.collection);
            let kept = client.get(&path).await.ok();
            let kept = kept.as_array().unwrap().iter();
            kept.map(|r| (r[kind.text].clone(), r["editedAt"].clone(), r["reason"].clone()))
                .collect::<Vec<_>>()
        };
        assert_eq!(kept(bert.clone()).await, kept(anna.clone()).await, "{name} {key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b1_pushes_of_several_devices_at_once_all_arrive() {
    let (_server, phone) = phone().await;
    let mut running = tokio::task::JoinSet::new();
    for device in 0..4 {
        let phone = phone.on(&format!("device {device}"));
        running.spawn(async move {
            for part in 0..5 {
                let first = (device * 5 + part) * 40;
                let changes = KEYED_BY_ID.map(|kind| {
                    let records = (first..first + 40).map(|n| kind.record(n, "one", &at(T)));
                    kind.updates(&records.collect::<Vec<_>>())
                });
                let answer = phone.push(&all(&changes)).await.ok();
                for kind in KEYED_BY_ID {
                    assert_eq!(outcomes(&answer, kind), ["applied"; 40]);
                }
            }
        });
    }
    let mut tablet = Phone::default();
    while !running.is_empty() {
        tablet.pull_once(&phone.on("tablet")).await;
        while let Some(done) = running.try_join_next() {
            done.expect("a push");
        }
    }
    tablet.pull_all(&phone.on("tablet")).await;
    assert_eq!((tablet.records.len(), tablet.delivered.len()), (3 * 800, 3 * 800));
}

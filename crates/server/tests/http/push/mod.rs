//! Bulk pushes (B1, B2): many edits in one request, each judged as if it had come alone.

mod refused;
mod rules;

use reqwest::Method;
use serde_json::{Value, json};

use crate::bad_input::bad_fields;
use crate::harness::{Client, Server};
use crate::kinds::{BOT, DIARY, KINDS, Kind, MEMO, RESOURCE, T, all, at, column, names, outcomes, with};

async fn phone() -> (Server, Client) {
    let server = Server::start();
    let phone = server.device("phone").await;
    (server, phone)
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
    assert_eq!(names(&answer), ["clock", "clockBefore", "results", "serverTime"]);
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

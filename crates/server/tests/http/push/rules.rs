//! The rules of writes, W1 to W9, in pushes.

use super::*;

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

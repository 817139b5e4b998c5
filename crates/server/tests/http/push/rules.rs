//! What pushes alone do about the rules of writes; what they share with single requests is the table in `roads.rs`.

use super::*;
use crate::harness::ENTITIES;
use crate::phone::{App, assert_alike, key, now};

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

/// With a clock that is an hour off, so that the server shifts every edit time (W6).
#[tokio::test(flavor = "multi_thread")]
async fn b3_a_device_that_stood_at_the_clock_before_is_in_sync_after_its_push() {
    let server = Server::start();
    let mut phone = App::with_skew(server.device("phone").await, 3_600_000);
    let mut tablet = App::new(server.device("tablet").await);
    phone.sync().await;
    tablet.sync().await;
    for (round, others_write) in [(0, false), (1, true), (2, false)] {
        if others_write {
            tablet.write(&key(MEMO, 1), &json!({"content": "theirs"}), now());
            tablet.sync().await;
        }
        for kind in KINDS {
            for n in 0..3 {
                phone.write(&key(kind, n), &json!({kind.text: format!("{round} {n}")}), now());
            }
        }
        phone.delete(&key(BOT, 0), now());
        let taken = phone.clocks_taken;
        phone.push().await;
        assert_eq!(phone.clocks_taken, taken + usize::from(!others_write));
        if !others_write {
            // Without a pull, and nothing comes with one.
            phone.assert_in_sync().await;
            let cursors = ENTITIES.map(|entity| phone.cursor(entity));
            phone.pull_all().await;
            assert_eq!(ENTITIES.map(|entity| phone.cursor(entity)), cursors);
        }
        phone.sync().await;
        tablet.sync().await;
        assert_alike(&[&phone, &tablet]).await;
    }
}

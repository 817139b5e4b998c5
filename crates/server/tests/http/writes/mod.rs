//! The rules of writes, W1 to W7 and H1, as every entity type keeps them.

mod kept;
mod times;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Client, Server};
use crate::kinds::{BOT, DIARY, KEYED_BY_ID, KINDS, Kind, MEMO, RESOURCE, T, names, with};

async fn phone() -> (Server, Client) {
    let server = Server::start();
    let phone = server.device("phone").await;
    (server, phone)
}

fn at(time: i64) -> Value {
    json!({"updatedAt": time})
}

#[tokio::test(flavor = "multi_thread")]
async fn w1_an_edit_without_a_time_is_later_than_whatever_is_stored() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        let ahead = phone.server_time().await + 4 * 60_000;
        kind.create(&phone, 1, "ahead", &at(ahead)).await.ok();
        let edited = kind.edit(&phone, 1, "edited", &json!({})).await.ok();
        assert_eq!(
            (&edited[kind.text], &edited["updatedAt"]),
            (&json!("edited"), &json!(ahead + 1))
        );
        let again = kind.edit(&phone, 1, "again", &json!({})).await.ok();
        assert_eq!(again["updatedAt"], json!(ahead + 2));
        kind.delete(&phone, 1, None).await.ok();
        let late = kind.edit(&phone, 1, "late", &at(ahead + 2)).await;
        assert_eq!(
            late.problem(409, "superseded")["current"]["updatedAt"],
            json!(ahead + 3)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w1_a_new_record_without_times_is_of_now() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        let before = phone.server_time().await;
        let created = kind.create(&phone, 1, "new", &json!({})).await.ok();
        let after = phone.server_time().await;
        let time = created["updatedAt"].as_i64().unwrap();
        assert!((before..=after).contains(&time), "{created}");
        assert_eq!(created["createdAt"], created["updatedAt"]);
    }
}

/// Whole edits of one record: when, by which device, and the text; none deletes it.
type Edits = [(i64, &'static str, Option<&'static str>); 4];

/// The last one wins: by its time, then by its device, then by its content.
const THE_GREATEST_TEXT_WINS: Edits = [
    (T, "b", Some("zero")),
    (T + 1, "a", Some("two")),
    (T + 1, "b", Some("one")),
    (T + 1, "b", Some("three")),
];
const A_DELETE_WINS_A_TIE: Edits = [
    (T, "b", None),
    (T + 1, "a", Some("zzz")),
    (T + 1, "b", Some("zzz")),
    (T + 1, "b", None),
];

/// All orders of four things.
fn orders() -> Vec<[usize; 4]> {
    let all = (0..256).map(|n| [n & 3, n >> 2 & 3, n >> 4 & 3, n >> 6 & 3]);
    all.filter(|order| (0..4).all(|i| order.contains(&i))).collect()
}

async fn apply_in_order(client: Client, kind: Kind, n: usize, edits: Edits, order: [usize; 4]) {
    for (time, device, text) in order.map(|i| edits[i]) {
        let client = client.on(device);
        let answer = match text {
            Some(text) => {
                let times = json!({"updatedAt": time, "createdAt": T - 1});
                kind.create(&client, n, text, &times).await
            }
            None => kind.delete(&client, n, Some(time)).await,
        };
        if !answer.status.is_success() {
            answer.problem(409, "superseded");
        }
    }
}

/// Sends the edits in all 24 orders, to a record each.
async fn apply_in_all_orders(client: &Client, kind: Kind, edits: Edits) {
    let mut running = JoinSet::new();
    for (n, order) in orders().into_iter().enumerate() {
        running.spawn(apply_in_order(client.clone(), kind, n, edits, order));
    }
    assert_eq!(running.join_all().await.len(), 24);
}

#[tokio::test(flavor = "multi_thread")]
async fn w2_whatever_the_order_of_arrival_the_same_edit_wins() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        apply_in_all_orders(&phone, kind, THE_GREATEST_TEXT_WINS).await;
    }
    let everything = phone.everything().await;
    assert_eq!(everything.records.len(), 4 * 24);
    for ((name, key), record) in &everything.records {
        let kind = KINDS.into_iter().find(|kind| kind.name == name).unwrap();
        let outcome = (&record[kind.text], &record["updatedAt"], &record["createdAt"]);
        assert_eq!(
            outcome,
            (&json!("three"), &json!(T + 1), &json!(T - 1)),
            "{name} {key}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w2_of_equal_versions_a_delete_wins_whatever_the_order() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        apply_in_all_orders(&phone, kind, A_DELETE_WINS_A_TIE).await;
    }
    let everything = phone.everything().await;
    assert_eq!(
        (everything.records.len(), everything.delivered.len()),
        (0, 4 * 24)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn w3_a_request_that_is_sent_again_answers_the_same_and_draws_no_stamp() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        for time in [at(T), json!({})] {
            let first = kind.create(&phone, 1, "one", &time).await.ok();
            let clock = phone.clock().await;
            let again = kind.create(&phone, 1, "one", &time).await.ok();
            assert_eq!(
                (again, phone.clock().await),
                (first, clock),
                "{}: POST {time}",
                kind.name
            );
        }
        for time in [at(T + 1), json!({})] {
            let first = kind.edit(&phone, 1, "two", &time).await.ok();
            let clock = phone.clock().await;
            let again = kind.edit(&phone, 1, "two", &time).await.ok();
            assert_eq!(
                (again, phone.clock().await),
                (first, clock),
                "{}: PUT {time}",
                kind.name
            );
        }
        for time in [Some(T + 2), None] {
            kind.delete(&phone, 1, time).await.ok();
            let clock = phone.clock().await;
            assert_eq!(kind.delete(&phone, 1, time).await.status, 204);
            assert_eq!(phone.clock().await, clock, "{}: DELETE {time:?}", kind.name);
        }
        let kept = kind.revisions(&phone, 1).await.len();
        assert_eq!(kept, 2, "{}: nothing is kept twice", kind.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w3_a_create_without_a_time_never_overwrites_and_never_undoes_a_delete() {
    let (_server, phone) = phone().await;
    for kind in KEYED_BY_ID {
        let stored = kind.create(&phone, 1, "one", &json!({})).await.ok();
        let clock = phone.clock().await;
        let other = kind.create(&phone, 1, "another", &json!({})).await.ok();
        assert_eq!((other, phone.clock().await), (stored, clock));
        kind.delete(&phone, 1, None).await.ok();
        kind.create(&phone, 1, "one", &json!({}))
            .await
            .problem(409, "deleted");
        assert_eq!(kind.get(&phone, 1).await, Value::Null);
    }
    DIARY
        .create(&phone, 1, "one", &json!({"moodKey": "joy"}))
        .await
        .ok();
    let over = DIARY.create(&phone, 1, "another", &json!({})).await.ok();
    assert_eq!(
        (&over["summary"], &over["moodKey"]),
        (&json!("another"), &json!("joy")),
        "what it leaves out stays"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn w3_a_late_replay_is_told_the_winner_and_kept_once() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        kind.create(&phone, 1, "one", &at(T)).await.ok();
        let newer = kind.edit(&phone, 1, "two", &at(T + 1)).await.ok();
        for _ in 0..3 {
            let problem = kind
                .create(&phone, 1, "one", &at(T))
                .await
                .problem(409, "superseded");
            assert_eq!(problem["current"][kind.text], newer[kind.text]);
        }
        let kept = kind.revisions(&phone, 1).await;
        assert_eq!(kept.len(), 1, "{}: {kept:?}", kind.name);
        assert_eq!(
            (&kept[0][kind.text], &kept[0]["reason"]),
            (&json!("one"), &json!("overwritten"))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w3_the_same_content_with_a_newer_time_is_a_new_version() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        kind.create(&phone, 1, "one", &at(T)).await.ok();
        let clock = phone.clock().await;
        let same = phone.put(&kind.path(1), &at(T + 5)).await.ok();
        assert_eq!(
            (&same[kind.text], &same["updatedAt"]),
            (&json!("one"), &json!(T + 5))
        );
        assert!(phone.clock().await > clock, "others have to be told the version");
        phone
            .put(&kind.path(1), &at(T + 4))
            .await
            .problem(409, "superseded");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w4_a_write_that_loses_is_told_the_winner_and_kept() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        kind.create(&phone, 1, "winner", &at(T + 10)).await.ok();
        let (winner, clock) = (kind.pulled(&phone, 1).await, phone.clock().await);
        for answer in [
            kind.edit(&phone.on("old"), 1, "lost put", &at(T + 9)).await,
            kind.create(&phone.on("old"), 1, "lost post", &at(T + 8)).await,
            kind.delete(&phone.on("old"), 1, Some(T + 7)).await,
            // The same time: the greater device name wins.
            kind.edit(&phone.on("a-phone"), 1, "lost tie", &at(T + 10)).await,
        ] {
            assert_eq!(answer.problem(409, "superseded")["current"], winner);
        }
        assert_eq!(
            (kind.pulled(&phone, 1).await, phone.clock().await),
            (winner, clock)
        );
        let kept = kind.revisions(&phone, 1).await;
        let texts: Vec<&Value> = kept.iter().map(|revision| &revision[kind.text]).collect();
        assert_eq!(texts, ["lost tie", "lost post", "lost put"]);
        assert!(
            kept.iter().all(|revision| revision["reason"] == "superseded"),
            "{kept:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w4_a_tombstone_that_wins_is_shown_by_its_key_and_times() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        kind.create(&phone, 1, "one", &with(&at(T), &json!({"createdAt": T - 7})))
            .await
            .ok();
        kind.delete(&phone, 1, Some(T + 5)).await.ok();
        let tombstone =
            json!({kind.key: kind.key(1), "isDeleted": true, "createdAt": T - 7, "updatedAt": T + 5});
        for answer in [
            kind.edit(&phone, 1, "late put", &at(T + 4)).await,
            kind.create(&phone, 1, "late post", &at(T + 3)).await,
        ] {
            assert_eq!(answer.problem(409, "superseded")["current"], tombstone);
        }
        let kept = kind.revisions(&phone, 1).await;
        assert_eq!(kept.len(), 3, "{kept:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w5_deleting_again_is_204_and_a_newer_delete_is_the_version() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        kind.create(&phone, 1, "one", &at(T)).await.ok();
        for time in [Some(T + 1), None, Some(T + 9), Some(T + 5)] {
            let answer = kind.delete(&phone, 1, time).await;
            assert_eq!((answer.status.as_u16(), &answer.body), (204, &Value::Null));
        }
        assert_eq!(kind.get(&phone, 1).await, Value::Null);
        let late = kind
            .create(&phone, 1, "one", &at(T + 8))
            .await
            .problem(409, "superseded");
        assert_eq!(late["current"]["updatedAt"], json!(T + 9));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w5_a_delete_that_arrives_first_keeps_the_record_deleted() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        kind.delete(&phone, 1, None).await.problem(404, "not_found");
        assert_eq!(
            phone
                .everything()
                .await
                .delivered
                .iter()
                .filter(|(name, _)| name == kind.name)
                .count(),
            0
        );
        assert_eq!(kind.delete(&phone, 1, Some(T + 5)).await.status, 204);
        assert!(
            phone
                .everything()
                .await
                .delivered
                .contains(&(kind.name.to_owned(), kind.key(1)))
        );
        kind.create(&phone, 1, "late", &at(T))
            .await
            .problem(409, "superseded");
        assert_eq!(kind.get(&phone, 1).await, Value::Null);
        let kept = kind.revisions(&phone, 1).await;
        assert_eq!(kept[0][kind.text], "late");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w5_a_newer_edit_brings_a_deleted_record_back() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        kind.create(&phone, 1, "one", &at(T)).await.ok();
        kind.delete(&phone, 1, Some(T + 1)).await.ok();
        let back = kind.edit(&phone, 1, "back", &at(T + 2)).await.ok();
        assert_eq!(back[kind.text], "back");
        kind.delete(&phone, 1, Some(T + 3)).await.ok();
        let back = kind.create(&phone, 1, "whole", &at(T + 4)).await.ok();
        assert_eq!(
            (&back[kind.text], kind.pulled(&phone, 1).await.is_null()),
            (&json!("whole"), false)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w5_a_partial_edit_brings_nothing_back_without_a_time_or_without_content() {
    let (_server, phone) = phone().await;
    for kind in KEYED_BY_ID {
        kind.create(&phone, 1, "one", &at(T)).await.ok();
        kind.delete(&phone, 1, Some(T + 1)).await.ok();
        kind.edit(&phone, 1, "back", &json!({}))
            .await
            .problem(404, "not_found");
        kind.delete(&phone, 2, Some(T)).await.ok();
        kind.edit(&phone, 2, "back", &at(T + 1))
            .await
            .problem(404, "deleted");
        kind.create(&phone, 2, "back", &at(T + 1)).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w5_on_a_deleted_diary_s_day_a_new_one_begins() {
    let (_server, phone) = phone().await;
    for (n, by_put) in [(1, true), (2, false)] {
        let old = json!({"updatedAt": T, "moodKey": "anger", "moodScore": 10});
        DIARY.create(&phone, n, "the old one", &old).await.ok();
        DIARY.delete(&phone, n, None).await.ok();
        let new = if by_put {
            phone.put(&DIARY.path(n), &json!({"moodScore": 7})).await.ok()
        } else {
            phone.post(&DIARY.path(n), &json!({"moodScore": 7})).await.ok()
        };
        let fields = [&new["summary"], &new["moodKey"], &new["moodScore"]];
        assert_eq!(
            fields,
            [&json!(""), &json!("neutral"), &json!(7)],
            "nothing of the old one"
        );
    }
}

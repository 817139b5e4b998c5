//! What single requests alone do about the rules of writes; what they share with pushes is the table in `roads.rs`.

mod kept;
mod times;

use serde_json::{Value, json};

use crate::harness::{Client, Server};
use crate::kinds::{BOT, DIARY, KEYED_BY_ID, KINDS, Kind, MEMO, RESOURCE, T, at, names, with};

async fn phone() -> (Server, Client) {
    let server = Server::start();
    let phone = server.device("phone").await;
    (server, phone)
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
async fn w3_a_diary_without_a_time_keeps_what_it_leaves_out() {
    let (_server, phone) = phone().await;
    let joy = json!({"moodKey": "joy"});
    DIARY.create(&phone, 1, "one", &joy).await.ok();
    let over = DIARY.create(&phone, 1, "another", &json!({})).await.ok();
    assert_eq!(
        (&over["summary"], &over["moodKey"]),
        (&json!("another"), &json!("joy"))
    );
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
async fn w5_a_delete_without_a_time_of_what_was_never_there_is_404_and_leaves_nothing() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        kind.delete(&phone, 1, None).await.problem(404, "not_found");
    }
    assert!(phone.everything().await.delivered.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn w5_what_is_deleted_is_read_as_deleted_and_what_never_was_is_not() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        let never = phone.get(&kind.path(1)).await;
        if kind.is_diary() {
            assert_eq!(never.ok(), Value::Null);
        } else {
            assert_eq!(never.problem(404, "not_found").get("updatedAt"), None);
        }
        kind.create(&phone, 1, "one", &at(T)).await.ok();
        kind.delete(&phone, 1, Some(T + 1)).await.ok();
        // Of this one nobody knows more than that it is deleted.
        kind.delete(&phone, 2, Some(T + 2)).await.ok();
        for (n, deleted_at) in [(1, T + 1), (2, T + 2)] {
            let deleted = phone.get(&kind.path(n)).await.problem(404, "deleted");
            assert_eq!(deleted["updatedAt"], deleted_at, "{}", kind.name);
        }
    }
    for what in ["download", "thumbnail"] {
        let bytes = phone.get(&format!("{}/{what}", RESOURCE.path(1))).await;
        assert_eq!(bytes.problem(404, "deleted")["updatedAt"], T + 1);
    }
    let again = MEMO.create(&phone, 1, "one", &json!({})).await;
    assert_eq!(again.problem(409, "deleted")["updatedAt"], T + 1);
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
        let gone = kind.edit(&phone, 1, "back", &json!({})).await;
        assert_eq!(gone.problem(404, "deleted")["updatedAt"], T + 1);
        kind.delete(&phone, 2, Some(T)).await.ok();
        let erased = kind.edit(&phone, 2, "back", &at(T + 1)).await;
        assert_eq!(erased.problem(404, "deleted")["updatedAt"], T);
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

//! Memos and their resources (W9, and P5's promise that a resource belongs to a live memo or to none).

use serde_json::{Value, json};

use crate::harness::{Client, Server};
use crate::kinds::{MEMO, RESOURCE, T, column};

async fn phone() -> (Server, Client) {
    let server = Server::start();
    let phone = server.device("phone").await;
    (server, phone)
}

/// Creates these resources at T, with or without a memo.
async fn resources(phone: &Client, memo: Option<usize>, numbers: impl IntoIterator<Item = usize>) {
    for n in numbers {
        let memo = memo.map(|memo| MEMO.key(memo));
        let more = json!({"memoId": memo, "updatedAt": T});
        RESOURCE.create(phone, n, &format!("{n}.png"), &more).await.ok();
    }
}

fn ids(numbers: &[usize]) -> Value {
    json!(numbers.iter().map(|n| RESOURCE.key(*n)).collect::<Vec<_>>())
}

/// The file names of a memo's resources, in their order.
fn files(memo: &Value) -> Vec<&str> {
    column(&memo["resources"], "filename")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memo_written_with_resource_ids_has_exactly_these_in_this_order() {
    let (_server, phone) = phone().await;
    resources(&phone, None, 1..=4).await;
    let created = MEMO
        .create(
            &phone,
            1,
            "one",
            &json!({"resourceIds": ids(&[2, 1]), "updatedAt": T}),
        )
        .await
        .ok();
    assert_eq!(files(&created), ["2.png", "1.png"]);
    let edited = phone
        .put(&MEMO.path(1), &json!({"resourceIds": ids(&[3, 2, 4])}))
        .await
        .ok();
    assert_eq!(files(&edited), ["3.png", "2.png", "4.png"]);
    assert_eq!(files(&MEMO.get(&phone, 1).await), ["3.png", "2.png", "4.png"]);
    let places: Vec<_> = edited["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["sortOrder"].as_i64())
        .collect();
    assert_eq!(places, [Some(0), Some(1), Some(2)]);
    assert_eq!(
        RESOURCE.get(&phone, 1).await["memoId"],
        Value::Null,
        "the other one is detached"
    );
    let emptied = phone.put(&MEMO.path(1), &json!({"resourceIds": []})).await.ok();
    assert_eq!(files(&emptied), <[&str; 0]>::default());
    assert_eq!(phone.get("/resources").await.ok()["total"], 4, "none is deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn w9_each_resource_that_moves_is_an_edit_that_syncs_and_is_later_than_what_was_stored() {
    let (_server, phone) = phone().await;
    MEMO.create(&phone, 1, "one", &json!({"updatedAt": T})).await.ok();
    resources(&phone, Some(1), 1..=3).await;
    let cursors = phone.everything().await.cursors();
    // The memo's own time is older than that of its resources: they move all the same.
    phone
        .put(
            &RESOURCE.path(2),
            &json!({"filename": "2.png", "updatedAt": T + 100}),
        )
        .await
        .ok();
    let body = json!({"resourceIds": ids(&[1, 2]), "updatedAt": T + 1});
    phone.put(&MEMO.path(1), &body).await.ok();
    let stayed = RESOURCE.get(&phone, 1).await;
    assert_eq!(
        (&stayed["updatedAt"], &stayed["sortOrder"]),
        (&json!(T), &json!(0)),
        "it did not move"
    );
    let dropped = RESOURCE.get(&phone, 3).await;
    assert_eq!(
        (&dropped["memoId"], &dropped["updatedAt"]),
        (&Value::Null, &json!(T + 1))
    );
    let body = json!({"resourceIds": ids(&[2, 1]), "updatedAt": T + 2});
    phone.put(&MEMO.path(1), &body).await.ok();
    let moved = RESOURCE.get(&phone, 2).await;
    assert_eq!(
        (&moved["sortOrder"], &moved["updatedAt"]),
        (&json!(0), &json!(T + 101))
    );
    let pulled = phone.pull(&cursors).await;
    assert_eq!(
        pulled["changes"]["resource"]["updated"].as_array().map(Vec::len),
        Some(3)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_of_another_memo_is_taken_over() {
    let (_server, phone) = phone().await;
    for n in [1, 2] {
        MEMO.create(&phone, n, "memo", &json!({"updatedAt": T}))
            .await
            .ok();
    }
    resources(&phone, Some(1), 1..=2).await;
    let taker = phone
        .put(&MEMO.path(2), &json!({"resourceIds": ids(&[2])}))
        .await
        .ok();
    assert_eq!(files(&taker), ["2.png"]);
    assert_eq!(files(&MEMO.get(&phone, 1).await), ["1.png"]);
    let of_two = phone
        .get(&format!("/resources?memoId={}", MEMO.key(2)))
        .await
        .ok();
    assert_eq!(column(&of_two["items"], "filename"), ["2.png"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn w9_an_edit_of_a_memo_that_is_a_replay_or_loses_moves_nothing() {
    let (_server, phone) = phone().await;
    resources(&phone, None, 1..=2).await;
    let create = json!({"resourceIds": ids(&[1]), "updatedAt": T});
    MEMO.create(&phone, 1, "one", &create).await.ok();
    MEMO.create(
        &phone,
        2,
        "two",
        &json!({"resourceIds": ids(&[2]), "updatedAt": T}),
    )
    .await
    .ok();
    // Somebody moves the first resource; then the create of the first memo is sent again.
    phone
        .put(&RESOURCE.path(1), &json!({"memoId": MEMO.key(2)}))
        .await
        .ok();
    let before = phone.everything().await;
    MEMO.create(&phone, 1, "one", &create).await.ok();
    MEMO.create(&phone, 1, "one", &json!({"resourceIds": ids(&[1, 2])}))
        .await
        .ok();
    phone.assert_untouched(&before, "replays").await;
    let losing = json!({"resourceIds": ids(&[1, 2]), "updatedAt": T - 1});
    phone.put(&MEMO.path(1), &losing).await.problem(409, "superseded");
    phone.assert_untouched(&before, "an edit that loses").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_only_names_the_resources_moves_them_and_leaves_the_memo() {
    let (_server, phone) = phone().await;
    resources(&phone, None, 1..=2).await;
    MEMO.create(&phone, 1, "one", &json!({"updatedAt": T})).await.ok();
    let put = json!({"resourceIds": ids(&[2, 1])});
    let attached = phone.put(&MEMO.path(1), &put).await.ok();
    assert_eq!(
        (files(&attached), &attached["updatedAt"]),
        (vec!["2.png", "1.png"], &json!(T))
    );
    let clock = phone.clock().await;
    assert_eq!(phone.put(&MEMO.path(1), &put).await.ok(), attached);
    assert_eq!(phone.clock().await, clock);
}

#[tokio::test(flavor = "multi_thread")]
async fn w9_deleting_a_memo_deletes_its_resources_with_its_version_and_detaches_later_ones() {
    let (_server, phone) = phone().await;
    MEMO.create(&phone, 1, "one", &json!({"updatedAt": T})).await.ok();
    resources(&phone, Some(1), 1..=2).await;
    let later = json!({"memoId": MEMO.key(1), "updatedAt": T + 20});
    RESOURCE.create(&phone, 3, "3.png", &later).await.ok();
    let cursors = phone.everything().await.cursors();
    MEMO.delete(&phone, 1, Some(T + 10)).await.ok();
    let pulled = phone.pull(&cursors).await;
    assert_eq!(pulled["changes"]["memo"]["deletedIds"], json!([MEMO.key(1)]));
    let mut deleted: Vec<_> = pulled["changes"]["resource"]["deletedIds"]
        .as_array()
        .unwrap()
        .clone();
    deleted.sort_by_key(ToString::to_string);
    assert_eq!(json!(deleted), ids(&[1, 2]), "each has a tombstone of its own");
    let stays = RESOURCE.get(&phone, 3).await;
    assert_eq!(
        (&stays["memoId"], &stays["updatedAt"]),
        (&Value::Null, &json!(T + 20))
    );
    let late = json!({"filename": "late.png", "updatedAt": T + 9});
    let tombstone = phone
        .put(&RESOURCE.path(1), &late)
        .await
        .problem(409, "superseded");
    assert_eq!(
        tombstone["current"]["updatedAt"],
        json!(T + 10),
        "the memo's version"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn w9_a_resource_of_a_deleted_memo_is_stored_detached() {
    let (_server, phone) = phone().await;
    MEMO.create(&phone, 1, "one", &json!({"updatedAt": T})).await.ok();
    MEMO.delete(&phone, 1, Some(T + 1)).await.ok();
    let memo = json!({"memoId": MEMO.key(1), "updatedAt": T + 2});
    let created = RESOURCE.create(&phone, 1, "1.png", &memo).await.ok();
    assert_eq!(created["memoId"], Value::Null);
    resources(&phone, None, [2]).await;
    let edited = phone.put(&RESOURCE.path(2), &memo).await.ok();
    assert_eq!(edited["memoId"], Value::Null);
    let clock = phone.clock().await;
    assert_eq!(RESOURCE.create(&phone, 1, "1.png", &memo).await.ok(), created);
    assert_eq!(phone.clock().await, clock, "a replay changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_resource_can_not_be_attached() {
    let (_server, phone) = phone().await;
    MEMO.create(&phone, 1, "one", &json!({"updatedAt": T})).await.ok();
    resources(&phone, Some(1), 1..=2).await;
    RESOURCE.delete(&phone, 1, None).await.ok();
    let before = phone.everything().await;
    let refused = phone
        .put(
            &MEMO.path(1),
            &json!({"content": "two", "resourceIds": ids(&[2, 1])}),
        )
        .await;
    assert_eq!(
        refused.problem(422, "unknown_resource")["errors"][0]["path"],
        "resourceIds[1]"
    );
    phone.assert_untouched(&before, "a deleted resource").await;
    assert_eq!(files(&MEMO.get(&phone, 1).await), ["2.png"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_come_after_the_last_of_their_memo() {
    let (_server, phone) = phone().await;
    for n in [1, 2] {
        MEMO.create(&phone, n, "memo", &json!({})).await.ok();
    }
    let place = |n: usize, more: Value| {
        let phone = phone.clone();
        async move {
            RESOURCE.create(&phone, n, "a.png", &more).await.ok()["sortOrder"]
                .as_i64()
                .unwrap()
        }
    };
    let of = |memo: usize| json!({"memoId": MEMO.key(memo)});
    assert_eq!(place(1, of(1)).await, 0);
    assert_eq!(place(2, of(1)).await, 1);
    assert_eq!(
        place(3, json!({"memoId": MEMO.key(1), "sortOrder": 10})).await,
        10
    );
    assert_eq!(place(4, of(1)).await, 11);
    assert_eq!(place(5, of(2)).await, 0, "another memo");
    assert_eq!(place(6, json!({})).await, 0, "no memo");
    assert_eq!(place(7, json!({})).await, 1);
}

//! Pulls: what a page holds, and what may be asked for (P1, P2, P5, P7). How devices converge is in `sync`.

use std::ops::Range;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Client, ENTITIES, Server};
use crate::kinds::{BOT, DIARY, KINDS, Kind, MEMO, RESOURCE, column, names};

async fn phone() -> (Server, Client) {
    let server = Server::start();
    let phone = server.device("phone").await;
    (server, phone)
}

/// Creates records over several connections, in no particular order.
async fn create_all(phone: &Client, kind: Kind, numbers: Range<usize>) {
    let mut running = JoinSet::new();
    for first in 0..8 {
        let (phone, numbers) = (phone.clone(), numbers.clone().skip(first).step_by(8));
        running.spawn(async move {
            for n in numbers {
                kind.create(&phone, n, "one of many", &json!({})).await.ok();
            }
        });
    }
    assert_eq!(running.join_all().await.len(), 8);
}

async fn pull_only(phone: &Client, entities: &[&str], cursors: &Value) -> Value {
    let body = json!({"clientId": "phone", "entities": entities, "cursors": cursors});
    phone.post("/sync/pull", &body).await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_a_page_ends_after_the_record_that_reaches_4_mib() {
    let (_server, phone) = phone().await;
    let mebibyte = "x".repeat(1024 * 1024);
    for n in 0..6 {
        DIARY.create(&phone, n, &mebibyte, &json!({})).await.ok();
    }
    BOT.create(&phone, 1, "bot", &json!({})).await.ok();
    let days = |page: &Value| column(&page["changes"]["diary"]["updated"], "date").len();
    let first = phone.pull(&json!({})).await;
    assert_eq!((days(&first), &first["hasMore"]["diary"]), (4, &json!(true)));
    assert_eq!(first["hasMore"]["bot"], false, "each type has a page of its own");
    let second = phone.pull(&first["cursors"]).await;
    assert_eq!((days(&second), &second["hasMore"]["diary"]), (2, &json!(false)));
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_updated_and_deleted_count_together() {
    let (_server, phone) = phone().await;
    create_all(&phone, BOT, 0..201).await;
    for n in 0..3 {
        BOT.delete(&phone, n, None).await.ok();
    }
    let page = phone.pull(&json!({})).await;
    let bots = &page["changes"]["bot"];
    let counts = ["updated", "deletedIds"].map(|list| bots[list].as_array().map(Vec::len));
    assert_eq!(
        (counts, &page["hasMore"]["bot"]),
        ([Some(198), Some(2)], &json!(true))
    );
    let rest = phone.pull(&page["cursors"]).await;
    assert_eq!(
        rest["changes"]["bot"],
        json!({"updated": [], "deletedIds": [BOT.key(2)]})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_types_that_are_asked_for_are_in_the_answer() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        kind.create(&phone, 1, "one", &json!({})).await.ok();
    }
    for entity in ENTITIES {
        let pulled = pull_only(&phone, &[entity], &json!({})).await;
        for of_types in ["changes", "cursors", "hasMore"] {
            assert_eq!(names(&pulled[of_types]), [entity]);
        }
        assert_eq!(
            pulled["changes"][entity]["updated"].as_array().map(Vec::len),
            Some(1)
        );
    }
    let two = pull_only(&phone, &["bot", "memo", "bot"], &json!({})).await;
    assert_eq!(names(&two["changes"]), ["bot", "memo"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn p5_who_asks_for_resources_alone_gets_them_without_their_memos() {
    let (_server, phone) = phone().await;
    create_all(&phone, MEMO, 0..200).await;
    MEMO.create(&phone, 200, "past the first page", &json!({}))
        .await
        .ok();
    let memo = json!({"memoId": MEMO.key(200)});
    RESOURCE.create(&phone, 1, "a.png", &memo).await.ok();
    let all = phone.pull(&json!({})).await;
    let none = json!({"updated": [], "deletedIds": []});
    assert_eq!(
        (&all["changes"]["resource"], &all["hasMore"]["resource"]),
        (&none, &json!(true))
    );
    let alone = pull_only(&phone, &["resource"], &json!({})).await;
    assert_eq!(
        column(&alone["changes"]["resource"]["updated"], "filename"),
        ["a.png"]
    );
    let rest = phone.pull(&all["cursors"]).await;
    assert_eq!(
        column(&rest["changes"]["resource"]["updated"], "filename"),
        ["a.png"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_deleted_records_are_named_by_their_keys() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        kind.create(&phone, 1, "one", &json!({})).await.ok();
        kind.delete(&phone, 1, None).await.ok();
    }
    let pulled = phone.pull(&json!({})).await;
    for kind in KINDS {
        let expected = json!({"updated": [], "deletedIds": [kind.key(1)]});
        assert_eq!(pulled["changes"][kind.name], expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn null_cursors_types_and_epoch_are_as_if_they_were_not_there() {
    let (_server, phone) = phone().await;
    MEMO.create(&phone, 1, "one", &json!({})).await.ok();
    let body = json!({"clientId": "phone", "cursors": null, "entities": null, "epoch": null});
    let pulled = phone.post("/sync/pull", &body).await.ok();
    let fresh = phone.pull(&json!({})).await;
    assert_eq!(
        [&pulled["changes"], &pulled["cursors"]],
        [&fresh["changes"], &fresh["cursors"]]
    );
}

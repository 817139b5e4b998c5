//! The history of a record (H1): read page by page, read one by one, and brought back.

use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::harness::{Answer, Client, Server};
use crate::kinds::{KEYED_BY_ID, KINDS, Kind, MEMO, RESOURCE, T, at, column, with};

async fn phone() -> (Server, Client) {
    let server = Server::start();
    let phone = server.device("phone").await;
    (server, phone)
}

/// The path of a revision of the nth record.
fn path_of(kind: Kind, n: usize, revision: &Map<String, Value>) -> String {
    let id = revision["id"].as_str().expect("an id");
    format!("{}/revisions/{id}", kind.path(n))
}

/// Brings back a revision of the nth record.
async fn restore(client: &Client, kind: Kind, n: usize, revision: &Map<String, Value>) -> Answer {
    let path = format!("{}/restore", path_of(kind, n, revision));
    client.post(&path, &json!({})).await
}

/// The revision of the nth record with this text.
async fn revision(client: &Client, kind: Kind, n: usize, text: &str) -> Map<String, Value> {
    let kept = kind.revisions(client, n).await;
    let found = kept.into_iter().find(|kept| kept[kind.text] == text);
    found.expect("a revision with this text")
}

/// Text, device and reason of each revision, the latest kept first.
fn told(kind: Kind, kept: &[Map<String, Value>]) -> Value {
    let told = kept
        .iter()
        .map(|kept| json!([kept[kind.text], kept["clientId"], kept["reason"]]));
    told.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_a_revision_is_read_by_its_id_as_the_list_shows_it() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        kind.create(&phone, 1, "one", &at(T)).await.ok();
        kind.edit(&phone, 1, "two", &at(T + 10)).await.ok();
        kind.edit(&phone, 1, "lost", &at(T + 5))
            .await
            .problem(409, "superseded");
        kind.delete(&phone, 1, Some(T + 20)).await.ok();
        let kept = kind.revisions(&phone, 1).await;
        assert_eq!(kept.len(), 3, "{}", kind.name);
        for revision in kept {
            let read = phone.get(&path_of(kind, 1, &revision)).await.ok();
            assert_eq!(read, Value::Object(revision), "{}", kind.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_a_restored_revision_is_a_new_edit_that_syncs_and_keeps_what_it_replaces() {
    let (_server, phone) = phone().await;
    let tablet = phone.on("tablet");
    for kind in KINDS {
        kind.create(&phone, 1, "one", &json!({"updatedAt": T, "createdAt": T - 5}))
            .await
            .ok();
        kind.edit(&phone, 1, "two", &at(T + 10)).await.ok();
        let cursors = phone.everything().await.cursors();
        let before = phone.server_time().await;
        let answer = restore(&tablet, kind, 1, &revision(&phone, kind, 1, "one").await).await;
        let answer = answer.ok();
        assert_eq!(
            (&answer[kind.text], &answer["createdAt"]),
            (&json!("one"), &json!(T - 5))
        );
        assert!(
            answer["updatedAt"].as_i64() >= Some(before),
            "an edit of now: {answer}"
        );
        let same = phone.put(&kind.path(1), &json!({})).await.ok();
        assert_eq!(answer, same, "as its own PUT answers it");
        let pulled = &phone.pull(&cursors).await["changes"][kind.name]["updated"];
        assert_eq!(column(pulled, kind.text), ["one"]);
        assert_eq!(pulled[0]["updatedAt"], answer["updatedAt"]);
        kind.edit(&phone, 1, "three", &json!({})).await.ok();
        assert_eq!(
            told(kind, &kind.revisions(&phone, 1).await),
            json!([
                ["one", "tablet", "overwritten"],
                ["two", "phone", "overwritten"],
                ["one", "phone", "overwritten"]
            ]),
            "{}",
            kind.name
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_the_whole_content_comes_back() {
    let (_server, phone) = phone().await;
    MEMO.create(&phone, 7, "parent", &at(T)).await.ok();
    let full = [
        json!({"tags": ["a", "b"], "diaryDate": "2024-05-06", "aiSummary": "short", "isArchived": true}),
        json!({"moodKey": "joy", "moodScore": 9, "generationSource": "ai", "generatedFromMemoIds": [MEMO.key(7)]}),
        json!({"memoId": MEMO.key(7), "mimeType": "image/png", "sortOrder": 4, "metadata": {"width": 3}}),
        json!({"description": "d", "aiConfig": {"a": [1]}, "model": "m", "autoReply": false, "tags": ["c"]}),
    ];
    let plain = [
        json!({"tags": [], "diaryDate": null, "aiSummary": null, "isArchived": false}),
        json!({"moodKey": "calm", "moodScore": 1, "generationSource": "manual", "generatedFromMemoIds": []}),
        json!({"memoId": null, "mimeType": "text/plain", "sortOrder": 0, "metadata": {}}),
        json!({"description": "", "aiConfig": null, "model": null, "autoReply": true, "tags": []}),
    ];
    for ((kind, full), plain) in KINDS.into_iter().zip(full).zip(plain) {
        kind.create(&phone, 1, "full", &with(&full, &at(T))).await.ok();
        let made = kind.pulled(&phone, 1).await;
        kind.edit(&phone, 1, "plain", &with(&plain, &at(T + 1)))
            .await
            .ok();
        let full = revision(&phone, kind, 1, "full").await;
        restore(&phone, kind, 1, &full).await.ok();
        let back = kind.pulled(&phone, 1).await;
        let times = json!({"updatedAt": back["updatedAt"]});
        let mut expected = with(&made, &times);
        if kind.name == MEMO.name {
            expected["revisionCount"] = json!(3);
        }
        assert_eq!(back, expected, "{}", kind.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_restoring_brings_a_deleted_record_back() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        kind.create(&phone, 1, "one", &at(T)).await.ok();
        kind.edit(&phone, 1, "two", &at(T + 1)).await.ok();
        kind.delete(&phone, 1, None).await.ok();
        let mut tablet = phone.everything().await;
        let key = (kind.name.to_owned(), kind.key(1));
        assert!(!tablet.records.contains_key(&key));
        let answer = restore(&phone, kind, 1, &revision(&phone, kind, 1, "one").await).await;
        assert_eq!(answer.ok()[kind.text], "one");
        assert_eq!(kind.get(&phone, 1).await[kind.text], "one");
        tablet.pull_all(&phone.on("tablet")).await;
        assert_eq!(tablet.records[&key][kind.text], "one");
        let texts = told(kind, &kind.revisions(&phone, 1).await);
        assert_eq!(
            texts,
            json!([["two", "phone", "deleted"], ["one", "phone", "overwritten"]]),
            "a tombstone has nothing to keep"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_restoring_twice_changes_nothing_the_second_time() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        kind.create(&phone, 1, "one", &at(T)).await.ok();
        kind.edit(&phone, 1, "two", &at(T + 1)).await.ok();
        let one = revision(&phone, kind, 1, "one").await;
        let first = restore(&phone, kind, 1, &one).await.ok();
        let (before, kept) = (phone.everything().await, kind.revisions(&phone, 1).await);
        assert_eq!(restore(&phone.on("tablet"), kind, 1, &one).await.ok(), first);
        let path = format!("{}/restore", path_of(kind, 1, &one));
        let bare = phone.send(phone.request(Method::POST, &path)).await;
        assert_eq!(bare.ok(), first, "without a body");
        phone.assert_untouched(&before, "restoring it again").await;
        assert_eq!(kind.revisions(&phone, 1).await, kept);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_an_edit_that_lost_can_be_brought_back() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        kind.create(&phone, 1, "winner", &at(T + 10)).await.ok();
        kind.edit(&phone.on("old"), 1, "lost", &at(T))
            .await
            .problem(409, "superseded");
        let lost = revision(&phone, kind, 1, "lost").await;
        assert_eq!(restore(&phone, kind, 1, &lost).await.ok()[kind.text], "lost");
        assert_eq!(kind.pulled(&phone, 1).await[kind.text], "lost");
        assert_eq!(
            told(kind, &kind.revisions(&phone, 1).await),
            json!([["winner", "phone", "overwritten"], ["lost", "old", "superseded"]])
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_w2_a_restore_with_a_time_is_judged_like_any_edit() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        kind.create(&phone, 1, "one", &at(T)).await.ok();
        kind.edit(&phone, 1, "two", &at(T + 10)).await.ok();
        let one = revision(&phone, kind, 1, "one").await;
        let path = format!("{}/restore", path_of(kind, 1, &one));
        let late = phone.post(&path, &at(T + 5)).await;
        assert_eq!(late.problem(409, "superseded")["current"][kind.text], "two");
        let ahead = phone.server_time().await + 6 * 60_000;
        phone
            .post(&path, &at(ahead))
            .await
            .problem(422, "edit_time_ahead");
        phone
            .post(&path, &at(-1))
            .await
            .invalid("updatedAt", "out_of_range");
        let back = phone.post(&path, &at(T + 20)).await.ok();
        assert_eq!(
            (&back[kind.text], &back["updatedAt"]),
            (&json!("one"), &json!(T + 20))
        );
        let clock = phone.clock().await;
        assert_eq!(phone.post(&path, &at(T + 20)).await.ok(), back);
        assert_eq!(phone.clock().await, clock, "a retry changes nothing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_w9_a_resource_whose_memo_is_deleted_is_restored_detached() {
    let (_server, phone) = phone().await;
    MEMO.create(&phone, 1, "memo", &at(T)).await.ok();
    let of_memo = json!({"memoId": MEMO.key(1), "updatedAt": T});
    RESOURCE.create(&phone, 1, "one.png", &of_memo).await.ok();
    MEMO.delete(&phone, 1, None).await.ok();
    let kept = revision(&phone, RESOURCE, 1, "one.png").await;
    let back = restore(&phone, RESOURCE, 1, &kept).await.ok();
    assert_eq!(
        (&back["filename"], &back["memoId"]),
        (&json!("one.png"), &Value::Null)
    );
    let memo = revision(&phone, MEMO, 1, "memo").await;
    let back = restore(&phone, MEMO, 1, &memo).await.ok();
    assert_eq!(back["resources"], json!([]), "the memo alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_revisions_of_other_records_and_unknown_ones_are_404_and_nothing_changes() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        for n in [1, 2] {
            kind.create(&phone, n, &format!("one {n}"), &at(T)).await.ok();
            kind.edit(&phone, n, &format!("two {n}"), &at(T + 1)).await.ok();
        }
    }
    let before = phone.everything().await;
    for kind in KINDS {
        let of_first = revision(&phone, kind, 1, "one 1").await;
        let id = of_first["id"].as_str().unwrap();
        let unknown = "00000000-0000-4000-8000-00000000dead";
        let mut paths = vec![
            format!("{}/revisions/{id}", kind.path(2)),
            format!("{}/revisions/{id}", kind.path(3)),
            format!("{}/revisions/{unknown}", kind.path(1)),
        ];
        // Memos, resources and bots have the same ids here.
        let others = KINDS.into_iter().filter(|other| other.name != kind.name);
        paths.extend(others.map(|other| format!("{}/revisions/{id}", other.path(1))));
        for path in paths {
            phone.get(&path).await.problem(404, "not_found");
            let answer = phone.post(&format!("{path}/restore"), &json!({})).await;
            answer.problem(404, "not_found");
        }
        for bad in ["x", "1", "%00"] {
            let path = format!("{}/revisions/{bad}", kind.path(1));
            phone.get(&path).await.invalid("revision", "invalid_uuid");
            let answer = phone.post(&format!("{path}/restore"), &json!({})).await;
            answer.invalid("revision", "invalid_uuid");
        }
    }
    phone.assert_untouched(&before, "revisions of others").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_another_user_s_revisions_are_404_and_nothing_changes() {
    let server = Server::start();
    let anna = server.new_user("anna", "phone").await;
    let bert = server.new_user("bert", "phone").await;
    for kind in KINDS {
        for (client, text) in [(&anna, "hers"), (&bert, "his")] {
            kind.create(client, 1, text, &at(T)).await.ok();
            kind.edit(client, 1, "now", &at(T + 1)).await.ok();
        }
    }
    let (of_anna, of_bert) = (anna.everything().await, bert.everything().await);
    for kind in KINDS {
        // Both have a record with this key.
        let hers = revision(&anna, kind, 1, "hers").await;
        bert.get(&path_of(kind, 1, &hers)).await.problem(404, "not_found");
        restore(&bert, kind, 1, &hers).await.problem(404, "not_found");
    }
    anna.assert_untouched(&of_anna, "his requests").await;
    bert.assert_untouched(&of_bert, "her revisions").await;
}

/// The path in a `Link` header that names the next page.
fn next_page(answer: &Answer) -> Option<String> {
    let link = answer.headers.get("link")?.to_str().expect("a text");
    let (target, rel) = link
        .strip_prefix('<')
        .and_then(|link| link.split_once('>'))
        .expect("a target");
    assert_eq!(rel.trim(), "; rel=\"next\"");
    Some(target.to_owned())
}

/// The numbers of the revisions, page after page.
async fn pages(client: &Client, first: &str) -> Vec<Vec<i64>> {
    let mut pages = Vec::new();
    let mut path = Some(first.to_owned());
    while let Some(here) = path {
        let answer = client.get(&here).await;
        path = next_page(&answer);
        let page = answer.ok();
        let numbers = page.as_array().expect("a list").iter();
        pages.push(
            numbers
                .map(|kept| kept["revisionNumber"].as_i64().unwrap())
                .collect(),
        );
    }
    pages
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_pages_of_revisions_have_each_exactly_once_the_latest_first() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        for version in 0..24 {
            kind.create(&phone, 1, &format!("version {version}"), &at(T + version))
                .await
                .ok();
        }
        let list = format!("{}/revisions", kind.path(1));
        let everything: Vec<i64> = (1..=23).rev().collect();
        for (limit, sizes) in [
            (10, &[10, 10, 3][..]),
            (23, &[23]),
            (22, &[22, 1]),
            (1, &[1; 23]),
            (200, &[23]),
        ] {
            for root in ["", "/api"] {
                let pages = pages(&phone, &format!("{root}{list}?limit={limit}")).await;
                let lengths: Vec<usize> = pages.iter().map(Vec::len).collect();
                assert_eq!(lengths, sizes, "{} by {limit}", kind.name);
                assert_eq!(pages.concat(), everything, "{} by {limit}", kind.name);
            }
        }
        assert_eq!(
            pages(&phone, &format!("{list}?before=4")).await,
            [[3, 2, 1]],
            "by number"
        );
        assert_eq!(pages(&phone, &format!("{list}?before=1")).await, [[0_i64; 0]]);
        for (query, field, code) in [
            ("limit=0", "limit", "out_of_range"),
            ("limit=201", "limit", "out_of_range"),
            ("limit=all", "limit", "invalid_type"),
            ("before=-1", "before", "out_of_range"),
            ("before=x", "before", "invalid_type"),
        ] {
            phone.get(&format!("{list}?{query}")).await.invalid(field, code);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_a_page_of_revisions_ends_at_4_mib_and_goes_on_with_the_next() {
    let (_server, phone) = phone().await;
    for version in 0..8 {
        let text = format!("{version}{}", "x".repeat(1024 * 1024 - 1));
        MEMO.create(&phone, 1, &text, &at(T + version)).await.ok();
    }
    let pages = pages(&phone, &format!("{}/revisions", MEMO.path(1))).await;
    assert_eq!(pages, [vec![7, 6, 5, 4], vec![3, 2, 1]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_what_is_edited_while_pages_are_read_moves_no_older_page() {
    let (_server, phone) = phone().await;
    for kind in KEYED_BY_ID {
        for version in 0..7 {
            kind.create(&phone, 1, &format!("{version}"), &at(T + version))
                .await
                .ok();
        }
        let first = phone.get(&format!("{}/revisions?limit=3", kind.path(1))).await;
        kind.edit(&phone, 1, "meanwhile", &json!({})).await.ok();
        let rest = pages(&phone, &next_page(&first).expect("a next page")).await;
        assert_eq!(rest, [vec![3, 2, 1]]);
    }
}

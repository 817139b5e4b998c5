//! `GET /account/export`: everything of the caller as lines of JSON, and nothing of others.

use std::collections::BTreeMap;

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::{Client, ENTITIES, Phone, Server};
use crate::kinds::{DIARY, KINDS, Kind, MEMO, RESOURCE, T, names};

/// An export, read whole.
struct Export {
    headers: HeaderMap,
    text: String,
    lines: Vec<Value>,
}

impl Export {
    async fn of(client: &Client) -> Self {
        let request = client.request(Method::GET, "/account/export");
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        let headers = response.headers().clone();
        let text = response.text().await.expect("a text");
        let lines = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        Self { headers, text, lines }
    }

    /// What the lines of this kind hold.
    fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.lines.iter().filter_map(move |line| line.get(kind))
    }

    /// The lines of the records, by type and key; none stands twice.
    fn records(&self) -> BTreeMap<(String, String), &Value> {
        let mut records = BTreeMap::new();
        for record in self.of_kind("record") {
            let twice = records.insert(key_of(record), record);
            assert_eq!(twice, None, "{record}");
        }
        records
    }
}

fn key_of(line: &Value) -> (String, String) {
    let text = |name: &str| line[name].as_str().expect("a text").to_owned();
    (text("entity"), text("key"))
}

/// Fails unless the content of a line is that of the record as a pull sends it.
fn assert_same_content(content: &Value, pulled: &Value) {
    for (name, value) in content.as_object().expect("a content") {
        assert_eq!(&pulled[name], value, "{name} of {pulled}");
    }
}

/// Checks the frame of an export, and that it has exactly what this user has.
async fn check(client: &Client, export: &Export) -> Phone {
    assert!(export.text.ends_with('\n'));
    let first = export.lines.first().expect("a header");
    let last = export.lines.last().expect("an end");
    assert_eq!((names(first), names(last)), (vec!["header"], vec!["end"]));
    let body = export.text.trim_end_matches('\n');
    let before_the_end = &export.text[..=body.rfind('\n').expect("two lines")];
    let hash = Sha256::digest(before_the_end);
    let digits = hash.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let hash: String = digits
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect();
    assert_eq!(
        last["end"],
        json!({
            "records": export.of_kind("record").count(),
            "revisions": export.of_kind("revision").count(),
            "sha256": hash,
        })
    );
    let phone = client.everything().await;
    let records = export.records();
    let exported: Vec<_> = records.keys().cloned().collect();
    let mut delivered = phone.delivered.clone();
    delivered.sort();
    assert_eq!(exported, delivered, "live records and tombstones");
    for (key, line) in records {
        let live = phone.records.get(&key);
        assert_eq!(line["deleted"], json!(live.is_none()), "{line}");
        if let Some(live) = live {
            assert_same_content(&line["content"], live);
            assert_eq!(line["updatedAt"], live["updatedAt"]);
            assert_eq!(line["createdAt"], live["createdAt"]);
        }
    }
    phone
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_of_nothing_is_a_header_and_an_end() {
    let server = Server::start();
    let phone = server.device("phone").await;
    let export = Export::of(&phone).await;
    check(&phone, &export).await;
    assert_eq!(export.lines.len(), 2);
    let header = &export.lines[0]["header"];
    assert_eq!(
        (&header["format"], &header["version"], &header["username"]),
        (&json!("mosaic-export"), &json!(1), &json!("admin"))
    );
    assert_eq!(header["epoch"], phone.pull(&json!({})).await["epoch"]);
    let exported = header["exportedAt"].as_i64().expect("a time");
    assert!((exported - phone.server_time().await).abs() < 60_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_a_file_of_json_lines() {
    let server = Server::start();
    let phone = server.device("phone").await;
    let headers = Export::of(&phone).await.headers;
    let text = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert!(text("content-type").starts_with("application/x-ndjson"));
    let disposition = text("content-disposition");
    assert!(
        disposition.starts_with("attachment") && disposition.contains("filename="),
        "{disposition}"
    );
    server
        .anonymous()
        .get("/account/export")
        .await
        .problem(401, "unauthenticated");
}

/// The revisions of a record as its route lists them: number, text, device, edit time, reason.
async fn listed(client: &Client, kind: Kind, n: usize) -> Value {
    let kept = kind.revisions(client, n).await;
    let told = kept.iter().map(|kept| {
        json!([
            kept["revisionNumber"],
            kept[kind.text],
            kept["clientId"],
            kept["editedAt"],
            kept["reason"]
        ])
    });
    told.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_has_all_records_tombstones_and_revisions() {
    let server = Server::start();
    let phone = server.device("phone").await;
    MEMO.create(&phone, 7, "parent", &json!({"tags": ["a"], "updatedAt": T}))
        .await
        .ok();
    let of_memo = json!({"memoId": MEMO.key(7), "metadata": {"width": 3}, "updatedAt": T});
    RESOURCE.create(&phone, 7, "child.png", &of_memo).await.ok();
    for kind in KINDS {
        kind.create(&phone, 1, "one", &json!({"updatedAt": T})).await.ok();
        kind.edit(&phone.on("tablet"), 1, "two", &json!({"updatedAt": T + 10}))
            .await
            .ok();
        kind.edit(&phone.on("old"), 1, "lost", &json!({"updatedAt": T + 5}))
            .await
            .problem(409, "superseded");
        kind.create(&phone, 2, "deleted", &json!({"updatedAt": T}))
            .await
            .ok();
        kind.delete(&phone, 2, Some(T + 1)).await.ok();
        kind.delete(&phone, 3, Some(T + 1)).await.ok();
    }
    let export = Export::of(&phone).await;
    check(&phone, &export).await;
    for kind in KINDS {
        for n in [1, 2] {
            let of_record = |line: &&Value| key_of(line) == (kind.name.to_owned(), kind.key(n));
            let mut exported: Vec<Value> = export
                .of_kind("revision")
                .filter(of_record)
                .map(|line| {
                    json!([
                        line["number"],
                        line["content"][kind.text],
                        line["clientId"],
                        line["updatedAt"],
                        line["reason"]
                    ])
                })
                .collect();
            exported.sort_by_key(|line| std::cmp::Reverse(line[0].as_i64()));
            assert_eq!(
                json!(exported),
                listed(&phone, kind, n).await,
                "{} {n}",
                kind.name
            );
        }
        let unknown = export.records()[&(kind.name.to_owned(), kind.key(3))].clone();
        assert_eq!(unknown["content"], Value::Null, "nothing is known of it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_export_is_whole_and_changes_nothing() {
    let server = Server::start();
    let phone = server.device("phone").await;
    for round in 0..4_usize {
        for version in 0..2_i64 {
            let changes = ENTITIES.iter().zip(KINDS).map(|(name, kind)| {
                let text = format!("version {version}");
                let records = (round * 200..(round + 1) * 200)
                    .map(|n| kind.record(n, &text, &json!({"updatedAt": T + version})));
                (
                    (*name).to_owned(),
                    json!({"updated": records.collect::<Vec<_>>()}),
                )
            });
            phone.push(&Value::Object(changes.collect())).await.ok();
        }
    }
    let before = phone.everything().await;
    let export = Export::of(&phone).await;
    let phone_now = check(&phone, &export).await;
    assert_eq!(phone_now, before);
    assert_eq!(export.lines.last().unwrap()["end"]["records"], 3_200);
    assert_eq!(export.lines.last().unwrap()["end"]["revisions"], 3_200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_has_nothing_of_others() {
    let server = Server::start();
    let anna = server.new_user("anna", "her-phone").await;
    let bert = server.new_user("bert", "his-phone").await;
    for kind in KINDS {
        kind.create(&anna, 1, "a secret", &json!({})).await.ok();
        kind.edit(&anna, 1, "a newer secret", &json!({})).await.ok();
        kind.create(&anna, 2, "a deleted secret", &json!({})).await.ok();
        kind.delete(&anna, 2, None).await.ok();
        // The same key as hers.
        kind.create(&bert, 1, "mine", &json!({})).await.ok();
    }
    let admin = server.device("admin").await;
    for (client, records) in [(&bert, 4), (&admin, 0)] {
        let export = Export::of(client).await;
        check(client, &export).await;
        assert_eq!(export.of_kind("record").count(), records);
        assert_eq!(export.of_kind("revision").count(), 0);
        for word in ["secret", "her-phone", "anna", &DIARY.key(2)] {
            assert!(!export.text.contains(word), "{word}");
        }
    }
    let of_anna = Export::of(&anna).await;
    check(&anna, &of_anna).await;
    assert!(!of_anna.text.contains("mine") && !of_anna.text.contains("his-phone"));
}

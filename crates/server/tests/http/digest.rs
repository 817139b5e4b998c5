//! `GET /sync/digest`: what the records of a user come to, computed here as docs/protocol.md tells apps to.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::{Client, ENTITIES, Phone, Server};
use crate::kinds::{KINDS, MEMO, RESOURCE, T, names};

/// The edit time of the nth record.
fn nth(n: usize) -> Value {
    json!({"updatedAt": T + i64::try_from(n).expect("a small number")})
}

/// Count and hash of each type, from what a phone holds.
fn computed(phone: &Phone) -> Value {
    let mut entities = json!({});
    for entity in ENTITIES {
        let of_entity = phone.records.iter().filter(|((name, _), _)| name == entity);
        let hashes: Vec<u64> = of_entity
            .map(|((_, key), record)| {
                let hash = Sha256::digest(format!("{key} {}", record["updatedAt"]));
                u64::from_be_bytes(*hash.first_chunk().expect("eight bytes"))
            })
            .collect();
        let sum = hashes.iter().fold(0_u64, |sum, hash| sum.wrapping_add(*hash));
        entities[entity] = json!({"count": hashes.len(), "hash": format!("{sum:016x}")});
    }
    entities
}

/// The server's digest, which must agree with what a fresh pull delivers.
async fn checked(client: &Client) -> Value {
    let phone = client.everything().await;
    let digest = client.get("/sync/digest").await.ok();
    assert_eq!(names(&digest), ["clock", "entities", "epoch"]);
    assert_eq!(digest["entities"], computed(&phone));
    assert_eq!(digest["clock"], phone.cursors()["memo"]);
    digest
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_of_nothing_is_zero() {
    let server = Server::start();
    let phone = server.device("phone").await;
    let digest = checked(&phone).await;
    for entity in ENTITIES {
        let zero = json!({"count": 0, "hash": "0000000000000000"});
        assert_eq!(digest["entities"][entity], zero);
    }
    let me = phone.get("/auth/me").await.ok();
    assert_eq!(digest["clock"], me["createdAt"], "S1");
    assert_eq!(digest["epoch"], phone.pull(&json!({})).await["epoch"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_is_what_a_fresh_device_computes_after_every_kind_of_write() {
    let server = Server::start();
    let phone = server.device("phone").await;
    let mut seen = vec![checked(&phone).await["entities"].clone()];
    for kind in KINDS {
        let records: Vec<Value> = (0..150).map(|n| kind.record(n, "one", &nth(n))).collect();
        phone.push(&kind.updates(&records)).await.ok();
        seen.push(checked(&phone).await["entities"].clone());
        kind.edit(&phone, 1, "two", &json!({})).await.ok();
        seen.push(checked(&phone).await["entities"].clone());
        kind.delete(&phone, 2, None).await.ok();
        seen.push(checked(&phone).await["entities"].clone());
        // A tombstone of what never was counts for nothing.
        kind.delete(&phone, 300, Some(T)).await.ok();
        let same = checked(&phone).await;
        assert_eq!(Some(&same["entities"]), seen.last());
        assert_eq!(same["entities"][kind.name]["count"], 149);
        kind.create(
            &phone,
            2,
            "back",
            &json!({"updatedAt": phone.server_time().await}),
        )
        .await
        .ok();
        seen.push(checked(&phone).await["entities"].clone());
    }
    for (place, digest) in seen.iter().enumerate() {
        assert!(!seen[..place].contains(digest), "the digest tells states apart");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memo_that_takes_its_resources_with_it_leaves_both_digests() {
    let server = Server::start();
    let phone = server.device("phone").await;
    let before = checked(&phone).await["entities"].clone();
    MEMO.create(&phone, 1, "memo", &json!({})).await.ok();
    let of_memo = json!({"memoId": MEMO.key(1)});
    RESOURCE.create(&phone, 1, "a.png", &of_memo).await.ok();
    checked(&phone).await;
    MEMO.delete(&phone, 1, None).await.ok();
    assert_eq!(checked(&phone).await["entities"], before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_says_nothing_of_others_and_does_not_depend_on_the_way_there() {
    let server = Server::start();
    let anna = server.new_user("anna", "phone").await;
    let bert = server.new_user("bert", "tablet").await;
    let nobody = server.new_user("carl", "phone").await;
    for kind in KINDS {
        for n in 0..5 {
            kind.create(&anna, n, "one by one", &nth(n)).await.ok();
        }
        let backwards: Vec<Value> = (0..5).rev().map(|n| kind.record(n, "at once", &nth(n))).collect();
        bert.push(&kind.updates(&backwards)).await.ok();
    }
    let (of_anna, of_bert) = (checked(&anna).await, checked(&bert).await);
    // Keys and edit times are the same.
    assert_eq!(of_anna["entities"], of_bert["entities"]);
    assert_eq!(checked(&nobody).await["entities"]["memo"]["count"], 0);
}

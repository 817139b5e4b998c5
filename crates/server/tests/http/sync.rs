//! Devices of one person converge, whatever happens meanwhile (rules P1 to P6).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::harness::{Client, Phone, Server};

fn memo_id(n: usize) -> String {
    format!("00000000-0000-4000-8000-{n:012x}")
}

async fn write_memos(client: &Client, numbers: impl IntoIterator<Item = usize>, updated_at: i64) {
    for n in numbers {
        let body = json!({"id": memo_id(n), "content": format!("memo {n}"), "updatedAt": updated_at});
        client.post("/memos", &body).await.ok();
    }
}

/// Writes these memos over several connections at once.
async fn write_in_parallel(
    client: &Client,
    numbers: std::ops::Range<usize>,
    connections: usize,
    updated_at: i64,
) {
    let tasks: Vec<_> = (0..connections)
        .map(|connection| {
            let (client, numbers) = (
                client.clone(),
                numbers.clone().skip(connection).step_by(connections),
            );
            tokio::spawn(async move { write_memos(&client, numbers, updated_at).await })
        })
        .collect();
    for task in tasks {
        task.await.expect("a writer");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_a_thousand_memos_of_one_millisecond_and_three_hundred_deletes_while_others_write() {
    let server = Server::start();
    let phone = server.device("phone").await;
    let edit_time = 1_715_000_000_000_i64;
    write_in_parallel(&phone, 0..1_000, 8, edit_time).await;
    for n in 0..300 {
        phone
            .delete(&format!("/memos/{}?updatedAt={}", memo_id(n), edit_time + 1))
            .await
            .ok();
    }

    let tablet = server.device("tablet").await;
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (stop, client) = (Arc::clone(&stop), server.device("laptop").await);
        tokio::spawn(async move {
            let mut written = 0;
            while !stop.load(Ordering::SeqCst) {
                write_memos(&client, [10_000 + written], edit_time).await;
                written += 1;
            }
            written
        })
    };
    let mut fresh = Phone::default();
    fresh.pull_all(&tablet).await;
    stop.store(true, Ordering::SeqCst);
    let written = writer.await.expect("the writer");
    fresh.pull_all(&tablet).await;

    assert!(fresh.largest_page <= 200, "P1: a page of {}", fresh.largest_page);
    let unique: BTreeSet<_> = fresh.delivered.iter().collect();
    assert_eq!(unique.len(), fresh.delivered.len(), "nothing comes twice");
    assert_eq!(fresh.delivered.len(), 1_000 + written);
    assert_eq!(fresh.records.len(), 700 + written);
    assert_eq!(fresh.records, tablet.everything().await.records);
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_eight_connections_of_two_hundred_writes_and_a_puller_that_never_rests() {
    let server = Server::start();
    let phone = server.device("phone").await;
    let tablet = server.device("tablet").await;
    let done = Arc::new(AtomicBool::new(false));
    let puller = {
        let done = Arc::clone(&done);
        let tablet = tablet.clone();
        tokio::spawn(async move {
            let mut seen = Phone::default();
            while !done.load(Ordering::SeqCst) {
                seen.pull_once(&tablet).await;
            }
            seen.pull_all(&tablet).await;
            seen
        })
    };
    // Each connection writes every memo of its own twice, so that changes move while they are pulled.
    write_in_parallel(&phone, 0..800, 8, 1_715_000_000_000).await;
    write_in_parallel(&phone, 0..800, 8, 1_715_000_000_001).await;
    done.store(true, Ordering::SeqCst);
    let seen = puller.await.expect("the puller");
    assert_eq!(seen.records.len(), 800);
    assert_eq!(seen.records, tablet.everything().await.records);
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_a_device_at_rest_holds_four_equal_cursors_and_gets_nothing() {
    let server = Server::start();
    let phone = server.device("phone").await;
    phone.post("/memos", &json!({"content": "one"})).await.ok();
    phone
        .put("/diaries/2026-05-16", &json!({"summary": "a day"}))
        .await
        .ok();
    let first = phone.pull(&json!({})).await;
    let cursors: BTreeSet<_> = ["memo", "diary", "resource", "bot"]
        .map(|e| first["cursors"][e].as_i64())
        .into();
    assert_eq!(cursors.len(), 1, "{first}");
    let again = phone.pull(&first["cursors"]).await;
    assert_eq!(again["cursors"], first["cursors"]);
    assert!(
        again["changes"]
            .as_object()
            .unwrap()
            .values()
            .all(|c| c == &json!({"updated": [], "deletedIds": []}))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn p5_resources_never_come_before_their_memos() {
    let server = Server::start();
    let phone = server.device("phone").await;
    // Resources are attached early; then their memos move to the end of history, past the first page.
    write_in_parallel(&phone, 0..250, 8, 1_715_000_000_000).await;
    for n in 0..20 {
        let body = json!({"memoId": memo_id(n), "filename": "a.png", "mimeType": "image/png", "fileSize": 1});
        phone.post("/resources", &body).await.ok();
    }
    write_in_parallel(&phone, 0..250, 8, 1_715_000_000_001).await;
    // `Phone` fails when a resource comes before its memo.
    let fresh = phone.everything().await;
    assert_eq!(fresh.records.len(), 270);
    assert!(fresh.pulls >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn p6_a_lost_answer_loses_nothing_and_the_stored_cursor_decides_nothing() {
    let server = Server::start();
    let phone = server.device("phone").await;
    write_memos(&phone, 0..5, 1_715_000_000_000).await;
    let first = phone.pull(&json!({})).await;
    let again = phone.pull(&json!({})).await;
    assert_eq!(first["changes"], again["changes"]);
    assert_eq!(first["changes"]["memo"]["updated"].as_array().unwrap().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_push_reaches_a_device_that_pulled_in_between() {
    let server = Server::start();
    let (phone, tablet) = (server.device("phone").await, server.device("tablet").await);
    tablet
        .post(
            "/memos",
            &json!({"id": memo_id(1), "content": "wednesday", "updatedAt": 1_715_200_000_000_i64}),
        )
        .await
        .ok();
    let mut thursday = Phone::default();
    thursday.pull_all(&tablet).await;
    phone
        .post(
            "/memos",
            &json!({"id": memo_id(2), "content": "monday", "updatedAt": 1_715_000_000_000_i64}),
        )
        .await
        .ok();
    let friday = tablet.pull(&thursday.cursors()).await;
    assert_eq!(friday["changes"]["memo"]["updated"][0]["content"], "monday");
}

#[tokio::test(flavor = "multi_thread")]
async fn r1_r2_cursors_and_epochs_of_another_history_are_reset() {
    let server = Server::start();
    let phone = server.device("phone").await;
    write_memos(&phone, 0..2, 1_715_000_000_000).await;
    let ahead = phone.pull(&json!({"memo": 9_007_199_254_740_991_i64})).await;
    assert_eq!(ahead["reset"], json!(["memo"]));
    assert_eq!(ahead["changes"]["memo"]["updated"].as_array().unwrap().len(), 2);
    let body = |epoch: &Value| json!({"clientId": "phone", "cursors": ahead["cursors"], "epoch": epoch});
    let same = phone.post("/sync/pull", &body(&ahead["epoch"])).await.ok();
    assert_eq!(same.get("reset"), None);
    let other = phone
        .post(
            "/sync/pull",
            &body(&json!("00000000-0000-4000-8000-000000000000")),
        )
        .await
        .ok();
    assert_eq!(other["reset"], json!(["memo", "diary", "resource", "bot"]));
    assert_eq!(other["changes"]["memo"]["updated"].as_array().unwrap().len(), 2);
}

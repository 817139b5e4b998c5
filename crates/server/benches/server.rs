//! How fast the server is, as ratios within one run: machines are noisy, but what they compare stays comparable.
//!
//! `cargo xtask bench`, or `cargo bench -p mosaic-server`. Talks to a real server on 127.0.0.1 and stops by itself after
//! about half a minute. Nothing here passes or fails.

#![expect(clippy::print_stdout, reason = "what it measures is what it prints")]

#[path = "../tests/http/harness.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "written for the tests, which use the rest of it"
)]
mod harness;

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use harness::{Client, Server};
use reqwest::Method;
use serde_json::{Value, json};

/// How long each thing is measured.
const SPAN: Duration = Duration::from_secs(3);
/// How many connections there are where there are many.
const MANY: usize = 64;
/// How many memos the user has that is pulled.
const MEMOS: usize = 2_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(measure());
}

async fn measure() {
    let server = Server::start();
    let client = server.device("bench").await;

    let syncs = syncs_per_second(&server);
    let floor = per_second(&client, MANY, |c| c.request(Method::GET, "/health")).await;
    let alone = per_second(&client, 1, write_request).await;
    let together = per_second(&client, MANY, write_request).await;

    let reader = server.new_user("reader", "phone").await;
    fill(&reader).await;
    let page: Value = reader.pull(&json!({})).await;
    let rest = rest_cursors(&reader).await;
    let at_rest = per_second(&reader, MANY, move |c| pull_request(c, &rest)).await;
    let pages = per_second(&reader, MANY, |c| pull_request(c, &json!({}))).await;
    let records = page["changes"]["memo"]["updated"].as_array().map_or(0, Vec::len);

    println!("per second, in one run of {} s each:", SPAN.as_secs());
    row("fdatasync of 4 KiB by one thread: the disk's pace", syncs, None);
    row(
        "GET /health, 64 connections: the pace of HTTP itself",
        floor,
        None,
    );
    row(
        "writes, 1 connection",
        alone,
        Some(("of the disk's pace", alone / syncs)),
    );
    row(
        "writes, 64 connections",
        together,
        Some(("times those of 1 connection (group commit)", together / alone)),
    );
    row(
        "pulls at rest, 64 connections",
        at_rest,
        Some(("of the pace of HTTP", at_rest / floor)),
    );
    row(
        &format!("pulls of {records} memos, 64 connections"),
        pages,
        Some(("of the pace at rest", pages / at_rest)),
    );
}

fn row(what: &str, per_second: f64, ratio: Option<(&str, f64)>) {
    let ratio = ratio.map_or(String::new(), |(of, ratio)| format!("  {ratio:.2} {of}"));
    println!("{per_second:>10.0}  {what:<52}{ratio}");
}

fn syncs_per_second(server: &Server) -> f64 {
    let mut file = File::create(server.data.path().join("sync-me")).expect("a file");
    let (started, mut syncs) = (Instant::now(), 0_u32);
    while started.elapsed() < SPAN {
        file.write_all(&[0; 4096])
            .and_then(|()| file.sync_data())
            .expect("a disk");
        syncs += 1;
    }
    f64::from(syncs) / started.elapsed().as_secs_f64()
}

fn write_request(client: &Client) -> reqwest::RequestBuilder {
    client
        .request(Method::POST, "/memos")
        .json(&json!({"content": "What a benchmark has to say is always the same."}))
}

fn pull_request(client: &Client, cursors: &Value) -> reqwest::RequestBuilder {
    client
        .request(Method::POST, "/sync/pull")
        .json(&json!({"clientId": client.id, "cursors": cursors}))
}

async fn fill(client: &Client) {
    for n in 0..MEMOS {
        let content = format!("Memo {n}: {}", "some words of a person. ".repeat(20));
        client
            .post("/memos", &json!({"content": content, "tags": ["bench"]}))
            .await
            .ok();
    }
}

async fn rest_cursors(client: &Client) -> Value {
    let mut phone = harness::Phone::default();
    phone.pull_all(client).await;
    phone.cursors()
}

/// How many such requests are answered per second over that many connections.
async fn per_second(
    client: &Client,
    connections: usize,
    request: impl Fn(&Client) -> reqwest::RequestBuilder + Send + Sync + 'static,
) -> f64 {
    let (request, answered, started) = (Arc::new(request), Arc::new(AtomicU64::new(0)), Instant::now());
    let tasks: Vec<_> = (0..connections)
        .map(|_| {
            let (client, request, answered) = (client.clone(), Arc::clone(&request), Arc::clone(&answered));
            tokio::spawn(async move {
                while started.elapsed() < SPAN {
                    client.send(request(&client)).await.ok();
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a client");
    }
    let answered = u32::try_from(answered.load(Ordering::Relaxed)).expect("a count");
    f64::from(answered) / started.elapsed().as_secs_f64()
}

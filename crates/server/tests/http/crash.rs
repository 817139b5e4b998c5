//! W8: what was acknowledged is there, whatever happens to the process.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use reqwest::Method;
use serde_json::json;
use tokio::sync::Notify;

use crate::harness::{Client, Data};

/// How often the server is killed.
const KILLS: usize = 20;
/// How many connections write meanwhile.
const WRITERS: usize = 4;
/// After how many acknowledged writes of a round it is killed.
const WRITES_BEFORE_KILL: usize = 25;

/// What the writers of all rounds had acknowledged.
#[derive(Default)]
struct Acknowledged {
    ids: Mutex<BTreeSet<String>>,
    in_round: AtomicUsize,
    enough: Notify,
}

/// Writes memos until the server is gone, and notes those that were acknowledged.
async fn write_until_killed(client: Client, round: usize, writer: usize, acknowledged: Arc<Acknowledged>) {
    for n in 0.. {
        let id = format!("{round:08x}-{writer:04x}-4000-8000-{n:012x}");
        let body = json!({"id": id, "content": format!("round {round}, writer {writer}, {n}")});
        match client.request(Method::POST, "/memos").json(&body).send().await {
            Ok(answer) if answer.status().is_success() => {
                acknowledged.ids.lock().unwrap().insert(id);
                if acknowledged.in_round.fetch_add(1, Ordering::SeqCst) + 1 == WRITES_BEFORE_KILL {
                    acknowledged.enough.notify_one();
                }
            }
            _ => return,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w8_every_acknowledged_write_survives_twenty_kills_under_load() {
    let data = Data::new();
    let acknowledged = Arc::new(Acknowledged::default());
    for round in 0..KILLS {
        let server = data.start(&[]);
        let client = server.device("phone").await;
        assert_nothing_is_missing(&client, &acknowledged).await;
        acknowledged.in_round.store(0, Ordering::SeqCst);
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                tokio::spawn(write_until_killed(
                    client.clone(),
                    round,
                    writer,
                    Arc::clone(&acknowledged),
                ))
            })
            .collect();
        acknowledged.enough.notified().await;
        server.kill();
        for writer in writers {
            writer.await.expect("a writer");
        }
    }
    let server = data.start(&[]);
    assert_nothing_is_missing(&server.device("phone").await, &acknowledged).await;
    assert!(acknowledged.ids.lock().unwrap().len() >= KILLS * WRITES_BEFORE_KILL);
}

async fn assert_nothing_is_missing(client: &Client, acknowledged: &Acknowledged) {
    let stored: BTreeSet<String> = client
        .everything()
        .await
        .records
        .into_keys()
        .map(|(_, id)| id)
        .collect();
    let ids = acknowledged.ids.lock().unwrap();
    let missing: Vec<_> = ids.difference(&stored).collect();
    assert!(missing.is_empty(), "acknowledged and gone: {missing:?}");
}

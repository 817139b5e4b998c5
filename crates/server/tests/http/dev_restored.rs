//! Backups of `mosaic dev`, and setting it back.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::time::timeout;

use crate::dev::{contents, fault, phone};

#[tokio::test(flavor = "multi_thread")]
async fn r2_a_backup_is_restored_with_a_new_epoch_and_logins_go_on() {
    let (_server, phone) = phone().await;
    phone
        .post("/dev/restore", &json!(null))
        .await
        .problem(409, "no_backup");
    phone.post("/memos", &json!({"content": "kept"})).await.ok();
    phone.post("/dev/backup", &json!(null)).await.ok();
    let before = phone.pull(&json!({})).await;
    phone.post("/memos", &json!({"content": "gone"})).await.ok();
    for _ in 0..2 {
        phone.post("/dev/restore", &json!(null)).await.ok();
        assert_eq!(contents(&phone).await, ["kept"]);
    }
    let body = json!({"clientId": "phone", "cursors": before["cursors"], "epoch": before["epoch"]});
    let after = phone.post("/sync/pull", &body).await.ok();
    assert_eq!(after["reset"].as_array().unwrap().len(), 4);
    assert_ne!(after["epoch"], before["epoch"]);
}

/// Names what is in a folder.
fn names(folder: &Path) -> BTreeSet<OsString> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name()).collect()
}

/// The temporary folder of a server's store.
fn folder_of(pid: u32) -> PathBuf {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let open = open.filter_map(|file| std::fs::read_link(file.unwrap().path()).ok());
    let mut folders = open
        .filter(|file| file.ends_with("lock"))
        .filter_map(|lock| Some(lock.parent()?.to_owned()));
    folders.find(|folder| folder.join("data").exists()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_last_backup_is_kept_and_no_store_that_was_replaced() {
    let (server, phone) = phone().await;
    let folder = folder_of(server.pid());
    phone.post("/dev/backup", &json!(null)).await.ok();
    let before = (names(&folder), names(&folder.join("data")));
    for content in ["a", "b"] {
        phone.post("/memos", &json!({"content": content})).await.ok();
        phone.post("/dev/backup", &json!(null)).await.ok();
        phone.post("/dev/restore", &json!(null)).await.ok();
    }
    assert_eq!(contents(&phone).await, ["a", "b"]);
    assert_eq!((names(&folder), names(&folder.join("data"))), before);
    drop(server);
    assert!(!folder.exists());
}

/// Asks for it, and hangs up. The server may hear of both at once, and then does nothing, or at any time later.
fn hang_up(url: &str, path: &str) {
    let mut connection = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    let request = format!("POST {path} HTTP/1.1\r\nhost: mosaic\r\ncontent-length: 0\r\n\r\n");
    connection.write_all(request.as_bytes()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_nobody_waits_for_goes_on() {
    let (server, phone) = phone().await;
    let backed_up = async {
        loop {
            hang_up(&server.url, "/dev/backup");
            let restored = phone.post("/dev/restore", &json!(null)).await;
            if restored.status.is_success() {
                break;
            }
            restored.problem(409, "no_backup");
        }
    };
    timeout(Duration::from_mins(1), backed_up).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restoration_that_nobody_waits_for_goes_on() {
    let (server, phone) = phone().await;
    phone.post("/memos", &json!({"content": "kept"})).await.ok();
    phone.post("/dev/backup", &json!(null)).await.ok();
    phone.post("/memos", &json!({"content": "gone"})).await.ok();
    let before = phone.pull(&json!({})).await;
    let set_back = async {
        loop {
            hang_up(&server.url, "/dev/restore");
            // Whatever it finds, the server is there.
            if phone.pull(&json!({})).await["epoch"] != before["epoch"] {
                break;
            }
        }
    };
    timeout(Duration::from_mins(1), set_back).await.unwrap();
    assert_eq!(contents(&phone).await, ["kept"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restoration_waits_for_no_answer_that_is_held() {
    let (_server, phone) = phone().await;
    // More than lies between the server and whoever takes nothing of it.
    for _ in 0..20 {
        let memo = json!({"content": "x".repeat(1024 * 1024)});
        phone.post("/memos", &memo).await.ok();
    }
    phone.post("/dev/backup", &json!(null)).await.ok();
    let mut events = phone.request(Method::GET, "/sync/events").send().await.unwrap();
    fault(&phone, json!({"on": "GET /memos", "fault": {"hold": true}})).await;
    let held = tokio::spawn(phone.request(Method::GET, "/memos").send());
    while phone.get("/dev/faults").await.ok()["faults"] != json!([]) {}
    let restored = phone.post("/dev/restore", &json!(null));
    timeout(Duration::from_secs(20), restored)
        .await
        .expect("it waits")
        .ok();
    while let Ok(Some(_)) = events.chunk().await {}
    let again = phone.request(Method::GET, "/sync/events").send().await.unwrap();
    assert_eq!(again.status(), 200);
    phone.delete("/dev/faults").await.ok();
    let cut = held.await.unwrap().unwrap();
    cut.bytes().await.unwrap_err();
}

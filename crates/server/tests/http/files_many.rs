//! Many large files at once, none of them ever in memory here.

use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::files::{Form, KIB, Told, UPLOAD, Wire, hex, noise};
use crate::harness::Client;

/// How long a file may wait for the disk at its end, which all of them have in common.
const LIMIT: Duration = Duration::from_mins(5);

/// How much of a large file is made and sent at a time.
const PIECE: usize = 64 * KIB;

/// Sends so many files of so many bytes at once, none of them like another. Fails unless each is stored with the hash that it
/// has; returns their records.
pub async fn send_at_once(client: &Client, files: usize, bytes: usize) -> Vec<Value> {
    let uploads: Vec<_> = (0..files)
        .map(|n| tokio::spawn(send_large(client.clone(), 100 + n as u64, bytes)))
        .collect();
    let mut sent = Vec::new();
    for upload in uploads {
        sent.push(upload.await.expect("an upload"));
    }
    sent
}

/// As apps do: where the server says that it is busy, the file is sent once more.
async fn send_large(client: Client, seed: u64, bytes: usize) -> Value {
    for _ in 0..10 {
        let (told, hash) = try_to_send(&client, seed, bytes).await;
        if told.status != 503 {
            assert_eq!(told.status, 200, "{}", told.body);
            assert_eq!(told.body["sha256"], hash);
            return told.body;
        }
    }
    panic!("the server is always busy");
}

async fn try_to_send(client: &Client, seed: u64, bytes: usize) -> (Told, String) {
    let begun = Form::new().file("a.bin", "", b"").unfinished();
    // The line break that ends a file comes after its bytes.
    let (head, line) = begun.split_at(begun.len() - 2);
    let end = [line, Form::end().as_bytes()].concat();
    let length = (head.len() + bytes + end.len()).to_string();
    let headers = [("content-type", Form::CONTENT_TYPE), ("content-length", &*length)];
    let mut wire = Wire::open(client, &format!("POST {UPLOAD}"), &headers).await;
    wire.send(head).await.expect("a server that reads");
    let mut piece = noise(seed, PIECE);
    let mut hash = Sha256::new();
    for place in 0..bytes / PIECE {
        piece[8..16].copy_from_slice(&place.to_be_bytes());
        hash.update(&piece);
        wire.send(&piece).await.expect("a server that reads");
    }
    wire.send(&end).await.expect("a server that reads");
    // Many wait for the same disk.
    let told = tokio::time::timeout(LIMIT, wire.try_answer()).await;
    let told = told.expect("an answer in time").expect("an answer");
    (told, hex(&hash.finalize()))
}

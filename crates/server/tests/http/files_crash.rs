//! A1: what was acknowledged of a file is there, whatever happens to the process; and what was not is no half.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::Method;
use tokio::sync::Notify;

use crate::files::{Form, KIB, MIB, UPLOAD, Wire, file, noise, sha256};
use crate::harness::{Client, Data};
use crate::phone::Random;

/// How often the server is killed.
const KILLS: usize = 20;
/// How many uploads go on at once, of each kind.
const WRITERS: usize = 2;
/// How much is sent at a time.
const PIECE: usize = 64 * KIB;

/// When the server is killed: after so many bytes that all writers of a round have sent.
struct Fuse {
    left: AtomicUsize,
    blown: Notify,
}

impl Fuse {
    fn new(bytes: usize) -> Self {
        Self {
            left: AtomicUsize::new(bytes),
            blown: Notify::new(),
        }
    }

    fn burn(&self, bytes: usize) {
        let burn = |left: usize| Some(left.saturating_sub(bytes));
        let before = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, burn);
        if before.expect("always some") <= bytes {
            self.blown.notify_one();
        }
    }
}

/// A file that is made anew whenever it is needed.
#[derive(Debug, Clone, Copy)]
struct Source {
    seed: u64,
    length: usize,
}

impl Source {
    fn bytes(self) -> Vec<u8> {
        noise(self.seed, self.length)
    }

    /// The resource that it becomes.
    fn id(self) -> String {
        format!("00000000-0000-4000-8000-{:012x}", self.seed)
    }
}

/// A resumable upload that is not complete, and how much of it was acknowledged.
#[derive(Debug, Clone)]
struct Unfinished {
    source: Source,
    path: String,
    acknowledged: usize,
}

/// What one writer of a round leaves.
#[derive(Debug, Default)]
struct Left {
    /// What was acknowledged whole.
    whole: Vec<Source>,
    unfinished: Vec<Unfinished>,
}

/// Uploads files, each in one request, until the server is gone.
async fn send_forms(client: Client, sources: Vec<Source>, fuse: Arc<Fuse>) -> Left {
    let mut left = Left::default();
    for source in sources {
        let form = Form::new().field("id", &source.id());
        let body = form.file("a.bin", "", &source.bytes()).finished();
        let length = body.len().to_string();
        let headers = [("content-type", Form::CONTENT_TYPE), ("content-length", &*length)];
        match request(&client, &format!("POST {UPLOAD}"), &headers, &body, &fuse).await {
            Some(200) => left.whole.push(source),
            Some(other) => panic!("answered {other}"),
            None => return left,
        }
    }
    left
}

/// Uploads files in three requests each, until the server is gone.
async fn send_parts(client: Client, sources: Vec<Source>, fuse: Arc<Fuse>) -> Left {
    let mut left = Left::default();
    for source in sources {
        let Some(path) = begin(&client, source).await else {
            return left;
        };
        let bytes = source.bytes();
        let mut acknowledged = 0;
        for end in [source.length / 3, source.length / 2, source.length] {
            let length = (end - acknowledged).to_string();
            let offset = acknowledged.to_string();
            let headers = [
                ("tus-resumable", "1.0.0"),
                ("content-type", "application/offset+octet-stream"),
                ("upload-offset", &offset),
                ("content-length", &length),
            ];
            let part = &bytes[acknowledged..end];
            match request(&client, &format!("PATCH {path}"), &headers, part, &fuse).await {
                Some(204) => acknowledged = end,
                Some(other) => panic!("answered {other}"),
                None => {
                    left.unfinished.push(Unfinished {
                        source,
                        path,
                        acknowledged,
                    });
                    return left;
                }
            }
        }
        left.whole.push(source);
    }
    left
}

/// Begins a resumable upload; none where the server is gone.
async fn begin(client: &Client, source: Source) -> Option<String> {
    let request = client
        .request(Method::POST, "/uploads")
        .header("tus-resumable", "1.0.0")
        .header("upload-length", source.length)
        .header(
            "upload-metadata",
            format!("filename YS5iaW4=,id {}", in_base64(&source.id())),
        );
    let answer = request.send().await.ok()?;
    assert_eq!(answer.status(), 201);
    Some(answer.headers()["location"].to_str().unwrap().to_owned())
}

/// A text of ASCII in base64.
fn in_base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    assert_eq!(text.len() % 3, 0, "no padding is needed");
    let digit = |bits: u32| char::from(DIGITS[(bits & 63) as usize]);
    let three = |three: &[u8]| {
        let bits = u32::from(three[0]) << 16 | u32::from(three[1]) << 8 | u32::from(three[2]);
        [bits >> 18, bits >> 12, bits >> 6, bits].map(digit)
    };
    text.as_bytes().chunks(3).flat_map(three).collect()
}

/// Sends a request piece by piece; the status of its answer, or none where the server is gone.
async fn request(
    client: &Client,
    line: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    fuse: &Fuse,
) -> Option<u16> {
    let mut wire = Wire::try_open(client, line, headers).await.ok()?;
    for piece in body.chunks(PIECE) {
        wire.send(piece).await.ok()?;
        fuse.burn(piece.len());
    }
    Some(wire.try_answer().await.ok()?.status)
}

/// Fails where a file that was acknowledged is not there, or is another one.
async fn assert_there(client: &Client, sources: &[Source]) {
    for source in sources {
        let there = client
            .download(&format!("/resources/{}/download", source.id()))
            .await;
        assert_eq!(there.status, 200, "{source:?} was acknowledged, and is gone");
        let wanted = sha256(&source.bytes());
        assert_eq!(sha256(&there.bytes), wanted, "{source:?} is not what was sent");
    }
}

/// Goes on with what a killed server had acknowledged of an upload, to its end.
async fn finish(client: &Client, unfinished: &Unfinished) {
    let request = client
        .request(Method::HEAD, &unfinished.path)
        .header("tus-resumable", "1.0.0");
    let found = client.send(request).await;
    assert_eq!(found.status, 200, "{unfinished:?}");
    let offset: usize = found.headers["upload-offset"].to_str().unwrap().parse().unwrap();
    assert!(offset >= unfinished.acknowledged, "{unfinished:?} has {offset}");
    let request = client
        .request(Method::PATCH, &unfinished.path)
        .header("tus-resumable", "1.0.0")
        .header("upload-offset", offset)
        .header("content-type", "application/offset+octet-stream");
    let rest = unfinished.source.bytes().split_off(offset);
    let done = client.send(request.body(rest)).await;
    assert_eq!(done.status, 204, "{}", done.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a1_every_acknowledged_file_survives_twenty_kills_under_load() {
    let data = Data::new();
    let mut random = Random(20);
    let (mut seed, mut all, mut resumed) = (0, Vec::new(), 0);
    let mut unfinished: Vec<Unfinished> = Vec::new();
    for _ in 0..KILLS {
        let server = data.start(&[]);
        let client = server.device("phone").await;
        for upload in unfinished.drain(..) {
            finish(&client, &upload).await;
            resumed += 1;
            assert_there(&client, &[upload.source]).await;
            all.push(upload.source);
        }
        let fuse = Arc::new(Fuse::new(random.below(10 * MIB) + MIB));
        let mut sources = || {
            let source = |_| {
                seed += 1;
                let length = MIB + random.below(4 * MIB);
                Source { seed, length }
            };
            (0..8).map(source).collect::<Vec<_>>()
        };
        let mut writers = Vec::new();
        for _ in 0..WRITERS {
            writers.push(tokio::spawn(send_forms(
                client.clone(),
                sources(),
                Arc::clone(&fuse),
            )));
            writers.push(tokio::spawn(send_parts(
                client.clone(),
                sources(),
                Arc::clone(&fuse),
            )));
        }
        fuse.blown.notified().await;
        server.kill();
        for writer in writers {
            let left = writer.await.expect("a writer");
            all.extend(left.whole);
            unfinished.extend(left.unfinished);
        }
    }
    let server = data.start(&[]);
    let client = server.device("phone").await;
    assert_there(&client, &all).await;
    assert!(all.len() > KILLS, "only {} files were acknowledged", all.len());
    assert!(resumed > 0, "no upload was ever interrupted");
    // Half of a file, or a file without a record: neither is shown.
    let listed = client.everything().await.records;
    for record in listed.values() {
        let path = record["url"].as_str().expect("a resource");
        let there = client.download(path).await;
        assert_eq!(record["sha256"], sha256(&there.bytes), "{record}");
    }
    client.upload(file("after.bin", "", b"goes on")).await.ok();
    server.kill();
    let mut doctor = data.mosaic(&["doctor"]);
    let said = tokio::task::spawn_blocking(move || doctor.output())
        .await
        .unwrap()
        .unwrap();
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert_eq!(
        said.status.code(),
        Some(0),
        "{text}\n{}",
        String::from_utf8_lossy(&said.stderr)
    );
    for loss in ["lost:", "damaged:"] {
        assert!(!text.contains(loss), "{text}");
    }
}

//! Resumable uploads (tus) over connections that break, by a client of the tests' own and by one that others wrote.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mosaic_testkit::Random;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::files::{Folder, KIB, MIB, Wire, noise, sha256};
use crate::harness::{Answer, Client, Data, Server};

/// A resource, of whatever number.
fn id(number: usize) -> String {
    format!("0198f3a2-7b1c-7def-8000-{number:012}")
}

/// One upload, as its client sees it.
struct Uploading<'a> {
    client: Client,
    path: String,
    bytes: &'a [u8],
}

impl<'a> Uploading<'a> {
    /// Begins to upload these bytes as that resource.
    async fn begin(client: &Client, bytes: &'a [u8], id: &str) -> Self {
        let request = client
            .request(Method::POST, "/api/uploads")
            .header("tus-resumable", "1.0.0")
            .header("upload-length", bytes.len())
            .header("upload-metadata", format!("filename YS5iaW4=,id {}", base64(id)));
        let answer = client.send(request).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        assert_eq!(answer.headers["x-mosaic-resource-id"], id);
        let path = answer.headers["location"].to_str().unwrap().to_owned();
        Self {
            client: client.clone(),
            path,
            bytes,
        }
    }

    /// How many bytes have arrived.
    async fn offset(&self) -> usize {
        let request = self.client.request(Method::HEAD, &self.path);
        let answer = self.client.send(request.header("tus-resumable", "1.0.0")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let length = answer.headers["upload-length"].to_str().unwrap();
        assert_eq!(length, self.bytes.len().to_string());
        offset_of(&answer)
    }

    /// The head of a request that goes on from there, with that many bytes.
    async fn wire(&self, offset: usize, count: usize) -> std::io::Result<Wire> {
        let headers = [
            ("tus-resumable", "1.0.0"),
            ("content-type", "application/offset+octet-stream"),
            ("upload-offset", &*offset.to_string()),
            ("content-length", &*count.to_string()),
        ];
        Wire::try_open(&self.client, &format!("PATCH {}", self.path), &headers).await
    }

    /// Goes on from there with that many bytes.
    async fn append(&self, offset: usize, count: usize) -> Answer {
        self.append_of(offset, self.bytes[offset..offset + count].to_vec())
            .await
    }

    async fn append_of(&self, offset: usize, bytes: Vec<u8>) -> Answer {
        let request = self
            .client
            .request(Method::PATCH, &self.path)
            .header("tus-resumable", "1.0.0")
            .header("content-type", "application/offset+octet-stream")
            .header("upload-offset", offset);
        self.client.send(request.body(bytes)).await
    }

    /// Announces all that is missing, and breaks off after some of it.
    async fn break_off(&self, offset: usize, count: usize) {
        // A server that is still busy with the connection before refuses, perhaps before all of it is sent.
        if let Ok(mut wire) = self.wire(offset, self.bytes.len() - offset).await {
            let _ = wire.send(&self.bytes[offset..offset + count]).await;
        }
    }
}

fn offset_of(answer: &Answer) -> usize {
    answer.headers["upload-offset"].to_str().unwrap().parse().unwrap()
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let of_three = |three: &[u8]| {
        let bits =
            three.iter().fold(0, |bits, byte| bits << 8 | usize::from(*byte)) << (8 * (3 - three.len()));
        (0..4)
            .map(move |place| char::from(DIGITS[bits >> (18 - 6 * place) & 63]))
            .take(three.len() + 1)
    };
    let mut encoded: String = text.as_bytes().chunks(3).flat_map(of_three).collect();
    while !encoded.len().is_multiple_of(4) {
        encoded.push('=');
    }
    encoded
}

/// Fails unless the user has that resource with exactly these bytes.
async fn assert_is_there(client: &Client, id: &str, bytes: &[u8]) -> Value {
    let resource = client.get(&format!("/resources/{id}")).await.ok();
    assert_eq!(resource["sha256"], sha256(bytes));
    assert_eq!(resource["fileSize"], bytes.len());
    let found = client
        .download(&format!("/resources/{id}/download"))
        .await
        .whole();
    assert!(found == bytes, "other bytes came back");
    resource
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_survives_connections_that_break_anywhere() {
    let server = Server::start();
    let phone = server.device("phone").await;
    for seed in 1..=6 {
        let mut random = Random(seed);
        let bytes = noise(seed, MIB + usize::try_from(seed).unwrap());
        let id = id(random.below(1_000_000));
        let upload = Uploading::begin(&phone, &bytes, &id).await;
        let (mut known, mut sent, mut breaks) = (0, 0, 0);
        loop {
            let offset = upload.offset().await;
            assert!(known <= offset && offset <= sent, "{known} {offset} {sent}");
            known = offset;
            let left = bytes.len() - offset;
            if left == 0 {
                break;
            }
            let count = left.min(random.below(128 * KIB));
            if random.percent(25) {
                let answer = upload.append(offset, count).await;
                assert!([204, 409].contains(&answer.status.as_u16()), "{}", answer.body);
            } else {
                upload.break_off(offset, count).await;
                breaks += 1;
            }
            sent = sent.max(offset + count);
        }
        assert!(breaks > 3, "it broke {breaks} times only");
        assert_is_there(&phone, &id, &bytes).await;
        Folder::of(&server.data)
            .assert_holds(usize::try_from(seed).unwrap(), "uploads that broke off")
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_survives_a_server_that_is_killed() {
    const KILLS: usize = 6;
    let data = Data::new();
    let mut random = Random(7);
    let bytes = noise(7, 3 * MIB);
    let mut server = data.start(&[]);
    let phone = server.device("phone").await;
    let mut upload = Uploading::begin(&phone, &bytes, &id(1)).await;
    for kill in 0..KILLS {
        let offset = upload.offset().await;
        let count = random.below(256 * KIB);
        let answer = upload.append(offset, count).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.body);
        // It is killed in the middle of this one; the last time, while it makes a resource of what is there.
        let is_last = kill + 1 == KILLS;
        let next = offset + count;
        let under_way = if is_last {
            bytes.len() - next
        } else {
            random.below(256 * KIB)
        };
        let mut wire = upload.wire(next, bytes.len() - next).await.unwrap();
        wire.send(&bytes[next..next + under_way]).await.unwrap();
        server.kill();
        server = data.start(&[]);
        upload.client = server.device("phone").await;
        let found = upload.offset().await;
        assert!(
            found == next || (is_last && found == bytes.len()),
            "{next} was acknowledged, {found} is there"
        );
    }
    let offset = upload.offset().await;
    let answer = upload.append(offset, bytes.len() - offset).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.body);
    assert_is_there(&upload.client, &id(1), &bytes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_requests_at_one_offset_exactly_one_counts() {
    let server = Server::start();
    let phone = server.device("phone").await;
    for round in 0..20 {
        let id = id(round);
        // In the even rounds each of the two would be the whole file.
        let rest = noise(0, if round % 2 == 0 { 0 } else { KIB });
        let files = [1, round as u64 + 2].map(|seed| [noise(seed, 64 * KIB), rest.clone()].concat());
        let upload = Uploading::begin(&phone, &files[0], &id).await;
        let (one, other) = tokio::join!(
            upload.append_of(0, files[0][..64 * KIB].to_vec()),
            upload.append_of(0, files[1][..64 * KIB].to_vec())
        );
        // One that has to give way to the other may have brought nothing, or some of its bytes.
        let brought = [&one, &other].map(|answer| match answer.status {
            StatusCode::NO_CONTENT => offset_of(answer),
            StatusCode::CONFLICT => 0,
            _ => panic!("{} {}", answer.status, answer.body),
        });
        let file = match brought {
            [_, 0] if brought[0] > 0 => &files[0],
            [0, _] if brought[1] > 0 => &files[1],
            _ => panic!("{brought:?} {} {}", one.body, other.body),
        };
        let offset = upload.offset().await;
        assert_eq!(offset, brought[0] + brought[1]);
        let answer = upload.append_of(offset, file[offset..].to_vec()).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.body);
        assert_is_there(&phone, &id, file).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_may_be_larger_than_any_other_body() {
    let server = Server::start();
    let phone = server.device("phone").await;
    let bytes = noise(3, 40 * MIB);
    let upload = Uploading::begin(&phone, &bytes, &id(1)).await;
    let answer = upload.append(0, bytes.len()).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.body);
    assert_is_there(&phone, &id(1), &bytes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_its_users_own() {
    let server = Server::start();
    let phone = server.device("phone").await;
    let bytes = noise(4, 10 * KIB);
    let upload = Uploading::begin(&phone, &bytes, &id(1)).await;
    let other = Uploading {
        client: server.new_user("somebody-else", "laptop").await,
        path: upload.path.clone(),
        bytes: &bytes,
    };
    other.append(0, bytes.len()).await.problem(404, "not_found");
    for method in [Method::HEAD, Method::DELETE] {
        let request = other.client.request(method, &other.path);
        let answer = other.client.send(request.header("tus-resumable", "1.0.0")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(upload.offset().await, 0);
}

/// Stands between a client and the server, and breaks connections off.
struct Breaker {
    url: String,
    breaks: Arc<AtomicUsize>,
}

impl Breaker {
    /// Lets so much through on each connection, at least, and often not much more.
    const LEAST: usize = 4 * KIB;

    async fn before(server: &Server, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let breaks = Arc::new(AtomicUsize::new(0));
        let (address, counted) = (server.address().to_owned(), Arc::clone(&breaks));
        tokio::spawn(async move {
            let mut random = Random(seed);
            while let Ok((client, _)) = listener.accept().await {
                let budget = Self::LEAST + random.below(96 * KIB);
                let (address, counted) = (address.clone(), Arc::clone(&counted));
                tokio::spawn(async move {
                    let server = TcpStream::connect(address).await.expect("the server");
                    if is_broken_off(client, server, budget).await {
                        counted.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        Self { url, breaks }
    }
}

/// Passes bytes on until one side closes, or the client has sent more than this.
async fn is_broken_off(mut client: TcpStream, mut server: TcpStream, budget: usize) -> bool {
    let (mut from_client, mut from_server) = (vec![0; 8 * KIB], vec![0; 8 * KIB]);
    let mut left = budget;
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => match read {
                Ok(count @ 1..) => {
                    let passed = count.min(left);
                    left -= passed;
                    if server.write_all(&from_client[..passed]).await.is_err() {
                        return false;
                    }
                    if passed < count {
                        return true;
                    }
                }
                _ => return false,
            },
            read = server.read(&mut from_server) => match read {
                Ok(count @ 1..) if client.write_all(&from_server[..count]).await.is_ok() => {}
                _ => return false,
            },
        }
    }
}

/// A Python that has tuspy.
fn python() -> &'static str {
    let has_it = |python: &&str| {
        let mut command = Command::new(python);
        command
            .args(["-c", "import tusclient"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    // One that somebody chose, or the system's.
    ["python3", "/usr/bin/python3"]
        .into_iter()
        .find(has_it)
        .expect("tuspy is missing. Install it with: sudo apt-get install python3-tuspy")
}

/// Uploads with tuspy, and returns where it went.
async fn tuspy(
    url: &str,
    token: &str,
    file: &std::path::Path,
    chunk: usize,
    checksum: bool,
    id: &str,
) -> String {
    let mut command = tokio::process::Command::new(python());
    command
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/clients/tus_upload.py"
        ))
        .args([&format!("{url}/api/uploads"), token])
        .arg(file)
        .args([&*chunk.to_string(), if checksum { "yes" } else { "no" }, id])
        .env("NO_PROXY", "*")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let done = command.output().await.expect("python3 starts");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_others_wrote_uploads_whatever_breaks() {
    let server = Server::start();
    let phone = server.device("phone").await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file.bin");
    // A request with a checksum counts whole or not at all: it must fit what the connections let through.
    for (number, (chunk, checksum)) in [(1 << 40, false), (150 * KIB, false), (48 * KIB, true)]
        .into_iter()
        .enumerate()
    {
        let bytes = noise(number as u64 + 11, MIB + number);
        std::fs::write(&path, &bytes).expect("a file");
        let breaker = Breaker::before(&server, number as u64 + 1).await;
        let id = id(number);
        let token = phone.token.as_deref().expect("a token");
        let address = tuspy(&breaker.url, token, &path, chunk, checksum, &id).await;
        assert!(
            address.starts_with(&format!("{}/api/uploads/", breaker.url)),
            "{address}"
        );
        let breaks = breaker.breaks.load(Ordering::SeqCst);
        assert!(breaks >= 5, "it broke {breaks} times only");
        let resource = assert_is_there(&phone, &id, &bytes).await;
        assert_eq!(resource["filename"], "Stra\u{df}e.bin");
        assert_eq!(resource["mimeType"], "application/x-tus");
    }
}

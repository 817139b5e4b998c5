//! Files as apps send and fetch them, requests whose bodies are sent by hand, and what is left of all that on the disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mosaic_testkit::Random;
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Answer, Client, Data};

pub const KIB: usize = 1024;
pub const MIB: usize = 1024 * KIB;

/// Where files are sent to.
pub const UPLOAD: &str = "/resources/upload";

/// How long anything may take that happens by itself.
const LIMIT: Duration = Duration::from_secs(30);

/// The hash of some bytes, as the protocol writes it.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |digits, byte| digits + &format!("{byte:02x}"))
}

/// So many bytes of no known kind, the same in every run; others for another seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = Random(seed);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
    bytes.truncate(length);
    // No signature of any kind of file begins so.
    if let Some(first) = bytes.first_mut() {
        *first = 0xff;
    }
    if let Some(second) = bytes.get_mut(1) {
        *second = 0;
    }
    bytes
}

/// A form, as browsers and phones put it together.
#[derive(Debug, Clone)]
pub struct Form {
    body: Vec<u8>,
}

const BOUNDARY: &str = "----a-boundary-of-7MA4YWxk";

impl Form {
    /// What its request says of the body.
    pub const CONTENT_TYPE: &str = "multipart/form-data; boundary=----a-boundary-of-7MA4YWxk";

    /// With nothing in it.
    pub fn new() -> Self {
        Self { body: Vec::new() }
    }

    /// With a field of text.
    pub fn field(self, name: &str, text: &str) -> Self {
        let head = format!("Content-Disposition: form-data; name=\"{name}\"");
        self.part(&head, text.as_bytes())
    }

    /// With a file.
    pub fn file(self, filename: &str, mime_type: &str, bytes: &[u8]) -> Self {
        let head = format!(
            "Content-Disposition: form-data; name=\"file\"; filename=\"{filename}\"\r\nContent-Type: {mime_type}"
        );
        self.part(&head, bytes)
    }

    /// With a part that has this head.
    pub fn part(mut self, head: &str, bytes: &[u8]) -> Self {
        self.body
            .extend_from_slice(format!("--{BOUNDARY}\r\n{head}\r\n\r\n").as_bytes());
        self.body.extend_from_slice(bytes);
        self.body.extend_from_slice(b"\r\n");
        self
    }

    /// The body, without its end.
    pub fn unfinished(self) -> Vec<u8> {
        self.body
    }

    /// The body.
    pub fn finished(mut self) -> Vec<u8> {
        self.body.extend_from_slice(Self::end().as_bytes());
        self.body
    }

    /// What a body ends with.
    pub fn end() -> String {
        format!("--{BOUNDARY}--\r\n")
    }
}

/// A form with nothing but a file.
pub fn file(filename: &str, mime_type: &str, bytes: &[u8]) -> Form {
    Form::new().file(filename, mime_type, bytes)
}

/// What a request for a file was answered.
#[derive(Debug, Clone)]
pub struct Fetched {
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Fetched {
    /// A header; empty where it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("a text"))
    }

    /// The bytes of an answer that must be whole.
    #[track_caller]
    pub fn whole(self) -> Vec<u8> {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.bytes));
        self.bytes
    }
}

impl Client {
    /// Sends a form to where files go.
    pub async fn upload(&self, form: Form) -> Answer {
        self.send_form(UPLOAD, form).await
    }

    /// Sends a form.
    pub async fn send_form(&self, path: &str, form: Form) -> Answer {
        let request = self
            .request(Method::POST, path)
            .header("content-type", Form::CONTENT_TYPE);
        self.send(request.body(form.finished())).await
    }

    /// The answer to a request, as bytes.
    pub async fn fetch(&self, request: RequestBuilder) -> Fetched {
        let response = request.send().await.expect("an answer");
        Fetched {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            bytes: response.bytes().await.expect("a body").to_vec(),
        }
    }

    /// `GET` of a file.
    pub async fn download(&self, path: &str) -> Fetched {
        self.fetch(self.request(Method::GET, path)).await
    }

    /// `GET` of a file, with a header.
    pub async fn download_with(&self, path: &str, name: &str, value: &str) -> Fetched {
        self.fetch(self.request(Method::GET, path).header(name, value))
            .await
    }
}

/// The path of a resource's bytes.
pub fn bytes_of(resource: &Value) -> String {
    format!("/resources/{}/download", resource["id"].as_str().expect("an id"))
}

/// The folder of the attachments, as somebody sees it who looks at the disk.
#[derive(Debug, Clone)]
pub struct Folder(pub PathBuf);

impl Folder {
    /// The one that a server makes by itself.
    pub fn of(data: &Data) -> Self {
        Self(data.path().join("mosaic-data/attachments"))
    }

    /// The files that are blobs.
    pub fn blobs(&self) -> Vec<PathBuf> {
        let mut found = files_below(&self.0);
        // What names the storage is a file of nobody.
        let nobody = self.0.join("00000000-0000-0000-0000-000000000000");
        found.retain(|path| !path.starts_with(self.incoming_path()) && !path.starts_with(&nobody));
        found
    }

    /// The files that are being written.
    pub fn incoming(&self) -> Vec<PathBuf> {
        files_below(&self.incoming_path())
    }

    fn incoming_path(&self) -> PathBuf {
        self.0.join(".incoming")
    }

    /// Waits until there are so many blobs and nothing is being written: what was broken off is swept up a moment later.
    pub async fn assert_holds(&self, blobs: usize, after: &str) {
        let is_so = || self.blobs().len() == blobs && self.incoming().is_empty();
        if !eventually(is_so).await {
            let (found, incoming) = (self.blobs(), self.incoming());
            panic!("after {after}: wanted {blobs} blobs, found {found:?} and {incoming:?}");
        }
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    // Folders that are empty are removed meanwhile.
    for entry in fs::read_dir(folder).into_iter().flatten().map_while(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// Whether something comes to be so, asked again and again.
pub async fn eventually(is_so: impl Fn() -> bool) -> bool {
    let started = Instant::now();
    while !is_so() {
        if started.elapsed() > LIMIT {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    true
}

/// A request whose body is sent by hand, on a connection of its own.
pub struct Wire {
    connection: TcpStream,
}

/// What was answered on a connection of its own.
#[derive(Debug)]
pub struct Told {
    pub status: u16,
    pub head: String,
    pub body: Value,
}

impl Told {
    /// A header; empty where it is not there.
    pub fn header(&self, name: &str) -> &str {
        let named = |line: &&str| {
            line.split_once(':')
                .is_some_and(|(found, _)| found.eq_ignore_ascii_case(name))
        };
        let line = self.head.lines().find(named).unwrap_or_default();
        line.split_once(':').map_or("", |(_, value)| value.trim())
    }
}

impl Wire {
    /// Sends the head of a request: its method, its path and these headers, besides the login.
    pub async fn open(client: &Client, request: &str, headers: &[(&str, &str)]) -> Self {
        let opened = Self::try_open(client, request, headers).await;
        opened.expect("a server that listens")
    }

    /// As [`Wire::open`], where the server may have gone.
    pub async fn try_open(client: &Client, request: &str, headers: &[(&str, &str)]) -> std::io::Result<Self> {
        let address = client.url.strip_prefix("http://").expect("an address");
        let mut head = format!(
            "{request} HTTP/1.1\r\nhost: {address}\r\nx-client-id: {}\r\n",
            client.id
        );
        if let Some(token) = &client.token {
            head += "authorization: Bearer ";
            head += token;
            head += "\r\n";
        }
        for (name, value) in headers {
            head = head + name + ": " + value + "\r\n";
        }
        head.push_str("\r\n");
        let mut wire = Self {
            connection: TcpStream::connect(address).await?,
        };
        wire.send(head.as_bytes()).await?;
        Ok(wire)
    }

    /// Sends some of the body. Fails once the server has closed the connection.
    pub async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.connection.write_all(bytes).await
    }

    /// The answer.
    pub async fn answer(&mut self) -> Told {
        let told = tokio::time::timeout(LIMIT, self.try_answer()).await;
        told.expect("an answer in time").expect("an answer")
    }

    /// The answer, where the server may go before it gives one.
    pub async fn try_answer(&mut self) -> std::io::Result<Told> {
        let mut read = Vec::new();
        let end = loop {
            if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            self.read_more(&mut read).await?;
        };
        let head = String::from_utf8_lossy(&read[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let mut told = Told {
            status: status.expect("a status"),
            head,
            body: Value::Null,
        };
        let length = told.header("content-length").parse().unwrap_or(0);
        let mut body = read.split_off(end + 4);
        while body.len() < length {
            self.read_more(&mut body).await?;
        }
        // What follows is the answer to something else.
        if let Ok(json) = serde_json::from_slice(&body[..length]) {
            told.body = json;
        }
        Ok(told)
    }

    async fn read_more(&mut self, read: &mut Vec<u8>) -> std::io::Result<()> {
        match self.connection.read_buf(read).await? {
            0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Whether the server has closed the connection, or does so now.
    pub async fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        let read = tokio::time::timeout(LIMIT, self.connection.read_to_end(&mut rest)).await;
        // A reset is an end, too.
        read.is_ok()
    }
}

/// What the operating system says of a process's memory (`VmRSS`: now; `VmHWM`: at most), in bytes.
pub fn memory(pid: u32, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status
        .lines()
        .find(|line| line.starts_with(what))
        .expect("a number");
    let kibibytes = line
        .split_whitespace()
        .nth(1)
        .and_then(|text| text.parse::<u64>().ok());
    kibibytes.expect("a number") * 1024
}

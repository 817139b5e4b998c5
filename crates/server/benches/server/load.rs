//! Sends requests over and over on connections that stay open, and counts. As little as possible is done with the answers,
//! since this runs on the cores that are measured.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

/// Something that a caller does.
pub(crate) trait AsyncCall<C>: Clone + Send + 'static {
    /// Does it once.
    fn call(&self, caller: &mut C) -> impl Future<Output = ()> + Send;
}

/// Where somebody sends requests, and as whom.
#[derive(Clone)]
pub(crate) struct Sender {
    address: Arc<str>,
    token: Option<Arc<str>>,
}

impl Sender {
    pub(crate) fn new(url: &str, token: Option<&str>) -> Self {
        Self {
            address: url.trim_start_matches("http://").into(),
            token: token.map(Into::into),
        }
    }

    /// A request, with a JSON body.
    pub(crate) fn request(&self, method: &str, path: &str, body: Option<&str>) -> Request {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        if let Some(token) = &self.token {
            head.extend(["Authorization: Bearer ", token, "\r\n"]);
        }
        if let Some(body) = body {
            let length = body.len().to_string();
            head.extend([
                "Content-Type: application/json\r\nContent-Length: ",
                &length,
                "\r\n",
            ]);
        }
        head.extend(["\r\n", body.unwrap_or_default()]);
        Request(head.into())
    }

    /// Does something over so many connections, for so long.
    pub(crate) async fn drive(
        &self,
        call: impl AsyncCall<Connection>,
        connections: usize,
        span: Duration,
    ) -> Load {
        let mut open = Vec::with_capacity(connections);
        for _ in 0..connections {
            open.push(Connection::open(&self.address).await);
        }
        repeat(open, span, call).await
    }
}

/// A request, as it goes over the wire: the same each time.
#[derive(Clone)]
pub(crate) struct Request(Arc<str>);

impl AsyncCall<Connection> for Request {
    async fn call(&self, connection: &mut Connection) {
        let sent = connection.stream.write_all(self.0.as_bytes()).await;
        sent.expect("a connection");
        connection.answer().await;
    }
}

/// How many memos a push has.
pub(crate) const PUSHED: usize = 200;

/// Pushes of new memos, made anew each time.
#[derive(Clone)]
pub(crate) struct Push {
    sender: Sender,
    /// How many memos there are already.
    made: Arc<AtomicU64>,
}

impl Push {
    pub(crate) fn new(sender: Sender) -> Self {
        Self {
            sender,
            made: Arc::default(),
        }
    }
}

impl AsyncCall<Connection> for Push {
    async fn call(&self, connection: &mut Connection) {
        let first = u128::from(self.made.fetch_add(PUSHED as u64, Ordering::Relaxed)) + 1;
        let ids = (first..first + PUSHED as u128).map(anywhere);
        let memos = ids.map(memo).collect::<Vec<_>>().join(",");
        let body = format!(r#"{{"clientId":"bench","changes":{{"memo":{{"updated":[{memos}]}}}}}}"#);
        let push = self.sender.request("POST", "/sync/push", Some(&body));
        push.call(connection).await;
    }
}

/// Of each number another id, which lies anywhere among the others, as those of phones do that make them at random.
fn anywhere(number: u128) -> Uuid {
    Uuid::from_u128(number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

/// A memo of about 480 bytes.
pub(crate) fn memo(id: Uuid) -> String {
    let text = "some words of a person. ".repeat(18);
    format!(r#"{{"id":"{id}","content":"Memo {id}: {text}","tags":["bench"]}}"#)
}

/// Pulls of everything, page by page, as by a device that is new.
#[derive(Clone)]
pub(crate) struct FirstSync(pub(crate) Sender);

impl AsyncCall<Connection> for FirstSync {
    async fn call(&self, connection: &mut Connection) {
        let mut cursors = "{}".to_owned();
        loop {
            let body = format!(r#"{{"clientId":"bench","cursors":{cursors}}}"#);
            self.0
                .request("POST", "/sync/pull", Some(&body))
                .call(connection)
                .await;
            if !connection.object("hasMore").contains("true") {
                return;
            }
            cursors.clear();
            write!(cursors, "{}", connection.object("cursors")).expect("a text");
        }
    }
}

/// What so many connections came to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Load {
    /// Answers per second.
    pub(crate) per_second: f64,
    /// The median, in microseconds.
    pub(crate) p50: u32,
    /// 99 of 100 took no longer, in microseconds.
    pub(crate) p99: u32,
    /// Answers.
    pub(crate) answers: usize,
}

/// Sums up how long each of some calls took, in microseconds.
pub(crate) fn sum_up(mut took: Vec<u32>, span: Duration) -> Load {
    took.sort_unstable();
    let at = |percent: usize| took.get(took.len() * percent / 100).copied().unwrap_or_default();
    Load {
        per_second: f64::from(u32::try_from(took.len()).unwrap_or(u32::MAX)) / span.as_secs_f64(),
        p50: at(50),
        p99: at(99),
        answers: took.len(),
    }
}

/// Calls something again and again, as many at the same time as there are callers, and sums up.
pub(crate) async fn repeat<C: Send + 'static>(
    callers: Vec<C>,
    span: Duration,
    call: impl AsyncCall<C>,
) -> Load {
    let started = Instant::now();
    let tasks: Vec<_> = callers
        .into_iter()
        .map(|mut caller| {
            let call = call.clone();
            tokio::spawn(async move {
                let mut took = Vec::new();
                while started.elapsed() < span {
                    let before = Instant::now();
                    call.call(&mut caller).await;
                    took.push(u32::try_from(before.elapsed().as_micros()).unwrap_or(u32::MAX));
                }
                took
            })
        })
        .collect();
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await.expect("a caller"));
    }
    sum_up(took, started.elapsed())
}

/// An open connection, and what was read of it.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("the server listens");
        stream.set_nodelay(true).expect("a socket");
        Self {
            stream,
            buffer: Vec::with_capacity(64 * 1024),
        }
    }

    /// Reads one answer, which must be a good one.
    async fn answer(&mut self) {
        self.buffer.clear();
        let mut whole = None;
        while whole.is_none_or(|whole| self.buffer.len() < whole) {
            let read = self.stream.read_buf(&mut self.buffer).await.expect("an answer");
            assert_ne!(read, 0, "the server closed the connection");
            whole = whole.or_else(|| length(&self.buffer));
        }
    }

    /// The flat object of this name in the answer.
    fn object(&self, name: &str) -> &str {
        let answer = std::str::from_utf8(&self.buffer).expect("JSON");
        let at = answer.rfind(&format!("\"{name}\":{{")).expect(name) + name.len() + 3;
        let end = answer[at..].find('}').expect("an object");
        &answer[at..=at + end]
    }
}

/// How long an answer is, with its head, once that is there.
fn length(answer: &[u8]) -> Option<usize> {
    let head = answer.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&answer[..head]).expect("a head");
    assert!(text.starts_with("HTTP/1.1 2"), "{text}");
    let named = |line: &str| {
        line.to_ascii_lowercase()
            .strip_prefix("content-length: ")
            .map(str::to_owned)
    };
    let body = text
        .lines()
        .find_map(named)
        .map_or(0, |length| length.parse().expect("a length"));
    Some(head + body)
}

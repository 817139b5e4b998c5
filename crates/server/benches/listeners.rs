//! What a device that listens costs the server, and how long a commit takes to reach many of them.
//!
//! `cargo xtask bench`, or `cargo bench -p mosaic-server --bench listeners`. Talks to a real server on 127.0.0.1 and stops by
//! itself after about ten seconds. Nothing here passes or fails.

#![expect(clippy::print_stdout, reason = "what it measures is what it prints")]

#[path = "../tests/http/harness.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    reason = "written for the tests, which use the rest of it"
)]
mod harness;

use std::time::{Duration, Instant};

use harness::{Client, Server};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How many listen.
const LISTENERS: usize = 2_000;
/// How many of them are devices of one user.
const OF_ONE_USER: usize = 100;
/// How many commits are timed.
const COMMITS: usize = 50;
/// How many connections are opened at once.
const AT_ONCE: usize = 100;
/// How long the server may take for what it has to do.
const LIMIT: Duration = Duration::from_mins(1);

fn main() {
    allow_many_connections();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(measure());
}

/// Each connection is an open file, here and in the server, which inherits the limit.
fn allow_many_connections() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = Some(LISTENERS as u64 + 1_000);
    if limit.current.is_some() && limit.current < wanted {
        let raised = Rlimit {
            current: wanted,
            maximum: limit.maximum,
        };
        setrlimit(Resource::Nofile, raised).expect("enough open files");
    }
}

async fn measure() {
    let server = Server::start_with(&[
        "--events-max-per-user",
        &OF_ONE_USER.to_string(),
        "--auth-address-attempts-per-minute",
        "10000",
        "--auth-account-attempts-per-minute",
        "10000",
    ]);
    let mut users = Vec::new();
    for n in 0..LISTENERS / OF_ONE_USER {
        users.push(server.new_user(&format!("user-{n}"), "phone").await);
    }
    // What the first requests of each kind leave behind is not what listeners cost.
    let mut first = Listener::open(&users[0]).await;
    write(&users[0]).await;
    first.until(clock(&users[0]).await).await;
    drop(first);
    let before = resident_kib(&server);

    let opened = Instant::now();
    let mut listeners = Vec::new();
    for user in &users {
        listeners.push(open_all(user).await);
    }
    let opening = opened.elapsed();
    let after = resident_kib(&server);

    let (mut answered, mut heard) = (Vec::new(), Vec::new());
    for _ in 0..COMMITS {
        let (answer, last) = time_to_reach(&users[0], &mut listeners[0]).await;
        answered.push(answer);
        heard.push(last);
    }
    answered.sort();
    heard.sort();
    let each = f64::from(after - before) / f64::from(u32::try_from(LISTENERS).expect("a count"));
    println!(
        "{LISTENERS} devices of {} users listen, {OF_ONE_USER} of each:",
        users.len()
    );
    println!("{each:>10.1}  KiB of memory for each ({before} KiB before, {after} KiB after)");
    println!("{:>10.2}  s to connect them all", opening.as_secs_f64());
    println!("from sending a write, in the median (and at worst) of {COMMITS}:");
    for (times, what) in [
        (&answered, "until it is answered"),
        (&heard, "until all listeners of its user have heard"),
    ] {
        let (median, worst) = (millis(times[COMMITS / 2]), millis(times[COMMITS - 1]));
        println!("{median:>10.2}  ms ({worst:.2} ms) {what}");
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// The memory of the server, in KiB.
fn resident_kib(server: &Server) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.expect("its memory")
}

async fn write(client: &Client) {
    client
        .post("/memos", &json!({"content": "Something to pull."}))
        .await
        .ok();
}

async fn clock(client: &Client) -> i64 {
    client.get("/sync/digest").await.ok()["clock"]
        .as_i64()
        .expect("a clock")
}

/// All devices of a user, which listen and have read the first event.
async fn open_all(user: &Client) -> Vec<Listener> {
    let mut listeners = Vec::new();
    while listeners.len() < OF_ONE_USER {
        let mut opening = JoinSet::new();
        for _ in 0..AT_ONCE.min(OF_ONE_USER - listeners.len()) {
            let user = user.clone();
            opening.spawn(async move { Listener::open(&user).await });
        }
        listeners.extend(opening.join_all().await);
    }
    listeners
}

/// How long it takes from sending a write until it is answered, and until the last listener was told of it.
async fn time_to_reach(user: &Client, listeners: &mut Vec<Listener>) -> (Duration, Duration) {
    let before = clock(user).await;
    let mut hearing = JoinSet::new();
    for mut listener in listeners.drain(..) {
        hearing.spawn(async move {
            listener.until(before + 1).await;
            (listener, Instant::now())
        });
    }
    let sent = Instant::now();
    write(user).await;
    let answered = sent.elapsed();
    let mut last = sent;
    for (listener, heard) in hearing.join_all().await {
        last = last.max(heard);
        listeners.push(listener);
    }
    (answered, last - sent)
}

/// One connection, with as little around it as possible.
struct Listener {
    connection: TcpStream,
    unread: Vec<u8>,
}

impl Listener {
    async fn open(client: &Client) -> Self {
        let address = client.url.strip_prefix("http://").expect("an address");
        let token = client.token.as_deref().expect("a login");
        let request = format!(
            "GET /sync/events HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
             accept: text/event-stream\r\n\r\n"
        );
        let mut connection = TcpStream::connect(address).await.expect("it listens");
        connection.write_all(request.as_bytes()).await.expect("it reads");
        let mut listener = Self {
            connection,
            unread: Vec::new(),
        };
        listener.until(0).await;
        listener
    }

    /// Reads until an event has this clock or a later one.
    async fn until(&mut self, clock: i64) {
        let heard = async {
            while !self.read_clocks().into_iter().any(|heard| heard >= clock) {
                let read = self
                    .connection
                    .read_buf(&mut self.unread)
                    .await
                    .expect("a stream");
                assert!(read > 0, "it ended: {}", String::from_utf8_lossy(&self.unread));
            }
        };
        tokio::time::timeout(LIMIT, heard).await.expect("an event");
    }

    /// Takes the clocks of the events that have arrived.
    fn read_clocks(&mut self) -> Vec<i64> {
        let text = String::from_utf8_lossy(&self.unread).into_owned();
        let Some(end) = text.rfind("}\n\n") else {
            return Vec::new();
        };
        self.unread = text.as_bytes()[end + 3..].to_vec();
        let ids = text[..end].lines().filter_map(|line| line.strip_prefix("id: "));
        ids.map(|id| id.parse().expect("a clock")).collect()
    }
}

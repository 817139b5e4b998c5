//! The hostile user: each attack is a kind of request, sent by many connections, as fast as they are answered.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::future::join_all;
use reqwest::{Method, RequestBuilder};
use rustix::process::setpriority_process;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::files::MIB;
use crate::harness::{Client, Server};

/// Memos of 1 MiB that the attacker has, all of them on one day.
const LARGE_MEMOS: usize = 60;
const DAY: &str = "2026-05-16";
/// As `nice` counts.
const LOWEST_PRIORITY: i32 = 19;

/// One kind of attack.
pub struct Attack {
    /// What it is called.
    pub name: &'static str,
    kinds: &'static [Kind],
}

impl Attack {
    const fn of(name: &'static str, kinds: &'static [Kind]) -> Self {
        Self { name, kinds }
    }

    /// All of them at once.
    pub const EVERYTHING: Self = Self::of("everything at once", &Kind::ALL);
}

/// Each attack by itself.
pub const ATTACKS: [Attack; 9] = [
    Attack::of("nested objects", &[Kind::Nested]),
    Attack::of("packed bombs", &[Kind::Bombs]),
    Attack::of("large lists", &[Kind::Lists]),
    Attack::of("half a body each", &[Kind::HalfBodies]),
    Attack::of("searches", &[Kind::Searches]),
    Attack::of("large pushes", &[Kind::Pushes]),
    Attack::of("small edits of large memos", &[Kind::SmallEdits]),
    Attack::of("devices without end", &[Kind::Devices]),
    Attack::of("wrong passwords of the other", &[Kind::Passwords]),
];

#[derive(Debug, Clone, Copy)]
enum Kind {
    Nested,
    Bombs,
    Lists,
    HalfBodies,
    Searches,
    Pushes,
    SmallEdits,
    Devices,
    Passwords,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Nested,
        Self::Bombs,
        Self::Lists,
        Self::HalfBodies,
        Self::Searches,
        Self::Pushes,
        Self::SmallEdits,
        Self::Devices,
        Self::Passwords,
    ];

    /// How many connections send it at once.
    const fn connections(self) -> usize {
        match self {
            Self::Pushes | Self::SmallEdits => 4,
            Self::Bombs | Self::Lists | Self::Passwords => 8,
            Self::Nested | Self::Devices => 16,
            Self::Searches => 40,
            Self::HalfBodies => 100,
        }
    }
}

/// The attacker, with everything that is sent made beforehand.
pub struct Hostile {
    phone: Client,
    nested: Vec<u8>,
    bomb: Vec<u8>,
    push: String,
    /// Of all memos, each in a few bytes.
    edits: String,
    /// When the last of these was made.
    latest: i64,
    searches: Vec<String>,
    counter: AtomicU64,
}

impl Hostile {
    /// An account with memos of a megabyte.
    pub async fn prepare(server: &Server) -> Arc<Self> {
        let phone = server.new_user("mallory", "mallory-phone").await;
        let large = "all work and no play ".repeat(MIB / 21);
        let (mut edits, mut latest) = (Vec::new(), 0);
        for _ in 0..LARGE_MEMOS {
            let memo = json!({"content": large, "diaryDate": DAY});
            let made = phone.post("/memos", &memo).await.ok();
            edits.push(format!(
                "{{\"id\": {}, \"isArchived\": true, \"updatedAt\": UPDATED_AT}}",
                made["id"]
            ));
            latest = made["updatedAt"].as_i64().unwrap();
        }
        Arc::new(Self {
            phone,
            nested: nested(),
            bomb: bomb(),
            push: push_of(&overwriting(&large)),
            edits: push_of(&edits),
            latest,
            searches: searches(),
            counter: AtomicU64::new(0),
        })
    }

    /// Attacks until then. What is still unanswered is abandoned, as by a client that hangs up.
    ///
    /// The threads have the lowest priority: an attacker computes on a machine of its own, while these would take the cores
    /// from the server and from the neighbour, which are not what is measured.
    pub async fn attacks(self: &Arc<Self>, attack: &Attack, until: Instant) {
        let (hostile, kinds) = (Arc::clone(self), attack.kinds);
        let attack = move || {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            runtime.on_thread_start(|| setpriority_process(None, LOWEST_PRIORITY).unwrap());
            let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
            let connections: Vec<_> = kinds
                .iter()
                .flat_map(|kind| std::iter::repeat_n(*kind, kind.connections()))
                .map(|kind| runtime.spawn(Arc::clone(&hostile).goes_on(kind, until)))
                .collect();
            for ended in runtime.block_on(join_all(connections)) {
                ended.unwrap();
            }
        };
        tokio::task::spawn_blocking(attack).await.unwrap();
    }

    async fn goes_on(self: Arc<Self>, kind: Kind, until: Instant) {
        while Instant::now() < until {
            if let Kind::HalfBodies = kind {
                let _ = timeout_at(until, self.half_a_body()).await;
                continue;
            }
            let once = async {
                let Ok(mut answer) = self.request(kind).send().await else {
                    // Refused or cut: no reason to give up, but not to spin either.
                    tokio::task::yield_now().await;
                    return;
                };
                while let Ok(Some(_)) = answer.chunk().await {}
            };
            let _ = timeout_at(until, once).await;
        }
    }

    fn request(&self, kind: Kind) -> RequestBuilder {
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        let post = |path: &str| {
            self.phone
                .request(Method::POST, path)
                .header("content-type", "application/json")
        };
        let get = |path: &str| self.phone.request(Method::GET, path);
        match kind {
            Kind::Nested => post("/bots").body(self.nested.clone()),
            Kind::Bombs => post("/bots")
                .header("content-encoding", "gzip")
                .body(self.bomb.clone()),
            Kind::Lists if number.is_multiple_of(2) => get("/memos?pageSize=200"),
            Kind::Lists => get(&format!("/memos/date/{DAY}")),
            Kind::Searches => {
                let which = usize::try_from(number).unwrap_or_default() % self.searches.len();
                get(&self.searches[which])
            }
            Kind::Pushes => {
                let body = self
                    .push
                    .replace("UPDATED_AT", &(1_715_000_000_000 + number).to_string());
                post("/sync/push").body(body)
            }
            Kind::SmallEdits => {
                let time = self.latest + i64::try_from(number).unwrap();
                post("/sync/push").body(self.edits.replace("UPDATED_AT", &time.to_string()))
            }
            Kind::Devices => {
                let device = format!("invented-{number}");
                post("/sync/pull")
                    .body(json!({"clientId": device, "cursors": {}, "entities": ["bot"]}).to_string())
            }
            Kind::HalfBodies | Kind::Passwords => post("/auth/login").body(
                json!({"username": "anna", "password": format!("a guess, number {number}")}).to_string(),
            ),
        }
    }

    /// Announces a body, sends half of it, and waits to be thrown out.
    async fn half_a_body(&self) -> std::io::Result<()> {
        let address = self.phone.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).await?;
        let token = self.phone.token.as_deref().unwrap();
        let length = 16 * MIB;
        let head = format!(
            "POST /sync/push HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&vec![b' '; length / 2]).await?;
        std::future::pending().await
    }
}

/// Objects within each other, by a name that a parser once took for its own: each level is a text that holds the next one.
fn nested() -> Vec<u8> {
    let levels = "{\"$serde_json::private::RawValue\":".repeat(60);
    format!(
        "{{\"name\": \"x\", \"aiConfig\": {{\"a\": {levels}1{}}}}}",
        "}".repeat(60)
    )
    .into_bytes()
}

/// Some kilobytes that unpack to 16 MiB of small numbers.
fn bomb() -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer
        .write_all(b"{\"name\": \"x\", \"aiConfig\": {\"a\": [")
        .unwrap();
    packer.write_all(&b"0,".repeat(8_300_000)).unwrap();
    packer.write_all(b"0]}}").unwrap();
    packer.finish().unwrap()
}

/// 15 MiB of memos that are overwritten again and again, so that each push of them keeps as many revisions.
fn overwriting(text: &str) -> Vec<String> {
    let content = &text[..76_000];
    let memo = |i: u128| {
        let id = Uuid::from_u128(i);
        format!("{{\"id\": \"{id}\", \"content\": \"{content}\", \"updatedAt\": UPDATED_AT}}")
    };
    (1..=190).map(memo).collect()
}

fn push_of(memos: &[String]) -> String {
    let memos = memos.join(",");
    format!(
        "{{\"clientId\": \"mallory-phone\", \"changes\": {{\"memo\": {{\"updated\": [{memos}], \"deleted\": []}}}}}}"
    )
}

/// Searches that cost: many tags, long terms, terms that are everywhere, short ones that no index knows.
fn searches() -> Vec<String> {
    let tags: Vec<String> = (0..100).map(|i| format!("&tags=tag{i}")).collect();
    vec![
        format!("/memos/search?pageSize=200{}", tags.concat()),
        format!("/memos/search?query={}", "work%20and%20no%20play".repeat(20)),
        format!("/memos/search?query={}", "a".repeat(400)),
        "/memos/search?query=a&pageSize=200".to_owned(),
        "/memos?search=no%20play&pageSize=200".to_owned(),
        "/memos/tags".to_owned(),
    ]
}

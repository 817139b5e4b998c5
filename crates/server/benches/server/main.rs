//! How fast the server is, as ratios within one run: machines are noisy, but what they compare stays comparable.
//!
//! `cargo xtask bench`, or `cargo bench -p mosaic-server`. Talks to real servers on 127.0.0.1, on the embedded store and on a
//! throwaway PostgreSQL, and stops by itself after about two minutes. What is compared takes turns. Nothing here passes or
//! fails.

#![expect(clippy::print_stdout, reason = "what it measures is what it prints")]

#[path = "../../tests/http/harness.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "written for the tests, which use the rest of it"
)]
mod harness;
mod load;

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::{Client, Server};
use load::{AsyncCall, Load, Request, drive, repeat};
use mosaic_testkit::postgres::{Template, TestDatabase};
use serde_json::json;
use tokio_postgres::Statement;
use uuid::Uuid;

/// How long each thing is measured at a time.
const SPAN: Duration = Duration::from_secs(1);
/// How often; the median counts.
const ROUNDS: usize = 5;
/// How many memos the user has that is pulled.
const MEMOS: usize = 2_000;
/// How many connections there are.
const FEW: usize = 16;
const MANY: usize = 64;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        println!(
            "medians of {ROUNDS} rounds of {} s that take turns",
            SPAN.as_secs()
        );
        embedded().await;
        postgres().await;
    });
}

/// Something that is measured, and how much of the server's processor time it took.
struct Measured {
    what: String,
    rounds: Vec<(Load, Option<f64>)>,
}

impl Measured {
    fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            rounds: Vec::new(),
        }
    }

    /// The round in the middle.
    fn median(&self) -> (Load, Option<f64>) {
        let mut rounds = self.rounds.clone();
        rounds.sort_by(|a, b| a.0.per_second.total_cmp(&b.0.per_second));
        rounds[rounds.len() / 2]
    }

    fn print(&self, of: Option<(&Self, &str)>) {
        let (load, cpu) = self.median();
        let cpu = cpu.map_or(String::new(), |cpu| format!("{cpu:.0} µs"));
        let ratio = of.map_or(String::new(), |(of, name)| {
            format!("{:.2} {name}", load.per_second / of.median().0.per_second)
        });
        println!(
            "{:<46}{:>9.0}/s  p50 {:>6} µs  p99 {:>6} µs  CPU {cpu:>7}  {ratio}",
            self.what, load.per_second, load.p50, load.p99
        );
    }
}

/// A server with a user who has memos, and what is asked of it.
struct Subject {
    server: Server,
    health: Request,
    rest: Request,
    page: Request,
    write: Request,
}

impl Subject {
    async fn new(args: &[&str]) -> Self {
        // As many requests of one user at the same time as there are connections.
        let own = [
            "--http-requests-per-user",
            "100",
            "--http-heavy-requests-per-user",
            "100",
        ];
        let server = Server::start_with(&[args, &own].concat());
        let reader = server.new_user("reader", "phone").await;
        fill(&reader).await;
        let mut phone = harness::Phone::default();
        phone.pull_all(&reader).await;
        let (url, token) = (server.url.clone(), reader.token.as_deref());
        let pull = |cursors| {
            let body = json!({"clientId": reader.id, "cursors": cursors}).to_string();
            Request::new(&url, "POST", "/sync/pull", token, Some(&body))
        };
        let memo = json!({"content": "What a benchmark has to say is always the same."}).to_string();
        Self {
            health: Request::new(&url, "GET", "/health", None, None),
            rest: pull(phone.cursors()),
            page: pull(json!({})),
            write: Request::new(&url, "POST", "/memos", token, Some(&memo)),
            server,
        }
    }

    async fn measure(&self, into: &mut Measured, request: &Request, connections: usize) {
        let before = processor_time(self.server.pid());
        let load = drive(request, connections, SPAN).await;
        let took = processor_time(self.server.pid()).saturating_sub(before);
        let answers = u32::try_from(load.answers.max(1)).unwrap_or(u32::MAX);
        into.rounds
            .push((load, Some(took.as_secs_f64() * 1e6 / f64::from(answers))));
    }
}

async fn fill(client: &Client) {
    let memos: Vec<_> = (0..MEMOS)
        .map(|n| {
            let content = format!("Memo {n}: {}", "some words of a person. ".repeat(20));
            json!({"id": Uuid::from_u128(n as u128 + 1), "content": content, "tags": ["bench"]})
        })
        .collect();
    for memos in memos.chunks(200) {
        client.push(&json!({"memo": {"updated": memos}})).await.ok();
    }
}

/// The processor time of a process so far.
fn processor_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after_name.split(' ').skip(12).take(2);
    let ticks: u64 = ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    // Linux counts hundredths of a second for everybody who reads this file.
    Duration::from_millis(ticks * 10)
}

async fn embedded() {
    let subject = Subject::new(&[]).await;
    let mut disk = Measured::new("fdatasync of 4 KiB by one thread");
    let mut health = Measured::new(format!("GET /health, {FEW} connections"));
    let mut rest = Measured::new(format!("a device at rest pulls, {FEW} connections"));
    let mut page = Measured::new(format!("a page of 200 memos, {FEW} connections"));
    let mut alone = Measured::new("POST /memos, 1 connection");
    let mut together = Measured::new(format!("POST /memos, {MANY} connections"));
    for _ in 0..ROUNDS {
        disk.rounds.push((syncs(&subject.server), None));
        subject.measure(&mut health, &subject.health, FEW).await;
        subject.measure(&mut rest, &subject.rest, FEW).await;
        subject.measure(&mut page, &subject.page, FEW).await;
    }
    // After the pulls: a write moves the clock, and nobody is at rest any more.
    for _ in 0..ROUNDS {
        subject.measure(&mut alone, &subject.write, 1).await;
        subject.measure(&mut together, &subject.write, MANY).await;
    }
    println!("\nthe embedded store");
    disk.print(None);
    health.print(None);
    rest.print(Some((&health, "of GET /health")));
    page.print(Some((&health, "of GET /health")));
    alone.print(Some((&disk, "of the disk's pace")));
    together.print(Some((&alone, "times those of 1 connection")));
}

/// How often a thread may wait for the disk.
fn syncs(server: &Server) -> Load {
    let mut file = File::create(server.data.path().join("sync-me")).expect("a file");
    let (started, mut took) = (Instant::now(), Vec::new());
    while started.elapsed() < SPAN {
        let before = Instant::now();
        file.write_all(&[0; 4096])
            .and_then(|()| file.sync_data())
            .expect("a disk");
        took.push(u32::try_from(before.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
    load::sum_up(took, started.elapsed())
}

/// A statement that the database answers by itself, without the server: what the server is compared with.
#[derive(Clone)]
struct Look {
    user: Uuid,
    /// From where records are looked for; none: the clock alone.
    after: Option<i64>,
}

impl AsyncCall<(Arc<tokio_postgres::Client>, Statement)> for Look {
    async fn call(&self, (client, statement): &mut (Arc<tokio_postgres::Client>, Statement)) {
        let rows = match self.after {
            Some(after) => client.query(&*statement, &[&self.user, &after]).await,
            None => client.query(&*statement, &[&self.user]).await,
        };
        assert!(!rows.expect("the database answers").is_empty());
    }
}

/// One connection for each caller, with the statement prepared.
async fn connections(
    database: &TestDatabase,
    sql: &str,
    so_many: usize,
) -> Vec<(Arc<tokio_postgres::Client>, Statement)> {
    let mut all = Vec::new();
    for _ in 0..so_many {
        let client = database.connect().await;
        let statement = client.prepare(sql).await.expect("a statement");
        all.push((Arc::new(client), statement));
    }
    all
}

async fn postgres() {
    let database = TestDatabase::create(&Template::empty()).await;
    let subject = Subject::new(&["--database-url", &database.url(), "--postgres-pool-size", "16"]).await;
    let sql = database.connect().await;
    let user = sql
        .query_one("SELECT user_id FROM users WHERE username = 'reader'", &[])
        .await;
    let user: Uuid = user.expect("the user").get(0);
    let clock = "SELECT last_stamp FROM sync_clocks WHERE user_id = $1";
    let records = "SELECT record_key, stamp, document FROM records
                   WHERE user_id = $1 AND entity_type = 'memo' AND stamp > $2 ORDER BY stamp LIMIT 200";
    let mut look_up = Measured::new(format!("PostgreSQL: a look-up by key, {FEW} connections"));
    let mut rest = Measured::new(format!("a device at rest pulls, {FEW} connections"));
    let mut look_up_many = Measured::new(format!("PostgreSQL: a look-up by key, {MANY} connections"));
    let mut rest_many = Measured::new(format!("a device at rest pulls, {MANY} connections"));
    let mut rows = Measured::new(format!("PostgreSQL: the rows of a page, {FEW} connections"));
    let mut page = Measured::new(format!("a page of 200 memos, {FEW} connections"));
    let mut alone = Measured::new("POST /memos, 1 connection");
    let mut together = Measured::new(format!("POST /memos, {MANY} connections"));
    for _ in 0..ROUNDS {
        for (look_up, rest, so_many) in [
            (&mut look_up, &mut rest, FEW),
            (&mut look_up_many, &mut rest_many, MANY),
        ] {
            let callers = connections(&database, clock, so_many).await;
            let load = repeat(callers, SPAN, Look { user, after: None }).await;
            look_up.rounds.push((load, None));
            subject.measure(rest, &subject.rest, so_many).await;
        }
        let callers = connections(&database, records, FEW).await;
        let load = repeat(callers, SPAN, Look { user, after: Some(0) }).await;
        rows.rounds.push((load, None));
        subject.measure(&mut page, &subject.page, FEW).await;
    }
    for _ in 0..ROUNDS {
        subject.measure(&mut alone, &subject.write, 1).await;
        subject.measure(&mut together, &subject.write, MANY).await;
    }
    println!("\nPostgreSQL");
    look_up.print(None);
    rest.print(Some((&look_up, "of the database's own")));
    look_up_many.print(None);
    rest_many.print(Some((&look_up_many, "of the database's own")));
    rows.print(None);
    page.print(Some((&rows, "of the database's own")));
    alone.print(None);
    together.print(Some((&alone, "times those of 1 connection")));
    drop(subject);
    database.remove().await;
}

//! How fast the server is, as ratios within one run: machines are noisy, but what they compare stays comparable.
//!
//! `cargo xtask bench`, or `cargo bench -p mosaic-server --bench server`. Talks to real servers on 127.0.0.1, on the embedded
//! store and on a throwaway PostgreSQL, and stops by itself after about three minutes. What is compared takes turns. Nothing
//! here passes or fails.
//!
//! * `--large`: the user who is pulled has a million memos; filling takes minutes.
//! * `--json FILE`: writes what was measured; `--compare FILE`: says how it differs from such a file.

#![expect(clippy::print_stdout, reason = "what it measures is what it prints")]
#![expect(clippy::print_stderr, reason = "how far it is")]

#[path = "../../tests/http/harness.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    reason = "written for the tests, which use the rest of it"
)]
mod harness;
mod load;
mod report;
mod subject;

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::Server;
use load::{AsyncCall, Load, PUSHED, repeat};
use mosaic_testkit::postgres::{Template, TestDatabase};
use report::{Measured, Report};
use subject::{Subject, times};
use tokio_postgres::Statement;
use uuid::Uuid;

/// How long each thing is measured at a time.
const SPAN: Duration = Duration::from_secs(1);
/// How often; the median counts.
const ROUNDS: usize = 5;
/// How many memos the user has that is pulled, and with `--large`.
const MEMOS: usize = 2_000;
const LARGE: usize = 1_000_000;
/// How many connections there are.
const FEW: usize = 16;
const MANY: usize = 64;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let after = |flag| {
        let at = args.iter().position(|arg| arg == flag)?;
        args.get(at + 1).map(String::as_str)
    };
    let is_large = args.iter().any(|arg| arg == "--large");
    let memos = if is_large { LARGE } else { MEMOS };
    let mut report = Report::compared_with(after("--compare"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    println!(
        "medians of {ROUNDS} rounds of {} s that take turns",
        SPAN.as_secs()
    );
    runtime.block_on(async {
        embedded(memos, &mut report).await;
        postgres(memos, &mut report).await;
    });
    if let Some(file) = after("--json") {
        report.write(file);
    }
}

/// Says how far it is.
fn round(store: &str, what: &str, n: usize) {
    eprintln!("    {store}: {what}, round {} of {ROUNDS}", n + 1);
}

/// What is measured in the same way on both stores.
struct Common {
    alone: Measured,
    together: Measured,
    pushes: Measured,
    write: Measured,
    pull: Measured,
}

impl Common {
    /// After the pulls: a write moves the clock, and nobody is at rest any more.
    async fn measure(store: &str, subject: &Subject) -> Self {
        let mut common = Self {
            alone: Measured::new("POST /memos, 1 connection"),
            together: Measured::new(format!("POST /memos of one user, {MANY} connections")),
            pushes: Measured::new(format!("memos in pushes of {PUSHED}, 2 connections")),
            write: Measured::new("another user's POST /memos meanwhile"),
            pull: Measured::new("another user's page of 200 meanwhile"),
        };
        for n in 0..ROUNDS {
            round(store, "writes", n);
            subject.measure(&mut common.alone, subject.write.clone(), 1).await;
            subject
                .measure(&mut common.together, subject.write.clone(), MANY)
                .await;
            subject
                .beside_pushes(&mut common.pushes, &mut common.write, &mut common.pull)
                .await;
        }
        common
    }

    fn report(&self, store: &str, disk: Option<&Measured>, report: &mut Report) {
        report.line(store, &self.alone, disk.map(|disk| (disk, "of the disk's pace")));
        report.line(
            store,
            &self.together,
            Some((&self.alone, "times those of 1 connection")),
        );
        for measured in [&self.pushes, &self.write, &self.pull] {
            report.line(store, measured, None);
        }
    }
}

async fn embedded(memos: usize, report: &mut Report) {
    let store = "the embedded store";
    let subject = Subject::new(&[], memos).await;
    let mut disk = Measured::new("fdatasync of 4 KiB by one thread");
    let mut health = Measured::new(format!("GET /health, {FEW} connections"));
    let mut rest = Measured::new(format!("a device at rest pulls, {FEW} connections"));
    let mut page = Measured::new(format!("a page of 200 memos, {FEW} connections"));
    let mut sync = Measured::new("memos in first syncs, 4 connections");
    for n in 0..ROUNDS {
        round(store, "pulls", n);
        disk.add(syncs(&subject.server), None);
        subject.measure(&mut health, subject.health.clone(), FEW).await;
        subject.measure(&mut rest, subject.rest.clone(), FEW).await;
        subject.measure(&mut page, subject.page.clone(), FEW).await;
        subject.first_syncs(&mut sync, memos).await;
    }
    let common = Common::measure(store, &subject).await;
    println!("\n{store}");
    report.line(store, &disk, None);
    report.line(store, &health, None);
    report.line(store, &rest, Some((&health, "of GET /health")));
    report.line(store, &page, Some((&health, "of GET /health")));
    report.line(store, &sync, None);
    common.report(store, Some(&disk), report);
    subject.report_memory(store, report).await;
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

type Prepared = (Arc<tokio_postgres::Client>, Statement);

/// What the database answers by itself, without the server, which is compared with it: a user's clock.
#[derive(Clone)]
struct LookUp(Uuid);

impl AsyncCall<Prepared> for LookUp {
    async fn call(&self, (client, statement): &mut Prepared) {
        let rows = client.query(&*statement, &[&self.0]).await;
        assert!(!rows.expect("the database answers").is_empty());
    }
}

/// A user's memos, a page at a time: the first ones alone, or all of them.
#[derive(Clone)]
struct Rows {
    user: Uuid,
    all: bool,
}

impl AsyncCall<Prepared> for Rows {
    async fn call(&self, (client, statement): &mut Prepared) {
        let mut after = 0_i64;
        loop {
            let rows = client.query(&*statement, &[&self.user, &after]).await;
            let rows = rows.expect("the database answers");
            match rows.last() {
                Some(last) if self.all => after = last.get(1),
                _ => return,
            }
        }
    }
}

/// One connection for each caller, with the statement prepared.
async fn connections(database: &TestDatabase, sql: &str, so_many: usize) -> Vec<Prepared> {
    let mut all = Vec::new();
    for _ in 0..so_many {
        let client = database.connect().await;
        let statement = client.prepare(sql).await.expect("a statement");
        all.push((Arc::new(client), statement));
    }
    all
}

async fn postgres(memos: usize, report: &mut Report) {
    let store = "PostgreSQL";
    let database = TestDatabase::create(&Template::empty()).await;
    let args = ["--database-url", &database.url(), "--postgres-pool-size", "16"];
    let subject = Subject::new(&args, memos).await;
    let sql = database.connect().await;
    let user = sql
        .query_one("SELECT user_id FROM users WHERE username = 'reader'", &[])
        .await;
    let user: Uuid = user.expect("the user").get(0);
    let clock = "SELECT last_stamp FROM sync_clocks WHERE user_id = $1";
    let records = "SELECT record_key, stamp, document FROM records
                   WHERE user_id = $1 AND entity_type = 'memo' AND stamp > $2 ORDER BY stamp LIMIT 200";
    let mut look_up = Measured::new(format!("the database alone: a look-up by key, {FEW} connections"));
    let mut rest = Measured::new(format!("a device at rest pulls, {FEW} connections"));
    let mut look_up_many = Measured::new(format!("the database alone: a look-up by key, {MANY}"));
    let mut rest_many = Measured::new(format!("a device at rest pulls, {MANY} connections"));
    let mut rows = Measured::new(format!("the database alone: rows of a page, {FEW}"));
    let mut page = Measured::new(format!("a page of 200 memos, {FEW} connections"));
    let mut all_rows = Measured::new("the database alone: all memos, page by page, 4");
    let mut sync = Measured::new("memos in first syncs, 4 connections");
    for n in 0..ROUNDS {
        round(store, "pulls", n);
        for (look_up, rest, so_many) in [
            (&mut look_up, &mut rest, FEW),
            (&mut look_up_many, &mut rest_many, MANY),
        ] {
            let callers = connections(&database, clock, so_many).await;
            look_up.add(repeat(callers, SPAN, LookUp(user)).await, None);
            subject.measure(rest, subject.rest.clone(), so_many).await;
        }
        let callers = connections(&database, records, FEW).await;
        let of_page = Rows { user, all: false };
        rows.add(repeat(callers, SPAN, of_page).await, None);
        subject.measure(&mut page, subject.page.clone(), FEW).await;
        let callers = connections(&database, records, 4).await;
        let of_all = Rows { user, all: true };
        all_rows.add(times(repeat(callers, SPAN, of_all).await, memos), None);
        subject.first_syncs(&mut sync, memos).await;
    }
    let common = Common::measure(store, &subject).await;
    println!("\n{store}");
    for (of, measured) in [
        (&look_up, &rest),
        (&look_up_many, &rest_many),
        (&rows, &page),
        (&all_rows, &sync),
    ] {
        report.line(store, of, None);
        report.line(store, measured, Some((of, "of the database's own")));
    }
    common.report(store, None, report);
    subject.report_memory(store, report).await;
    drop(subject);
    database.remove().await;
}

//! A server with users who have memos, and what is asked of it.

use std::fs;
use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use crate::SPAN;
use crate::harness::{Client, Phone, Server};
use crate::load::{AsyncCall, Connection, FirstSync, Load, PUSHED, Push, Request, Sender, memo};
use crate::report::{Measured, Report};

pub(crate) struct Subject {
    pub(crate) server: Server,
    /// In MiB.
    at_start: u64,
    reader: Sender,
    pub(crate) health: Request,
    pub(crate) rest: Request,
    pub(crate) page: Request,
    pub(crate) write: Request,
    first_sync: FirstSync,
    push: Push,
}

impl Subject {
    /// With so many memos that are pulled.
    pub(crate) async fn new(args: &[&str], memos: usize) -> Self {
        // As many requests of one user at the same time as there are connections.
        let own = [
            "--http-requests-per-user",
            "100",
            "--http-heavy-requests-per-user",
            "100",
        ];
        let server = Server::start_with(&[args, &own].concat());
        let at_start = memory(server.pid(), "VmRSS");
        let client = server.new_user("reader", "phone").await;
        fill(&client, memos).await;
        let mut phone = Phone::default();
        phone.pull_all(&client).await;
        let reader = Sender::new(&server.url, client.token.as_deref());
        let pull = |cursors| {
            let body = json!({"clientId": client.id, "cursors": cursors}).to_string();
            reader.request("POST", "/sync/pull", Some(&body))
        };
        let writer = server.new_user("writer", "tablet").await;
        let memo = json!({"content": "What a benchmark has to say is always the same."}).to_string();
        Self {
            health: Sender::new(&server.url, None).request("GET", "/health", None),
            rest: pull(phone.cursors()),
            page: pull(json!({})),
            write: reader.request("POST", "/memos", Some(&memo)),
            first_sync: FirstSync(reader.clone()),
            push: Push::new(Sender::new(&server.url, writer.token.as_deref())),
            at_start,
            reader,
            server,
        }
    }

    /// Does something for a round, and notes what it came to.
    pub(crate) async fn measure(
        &self,
        into: &mut Measured,
        call: impl AsyncCall<Connection>,
        connections: usize,
    ) {
        let before = processor_time(self.server.pid());
        let load = self.reader.drive(call, connections, SPAN).await;
        let took = processor_time(self.server.pid()).saturating_sub(before);
        let answers = u32::try_from(load.answers.max(1)).unwrap_or(u32::MAX);
        into.add(load, Some(took.as_secs_f64() * 1e6 / f64::from(answers)));
    }

    /// New devices pull everything, each of so many memos.
    pub(crate) async fn first_syncs(&self, into: &mut Measured, memos: usize) {
        let load = self.reader.drive(self.first_sync.clone(), 4, SPAN).await;
        into.add(times(load, memos), None);
    }

    /// Somebody pushes all the time, and another user writes and pulls meanwhile, one request at a time.
    pub(crate) async fn beside_pushes(
        &self,
        pushes: &mut Measured,
        write: &mut Measured,
        pull: &mut Measured,
    ) {
        let (of_pushes, of_write, of_pull) = tokio::join!(
            self.reader.drive(self.push.clone(), 2, SPAN),
            self.reader.drive(self.write.clone(), 1, SPAN),
            self.reader.drive(self.page.clone(), 1, SPAN),
        );
        pushes.add(times(of_pushes, PUSHED), None);
        write.add(of_write, None);
        pull.add(of_pull, None);
    }

    /// What the server's memory came to, and comes to after a while.
    pub(crate) async fn report_memory(&self, store: &str, report: &mut Report) {
        report.memory(&format!("memory, {store}: at start"), self.at_start);
        report.memory(
            &format!("memory, {store}: the most"),
            memory(self.server.pid(), "VmHWM"),
        );
        tokio::time::sleep(Duration::from_secs(10)).await;
        report.memory(
            &format!("memory, {store}: ten seconds after the load"),
            memory(self.server.pid(), "VmRSS"),
        );
    }
}

/// Each answer counts as so many.
pub(crate) fn times(load: Load, so_many: usize) -> Load {
    let factor = f64::from(u32::try_from(so_many).unwrap_or(u32::MAX));
    Load {
        per_second: load.per_second * factor,
        ..load
    }
}

async fn fill(client: &Client, memos: usize) {
    let ids: Vec<_> = (1..=memos as u128).map(Uuid::from_u128).collect();
    for ids in ids.chunks(PUSHED) {
        let memos: Vec<_> = ids.iter().map(|id| memo(*id)).collect();
        let updated: serde_json::Value =
            serde_json::from_str(&format!("[{}]", memos.join(","))).expect("JSON");
        client.push(&json!({"memo": {"updated": updated}})).await.ok();
    }
}

/// The processor time of a process so far.
fn processor_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after_name.split(' ').skip(12).take(2);
    let ticks: u64 = ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    // Linux counts hundredths of a second for everybody who reads this file.
    Duration::from_millis(ticks * 10)
}

/// The memory of a process, in MiB: what it has, or the most that it had.
fn memory(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(name));
    let kibibytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kibibytes.unwrap_or_default() / 1024
}

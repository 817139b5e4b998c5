//! The well-behaved user: a phone that syncs, writes, lists and searches, one request at a time.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Client, Server};

const NAME: &str = "anna";
const PASSWORD: &str = "a password of theirs";
const PHONE: &str = "anna-phone";

/// Somebody who works while somebody else attacks.
pub struct Neighbour {
    server: Arc<Server>,
    cursors: Value,
}

/// How it went.
#[derive(Debug, Default)]
pub struct Report {
    /// How long each request took, from the quickest to the slowest, and which it was.
    took: Vec<(Duration, &'static str)>,
    /// What went wrong: request and answer.
    pub refusals: Vec<String>,
}

impl Neighbour {
    /// An account with a few memos, on a device that has synced.
    pub async fn prepare(server: Arc<Server>) -> Self {
        let phone = server.new_user(NAME, PHONE).await;
        for i in 0..50 {
            let memo = json!({"content": format!("memo {i} about figs and bread"), "tags": ["food"]});
            phone.post("/memos", &memo).await.ok();
        }
        let cursors = phone.pull(&json!({})).await["cursors"].clone();
        Self { server, cursors }
    }

    /// Works for so long while something else goes on: logs in, whatever strangers tried with the account, and syncs. On a
    /// thread and a runtime of its own: an attacker that keeps the test's runtime busy would delay the measurement, not the
    /// server.
    pub async fn works_beside(&self, span: Duration, attack: impl Future<Output = ()>) -> Report {
        let (server, cursors) = (Arc::clone(&self.server), self.cursors.clone());
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let phone = server.login(NAME, PASSWORD, PHONE).await;
                work(&phone, &cursors, span).await
            })
        };
        let work = tokio::task::spawn_blocking(work);
        attack.await;
        work.await.unwrap()
    }
}

async fn work(phone: &Client, cursors: &Value, span: Duration) -> Report {
    let until = Instant::now() + span;
    let mut report = Report::default();
    while Instant::now() < until {
        for (method, path, body) in [
            (
                Method::POST,
                "/sync/pull",
                Some(json!({"clientId": PHONE, "cursors": cursors})),
            ),
            (Method::POST, "/memos", Some(json!({"content": "figs"}))),
            (Method::GET, "/memos?pageSize=20", None),
            (Method::GET, "/memos/search?query=bread&pageSize=20", None),
        ] {
            let mut request = phone.request(method.clone(), path);
            if let Some(body) = &body {
                request = request.json(body);
            }
            let began = Instant::now();
            let answer = request.send().await;
            let failed = match answer {
                Ok(answer) if answer.status().is_success() => {
                    answer.bytes().await.err().map(|e| e.to_string())
                }
                Ok(answer) => Some(format!(
                    "{}: {}",
                    answer.status(),
                    answer.text().await.unwrap_or_default()
                )),
                Err(error) => Some(error.to_string()),
            };
            report.took.push((began.elapsed(), path));
            report
                .refusals
                .extend(failed.map(|failed| format!("{method} {path}: {failed}")));
            // A person, not a load generator.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    report.took.sort_unstable();
    report
}

impl Report {
    /// What the slowest request in a hundred took.
    pub fn p99(&self) -> Duration {
        self.percentile(99).0
    }

    fn percentile(&self, percent: usize) -> (Duration, &'static str) {
        let place = (self.took.len() * percent / 100).min(self.took.len().saturating_sub(1));
        self.took.get(place).copied().unwrap_or_default()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (slowest, which) = self.percentile(100);
        write!(
            f,
            "{:>5} requests, {} failed; median {:.1?}, p99 {:.1?}, slowest {:.1?} ({})",
            self.took.len(),
            self.refusals.len(),
            self.percentile(50).0,
            self.p99(),
            slowest,
            which,
        )
    }
}

//! Memory and turns: no user makes the server grow beyond what it has for them, whatever is asked for and however slowly it is
//! taken, and nobody waits behind the requests of somebody else.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::files::{MIB, Wire, memory};
use crate::harness::{Client, Data, Server};
use crate::kinds::column;

/// By how much the server's memory may grow, whoever does what.
const GROWTH: u64 = 200 * MIB as u64;
/// How many long memos there are. Each is six times as long as JSON as it is as text.
const MEMOS: usize = 12;
/// As many connections to a database as servers have that people run.
const USUAL: [&str; 2] = ["--postgres-pool-size", "16"];

struct Grown {
    pid: u32,
    before: u64,
}

impl Grown {
    fn since_now(server: &Server) -> Self {
        let pid = server.pid();
        Self {
            pid,
            before: memory(pid, "VmRSS"),
        }
    }

    fn assert_little(&self, after: &str) {
        let grown = memory(self.pid, "VmHWM").saturating_sub(self.before);
        assert!(
            grown < GROWTH,
            "{after}: the server grew by {} MiB",
            grown / MIB as u64
        );
    }
}

/// Where the list goes on.
fn next(link: Option<&reqwest::header::HeaderValue>) -> Option<String> {
    let link = link?.to_str().ok()?.strip_prefix('<')?;
    Some(link.split_once(">; rel=\"next\"")?.0.to_owned())
}

/// Every memo of a list, by following its links; and in how many answers they came.
async fn walk(client: &Client, first: &str) -> (Vec<String>, usize) {
    let (mut ids, mut answers, mut path) = (Vec::new(), 0, Some(first.to_owned()));
    while let Some(at) = path {
        let answer = client.get(&at).await;
        if answer.status == 503 {
            // What this user's other requests hold is all that one user gets. As an app does: again, a moment later.
            answer.problem(503, "busy");
            path = Some(at);
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        }
        path = next(answer.headers.get("link"));
        let body = answer.ok();
        let list = ["items", "memos"]
            .iter()
            .map(|name| &body[name])
            .find(|list| list.is_array());
        ids.extend(column(list.unwrap_or(&body), "id").into_iter().map(str::to_owned));
        answers += 1;
    }
    (ids, answers)
}

#[tokio::test(flavor = "multi_thread")]
async fn long_lists_take_little_memory_and_go_on_where_they_end() {
    let server = Data::new().start(&USUAL);
    let phone = server.device("phone").await;
    let long = "\u{1}".repeat(MIB - 1);
    phone
        .put("/diaries/2024-05-06", &json!({"summary": "x"}))
        .await
        .ok();
    let mut made = Vec::new();
    for _ in 0..MEMOS {
        let body = json!({"content": long, "diaryDate": "2024-05-06"});
        made.push(
            phone.post("/memos", &body).await.ok()["id"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    made.sort_unstable();
    let grown = Grown::since_now(&server);

    // Some ask for everything and take nothing of it.
    let mut idle = Vec::new();
    for _ in 0..2 {
        idle.push(Wire::open(&phone, "GET /memos?pageSize=200", &[]).await);
    }
    let mut readers = JoinSet::new();
    for path in [
        "/memos?pageSize=200",
        "/memos/date/2024-05-06",
        "/memos/search?pageSize=200",
    ] {
        let phone = phone.clone();
        readers.spawn(async move { (path, walk(&phone, path).await) });
    }
    for (path, (mut ids, answers)) in readers.join_all().await {
        ids.sort_unstable();
        assert_eq!(ids, made, "{path}");
        assert!(answers > MEMOS / 8, "{path}: {answers} answers");
    }
    grown.assert_little("lists");
    drop(idle);

    // A diary shows the first memos of its day, and says where the others are.
    let diary = phone.get("/diaries/2024-05-06").await;
    let path = next(diary.headers.get("link")).expect("there are more");
    assert!(path.starts_with("/memos/date/2024-05-06?"), "{path}");
    let mut ids: Vec<_> = column(&diary.ok()["memos"], "id")
        .into_iter()
        .map(str::to_owned)
        .collect();
    ids.extend(walk(&phone, &path).await.0);
    ids.sort_unstable();
    assert_eq!(ids, made);
    grown.assert_little("a diary");
}

#[tokio::test(flavor = "multi_thread")]
async fn half_sent_bodies_take_little_memory_and_are_in_nobody_s_way() {
    const CONNECTIONS: usize = 300;
    let server = Server::start();
    let hostile = server.device("hostile").await;
    let other = server.new_user("other", "phone").await;
    let grown = Grown::since_now(&server);
    let mut sending = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let hostile = hostile.clone();
        sending.spawn(async move {
            let headers = [
                ("content-type", "application/json"),
                ("content-length", "16777216"),
            ];
            let mut wire = Wire::open(&hostile, "POST /sync/push", &headers).await;
            let half = vec![b' '; 256 * 1024];
            for _ in 0..32 {
                // Whoever is refused, or waits in line, is not read.
                let sent = timeout(Duration::from_secs(1), wire.send(&half)).await;
                if !matches!(sent, Ok(Ok(()))) {
                    break;
                }
            }
            wire
        });
    }
    let mut held = Vec::new();
    while let Some(wire) = sending.join_next().await {
        held.push(wire.expect("a connection"));
    }
    grown.assert_little("half-sent bodies");

    other.post("/memos", &json!({"content": "in time"})).await.ok();
    assert_eq!(other.get("/memos").await.ok()["total"], 1);
    let mut told = Vec::new();
    for mut wire in held.drain(..) {
        if let Ok(Ok(answer)) = timeout(Duration::from_millis(1), wire.try_answer()).await {
            told.push((
                answer.status,
                answer.body["code"].as_str().unwrap_or_default().to_owned(),
            ));
        }
    }
    assert!(!told.is_empty(), "nobody was refused");
    let known = |(status, code): &(u16, String)| {
        matches!(
            (*status, code.as_str()),
            (429, "too_many_requests") | (503, "busy")
        )
    };
    assert!(told.iter().all(known), "{told:?}");

    // All are gone, and nothing is left of them.
    hostile.post("/memos", &json!({"content": "later"})).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_s_requests_wait_in_line_and_those_beyond_it_are_told_so() {
    let server = Server::start_with(&["--http-requests-per-user", "1"]);
    let busy = server.device("busy").await;
    let other = server.new_user("other", "phone").await;
    // It has the one place until its body has come.
    let headers = [("content-type", "application/json"), ("content-length", "17")];
    let mut slow = Wire::open(&busy, "POST /memos", &headers).await;
    slow.send(b"{\"content\": ").await.unwrap();
    other.get("/memos").await.ok();
    let refused = busy.get("/memos").await;
    assert_eq!(refused.headers["retry-after"], "2");
    refused.problem(429, "too_many_requests");
    // Streams and files have limits of their own.
    let stream = busy.request(Method::GET, "/sync/events").send().await.unwrap();
    assert_eq!(stream.status(), 200);

    let waits = tokio::spawn({
        let busy = busy.clone();
        async move { busy.get("/memos").await.ok() }
    });
    slow.send(b"\"sl\"}").await.unwrap();
    let stored: Value = slow.answer().await.body;
    assert_eq!(stored["content"], "sl");
    assert!(waits.await.unwrap()["total"].is_number());
}

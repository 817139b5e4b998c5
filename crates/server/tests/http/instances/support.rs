//! Databases, servers on them, and what the database itself says.

use std::time::Duration;

use mosaic_testkit::postgres::{Template, TestDatabase};
use serde_json::{Value, json};

use crate::harness::{ADMIN_PASSWORD, Answer, Client, Data, Server};

/// How long something may take that needs nothing but a machine that is busy with other tests.
pub const SOON: Duration = Duration::from_secs(30);

/// Whether a server waits for a lock of the database.
pub const WAITS: &str = "EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
     AND wait_event_type = 'Lock' AND application_name = 'mosaic')";

/// Whether no server has a transaction open, or holds or awaits a lock.
pub const AT_REST: &str = "NOT EXISTS (SELECT FROM pg_stat_activity AS a \
     WHERE a.datname = current_database() AND a.application_name = 'mosaic' AND (a.state <> 'idle' \
     OR a.xact_start IS NOT NULL OR EXISTS (SELECT FROM pg_locks AS l WHERE l.pid = a.pid)))";

/// A database with nothing in it, on the server that all tests share.
pub async fn empty_database() -> TestDatabase {
    TestDatabase::create(&Template::empty()).await
}

/// Starts a server on a database. Servers on the same data folder trust each other's tokens.
pub fn start(data: &Data, url: &str, more: &[&str]) -> Server {
    // All clients of a test come from one address.
    let args = [
        "--database-url",
        url,
        "--auth-address-attempts-per-minute",
        "10000",
    ];
    data.start(&[&args[..], &["--auth-account-attempts-per-minute", "10000"], more].concat())
}

/// The same from a test that has something else to do meanwhile.
pub async fn start_in_background(data: &Data, url: &str) -> Server {
    let (data, url) = (data.clone(), url.to_owned());
    tokio::task::spawn_blocking(move || start(&data, &url, &[]))
        .await
        .unwrap()
}

/// Makes users and logs each of them in.
pub async fn new_users(server: &Server, count: usize) -> Vec<Client> {
    let admin = server.device("the-admin").await;
    let mut users = Vec::new();
    for n in 0..count {
        let name = format!("user-{n}");
        let body = json!({"username": name, "password": ADMIN_PASSWORD});
        admin.post("/admin/users", &body).await.ok();
        users.push(server.login(&name, ADMIN_PASSWORD, "phone").await);
    }
    users
}

/// The same login on another server.
pub fn on(server: &Server, client: &Client) -> Client {
    let mut client = client.clone();
    client.url.clone_from(&server.url);
    client
}

/// A memo of a user, by its number.
pub fn memo_id(n: usize) -> String {
    format!("00000000-0000-4000-8000-{n:012x}")
}

/// A create that may be sent again as often as one likes.
pub fn memo(n: usize) -> Value {
    json!({"id": memo_id(n), "content": format!("memo {n}"), "updatedAt": 1_715_000_000_000_i64})
}

/// The ids of the memos in an answer to a pull.
pub fn pulled_memos(answer: &Value) -> Vec<&str> {
    let updated = answer["changes"]["memo"]["updated"].as_array().unwrap();
    updated.iter().map(|memo| memo["id"].as_str().unwrap()).collect()
}

/// Asserts that an answer says: not now, and when to try again.
#[track_caller]
pub fn assert_try_again(answer: Answer, code: &str) {
    let wait = answer.headers.get("retry-after").cloned().expect("Retry-After");
    answer.problem(503, code);
    assert!(wait.to_str().unwrap().parse::<u32>().unwrap() >= 1);
}

/// The statements that take the lock of a user's clock from outside, and keep it.
pub async fn take_lock_of(user: &Client) -> String {
    let me = user.get("/auth/me").await.ok();
    let id = me["id"].as_str().unwrap();
    format!("BEGIN; SELECT 1 FROM sync_clocks WHERE user_id = '{id}' FOR UPDATE")
}

/// Waits until a question that the database is asked again and again is answered with yes.
pub async fn until(database: &TestDatabase, question: &str) {
    let client = database.connect().await;
    let asked = async {
        loop {
            let row = client
                .query_one(&format!("SELECT {question}"), &[])
                .await
                .unwrap();
            if row.get(0) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let came = tokio::time::timeout(SOON, asked).await;
    assert!(came.is_ok(), "it does not come true: {question}");
}

/// What the database counts.
pub async fn count(database: &TestDatabase, of: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {of}");
    database
        .connect()
        .await
        .query_one(&sql, &[])
        .await
        .unwrap()
        .get(0)
}

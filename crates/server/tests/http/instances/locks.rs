//! S1 through HTTP: who waits for whom, and what a client that hangs up leaves behind.

use std::io::Write as _;
use std::net::TcpStream;

use mosaic_testkit::postgres::TestDatabase;
use serde_json::Value;
use tokio::time::timeout;

use crate::harness::{Client, Data, Server};
use crate::instances::support::{
    AT_REST, SOON, WAITS, empty_database, memo, memo_id, new_users, on, pulled_memos, start, take_lock_of,
    until,
};

/// Limits that are not reached in these tests.
const PATIENT: [&str; 4] = [
    "--postgres-lock-timeout-ms",
    "120000",
    "--postgres-statement-timeout-ms",
    "120000",
];

fn two_servers(database: &TestDatabase) -> [Server; 2] {
    let data = Data::new();
    [(); 2].map(|()| start(&data, &database.url(), &PATIENT))
}

async fn waiters(database: &TestDatabase, count: usize) {
    let question = format!(
        "{count} = (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
         AND wait_event_type = 'Lock' AND application_name = 'mosaic')"
    );
    until(database, &question).await;
}

/// Both servers write for a user whose lock is held, one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn s1_writes_of_one_user_wait_for_each_other_on_all_instances_and_nobody_else_does() {
    let database = empty_database().await;
    let servers = two_servers(&database);
    let users = new_users(&servers[0], 2).await;
    let (a, b) = (&users[0], &users[1]);
    a.post("/memos", &memo(0)).await.ok();
    let before = a.pull(&serde_json::json!({})).await;

    let holder = database.connect().await;
    holder.batch_execute(&take_lock_of(a).await).await.unwrap();
    let mut waiting = Vec::new();
    for (n, server) in servers.iter().enumerate() {
        let a = on(server, a);
        waiting.push(tokio::spawn(async move { a.post("/memos", &memo(n + 1)).await }));
        waiters(&database, n + 1).await;
    }
    assert_nobody_else_waits(&servers, a, b, &before["cursors"]).await;
    assert!(waiting.iter().all(|write| !write.is_finished()));

    holder.batch_execute("ROLLBACK").await.unwrap();
    for write in waiting {
        timeout(SOON, write).await.unwrap().unwrap().ok();
    }
    // Whoever came first has the earlier stamp: the page has them in that order.
    let after = a.pull(&before["cursors"]).await;
    assert_eq!(pulled_memos(&after), [memo_id(1), memo_id(2)]);
    drop(servers);
    database.remove().await;
}

/// Another user writes, and the user whose lock is held pulls, on both servers.
async fn assert_nobody_else_waits(servers: &[Server], a: &Client, b: &Client, cursors: &Value) {
    for server in servers {
        let (a, b) = (on(server, a), on(server, b));
        timeout(SOON, b.post("/memos", &memo(1)))
            .await
            .expect("another user's write does not wait")
            .ok();
        let pull = timeout(SOON, a.pull(cursors))
            .await
            .expect("a pull does not wait");
        assert_eq!(pull["cursors"], *cursors);
        assert!(pulled_memos(&pull).is_empty(), "{pull}");
    }
}

/// Sends a create and does not wait for the answer.
fn send_and_keep(client: &Client, body: &Value) -> TcpStream {
    let address = client.url.strip_prefix("http://").unwrap();
    let body = body.to_string();
    let request = format!(
        "POST /memos HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        client.token.as_deref().unwrap(),
        body.len(),
    );
    let mut connection = TcpStream::connect(address).unwrap();
    connection.write_all(request.as_bytes()).unwrap();
    connection
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_client_hangs_up_while_it_waits_is_given_up() {
    let database = empty_database().await;
    let server = start(&Data::new(), &database.url(), &PATIENT);
    let phone = new_users(&server, 1).await.remove(0);
    let holder = database.connect().await;
    holder.batch_execute(&take_lock_of(&phone).await).await.unwrap();
    let connection = send_and_keep(&phone, &memo(1));
    until(&database, WAITS).await;
    drop(connection);
    // Not only when the lock is free, or its own time is over.
    until(&database, &format!("NOT {WAITS}")).await;
    holder.batch_execute("ROLLBACK").await.unwrap();
    until(&database, AT_REST).await;
    let next = timeout(SOON, phone.post("/memos", &memo(2))).await;
    next.expect("the lock is free").ok();
    let stored = phone.pull(&serde_json::json!({})).await;
    assert_eq!(pulled_memos(&stored), [memo_id(2)]);
    drop(server);
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_hang_up_at_any_moment_leave_no_transaction_and_no_lock() {
    const CLIENTS: usize = 60;
    let database = empty_database().await;
    let server = start(&Data::new(), &database.url(), &PATIENT);
    let phone = new_users(&server, 1).await.remove(0);
    for n in 0..CLIENTS {
        let connection = send_and_keep(&phone, &memo(n));
        // From at once to later than the answer.
        tokio::time::sleep(std::time::Duration::from_micros(n as u64 * 500)).await;
        drop(connection);
    }
    let next = timeout(SOON, phone.post("/memos", &memo(CLIENTS))).await;
    next.expect("the lock is free").ok();
    until(&database, AT_REST).await;
    for n in 0..CLIENTS {
        phone.post("/memos", &memo(n)).await.ok();
    }
    assert_eq!(phone.everything().await.records.len(), CLIENTS + 1);
    drop(server);
    database.remove().await;
}

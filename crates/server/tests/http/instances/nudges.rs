//! N1 over several instances: whoever listens at one is told of what is written at another, whatever breaks in between.

use mosaic_testkit::postgres::{Proxy, TestDatabase};
use serde_json::json;
use tokio::time::timeout;

use crate::harness::{Client, Data, Server, Signal};
use crate::instances::support::{SOON, empty_database, memo, new_users, on, start, until};
use crate::scenario_events::{Event, Events};

/// The sessions of servers that listen for commits.
const LISTENING: &str = "pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'";

/// Waits until so many servers listen.
async fn listening(database: &TestDatabase, servers: usize) {
    until(
        database,
        &format!("{servers} = (SELECT count(*) FROM {LISTENING})"),
    )
    .await;
}

/// Two servers on a database, both of which hear each other.
async fn two_servers(database: &TestDatabase, listen_url: &str) -> [Server; 2] {
    let data = Data::new();
    let args = [
        "--postgres-listen-url",
        listen_url,
        // A stop does not wait until this is over for those who listen.
        "--http-shutdown-timeout-ms",
        "3600000",
    ];
    let a = start(&data, &database.url(), &args);
    let b = start(&data, &database.url(), &[]);
    listening(database, 2).await;
    [a, b]
}

/// Begins to listen, and reads the first event.
async fn listen(client: &Client) -> (Events, Event) {
    let mut events = Events::open(client, None).await;
    let first = events.soon().await;
    assert_eq!(first.name, "changed");
    (events, first)
}

async fn clock(client: &Client) -> i64 {
    client.get("/sync/digest").await.ok()["clock"].as_i64().unwrap()
}

/// Writes at one server; the listener at the other must are told of it.
async fn assert_heard(events: &mut Events, writer: &Client, n: usize) {
    writer.post("/memos", &memo(n)).await.ok();
    let event = events.until(clock(writer).await).await;
    // What it is told of can be pulled, wherever it listens.
    assert_eq!(
        (event.name.as_str(), event.clock),
        ("changed", clock(writer).await)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn n1_a_listener_hears_of_writes_on_another_instance_and_nobody_else_does() {
    let database = empty_database().await;
    let servers = two_servers(&database, &database.url()).await;
    let users = new_users(&servers[0], 2).await;
    let (mut events, first) = listen(&users[0]).await;
    let (mut others, _) = listen(&users[1]).await;
    let at_b = on(&servers[1], &users[0]);
    for n in 0..20 {
        assert_heard(&mut events, &at_b, n).await;
    }
    assert!(clock(&at_b).await > first.clock);
    // Nudges come in the order of commits: had anything been told to the other user, it would have come before this.
    on(&servers[1], &users[1]).post("/memos", &memo(1)).await.ok();
    let only = others.soon().await;
    assert_eq!(only.clock, clock(&users[1]).await);
    // A push of many records is one commit, and one nudge is enough.
    let many: Vec<_> = (100..300).map(memo).collect();
    let push = json!({"clientId": "phone", "changes": {"memo": {"updated": many}}});
    let pushed = at_b.post("/sync/push", &push).await.ok();
    assert_eq!(events.soon().await.clock, pushed["clock"].as_i64().unwrap());
    drop(servers);
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn n1_an_instance_that_could_not_hear_announces_the_clock_when_it_can_again() {
    let database = empty_database().await;
    let proxy = Proxy::start(&database.url()).await;
    let servers = two_servers(&database, &proxy.url()).await;
    let user = new_users(&servers[0], 1).await.remove(0);
    let (mut events, _) = listen(&user).await;
    let at_b = on(&servers[1], &user);
    assert_heard(&mut events, &at_b, 1).await;

    // The network between the instance and the database breaks; what is written meanwhile, it can not hear.
    proxy.refuse().await;
    proxy.cut();
    listening(&database, 1).await;
    at_b.post("/memos", &memo(2)).await.ok();
    let missed = clock(&at_b).await;
    proxy.admit().await;
    assert_eq!(events.until(missed).await.clock, missed);
    listening(&database, 2).await;
    assert_heard(&mut events, &at_b, 3).await;

    // The database ends the session; the instance comes back by itself.
    let end = format!("SELECT pg_terminate_backend(pid) FROM {LISTENING}");
    database.connect().await.query(&end, &[]).await.unwrap();
    assert_heard(&mut events, &at_b, 4).await;
    listening(&database, 2).await;
    assert_heard(&mut events, &at_b, 5).await;
    drop(servers);
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn n1_an_instance_that_is_killed_takes_nobody_along_and_one_that_stops_ends_its_streams() {
    let database = empty_database().await;
    let [mut a, b] = two_servers(&database, &database.url()).await;
    let user = new_users(&a, 1).await.remove(0);
    let (mut at_a, _) = listen(&user).await;
    let at_b = on(&b, &user);
    let (dying, _) = listen(&at_b).await;
    assert_heard(&mut at_a, &at_b, 1).await;
    let data = b.kill();
    dying.end().await;
    // Who listens at the other one still is told of what is written there, and on an instance that takes its place.
    assert_heard(&mut at_a, &user, 2).await;
    let c = start(&data, &database.url(), &[]);
    let at_c = on(&c, &user);
    let (mut moved, first) = listen(&at_c).await;
    assert_eq!(first.clock, clock(&user).await);
    listening(&database, 2).await;
    assert_heard(&mut at_a, &at_c, 3).await;
    assert_heard(&mut moved, &user, 4).await;

    a.signal(Signal::TERM);
    at_a.end().await;
    let (status, log) = timeout(SOON, tokio::task::spawn_blocking(move || a.wait()))
        .await
        .expect("listeners hold up no stop")
        .unwrap();
    assert!(status.success(), "{log}");
    assert_heard(&mut moved, &at_c, 5).await;
    drop(c);
    database.remove().await;
}

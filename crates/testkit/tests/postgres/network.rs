//! What stands between a client and its database: PgBouncer, and the proxy that breaks.

use std::time::{Duration, Instant};

use mosaic_testkit::postgres::{Cluster, ClusterOptions, PgBouncer, Proxy, TestDatabase, When};
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::{client_of, count, execute, notes, password_of, until};

/// Which of the server's processes answers.
async fn server_process(client: &Client) -> String {
    let answer = client
        .simple_query("SELECT pg_backend_pid()")
        .await
        .expect("an answer");
    let row = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    row.expect("a number").to_owned()
}

#[tokio::test]
async fn pgbouncer_shares_the_connections_of_the_server() {
    let cluster = Cluster::start(ClusterOptions::default()).await;
    let database = TestDatabase::create_on(cluster.server(), &notes()).await;
    let bouncer = PgBouncer::start_with(&database.url(), &[("default_pool_size", "2")]).await;
    let (holder, one, two) = (
        client_of(&bouncer.url()).await,
        client_of(&bouncer.url()).await,
        client_of(&bouncer.url_of(database.name())).await,
    );
    // The first keeps one of the two connections, so the others share the second.
    holder
        .batch_execute("BEGIN; INSERT INTO notes VALUES (1, 'x')")
        .await
        .expect("a row");
    let held = server_process(&holder).await;
    let shared = server_process(&one).await;
    assert_eq!(server_process(&two).await, shared);
    assert_ne!(shared, held);
    holder.batch_execute("COMMIT").await.expect("a commit");
    assert_eq!(count(&database.connect().await, "notes").await, 1);

    let url = bouncer.url();
    let wrong = url.replace(&password_of(&url), "wrong");
    assert!(
        execute(wrong, "SELECT 1").await.is_err(),
        "others on the machine stay out"
    );
    drop(bouncer);
    assert!(execute(url, "SELECT 1").await.is_err(), "it is stopped");
}

#[tokio::test]
async fn a_proxy_passes_on_what_it_is_not_told_to_harm() {
    let database = TestDatabase::create(&notes()).await;
    let proxy = Proxy::start(&database.url()).await;
    let client = client_of(&proxy.url()).await;
    let long = "x".repeat(300_000);
    client
        .execute("INSERT INTO notes VALUES (1, $1)", &[&long])
        .await
        .expect("a row");
    let back: String = client
        .query_one("SELECT body FROM notes", &[])
        .await
        .expect("a row")
        .get(0);
    assert_eq!(back, long);
    assert_eq!((proxy.open(), proxy.trapped()), (1, 0));
    drop(client);
    until("the connection ends", async || proxy.open() == 0).await;
}

#[tokio::test]
async fn a_proxy_cuts_and_refuses() {
    let database = TestDatabase::create(&notes()).await;
    let proxy = Proxy::start(&database.url()).await;
    let (one, two) = (client_of(&proxy.url()).await, client_of(&proxy.url()).await);
    proxy.refuse().await;
    assert!(execute(proxy.url(), "SELECT 1").await.is_err());
    one.batch_execute("SELECT 1").await.expect("the old ones go on");
    proxy.cut();
    assert!(one.batch_execute("SELECT 1").await.is_err());
    assert!(two.batch_execute("SELECT 1").await.is_err());
    proxy.admit().await;
    execute(proxy.url(), "SELECT 1").await.expect("it is back");
}

#[tokio::test]
async fn a_proxy_delays_and_freezes() {
    let database = TestDatabase::create(&notes()).await;
    let proxy = Proxy::start(&database.url()).await;
    let client = client_of(&proxy.url()).await;
    proxy.delay(Duration::from_millis(100));
    let began = Instant::now();
    client.batch_execute("SELECT 1").await.expect("an answer");
    assert!(began.elapsed() >= Duration::from_millis(200), "there and back");
    proxy.delay(Duration::ZERO);

    proxy.freeze();
    let mut answer = std::pin::pin!(client.batch_execute("SELECT 1"));
    let waited = tokio::time::timeout(Duration::from_millis(200), &mut answer).await;
    assert!(waited.is_err(), "nothing comes");
    proxy.thaw();
    answer.await.expect("it comes late");
}

#[tokio::test]
async fn a_proxy_loses_a_commit_or_its_answer() {
    let database = TestDatabase::create(&notes()).await;
    let proxy = Proxy::start(&database.url()).await;
    let direct = database.connect().await;
    for (id, when, stored) in [(1, When::Lost, 0), (2, When::Carried, 1)] {
        let (client, other) = (client_of(&proxy.url()).await, client_of(&proxy.url()).await);
        client
            .batch_execute(&format!("BEGIN; INSERT INTO notes VALUES ({id}, 'x')"))
            .await
            .expect("a row");
        proxy.cut_at("COMMIT", when);
        let answer = client.batch_execute("COMMIT").await;
        assert!(answer.expect_err("no answer").is_closed());
        assert_eq!(count(&direct, &format!("notes WHERE id = {id}")).await, stored);
        other.batch_execute("BEGIN; COMMIT").await.expect("it hits once");
    }
    assert_eq!(proxy.trapped(), 2);
}

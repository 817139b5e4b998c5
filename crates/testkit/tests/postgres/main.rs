//! The throwaway PostgreSQL itself: what tests get from it, and that nothing of it stays.

mod child;
mod clusters;
mod databases;
mod network;

use std::time::{Duration, Instant};

use mosaic_testkit::postgres::{Server, Template};
use tokio_postgres::{Client, NoTls};

async fn execute(url: String, sql: &str) -> Result<(), tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    let connection = tokio::spawn(connection);
    client.batch_execute(sql).await?;
    drop(client);
    connection.await.expect("no panic")
}

/// A schema of one table.
fn notes() -> Template {
    let table = "CREATE TABLE notes (id int PRIMARY KEY, body text NOT NULL)";
    Template::new("notes", table, move |url| execute(url, table))
}

async fn count(client: &Client, what: &str) -> i64 {
    client
        .query_one(&format!("SELECT count(*) FROM {what}"), &[])
        .await
        .expect("it can be counted")
        .get(0)
}

async fn databases_like(server: &Server, name: &str) -> i64 {
    count(
        &server.connect().await,
        &format!("pg_database WHERE datname LIKE '{name}'"),
    )
    .await
}

async fn until<F: Future<Output = bool>>(what: &str, met: impl Fn() -> F) {
    let began = Instant::now();
    while !met().await {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn password_of(url: &str) -> String {
    let (_, rest) = url.split_once("://mosaic:").expect("a role");
    rest.split_once('@').expect("a host").0.to_owned()
}

async fn client_of(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client
}

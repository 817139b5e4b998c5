//! Behind PgBouncer in transaction mode, where every transaction may get another connection.

use std::sync::Arc;

use mosaic_testkit::postgres::PgBouncer;

use crate::harness::{ADMIN_PASSWORD, Data, Phone, Server};
use crate::instances::support::{empty_database, memo, new_users, start};

const USERS: usize = 3;
/// Of each user, half of them on each server.
const CLIENTS: usize = 4;
const WRITES: usize = 25;

/// Logs in, writes and pulls, at once with others.
async fn use_it(server: Arc<Server>, user: usize, number: usize) -> (usize, Phone) {
    let client = server
        .login(
            &format!("user-{user}"),
            ADMIN_PASSWORD,
            &format!("phone-{number}"),
        )
        .await;
    let mut phone = Phone::default();
    for n in 0..WRITES {
        client.post("/memos", &memo(number * WRITES + n)).await.ok();
        phone.pull_all(&client).await;
    }
    (user, phone)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_behind_a_pooler_that_keeps_no_session() {
    let database = empty_database().await;
    let pooler = PgBouncer::start(&database.url()).await;
    let data = Data::new();
    // The first one makes the schema, through the pooler too.
    let servers = [(); 2].map(|()| {
        Arc::new(start(
            &data,
            &pooler.url(),
            &["--postgres-prepared-statements=false"],
        ))
    });
    let users = new_users(&servers[0], USERS).await;
    let clients: Vec<_> = (0..USERS * CLIENTS)
        .map(|n| tokio::spawn(use_it(Arc::clone(&servers[n % 2]), n / CLIENTS, n % CLIENTS)))
        .collect();
    let mut phones = Vec::new();
    for client in clients {
        phones.push(client.await.unwrap());
    }
    for (user, mut phone) in phones {
        // Now that nobody writes any more: what the others wrote after its own last write, it has not pulled yet.
        phone.pull_all(&users[user]).await;
        assert_eq!(phone.records.len(), CLIENTS * WRITES);
        assert_eq!(phone.records, users[user].everything().await.records);
    }
    for server in &servers {
        assert!(!server.log().contains("\"ERROR\""), "{}", server.log());
    }
    drop((servers, pooler));
    database.remove().await;
}

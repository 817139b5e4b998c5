//! Many instances, started at once on a database with nothing in it.

use std::collections::BTreeSet;

use crate::harness::{Data, Server};
use crate::instances::support::{count, empty_database, memo, on, start};

const INSTANCES: usize = 8;

/// Starts all of them, each from a thread of its own.
async fn start_all(url: &str) -> Vec<Server> {
    let data = Data::new();
    let starting: Vec<_> = (0..INSTANCES)
        .map(|_| {
            let (data, url) = (data.clone(), url.to_owned());
            tokio::task::spawn_blocking(move || start(&data, &url, &["--postgres-pool-size", "4"]))
        })
        .collect();
    let mut servers = Vec::new();
    for server in starting {
        servers.push(server.await.unwrap());
    }
    servers
}

/// How many of the servers have logged something.
fn who_said(servers: &[Server], what: &str) -> usize {
    servers
        .iter()
        .filter(|server| server.log().contains(what))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_instances_started_at_once_migrate_once_make_one_admin_and_all_serve() {
    let database = empty_database().await;
    let servers = start_all(&database.url()).await;
    assert_eq!(who_said(&servers, "schema migrated"), 1);
    assert_eq!(who_said(&servers, "the account admin was created"), 1);
    assert_eq!(count(&database, "users").await, 1);
    assert_eq!(count(&database, "meta").await, 1);
    let applied =
        "(SELECT version FROM refinery_schema_history GROUP BY version HAVING count(*) > 1) AS twice";
    assert_eq!(count(&database, applied).await, 0);

    // A login on one is a login on all; each one shows what all have written.
    let phone = servers[0].device("phone").await;
    for (n, server) in servers.iter().enumerate() {
        server.device("tablet").await;
        on(server, &phone).post("/memos", &memo(n)).await.ok();
    }
    let mut epochs = BTreeSet::new();
    for server in &servers {
        let phone = on(server, &phone);
        epochs.insert(phone.pull(&serde_json::json!({})).await["epoch"].to_string());
        assert_eq!(phone.everything().await.records.len(), INSTANCES);
    }
    assert_eq!(epochs.len(), 1, "one history: {epochs:?}");
    drop(servers);
    database.remove().await;
}

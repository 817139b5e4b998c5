//! Without a database, or without a free connection to it, the server says so at once, and goes on by itself.

use std::time::{Duration, Instant};

use mosaic_testkit::postgres::{Cluster, ClusterOptions, Stop, Template, TestDatabase};
use tokio::time::timeout;

use crate::harness::{Answer, Client, Data};
use crate::support::{
    SOON, WAITS, assert_try_again, empty_database, memo, new_users, pulled_memos, start, take_lock_of, until,
};

/// What an answer may take while the database is gone. It takes a tenth of that on a machine that is idle.
const QUICK: Duration = Duration::from_millis(2_500);

/// Asserts that requests of every kind are refused quickly, one after the other and many at once.
async fn assert_down(phone: &Client) {
    let pull = serde_json::json!({"clientId": "phone", "cursors": {}});
    for (path, body) in [("/memos", memo(2)), ("/sync/pull", pull)] {
        let asked = Instant::now();
        assert_try_again(phone.post(path, &body).await, "unavailable");
        assert!(asked.elapsed() < QUICK, "{path}: {:?}", asked.elapsed());
    }
    assert_try_again(phone.get("/memos").await, "unavailable");
    assert_try_again(phone.get("/health/ready").await, "not_ready");
    assert_eq!(phone.get("/health").await.ok()["status"], "ok");
}

async fn assert_crowd_is_refused(phone: &Client) {
    let asked = Instant::now();
    let crowd: Vec<_> = (100..150)
        .map(|n| {
            let phone = phone.clone();
            tokio::spawn(async move { phone.post("/memos", &memo(n)).await })
        })
        .collect();
    for one in crowd {
        assert_try_again(one.await.unwrap(), "unavailable");
    }
    assert!(asked.elapsed() < 2 * QUICK, "{:?}", asked.elapsed());
}

/// Asks until the server says that it is ready.
async fn until_ready(phone: &Client) {
    let ready = async {
        while !phone.get("/health/ready").await.status.is_success() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, ready).await.expect("it recovers by itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_the_server_says_so_at_once_and_recovers_by_itself() {
    let cluster = Cluster::start(ClusterOptions::durable()).await;
    let database = TestDatabase::create_on(cluster.server(), &Template::empty()).await;
    let server = start(&Data::new(), &database.url(), &[]);
    let phone = server.device("phone").await;
    phone.post("/memos", &memo(1)).await.ok();
    until_ready(&phone).await;
    for how in [Stop::Immediate, Stop::Fast] {
        cluster.stop(how).await;
        assert_down(&phone).await;
        assert_crowd_is_refused(&phone).await;
        cluster.start_again().await;
        until_ready(&phone).await;
        phone.post("/memos", &memo(2)).await.ok();
        assert_eq!(pulled_memos(&phone.pull(&serde_json::json!({})).await).len(), 2);
    }
    // A refused write was refused whole: the crowd left nothing.
    assert_eq!(phone.everything().await.records.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_free_connection_the_server_says_so_at_once_and_recovers_by_itself() {
    let database = empty_database().await;
    let pool = [
        "--postgres-pool-size",
        "1",
        "--postgres-acquire-timeout-ms",
        "200",
    ];
    let patient = [
        "--postgres-lock-timeout-ms",
        "120000",
        "--postgres-statement-timeout-ms",
        "120000",
    ];
    let server = start(&Data::new(), &database.url(), &[pool, patient].concat());
    let phone = new_users(&server, 1).await.remove(0);
    let holder = database.connect().await;
    holder.batch_execute(&take_lock_of(&phone).await).await.unwrap();
    let waiting = tokio::spawn({
        let phone = phone.clone();
        async move { phone.post("/memos", &memo(1)).await }
    });
    until(&database, WAITS).await;
    let asked = Instant::now();
    let refused: Answer = phone.post("/memos", &memo(2)).await;
    assert!(asked.elapsed() < QUICK, "{:?}", asked.elapsed());
    assert_try_again(refused, "unavailable");
    assert_try_again(phone.get("/health/ready").await, "not_ready");
    holder.batch_execute("ROLLBACK").await.unwrap();
    waiting.await.unwrap().ok();
    phone.post("/memos", &memo(2)).await.ok();
    phone.get("/health/ready").await.ok();
    drop(server);
    database.remove().await;
}

//! Without a database, or without a free connection to it, the server says so at once, and goes on by itself.

use std::time::{Duration, Instant};

use mosaic_testkit::postgres::{Cluster, ClusterOptions, Proxy, Stop, Template, TestDatabase};
use tokio::time::timeout;

use crate::harness::{Answer, Client, Data};
use crate::instances::support::{
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
    let mut users = new_users(&server, 2).await;
    let (other, phone) = (users.remove(1), users.remove(0));
    let holder = database.connect().await;
    holder.batch_execute(&take_lock_of(&phone).await).await.unwrap();
    let waiting = tokio::spawn({
        let phone = phone.clone();
        async move { phone.post("/memos", &memo(1)).await }
    });
    until(&database, WAITS).await;
    let asked = Instant::now();
    // Somebody else: one user's requests wait for each other before they want a connection.
    let refused: Answer = other.post("/memos", &memo(2)).await;
    assert!(asked.elapsed() < QUICK, "{:?}", asked.elapsed());
    assert_try_again(refused, "unavailable");
    assert_try_again(other.get("/health/ready").await, "not_ready");
    holder.batch_execute("ROLLBACK").await.unwrap();
    waiting.await.unwrap().ok();
    other.post("/memos", &memo(2)).await.ok();
    other.get("/health/ready").await.ok();
    drop(server);
    database.remove().await;
}

/// As at a standby, or where the operator of the database wants no writes: no connection takes any.
#[tokio::test(flavor = "multi_thread")]
async fn where_the_database_takes_no_writes_the_server_says_so_and_recovers_by_itself() {
    let cluster = Cluster::start(ClusterOptions::durable()).await;
    let database = TestDatabase::create_on(cluster.server(), &Template::empty()).await;
    let server = start(&Data::new(), &database.url(), &[]);
    let phone = server.device("phone").await;
    phone.post("/memos", &memo(1)).await.ok();
    let superuser = mosaic_testkit::postgres::Server::at(&cluster.superuser_url("postgres")).await;
    let operator = superuser.connect().await;
    let set = async |setting: &str| {
        for command in [
            "SET default_transaction_read_only = off",
            &format!("ALTER SYSTEM SET default_transaction_read_only = {setting}"),
            "SELECT pg_reload_conf()",
        ] {
            operator.batch_execute(command).await.unwrap();
        }
    };
    set("on").await;
    // The setting reaches connections at their next statement.
    let refused = async {
        while phone.post("/memos", &memo(2)).await.status.is_success() {
            phone
                .delete(&format!("/memos/{}", crate::instances::support::memo_id(2)))
                .await;
        }
    };
    timeout(SOON, refused).await.expect("it is refused");
    for _ in 0..3 {
        assert_down(&phone).await;
    }
    set("off").await;
    until_ready(&phone).await;
    for n in 10..30 {
        phone.post("/memos", &memo(n)).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_the_database_is_said_to_be_full() {
    let database = empty_database().await;
    let server = start(&Data::new(), &database.url(), &[]);
    let phone = new_users(&server, 1).await.remove(0);
    phone.post("/memos", &memo(1)).await.ok();
    let full = "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$;
        CREATE TRIGGER full_disk BEFORE INSERT ON records FOR EACH ROW EXECUTE FUNCTION full_disk()";
    let operator = database.connect().await;
    operator.batch_execute(full).await.unwrap();
    phone.post("/memos", &memo(2)).await.problem(507, "storage_full");
    let not_ready = phone.get("/health/ready").await;
    assert_try_again(not_ready, "not_ready");
    phone
        .get(&format!("/memos/{}", crate::instances::support::memo_id(1)))
        .await
        .ok();
    operator
        .batch_execute("DROP TRIGGER full_disk ON records")
        .await
        .unwrap();
    phone.post("/memos", &memo(2)).await.ok();
    phone.get("/health/ready").await.ok();
    drop(server);
    database.remove().await;
}

/// Neither a database that is dropped, nor the one that is made in its place, is taken for a fault of the program.
#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_gone_is_something_that_passes() {
    let database = empty_database().await;
    let server = start(&Data::new(), &database.url(), &[]);
    let phone = new_users(&server, 1).await.remove(0);
    let operator = database.connect().await;
    operator
        .batch_execute("ALTER SCHEMA public RENAME TO elsewhere")
        .await
        .unwrap();
    assert_down(&phone).await;
    operator
        .batch_execute("ALTER SCHEMA elsewhere RENAME TO public")
        .await
        .unwrap();
    until_ready(&phone).await;
    phone.post("/memos", &memo(2)).await.ok();
    drop(server);
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_says_nothing_holds_up_nobody_who_asks_whether_the_server_is_ready() {
    let database = empty_database().await;
    let proxy = Proxy::start(&database.url()).await;
    let (data, url) = (Data::new(), proxy.url());
    let server = tokio::task::spawn_blocking(move || start(&data, &url, &[]))
        .await
        .unwrap();
    let phone = server.device("phone").await;
    until_ready(&phone).await;
    proxy.freeze();
    let asked = Instant::now();
    assert_try_again(phone.get("/health/ready").await, "not_ready");
    assert!(asked.elapsed() < 2 * QUICK, "{:?}", asked.elapsed());
    phone.get("/health").await.ok();
    proxy.thaw();
    until_ready(&phone).await;
    drop(server);
    database.remove().await;
}

//! The throwaway PostgreSQL itself: what tests get from it, and that nothing of it stays.

use std::io::{BufRead, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use mosaic_testkit::postgres::{Cluster, ClusterOptions, DATABASE_URL, Server, Stop, Template, TestDatabase};
use tokio_postgres::{Client, NoTls};

/// Set where this binary runs itself, to be killed.
const CHILD: &str = "MOSAIC_TESTKIT_CHILD";

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

#[tokio::test]
async fn copies_of_a_schema_are_apart() {
    let (one, two) = (
        TestDatabase::create(&notes()).await,
        TestDatabase::create(&notes()).await,
    );
    assert_ne!(one.name(), two.name());
    execute(one.url(), "INSERT INTO notes VALUES (1, 'x')")
        .await
        .expect("the schema is there");
    assert_eq!(count(&one.connect().await, "notes").await, 1);
    assert_eq!(count(&two.connect().await, "notes").await, 0);
    let three = TestDatabase::create(&notes()).await;
    assert_eq!(
        count(&three.connect().await, "notes").await,
        0,
        "the template has no row"
    );
}

#[tokio::test]
async fn an_empty_database_has_no_table() {
    let database = TestDatabase::create(&Template::empty()).await;
    let tables = count(&database.connect().await, "pg_tables WHERE schemaname = 'public'").await;
    assert_eq!(tables, 0);
}

#[tokio::test]
async fn a_removed_database_is_gone_whoever_is_connected() {
    let database = TestDatabase::create(&notes()).await;
    let (server, name) = (database.server().clone(), database.name().to_owned());
    let client = database.connect().await;
    database.remove().await;
    assert_eq!(databases_like(&server, &name).await, 0);
    assert!(client.batch_execute("SELECT 1").await.is_err());
}

#[tokio::test]
async fn a_dropped_database_goes_too() {
    let database = TestDatabase::create(&notes()).await;
    let (server, name) = (database.server().clone(), database.name().to_owned());
    let _connected = database.connect().await;
    drop(database);
    until("the database goes", async || {
        databases_like(&server, &name).await == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_is_built_once_however_many_ask() {
    let built = Arc::new(AtomicU32::new(0));
    let template = |fingerprint| {
        let built = Arc::clone(&built);
        Template::new("counted", fingerprint, move |url| {
            built.fetch_add(1, Ordering::SeqCst);
            execute(url, "CREATE TABLE t (i int)")
        })
    };
    // Two handles of one server know nothing of each other, as two processes do.
    let url = Server::shared().await.url("postgres");
    let others = [Server::at(&url).await, Server::at(&url).await];
    let tasks: Vec<_> = (0..6)
        .map(|number| {
            let (server, template) = (others[number % 2].clone(), template(1));
            tokio::spawn(async move {
                let database = TestDatabase::create_on(&server, &template).await;
                count(&database.connect().await, "t").await
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.expect("no panic"), 0);
    }
    assert_eq!(built.load(Ordering::SeqCst), 1);

    TestDatabase::create_on(&others[0], &template(2))
        .await
        .remove()
        .await;
    assert_eq!(
        built.load(Ordering::SeqCst),
        2,
        "another fingerprint is another schema"
    );
}

#[tokio::test]
async fn a_schema_that_was_built_half_way_is_built_anew() {
    let failing = Template::new("halved", 1, |url| async {
        execute(url, "CREATE TABLE t (i int)").await.expect("a table");
        Err::<(), _>("the second half fails")
    });
    let failed = tokio::spawn(async move { TestDatabase::create(&failing).await.remove().await }).await;
    assert!(failed.expect_err("a panic").is_panic());
    let whole = Template::new("halved", 1, |url| execute(url, "CREATE TABLE t (i int)"));
    let database = TestDatabase::create(&whole).await;
    assert_eq!(count(&database.connect().await, "t").await, 0);
}

#[tokio::test]
async fn the_role_of_the_tests_may_not_do_more_than_in_production() {
    let cluster = Cluster::start(ClusterOptions::default()).await;
    let database = TestDatabase::create_on(cluster.server(), &Template::empty()).await;
    let query = "SELECT rolsuper OR rolcreaterole OR rolreplication OR rolbypassrls FROM pg_roles WHERE rolname = current_user";
    let more: bool = database
        .connect()
        .await
        .query_one(query, &[])
        .await
        .expect("a role")
        .get(0);
    assert!(!more);
    let program = "COPY (SELECT 1) TO PROGRAM 'cat'";
    assert!(execute(database.url(), program).await.is_err());
    execute(cluster.superuser_url(database.name()), program)
        .await
        .expect("a superuser may");
    let url = database.url();
    let wrong = url.replace(&password_of(&url), "wrong");
    assert!(
        execute(wrong, "SELECT 1").await.is_err(),
        "others on the machine stay out"
    );
}

fn password_of(url: &str) -> String {
    let (_, rest) = url.split_once("://mosaic:").expect("a role");
    rest.split_once('@').expect("a host").0.to_owned()
}

#[tokio::test]
async fn what_was_committed_survives_a_crash() {
    let cluster = Cluster::start(ClusterOptions::durable().with("application_name", "it's mine")).await;
    let database = TestDatabase::create_on(cluster.server(), &notes()).await;
    let before = database.connect().await;
    before
        .batch_execute("INSERT INTO notes VALUES (1, 'kept')")
        .await
        .expect("a row");
    before
        .batch_execute("BEGIN; INSERT INTO notes VALUES (2, 'lost')")
        .await
        .expect("a row");
    let port = cluster.port();

    cluster.stop(Stop::Immediate).await;
    assert!(before.batch_execute("COMMIT").await.is_err());
    assert!(
        execute(database.url(), "SELECT 1").await.is_err(),
        "nobody is at home"
    );
    cluster.start_again().await;
    assert_eq!(cluster.port(), port);
    assert_eq!(count(&database.connect().await, "notes").await, 1);
    assert!(cluster.log().contains("was not properly shut down"));

    cluster.stop(Stop::Fast).await;
    cluster.start_again().await;
    assert_eq!(count(&database.connect().await, "notes").await, 1);
    let client = database.connect().await;
    for (setting, value) in [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("application_name", "it's mine"),
    ] {
        let set: String = client
            .query_one(&format!("SHOW {setting}"), &[])
            .await
            .expect(setting)
            .get(0);
        assert_eq!(set, value);
    }
}

#[tokio::test]
async fn a_cluster_goes_with_its_last_handle() {
    let cluster = Cluster::start(ClusterOptions::default()).await;
    let folder = cluster.socket_folder();
    let database = TestDatabase::create_on(cluster.server(), &Template::empty()).await;
    drop(cluster);
    execute(database.url(), "SELECT 1")
        .await
        .expect("the database keeps it");
    let url = database.url();
    drop(database);
    until("the folder goes", async || {
        !folder.parent().expect("a parent").exists()
    })
    .await;
    assert!(execute(url, "SELECT 1").await.is_err());
}

/// Runs one test of this binary again, in a process of its own, and reads what it says.
fn again(test: &str, settings: &[(&str, &str)]) -> (Child, String) {
    let mut child = Command::new(std::env::current_exe().expect("a path"))
        .args(["--exact", test, "--nocapture"])
        .env_remove(DATABASE_URL)
        .env(CHILD, "1")
        .envs(settings.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this binary starts");
    let said = BufReader::new(child.stdout.take().expect("a pipe"))
        .lines()
        .map_while(Result::ok)
        .find_map(|line| Some(line.split_once("child: ")?.1.to_owned()))
        .expect("the child says something");
    (child, said)
}

fn say(what: &str) {
    writeln!(std::io::stdout(), "\nchild: {what}").expect("somebody listens");
}

/// What the child says before it waits to be killed.
async fn say_and_wait(what: &str) -> ! {
    say(what);
    loop {
        tokio::time::sleep(Duration::from_mins(1)).await;
    }
}

#[tokio::test]
async fn the_cluster_of_a_killed_process_goes() {
    if std::env::var_os(CHILD).is_some() {
        let cluster = Cluster::start(ClusterOptions::default()).await;
        let database = TestDatabase::create_on(cluster.server(), &notes()).await;
        say_and_wait(&format!(
            "{} {}",
            database.url(),
            cluster.socket_folder().display()
        ))
        .await;
    }
    let (mut child, said) = again("the_cluster_of_a_killed_process_goes", &[]);
    let (url, data) = said.split_once(' ').expect("two things");
    let data = PathBuf::from(data);
    execute(url.to_owned(), "SELECT 1").await.expect("it runs");
    child.kill().expect("it is killed");
    child.wait().expect("it is gone");
    until("the folder goes", async || {
        !data.parent().expect("a parent").exists()
    })
    .await;
    assert!(execute(url.to_owned(), "SELECT 1").await.is_err());
}

#[tokio::test]
async fn a_process_that_is_killed_while_the_cluster_starts_leaves_nothing() {
    if std::env::var_os(CHILD).is_some() {
        say("starting");
        let _cluster = Cluster::start(ClusterOptions::default()).await;
        say_and_wait("started").await;
    }
    let root = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(root.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777))
        .expect("a mode");
    let temporary = root.path().to_str().expect("a path");
    let test = "a_process_that_is_killed_while_the_cluster_starts_leaves_nothing";
    let (mut child, _) = again(test, &[("TMPDIR", temporary)]);
    let entries = || root.path().read_dir().expect("a folder").count();
    until("initdb runs", async || entries() == 1).await;
    child.kill().expect("it is killed");
    child.wait().expect("it is gone");
    until("the folder goes", async || entries() == 0).await;
}

#[tokio::test]
async fn a_server_that_is_already_there_is_used_and_left_clean() {
    if std::env::var_os(CHILD).is_some() {
        let database = TestDatabase::create(&notes()).await;
        say_and_wait(database.name()).await;
    }
    let url = Server::shared().await.url("postgres");
    let (mut child, name) = again(
        "a_server_that_is_already_there_is_used_and_left_clean",
        &[(DATABASE_URL, &url)],
    );
    let server = Server::at(&url).await;
    assert_eq!(
        databases_like(&server, &name).await,
        1,
        "it is made there, and in use"
    );
    let mine = TestDatabase::create_on(&server, &notes()).await;
    assert_eq!(
        databases_like(&server, "mosaic_template_notes_%").await,
        1,
        "the schema is shared"
    );

    child.kill().expect("it is killed");
    child.wait().expect("it is gone");
    until("the next run drops what is left", async || {
        Server::at(&url).await;
        databases_like(&server, &name).await == 0
    })
    .await;
    // What is in use stays, and goes at once when it is not.
    let left = mine.name().to_owned();
    assert_eq!(databases_like(&server, &left).await, 1);
    drop(mine);
    assert_eq!(databases_like(&server, &left).await, 0);
}

//! Databases of their own for tests, as copies of a schema.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use mosaic_testkit::postgres::{Cluster, ClusterOptions, DATABASE_URL, Server, Template, TestDatabase};

use crate::{child, count, databases_like, execute, notes, until};

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

/// Where a database can not be copied, somebody else makes it, and the schema is built in each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_makes_the_databases_of_a_server_that_has_one() {
    use std::os::unix::fs::PermissionsExt;

    let cluster = Cluster::start(ClusterOptions::default()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (program, calls) = (folder.path().join("hook"), folder.path().join("calls"));
    let script = format!(
        "#!/bin/sh\necho \"$1 $2\" >> {}\ncase $1 in create) psql \"$3\" -qc \"CREATE DATABASE $2\";; \
         drop) psql \"$3\" -qc \"DROP DATABASE $2 WITH (FORCE)\";; esac\n",
        calls.display()
    );
    std::fs::write(&program, script).expect("it is written");
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("it can be run");
    let url = cluster.server().url("postgres");
    let server = Server::at_with(&url, Some(program.into())).await;
    let one = TestDatabase::create_on(&server, &notes()).await;
    let two = TestDatabase::create_on(&server, &notes()).await;
    execute(one.url(), "INSERT INTO notes VALUES (1, 'x')")
        .await
        .expect("the schema is there");
    assert_eq!(count(&two.connect().await, "notes").await, 0);
    let names = [one.name().to_owned(), two.name().to_owned()];
    one.remove().await;
    drop(two);
    let called = std::fs::read_to_string(calls).expect("it was called");
    let [one, two] = names;
    assert_eq!(
        called,
        format!("create {one}\ncreate {two}\ndrop {one}\ndrop {two}\n")
    );
    assert_eq!(databases_like(&server, "mosaic_template_%").await, 0);
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
    let cluster = Cluster::start(ClusterOptions::default()).await;
    let url = cluster.server().url("postgres");
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
    let cluster = Cluster::start(ClusterOptions::default()).await;
    let server = cluster.server().clone();
    let failing = Template::new("halved", 1, |url| async {
        execute(url, "CREATE TABLE t (i int)").await.expect("a table");
        Err::<(), _>("the second half fails")
    });
    let failed =
        tokio::spawn(async move { TestDatabase::create_on(&server, &failing).await.remove().await }).await;
    assert!(failed.expect_err("a panic").is_panic());
    let whole = Template::new("halved", 1, |url| execute(url, "CREATE TABLE t (i int)"));
    let database = TestDatabase::create_on(cluster.server(), &whole).await;
    assert_eq!(count(&database.connect().await, "t").await, 0);
}

#[tokio::test]
async fn a_server_that_is_already_there_is_used_and_left_clean() {
    if child::it_is() {
        let database = TestDatabase::create(&notes()).await;
        child::say_and_wait(database.name()).await;
    }
    let url = Server::shared().await.url("postgres");
    let (mut child, name) = child::again(
        "databases::a_server_that_is_already_there_is_used_and_left_clean",
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

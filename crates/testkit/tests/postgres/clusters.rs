//! Clusters: what they are like, that a crash loses nothing, and that they go.

use std::path::PathBuf;

use mosaic_testkit::postgres::{Cluster, ClusterOptions, Stop, Template, TestDatabase, Tls};

use crate::{child, count, execute, notes, password_of, until};

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
async fn a_cluster_with_tls_takes_no_connection_without() {
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()])
        .and_then(|parameters| parameters.self_signed(&key))
        .expect("a certificate");
    let tls = Tls {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    };
    let cluster = Cluster::start(ClusterOptions {
        tls: Some(tls),
        max_connections: Some(17),
        ..ClusterOptions::default()
    })
    .await;
    let database = TestDatabase::create_on(cluster.server(), &notes()).await;
    let refused = execute(database.url(), "SELECT 1").await.expect_err("no TLS");
    let message = refused.as_db_error().map(|error| error.message().to_owned());
    assert!(
        message.is_some_and(|message| message.contains("no encryption")),
        "{refused:?}"
    );
    // Tests themselves come by the socket.
    let client = database.connect().await;
    for (setting, value) in [("ssl", "on"), ("max_connections", "17"), ("fsync", "off")] {
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

#[tokio::test]
async fn the_cluster_of_a_killed_process_goes() {
    if child::it_is() {
        let cluster = Cluster::start(ClusterOptions::default()).await;
        let database = TestDatabase::create_on(cluster.server(), &notes()).await;
        child::say_and_wait(&format!(
            "{} {}",
            database.url(),
            cluster.socket_folder().display()
        ))
        .await;
    }
    let (mut child, said) = child::again("clusters::the_cluster_of_a_killed_process_goes", &[]);
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
    if child::it_is() {
        child::say("starting");
        let _cluster = Cluster::start(ClusterOptions::durable()).await;
        child::say_and_wait("started").await;
    }
    let root = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(root.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777))
        .expect("a mode");
    let temporary = root.path().to_str().expect("a path");
    let test = "clusters::a_process_that_is_killed_while_the_cluster_starts_leaves_nothing";
    let (mut child, _) = child::again(test, &[("TMPDIR", temporary)]);
    let entries = || root.path().read_dir().expect("a folder").count();
    until("initdb runs", async || entries() == 1).await;
    child.kill().expect("it is killed");
    child.wait().expect("it is gone");
    until("the folder goes", async || entries() == 0).await;
}

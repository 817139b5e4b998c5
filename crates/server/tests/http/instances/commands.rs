//! `mosaic migrate` and `mosaic serve --no-migrate`.

use std::process::Output;

use mosaic_testkit::postgres::TestDatabase;

use crate::harness::Data;
use crate::instances::support::{count, empty_database, memo, start};

/// Runs a command on a database to its end.
fn run(data: &Data, database: &TestDatabase, args: &[&str]) -> (Option<i32>, String) {
    let url = database.url();
    let args = [args, &["--database-url", &url, "--log-format", "json"]].concat();
    let Output {
        status,
        stdout,
        stderr,
    } = data.mosaic(&args).output().unwrap();
    let said = [stdout, stderr]
        .map(|bytes| String::from_utf8(bytes).unwrap())
        .concat();
    let credentials = url
        .split_once('@')
        .and_then(|(start, _)| start.strip_prefix("postgres://"));
    if let Some((_, password)) = credentials.and_then(|names| names.split_once(':')) {
        assert!(!said.contains(password), "a password: {said}");
    }
    (status.code(), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_are_checked_for_run_and_needed() {
    let (data, database) = (Data::new(), empty_database().await);
    let tables = "pg_class WHERE relnamespace = 'public'::regnamespace";
    let nowhere = ["serve", "--no-migrate", "--listen", "127.0.0.1:0"];
    for args in [&["migrate", "--check"][..], &nowhere] {
        let (code, said) = run(&data, &database, args);
        assert_eq!(code, Some(1), "{args:?}: {said}");
        assert!(said.contains("there is no store"), "{args:?}: {said}");
        assert_eq!(count(&database, tables).await, 0, "{args:?}");
    }
    // Once, and again with nothing to do.
    for args in [&["migrate"][..], &["migrate"], &["migrate", "--check"]] {
        let (code, said) = run(&data, &database, args);
        assert_eq!(code, Some(0), "{args:?}: {said}");
    }
    let url = database.url();
    let server = start(&data, &url, &["serve", "--no-migrate"]);
    server.device("phone").await.post("/memos", &memo(1)).await.ok();
    drop(server);
    database.remove().await;
}

//! A process that writes and is killed.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write as _};
use std::process::{Command, Stdio};

use mosaic_adapter_blobs::{LocalBlobs, LocalSettings};
use mosaic_domain::UnixMillis;
use mosaic_ports::BlobStore as _;
use mosaic_testkit::blobs::{blob, bytes, put};

const ROOT: &str = "MOSAIC_TEST_BLOBS";
const READY: &str = "it has begun";

/// What the other process does, which is this test once more.
async fn write_for_ever(root: OsString) {
    let store = LocalBlobs::open(LocalSettings::new(root)).await.unwrap();
    put(&store, blob(1, 1), &bytes(1, 300_000), 1_000).await.unwrap();
    let mut writer = store.create(blob(1, 2)).await.unwrap();
    writer.write(bytes(2, 1_000_000)).await.unwrap();
    writeln!(std::io::stdout(), "{READY}").expect("somebody listens");
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn what_a_killed_process_wrote_is_swept_and_what_a_living_one_writes_is_not() {
    if let Some(root) = std::env::var_os(ROOT) {
        return write_for_ever(root).await;
    }
    let temp = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "killed::what_a_killed_process_wrote_is_swept_and_what_a_living_one_writes_is_not",
            "--nocapture",
        ])
        .env(ROOT, temp.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let begun = tokio::task::spawn_blocking(|| output.lines().any(|line| line.unwrap().contains(READY)));
    let begun = begun.await.unwrap();
    let store = LocalBlobs::open(LocalSettings::new(temp.path())).await.unwrap();
    let ever = UnixMillis::clamped(i64::MAX);
    let while_it_lived = store.sweep(ever).await;
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(begun);
    assert_eq!(while_it_lived.unwrap(), 0);
    assert_eq!(store.sweep(ever).await.unwrap(), 1);
    let listed = store.list(None, 10).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].name, listed[0].size), (blob(1, 1), 300_000));
}

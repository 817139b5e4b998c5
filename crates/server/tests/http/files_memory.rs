//! Memory stays flat: fifty files at once cost no more than some buffers each, however large they are.

use crate::files::{Folder, MIB, file, memory, noise};
use crate::files_many::send_at_once;
use crate::files_s3::on_s3;
use crate::harness::{Data, Server};
use crate::storage::Storage;

/// By how much the server's memory may grow.
const GROWTH: u64 = 100 * MIB as u64;

/// However busy the machine is, nobody is given up.
const PATIENT: [&str; 2] = ["--attachments-idle-timeout-ms", "600000"];

/// Uploads so many files of so many bytes at once; returns by how much the server's memory grew at most.
async fn grown_by(server: &Server, files: usize, bytes: usize) -> u64 {
    let phone = server.device("phone").await;
    // What the first upload leaves behind is not what many cost.
    phone.upload(file("first.bin", "", &noise(90, MIB))).await.ok();
    let before = memory(server.pid(), "VmRSS");
    send_at_once(&phone, files, bytes).await;
    memory(server.pid(), "VmHWM").saturating_sub(before)
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_files_at_once_take_little_memory() {
    let data = Data::new();
    let server = data.start(&PATIENT);
    let grown = grown_by(&server, 50, 20 * MIB).await;
    assert!(grown < GROWTH, "the server grew by {} MiB", grown / MIB as u64);
    Folder::of(&data).assert_holds(51, "fifty uploads").await;
    drop(server);

    // And on their way to S3, one test after the other: both of them together keep a small machine too busy.
    let storage = Storage::start().await;
    let data = Data::new();
    let server = on_s3(&data, &storage.settings().endpoint.unwrap(), &PATIENT);
    let grown = grown_by(&server, 25, 10 * MIB).await;
    assert!(
        grown < GROWTH,
        "the server grew by {} MiB on the way to S3",
        grown / MIB as u64
    );
}

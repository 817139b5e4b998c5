//! What fifty large files at once cost the server, and how fast they are stored.
//!
//! `cargo xtask bench`, or `cargo bench -p mosaic-server --bench uploads`. Talks to a real server on 127.0.0.1; it writes ten
//! gigabytes into the temporary folder and removes them again. Nothing here passes or fails.

#![expect(clippy::print_stdout, reason = "what it measures is what it prints")]

#[path = "../tests/http/files.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    reason = "written for the tests, which use the rest of it"
)]
mod files;
#[path = "../tests/http/files_many.rs"]
#[expect(unreachable_pub, reason = "written for the tests")]
mod files_many;
#[path = "../tests/http/harness.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    reason = "written for the tests, which use the rest of it"
)]
mod harness;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use files::{KIB, MIB, memory, noise};
use files_many::send_at_once;
use harness::Data;

/// How many files are sent at once.
const FILES: usize = 50;
/// How many bytes each of them has.
const BYTES: usize = 100 * MIB;
/// And all of them.
const ALL: u64 = (FILES * BYTES) as u64;
/// How much is written to the plain file at a time.
const PIECE: usize = 256 * KIB;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(measure());
}

async fn measure() {
    let data = Data::new();
    let server = data.start(&[]);
    let client = server.device("bench").await;
    // What the first upload leaves behind is not what fifty cost.
    client
        .upload(files::file("first.bin", "", &noise(1, MIB)))
        .await
        .ok();
    let plain = plain_file(data.path());
    let before = memory(server.pid(), "VmRSS");
    let started = Instant::now();
    send_at_once(&client, FILES, BYTES).await;
    let took = started.elapsed();
    let grown = memory(server.pid(), "VmHWM").saturating_sub(before);

    println!("{FILES} files of {} MiB each, at once:", BYTES / MIB);
    row("MiB of memory more at most, than before", mebibytes(grown));
    row(
        "MiB per second, all together",
        mebibytes(ALL) / took.as_secs_f64(),
    );
    row(
        "MiB per second into a plain file, brought to disk",
        mebibytes(ALL) / plain.as_secs_f64(),
    );
    row("of that pace", plain.as_secs_f64() / took.as_secs_f64());
}

fn row(what: &str, number: f64) {
    println!("{number:>10.2}  {what}");
}

fn mebibytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / MIB as u64).expect("fewer than four petabytes"))
}

/// How long it takes to write as many bytes to one file, and to bring them to disk.
fn plain_file(folder: &Path) -> Duration {
    let path = folder.join("plain");
    let piece = noise(2, PIECE);
    let started = Instant::now();
    let mut file = File::create(&path).expect("a file");
    for _ in 0..FILES * BYTES / PIECE {
        file.write_all(&piece).expect("room on the disk");
    }
    file.sync_all().expect("a disk");
    let took = started.elapsed();
    std::fs::remove_file(path).expect("a file to remove");
    took
}

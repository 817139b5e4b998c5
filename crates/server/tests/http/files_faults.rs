//! A disk that is full, and storage that is away: attachments are refused with a clear problem, and everything else goes on.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Method;
use rustix::process::geteuid;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::files::{Folder, MIB, bytes_of, file, noise};
use crate::files_pictures::png;
use crate::files_s3::{on_s3, secret};
use crate::harness::{Answer, Client, Data, Server};
use crate::storage::Storage;

/// A file system of eight megabytes in memory, mounted where the folder of the attachments is. It goes with the server.
const MOUNT: &str = "mount -t tmpfs -o size=8m mosaic-test \"$0\" && exec \"$@\"";

/// What begins a command that may mount file systems of its own.
fn with_mounts() -> Vec<&'static str> {
    let own = ["unshare", "--mount"];
    let as_nobody = ["unshare", "--user", "--map-root-user", "--mount"];
    let candidates = if geteuid().is_root() {
        [&own[..], &as_nobody]
    } else {
        [&as_nobody[..], &own]
    };
    let somewhere = tempfile::tempdir().expect("a temporary folder");
    for candidate in candidates {
        let tried = Command::new(candidate[0])
            .args(&candidate[1..])
            .args(["sh", "-c", MOUNT])
            .arg(somewhere.path())
            .arg("true")
            .stderr(Stdio::null())
            .status();
        if tried.is_ok_and(|status| status.success()) {
            return candidate.to_vec();
        }
    }
    panic!(
        "no file system can be mounted here, to be filled up: run the tests as root, or let users have namespaces \
         (sysctl kernel.apparmor_restrict_unprivileged_userns=0)"
    );
}

/// A server whose attachments have a disk of eight megabytes, and that disk.
fn on_a_small_disk() -> (Server, PathBuf) {
    let data = Data::new();
    let folder = data.path().join("small");
    fs::create_dir(&folder).unwrap();
    let mut launcher = with_mounts();
    launcher.extend(["sh", "-c", MOUNT, folder.to_str().unwrap()]);
    let server = data.start_by(&launcher, &["--attachments-folder", folder.to_str().unwrap()]);
    // Only the server's processes see what is mounted there.
    let seen = format!("/proc/{}/root{}", server.pid(), folder.display());
    (server, seen.into())
}

/// Takes room on a disk: so many bytes, or all there are.
fn take_room(disk: &Path, bytes: usize) {
    let mut ballast = fs::File::create(disk.join("ballast")).unwrap();
    for _ in 0..bytes / 4096 {
        if ballast.write_all(&[7; 4096]).is_err() {
            return;
        }
    }
}

/// Begins a resumable upload; its path.
async fn begin(phone: &Client, length: usize) -> String {
    let request = phone
        .request(Method::POST, "/uploads")
        .header("tus-resumable", "1.0.0")
        .header("upload-length", length)
        .header("upload-metadata", "filename YS5iaW4=");
    let begun = phone.send(request).await;
    assert_eq!(begun.status, 201, "{}", begun.body);
    begun.headers["location"].to_str().unwrap().to_owned()
}

/// Goes on with it from that offset.
async fn go_on(phone: &Client, path: &str, offset: usize, bytes: &[u8]) -> Answer {
    let request = phone
        .request(Method::PATCH, path)
        .header("tus-resumable", "1.0.0")
        .header("upload-offset", offset)
        .header("content-type", "application/offset+octet-stream");
    phone.send(request.body(bytes.to_vec())).await
}

/// How far it has come.
async fn offset(phone: &Client, path: &str) -> usize {
    let request = phone.request(Method::HEAD, path).header("tus-resumable", "1.0.0");
    let found = phone.send(request).await;
    found.headers["upload-offset"].to_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a1_a_full_disk_refuses_files_leaves_no_halves_and_goes_on_when_there_is_room() {
    let (server, disk) = on_a_small_disk();
    let folder = Folder(disk.clone());
    let phone = server.device("phone").await;
    let first = noise(70, MIB);
    let stored = phone.upload(file("first.bin", "", &first)).await.ok();
    let picture = phone.upload(file("a.png", "", &png(400, 400))).await.ok();
    let second = noise(71, 4 * MIB);
    let path = begin(&phone, second.len()).await;
    let before = phone.everything().await;

    take_room(&disk, 5 * MIB);
    let blobs = folder.blobs().len();
    for _ in 0..3 {
        let refused = phone.upload(file("second.bin", "", &second)).await;
        refused.problem(507, "storage_full");
        let refused = go_on(&phone, &path, 0, &second).await;
        refused.problem(507, "storage_full");
    }
    phone
        .assert_untouched(&before, "files for which there is no room")
        .await;
    folder
        .assert_holds(blobs, "files for which there is no room")
        .await;

    // And to the last byte.
    take_room(&disk, 8 * MIB);
    let small = phone.upload(file("small.bin", "", &noise(72, 10_000))).await;
    small.problem(507, "storage_full");
    let avatar = file("me.png", "image/png", &png(200, 200));
    let refused = phone.send_form("/resources/upload-avatar", avatar).await;
    refused.problem(507, "storage_full");
    let thumbnail = picture["thumbnailUrl"].as_str().unwrap();
    phone.get(thumbnail).await.problem(507, "storage_full");
    folder.assert_holds(blobs, "a disk without a byte").await;
    assert!(phone.download(&bytes_of(&stored)).await.whole() == first);
    phone.assert_untouched(&before, "a disk without a byte").await;
    phone.post("/memos", &json!({"content": "goes on"})).await.ok();

    fs::remove_file(disk.join("ballast")).unwrap();
    let resource = phone.upload(file("second.bin", "", &second)).await.ok();
    assert!(phone.download(&bytes_of(&resource)).await.whole() == second);
    phone.download(thumbnail).await.whole();
    // What has arrived of the other upload is there, whatever that was.
    phone
        .delete(&format!("/resources/{}", resource["id"].as_str().unwrap()))
        .await
        .ok();
    let arrived = offset(&phone, &path).await;
    let there = go_on(&phone, &path, arrived, &second[arrived..arrived + 1_000]).await;
    assert_eq!(there.headers["upload-offset"], (arrived + 1_000).to_string());
}

/// How the storage does.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Weather {
    /// As it should.
    Fair,
    /// It answers everything with an error.
    Errors,
    /// It takes connections, and never answers.
    Silence,
}

/// What stands between a server and its storage.
struct Road {
    address: String,
    weather: watch::Sender<Weather>,
    task: AbortHandle,
}

impl Drop for Road {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Road {
    async fn to(endpoint: &str) -> Self {
        let (weather, now) = watch::channel(Weather::Fair);
        let target: Arc<str> = endpoint.strip_prefix("http://").unwrap().into();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                tokio::spawn(pass(socket, Arc::clone(&target), now.clone()));
            }
        });
        Self {
            address,
            weather,
            task: task.abort_handle(),
        }
    }

    /// From now on; connections that are there end.
    fn becomes(&self, weather: Weather) {
        self.weather.send(weather).unwrap();
    }
}

/// Passes a connection on, or what the weather makes of it, until the weather changes.
async fn pass(mut socket: TcpStream, target: Arc<str>, mut now: watch::Receiver<Weather>) {
    let weather = *now.borrow_and_update();
    let work = async {
        match weather {
            Weather::Fair => {
                let mut storage = TcpStream::connect(&*target).await.unwrap();
                copy_bidirectional(&mut socket, &mut storage).await.ok();
            }
            Weather::Errors => {
                let mut asked = [0; 4096];
                while socket.read(&mut asked).await.is_ok_and(|read| read > 0) {
                    let answer = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";
                    if socket.write_all(answer.as_bytes()).await.is_err() {
                        break;
                    }
                }
            }
            Weather::Silence => std::future::pending().await,
        }
    };
    tokio::select! {
        () = work => {}
        _ = now.changed() => {}
    }
}

/// Everything that needs the storage, at once; and how long it took.
async fn what_needs_the_storage(phone: &Client, stored: &Value, thumbnail: &str) -> Duration {
    let started = Instant::now();
    let path = bytes_of(stored);
    let upload = begin(phone, 100).await;
    let answers = tokio::join!(
        phone.upload(file("b.bin", "", &noise(74, 300_000))),
        phone.get(&path),
        phone.get(thumbnail),
        go_on(phone, &upload, 0, &[7; 100]),
        phone.send_form("/resources/upload-avatar", file("me.png", "", &png(8, 8))),
    );
    let answers: [Answer; 5] = answers.into();
    for answer in answers {
        assert!(answer.headers.contains_key("retry-after"), "{}", answer.body);
        answer.problem(503, "storage_unavailable");
    }
    assert_eq!(offset(phone, &upload).await, 0);
    started.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_that_fails_or_is_silent_is_503_and_syncing_goes_on() {
    let storage = Storage::start().await;
    let road = Road::to(&storage.settings().endpoint.unwrap()).await;
    let data = Data::new();
    let server = on_s3(&data, &road.address, &["--attachments-s3-timeout-ms", "3000"]);
    let phone = server.device("phone").await;
    let bytes = noise(73, 200_000);
    let stored = phone.upload(file("a.bin", "", &bytes)).await.ok();
    let picture = phone.upload(file("a.png", "", &png(500, 500))).await.ok();
    let thumbnail = picture["thumbnailUrl"].as_str().unwrap();
    let before = phone.get("/resources").await.ok();
    server.anonymous().get("/health/ready").await.ok();

    for weather in [Weather::Errors, Weather::Silence] {
        road.becomes(weather);
        let (waiting, used) = (phone.clone(), thumbnail.to_owned());
        let resource = stored.clone();
        let refused = tokio::spawn(async move { what_needs_the_storage(&waiting, &resource, &used).await });
        // Meanwhile, and quickly:
        let started = Instant::now();
        for n in 0..20 {
            let content = json!({"content": format!("{n}, in {weather:?}")});
            phone.post("/memos", &content).await.ok();
            phone.everything().await;
        }
        let ready = server.anonymous().get("/health/ready").await.ok();
        assert_eq!(ready["attachments"], "unavailable", "and everything else works");
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "it waited for the storage"
        );
        let took = refused.await.expect("problems");
        assert!(
            took < Duration::from_secs(25),
            "{weather:?} was answered after {took:?}"
        );
        assert_eq!(phone.get("/resources").await.ok(), before);
    }

    road.becomes(Weather::Fair);
    server.anonymous().get("/health/ready").await.ok();
    assert!(phone.download(&bytes_of(&stored)).await.whole() == bytes);
    phone.download(thumbnail).await.whole();
    phone.upload(file("b.bin", "", &noise(74, 300_000))).await.ok();
    assert!(!server.log().contains(secret()), "the secret is in the log");
    drop(storage);
}

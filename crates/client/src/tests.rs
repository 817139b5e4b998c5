//! What the client does with answers that a test makes up, such as no good server gives.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use mosaic_domain::entity::Memo;
use mosaic_domain::{EntityType, MemoId, ResourceId, UnixMillis, UserId};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

use crate::store::Account;
use crate::wire::Tokens;
use crate::{Client, Error, Platform, Settings};

/// How many failures in a row end a call here.
pub(crate) const ATTEMPTS: u32 = 4;

/// A machine on which nobody waits. It remembers how long they were to.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    waits: Mutex<Vec<Duration>>,
    drawn: AtomicU64,
}

impl Patience {
    /// How long was waited, in milliseconds.
    pub(crate) fn waits(&self) -> Vec<u128> {
        self.waits
            .lock()
            .unwrap()
            .iter()
            .map(Duration::as_millis)
            .collect()
    }
}

impl Platform for Patience {
    fn now(&self) -> UnixMillis {
        UnixMillis::clamped(1_715_000_000_000)
    }

    /// Never the same, and always the same jitter: three quarters.
    fn random(&self) -> u128 {
        25 + 51 * u128::from(self.drawn.fetch_add(1, Ordering::SeqCst))
    }

    fn pause(&self, how_long: Duration) -> BoxFuture<'static, ()> {
        self.waits.lock().unwrap().push(how_long);
        Box::pin(std::future::ready(()))
    }
}

/// Starts a server that answers each request, by its first line, with a status, headers and, after an empty line, a body. Answers its
/// address.
pub(crate) async fn serve(mut answer: impl FnMut(&str) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let Some(request) = read_request(&mut client).await else {
                continue;
            };
            let answer = answer(request.lines().next().unwrap_or_default());
            let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, "{}"));
            let length = body.len();
            let answer =
                format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
            // Who does not want it has gone.
            let _ = client.write_all(answer.as_bytes()).await;
        }
    });
    address
}

/// The head of a request, once its body has come, too.
async fn read_request(client: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return Some(head.to_owned());
            }
        }
        if client.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// A device that is logged in at a server like that.
struct Device {
    folder: TempDir,
    machine: Arc<Patience>,
    app: Client,
    asked: Arc<Mutex<Vec<String>>>,
}

fn tokens(name: &str) -> Tokens {
    Tokens {
        access_token: format!("{name}-access"),
        refresh_token: format!("{name}-refresh"),
    }
}

impl Device {
    async fn at(mut answer: impl FnMut(&Client, &str) -> String + Send + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let machine = Arc::<Patience>::default();
        let settings = Settings {
            platform: Arc::clone(&machine) as _,
            attempts: ATTEMPTS,
            chunk_bytes: 4,
            ..Settings::default()
        };
        let app = Client::open(&folder.path().join("diary.db"), settings).unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let (client, noted) = (app.clone(), Arc::clone(&asked));
        let server = serve(move |line| {
            noted.lock().unwrap().push(line.to_owned());
            answer(&client, line)
        });
        let account = Account {
            server: server.await,
            user: UserId::new(Uuid::from_u128(1)),
            username: "anna".into(),
        };
        app.store().begin_login(&account, &tokens("first")).unwrap();
        Self {
            folder,
            machine,
            app,
            asked,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Attaches a file of ten bytes; answers where its copy is.
    fn attach(&self, name: &str) -> (ResourceId, PathBuf) {
        std::fs::write(self.file(name), "some bytes").unwrap();
        let id = self.app.attach(&self.file(name), None).unwrap();
        (id, self.file("diary.db.files").join(id.to_string()))
    }

    fn asked(&self, line: &str) -> usize {
        self.asked
            .lock()
            .unwrap()
            .iter()
            .filter(|asked| asked.starts_with(line))
            .count()
    }
}

/// A pull that brings nothing.
fn a_page(has_more: bool) -> String {
    a_page_with(has_more, &json!({}))
}

fn a_page_with(has_more: bool, changes: &Value) -> String {
    let each = |value: Value| -> Value {
        EntityType::ALL
            .map(|entity| (entity.name().to_owned(), value.clone()))
            .into_iter()
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let page = json!({"cursors": each(json!(5)), "changes": changes, "hasMore": each(json!(has_more)), "serverTime": 5, "epoch": Uuid::from_u128(1)});
    format!("200 OK\r\n\r\n{page}")
}

fn a_problem(status: u16, code: &str) -> String {
    format!("{status} No\r\n\r\n{}", json!({"code": code, "detail": "no"}))
}

const NEW_TOKENS: &str = r#"{"accessToken": "second-access", "refreshToken": "second-refresh"}"#;

#[tokio::test]
async fn an_upload_that_does_not_move_on_ends_the_sync() {
    let phone = Device::at(|_, line| match line {
        _ if line.starts_with("POST /sync/pull") => a_page(false),
        _ if line.starts_with("POST /uploads ") => {
            "201 Created\r\nlocation: /uploads/1\r\nupload-offset: 0".into()
        }
        _ => "204 OK\r\nupload-offset: 0\r\n\r\n".into(),
    })
    .await;
    phone.attach("a");
    let error = phone.app.sync(|_| {}).await.unwrap_err();
    assert!(matches!(error, Error::Later { .. }), "{error}");
    assert_eq!(phone.asked("PATCH "), ATTEMPTS as usize);
}

#[tokio::test]
async fn a_file_whose_copy_is_not_there_or_not_whole_holds_up_no_other() {
    let phone = Device::at(|_, line| match line {
        _ if line.starts_with("POST /sync/pull") => a_page(false),
        _ => "201 Created\r\nlocation: /uploads/1\r\nupload-offset: 10".into(),
    })
    .await;
    let [(gone, gone_at), (_, cut_at), _] = ["a", "b", "c"].map(|name| phone.attach(name));
    std::fs::remove_file(gone_at).unwrap();
    std::fs::write(cut_at, "some").unwrap();
    let done = phone.app.sync(|_| {}).await.unwrap();
    assert_eq!(done.uploaded, 1);
    let told: Vec<_> = done
        .rejected
        .iter()
        .map(|rejection| &*rejection.problem.code)
        .collect();
    assert_eq!(told, ["file_unreadable"; 2]);
    assert_eq!(
        phone.app.sync(|_| {}).await.unwrap().rejected,
        [],
        "it is told once"
    );
    assert!(phone.app.discard(gone).unwrap());
    assert_eq!(phone.app.status().unwrap().uploads.len(), 1);
}

/// A device that knows of a file, and a server whose bytes of it are these.
async fn with_a_file(bytes: &'static str) -> (Device, ResourceId) {
    let id = ResourceId::new(Uuid::from_u128(1));
    let sha256 = "0d22cdcc10e6d049dbe1af5123d50873fdfc1a4f58306e58cb6241be9472014d";
    let resource = json!({
        "id": id, "memoId": null, "filename": "a", "mimeType": "a/b", "fileSize": 10, "sha256": sha256, "storageType": "local",
        "sortOrder": 0, "metadata": {}, "createdAt": 1, "updatedAt": 1,
    });
    let changes = json!({"resource": {"updated": [resource], "deletedIds": []}});
    let phone = Device::at(move |_, line| match line {
        _ if line.starts_with("POST /sync/pull") => a_page_with(false, &changes),
        _ => format!("200 OK\r\n\r\n{bytes}"),
    })
    .await;
    phone.app.sync(|_| {}).await.unwrap();
    (phone, id)
}

#[tokio::test]
async fn a_download_is_there_whole_or_not_at_all() {
    let (phone, id) = with_a_file("other bytes").await;
    let to = phone.file("down");
    std::fs::write(&to, "there before").unwrap();
    let error = phone.app.download(id, &to, |_, _| {}).await.unwrap_err();
    assert!(matches!(error, Error::NotTheServer(_)), "{error}");
    assert_eq!(std::fs::read(&to).unwrap(), b"there before");
    assert!(!phone.file("down.partial").exists());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_download_to_a_full_disk_is_told() {
    let (phone, id) = with_a_file("some bytes").await;
    std::os::unix::fs::symlink("/dev/full", phone.file("down.partial")).unwrap();
    let error = phone
        .app
        .download(id, &phone.file("down"), |_, _| {})
        .await
        .unwrap_err();
    assert!(error.to_string().contains("No space left"), "{error}");
    assert!(std::fs::symlink_metadata(phone.file("down.partial")).is_err());
}

#[tokio::test]
async fn tries_within_tries_are_counted_together_and_what_moves_on_begins_anew() {
    let mut parts = 0;
    let phone = Device::at(move |_, line| match line {
        _ if line.starts_with("POST /sync/pull") => a_page(false),
        _ if line.starts_with("POST /uploads ") => {
            "201 Created\r\nlocation: /uploads/1\r\nupload-offset: 0".into()
        }
        // Two parts of four bytes, each at its third try, and not the last one.
        _ if line.starts_with("PATCH ") => {
            parts += 1;
            match parts {
                3 => "204 OK\r\nupload-offset: 4\r\n\r\n".into(),
                6 => "204 OK\r\nupload-offset: 8\r\n\r\n".into(),
                _ => "503 Busy".into(),
            }
        }
        _ if parts < 6 => format!("200 OK\r\nupload-offset: {}", parts / 3 * 4),
        _ => "503 Busy".into(),
    })
    .await;
    phone.attach("a");
    phone.app.sync(|_| {}).await.unwrap_err();
    assert_eq!(phone.asked("PATCH "), 7);
    assert_eq!(phone.machine.waits().len(), 2 + 2 + ATTEMPTS as usize - 1);
}

#[tokio::test]
async fn a_sync_ends_where_the_server_wants_to_be_left_alone_for_long_and_says_for_how_long() {
    let phone = Device::at(|_, line| match line {
        _ if line.starts_with("POST /sync/pull") => a_page(false),
        _ if line.starts_with("POST /uploads ") => {
            "201 Created\r\nlocation: /uploads/1\r\nupload-offset: 0".into()
        }
        _ => "429 Slow\r\nretry-after: 99999999999".into(),
    })
    .await;
    phone.attach("a");
    let error = phone.app.sync(|_| {}).await.unwrap_err();
    assert_eq!(
        error.after(),
        Some(Duration::from_hours(24)),
        "no longer than this is taken for meant"
    );
    assert!(error.to_string().ends_with("; try again in 86400 s"), "{error}");
    assert_eq!(phone.machine.waits(), [0; 0]);
}

#[tokio::test]
async fn pages_without_an_end_are_no_pull() {
    let phone = Device::at(|_, _| a_page(true)).await;
    let error = phone.app.sync(|_| {}).await.unwrap_err();
    assert!(matches!(error, Error::NotTheServer(_)), "{error}");
    assert_eq!(phone.asked("POST /sync/pull"), 2);
}

#[tokio::test]
async fn b2_results_of_other_edits_settle_nothing() {
    let other = json!({"results": {"memo": [{"id": Uuid::from_u128(9), "outcome": "applied", "stamp": 6}]}, "clock": 6, "serverTime": 5});
    let phone = Device::at(move |_, line| match line {
        _ if line.starts_with("POST /sync/pull") => a_page(false),
        _ => format!("200 OK\r\n\r\n{other}"),
    })
    .await;
    phone
        .app
        .put(MemoId::new(Uuid::from_u128(1)), &Memo::default())
        .unwrap();
    let error = phone.app.sync(|_| {}).await.unwrap_err();
    assert!(matches!(error, Error::NotTheServer(_)), "{error}");
    assert_eq!(phone.app.status().unwrap().waiting, 1);
}

#[tokio::test]
async fn l2_only_a_refused_token_ends_the_login() {
    for (refusal, goes_on) in [
        (a_problem(413, "body_too_large"), true),
        (a_problem(400, "bad_request"), true),
        (a_problem(429, "rate_limited"), true),
        ("408 Slow".into(), true),
        (a_problem(401, "invalid_refresh_token"), false),
        (a_problem(401, "login_ended"), false),
    ] {
        let said = refusal.clone();
        let phone = Device::at(move |_, line| match line {
            _ if line.starts_with("POST /auth/refresh") => said.clone(),
            _ => a_problem(401, "token_expired"),
        })
        .await;
        let error = phone.app.sync(|_| {}).await.unwrap_err();
        assert_eq!(matches!(error, Error::LoggedOut), !goes_on, "{refusal}: {error}");
        assert_eq!(phone.app.status().unwrap().is_logged_in, goes_on, "{refusal}");
    }
}

#[tokio::test]
async fn l3_the_tokens_of_another_password_are_kept_though_the_old_login_was_seen_to_end() {
    let phone = Device::at(|app, line| match line {
        _ if line.starts_with("POST /auth/change-password") => {
            // What a sync does that is told so before this answer comes.
            app.store().renew(&tokens("first"), None).unwrap();
            format!("200 OK\r\n\r\n{NEW_TOKENS}")
        }
        _ => a_page(false),
    })
    .await;
    phone.app.change_password("old", "new").await.unwrap();
    assert_eq!(phone.app.store().tokens().unwrap(), Some(tokens("second")));
    phone.app.sync(|_| {}).await.unwrap();
}

#[tokio::test]
async fn l3_a_request_of_a_login_that_another_password_ended_goes_on_with_the_new_one() {
    let mut is_first = true;
    let phone = Device::at(move |app, _| {
        if !std::mem::take(&mut is_first) {
            return a_page(false);
        }
        app.store().set_tokens(&tokens("second")).unwrap();
        a_problem(401, "login_ended")
    })
    .await;
    phone.app.sync(|_| {}).await.unwrap();
    assert!(phone.app.status().unwrap().is_logged_in);
}

#[tokio::test]
async fn n1_a_nudge_without_an_end_ends_the_stream() {
    let phone = Device::at(|_, _| format!("200 OK\r\n\r\n: {}", "x".repeat(100_000))).await;
    let mut nudges = Box::pin(phone.app.nudges());
    assert!(matches!(nudges.next().await, Some(Err(Error::NotTheServer(_)))));
    assert!(nudges.next().await.is_none());
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_kept_is_for_nobody_else_to_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let phone = Device::at(|_, _| a_page(false)).await;
    phone.attach("a");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for (name, wanted) in [
        ("diary.db", 0o600),
        ("diary.db-wal", 0o600),
        ("diary.db.files", 0o700),
    ] {
        assert_eq!(mode(&phone.file(name)), wanted, "{name}");
    }
}

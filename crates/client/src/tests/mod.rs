//! What the client does with answers that a test makes up, such as no good server gives.

mod files;
mod logins;
mod syncs;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use mosaic_domain::{EntityType, ResourceId, UnixMillis, UserId};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

use crate::store::Account;
use crate::wire::{Object, Tokens};
use crate::{Client, Platform, Settings};

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

/// Starts a server that answers each request with a status, headers and, after an empty line, a body. Answers its address. No test needs
/// more than `MOST_REQUESTS`: then it is gone.
pub(crate) async fn serve(mut answer: impl FnMut(&str) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for _ in 0..MOST_REQUESTS {
            let (mut client, _) = listener.accept().await.unwrap();
            let Some(request) = read_request(&mut client).await else {
                continue;
            };
            let answer = answer(&request);
            let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, "{}"));
            let length = if head.contains("content-length: ") {
                String::new()
            } else {
                format!("content-length: {}\r\n", body.len())
            };
            let answer = format!("HTTP/1.1 {head}\r\nconnection: close\r\n{length}\r\n{body}");
            // Who does not want it has gone.
            let _ = client.write_all(answer.as_bytes()).await;
        }
    });
    address
}

const MOST_REQUESTS: usize = 200;

/// A whole request.
async fn read_request(client: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return Some(text);
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

impl Device {
    /// The server answers as the test says; where it says nothing, pulls bring nothing, uploads begin, and all else is done.
    async fn at(mut answer: impl FnMut(&Client, &str) -> Option<String> + Send + 'static) -> Self {
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
        let server = serve(move |request| {
            noted.lock().unwrap().push(request.to_owned());
            answer(&client, request).unwrap_or_else(|| match request {
                _ if request.starts_with("POST /sync/pull") => a_page(&json!({})),
                _ if request.starts_with("POST /uploads ") => BEGUN.to_owned(),
                _ => "200 OK".to_owned(),
            })
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

    /// The requests that began like this.
    fn asked(&self, beginning: &str) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let like_this = asked.iter().filter(|request| request.starts_with(beginning));
        like_this.cloned().collect()
    }
}

fn tokens(name: &str) -> Tokens {
    Tokens {
        access_token: format!("{name}-access"),
        refresh_token: format!("{name}-refresh"),
    }
}

const BEGUN: &str = "201 Created\r\nlocation: /uploads/1\r\nupload-offset: 0";

/// For each type the same.
fn each(value: &Value) -> Value {
    let members = EntityType::ALL.map(|entity| (entity.name().to_owned(), value.clone()));
    Value::Object(members.into_iter().collect())
}

/// A pull that brings nothing but these members.
fn a_page(members: &Value) -> String {
    let (cursors, has_more) = (each(&json!(5)), each(&json!(false)));
    let page =
        json!({"cursors": cursors, "changes": {}, "hasMore": has_more, "serverTime": 5, "epoch": EPOCH});
    let with = |value: &Value| value.as_object().unwrap().clone();
    let page: Object = with(&page).into_iter().chain(with(members)).collect();
    format!("200 OK\r\n\r\n{}", Value::Object(page))
}

const EPOCH: &str = "00000000-0000-0000-0000-000000000001";

fn a_problem(status: u16, code: &str) -> String {
    format!("{status} No\r\n\r\n{}", json!({"code": code, "detail": "no"}))
}

//! A server of one's own for each test, and clients that talk to it.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;

use mosaic_testkit::postgres::{Template, TestDatabase, has_hook};
use mosaic_testkit::program::Program;
use reqwest::{Method, RequestBuilder, StatusCode};
pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The password of `admin` on every server of these tests.
pub const ADMIN_PASSWORD: &str = "correct horse battery";

/// A running server. It is killed, and its data removed, when it goes out of scope.
pub struct Server {
    /// Its process, for what stands before it.
    pub program: Arc<Program>,
    /// `http://127.0.0.1:PORT`, or `unix:PATH`.
    pub url: String,
    /// The data it serves.
    pub data: Data,
}

/// Which store the servers of this test binary have: the same tests run on both.
const ON_POSTGRES: bool = matches!(
    env!("CARGO_CRATE_NAME").as_bytes(),
    b"http_postgres" | b"attack_postgres"
);

/// The text of all migrations: a template that was made from others is not used.
const MIGRATIONS: &str = concat!(
    include_str!("../../../../migrations/postgres/V1__initial.sql"),
    include_str!("../../../../migrations/postgres/V2__retention_devices_jobs.sql"),
    include_str!("../../../../migrations/postgres/V3__attachments.sql"),
    include_str!("../../../../migrations/postgres/V4__logins.sql"),
    include_str!("../../../../migrations/postgres/V5__shares_and_letter_case.sql"),
    include_str!("../../../../migrations/postgres/V6__search_texts.sql"),
    include_str!("../../../../migrations/postgres/V7__seals.sql"),
    include_str!("../../../../migrations/postgres/V8__deferred_lengths.sql"),
    include_str!("../../../../migrations/postgres/V9__clocks_that_never_moved.sql"),
    include_str!("../../../../migrations/postgres/V10__time_zones.sql"),
    include_str!("../../../../migrations/postgres/V11__tables_by_user.sql"),
    include_str!("../../../../migrations/postgres/V12__activity.sql"),
    include_str!("../../../../migrations/postgres/V13__account_quotas.sql"),
    include_str!("../../../../migrations/postgres/V14__invites.sql"),
);

/// The data folder and the database, which outlive their server where a test starts another one on them.
#[derive(Clone)]
pub struct Data(Arc<Stored>);

struct Stored {
    folder: TempDir,
    database: Option<TestDatabase>,
}

impl Data {
    /// An empty folder, and an empty database where the tests run on PostgreSQL.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self(Arc::new(Stored {
            folder,
            database: ON_POSTGRES.then(new_database),
        }))
    }

    /// Whether the servers of this test binary are on PostgreSQL.
    pub fn is_on_postgres() -> bool {
        ON_POSTGRES
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        self.0.folder.path()
    }

    /// A command on this data folder, with no variables but its own.
    pub fn mosaic(&self, args: &[&str]) -> Command {
        self.mosaic_by(&[], args)
    }

    /// As [`Data::mosaic`], started by another program that is given its command line.
    fn mosaic_by(&self, launcher: &[&str], args: &[&str]) -> Command {
        let binary = optimised_binary().unwrap_or_else(|| env!("CARGO_BIN_EXE_mosaic").to_owned());
        let line = [launcher, &[&binary]].concat();
        let mut command = Command::new(line[0]);
        command
            .args(&line[1..])
            .current_dir(self.path())
            .env_clear()
            .env("MOSAIC_ADMIN_PASSWORD", ADMIN_PASSWORD)
            // Tests run beside each other: none takes the port that people know.
            .env("MOSAIC_LISTEN", "127.0.0.1:0")
            .args(args)
            .stdin(Stdio::null());
        if let Some(database) = &self.0.database {
            // Many of these tests share one server.
            command
                .env("MOSAIC_DATABASE_URL", database.url())
                .env("MOSAIC_POSTGRES_POOL_SIZE", "6");
        }
        command
    }

    /// What a command says on stderr that has to fail with this exit code, in less than half a minute.
    pub fn fails(&self, code: i32, args: &[&str]) -> String {
        let output = self
            .mosaic_by(&["timeout", "30"], args)
            .output()
            .expect("it runs");
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(code), "{said}");
        said
    }

    /// Starts a server on this data and waits until it listens.
    pub fn start(&self, args: &[&str]) -> Server {
        self.start_by(&[], args)
    }

    /// As [`Data::start`], started by another program that becomes the server (`exec`).
    pub fn start_by(&self, launcher: &[&str], args: &[&str]) -> Server {
        self.started(self.mosaic_by(launcher, args))
    }

    /// As [`Data::start`], with a socket that is handed over as systemd does it: a file descriptor of the number 3.
    pub fn start_on(&self, socket: impl Into<OwnedFd>, args: &[&str]) -> Server {
        const HAND_OVER: &str = r#"LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@" 3<&0 </dev/null"#;
        let mut command = self.mosaic_by(&["sh", "-c", HAND_OVER], args);
        command.stdin(Stdio::from(socket.into()));
        self.started(command)
    }

    fn started(&self, mut command: Command) -> Server {
        command.args(["--http-workers", "2", "--log-format", "json"]);
        let program = Arc::new(Program::start(&mut command));
        Server {
            url: program.url().to_owned(),
            program,
            data: self.clone(),
        }
    }
}

/// The binary that people run, where somebody names it: figures are measured with that one.
pub fn optimised_binary() -> Option<String> {
    std::env::var("MOSAIC_TEST_BINARY").ok()
}

/// A database with the schema in it, made by `mosaic migrate`. Some tests have no runtime of their own.
fn new_database() -> TestDatabase {
    let migrate = |url: String| async move {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_mosaic"));
        command
            .current_dir(folder.path())
            .env_clear()
            .env("MOSAIC_ADMIN_PASSWORD", ADMIN_PASSWORD)
            .args(["migrate", "--database-url", &url])
            .args(
                has_hook()
                    .then_some(["--distribute", "citus"])
                    .into_iter()
                    .flatten(),
            );
        let done = tokio::task::spawn_blocking(move || command.output()).await??;
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        Ok::<_, std::io::Error>(())
    };
    let template = Template::new("http", MIGRATIONS, migrate);
    let create = move || {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(TestDatabase::create(&template))
    };
    std::thread::spawn(create).join().expect("a database")
}

impl Server {
    /// A server on an empty store.
    pub fn start() -> Self {
        Data::new().start(&[])
    }

    /// A server on an empty store, with these flags.
    pub fn start_with(args: &[&str]) -> Self {
        Data::new().start(args)
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.program.log()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        send_signal(self.pid(), signal);
    }

    /// Kills it as a crash would (SIGKILL) and leaves its data.
    pub fn kill(self) -> Data {
        self.program.kill();
        self.data.clone()
    }

    /// Waits for it to end by itself; returns how it ended and everything it logged.
    pub fn wait(&mut self) -> (ExitStatus, String) {
        self.program.wait()
    }

    /// A client without a login.
    pub fn anonymous(&self) -> Client {
        let builder = reqwest::Client::builder().no_proxy();
        let (builder, url) = match self.url.strip_prefix("unix:") {
            Some(path) => (builder.unix_socket(path), "http://localhost"),
            None => (builder, &*self.url),
        };
        Client {
            http: builder.build().expect("an HTTP client"),
            url: url.to_owned(),
            token: None,
            id: "anonymous".into(),
        }
    }

    /// The user `admin` on a device.
    pub async fn device(&self, client_id: &str) -> Client {
        self.login("admin", ADMIN_PASSWORD, client_id).await
    }

    /// Some user on a device.
    pub async fn login(&self, username: &str, password: &str, client_id: &str) -> Client {
        let body = json!({"username": username, "password": password, "clientId": client_id});
        let login = self.anonymous().post("/auth/login", &body).await.ok();
        let token = login["accessToken"].as_str().expect("an access token").to_owned();
        Client {
            token: Some(token),
            id: client_id.into(),
            ..self.anonymous()
        }
    }

    /// Makes a user and logs in.
    pub async fn new_user(&self, username: &str, client_id: &str) -> Client {
        let admin = self.device("the-admin").await;
        let body = json!({"username": username, "password": "a password of theirs"});
        admin.post("/admin/users", &body).await.ok();
        self.login(username, "a password of theirs", client_id).await
    }
}

/// Sends a signal to a process that a test started.
pub fn send_signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.try_into().expect("a pid")).expect("a pid");
    kill_process(pid, signal).expect("a process to signal");
}

impl Drop for Server {
    fn drop(&mut self) {
        self.program.kill();
    }
}

/// One device of one user.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    /// The server's address.
    pub url: String,
    /// The access token.
    pub token: Option<String>,
    /// The device's name.
    pub id: String,
}

impl Client {
    /// A request, with the login and the device's name.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self
            .http
            .request(method, format!("{}{path}", self.url))
            .header("x-client-id", &self.id);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request and reads the answer.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        let response = request.send().await.expect("an answer");
        Answer::read(response).await
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// `POST` with JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// `PUT` with JSON.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    /// `PATCH` with JSON.
    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PATCH, path).json(body)).await
    }

    /// `DELETE`.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// One pull with these cursors (`{}`: from the beginning).
    pub async fn pull(&self, cursors: &Value) -> Value {
        self.post("/sync/pull", &json!({"clientId": self.id, "cursors": cursors}))
            .await
            .ok()
    }

    /// A bulk push of these changes.
    pub async fn push(&self, changes: &Value) -> Answer {
        let body = json!({"clientId": self.id, "changes": changes});
        self.post("/sync/push", &body).await
    }

    /// Everything that the user has, as a fresh device sees it; to compare the store before and after.
    pub async fn everything(&self) -> Phone {
        let mut phone = Phone::default();
        phone.pull_all(self).await;
        phone
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: reqwest::header::HeaderMap,
    /// The body; `null` where there is none.
    pub body: Value,
}

impl Answer {
    async fn read(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await.expect("a body");
        let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).unwrap_or_else(|_| text())
        };
        Self {
            status,
            headers,
            body,
        }
    }

    /// The body of an answer that must be a success.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!(self.status.is_success(), "{} {}", self.status, self.body);
        self.body
    }

    /// The body of an answer that must be this problem, in the right form.
    #[track_caller]
    pub fn problem(self, status: u16, code: &str) -> Value {
        assert_eq!(
            (self.status.as_u16(), &self.body["code"]),
            (status, &json!(code)),
            "{}",
            self.body
        );
        assert_eq!(
            self.headers["content-type"], "application/problem+json",
            "{}",
            self.body
        );
        assert_eq!(self.body["status"], json!(status), "{}", self.body);
        for name in ["type", "title", "detail", "error"] {
            assert!(self.body[name].is_string(), "{name} in {}", self.body);
        }
        self.body
    }

    /// As [`Answer::problem`], for a validation problem with a violation at this path with this code.
    #[track_caller]
    pub fn invalid(self, path: &str, code: &str) -> Value {
        let body = self.problem(422, "validation_failed");
        let errors = body["errors"].as_array().expect("errors");
        let found = errors
            .iter()
            .any(|error| error["path"] == path && error["code"] == code);
        assert!(found, "no {code} at {path} in {body}");
        body
    }
}

/// The entity types, as the protocol names them.
pub const ENTITIES: [&str; 4] = ["memo", "diary", "resource", "bot"];

/// What a phone knows, kept as the protocol tells apps to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Phone {
    cursors: serde_json::Map<String, Value>,
    /// The live records by type and key.
    pub records: std::collections::BTreeMap<(String, String), Value>,
    /// Every key that was delivered, live or deleted, in order.
    pub delivered: Vec<(String, String)>,
    /// The most records that any page had.
    pub largest_page: usize,
    /// How many pulls it took.
    pub pulls: usize,
}

impl Phone {
    /// Pulls until nothing more is to come.
    pub async fn pull_all(&mut self, client: &Client) {
        while self.pull_once(client).await {}
    }

    /// Pulls once; returns whether there is more to come.
    pub async fn pull_once(&mut self, client: &Client) -> bool {
        let answer = client.pull(&Value::Object(self.cursors.clone())).await;
        self.pulls += 1;
        for entity in ENTITIES {
            let (updated, deleted) = (
                &answer["changes"][entity]["updated"],
                &answer["changes"][entity]["deletedIds"],
            );
            let (updated, deleted) = (
                updated.as_array().expect("updated"),
                deleted.as_array().expect("deletedIds"),
            );
            self.largest_page = self.largest_page.max(updated.len() + deleted.len());
            for record in updated {
                self.take(entity, record);
            }
            for key in deleted {
                let key = (entity.to_owned(), key.as_str().expect("a key").to_owned());
                self.records.remove(&key);
                self.delivered.push(key);
            }
            self.cursors
                .insert(entity.into(), answer["cursors"][entity].clone());
        }
        ENTITIES.iter().any(|entity| answer["hasMore"][entity] == true)
    }

    fn take(&mut self, entity: &str, record: &Value) {
        let name = if entity == "diary" { "date" } else { "id" };
        let key = (
            entity.to_owned(),
            record[name].as_str().expect("a key").to_owned(),
        );
        if let Some(memo) = record["memoId"].as_str() {
            let known = self.records.contains_key(&("memo".to_owned(), memo.to_owned()));
            assert!(known, "P5: the resource {key:?} came before its memo {memo}");
        }
        self.records.insert(key.clone(), record.clone());
        self.delivered.push(key);
    }

    /// The cursors, as the server gave them.
    pub fn cursors(&self) -> Value {
        Value::Object(self.cursors.clone())
    }
}

//! The world of these tests: a whole server over the embedded store in memory, without a process or a socket.

mod people;

use std::net::TcpListener;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Mutex;

use actix_http::{Payload, Request};
use actix_web::body::{BoxBody, MessageBody as _};
use actix_web::dev::{ServerHandle, Service as _, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::rt;
use actix_web::test::init_service;
use actix_web::web::Bytes;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{self, LocalBoxStream};
use futures_util::{FutureExt, Stream, StreamExt};
use mosaic_adapter_sqlite::{Location, SqliteSettings, SqliteStore};
use mosaic_application::accounts::{AccountPorts, Accounts, Registration};
use mosaic_application::activity::Trail;
use mosaic_application::attachments::{AttachmentLimits, AttachmentPorts, Attachments};
use mosaic_application::bots::Bots;
use mosaic_application::days::Days;
use mosaic_application::devices::Devices;
use mosaic_application::diaries::Diaries;
use mosaic_application::export::Export;
use mosaic_application::memos::Memos;
use mosaic_application::nudges::{Nudges, Subscriptions};
use mosaic_application::pull::Pull;
use mosaic_application::push::Push;
use mosaic_application::records::Records;
use mosaic_application::sessions::Sessions;
use mosaic_application::uploads::Uploads;
use mosaic_domain::TimeZone;
use mosaic_domain::account::{Account, Role, User};
use mosaic_domain::entity::{MimeType, StorageType};
use mosaic_domain::login::{NewRefreshToken, PresentedToken, StoredRefreshToken};
use mosaic_ports::{
    AccessClaims, AccessTokenError, Clock, IdGenerator, MockAccessTokens, MockMediaTypes, MockPictures,
    SmallerPicture, Stores, TicketClaims,
};
use mosaic_testkit::{ManualClock, MemoryBlobs, SequentialIds};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::OnceCell;

use super::*;
use crate::limits::LoginBudgets;
use crate::server::{HttpSettings, app};
use crate::state::{AppState, DownloadSettings};

pub(super) use self::people::{login, user};
use self::people::{no_password_is_right, password, secrets};

/// Long enough for any machine: reached only by a failing test.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// What the clock shows at first.
pub(super) const NOW: i64 = ManualClock::START_MS;
/// A record.
pub(super) const ID: &str = "0198f3a2-7b1c-7def-8000-1234567890ab";
/// How many bytes a file may have in these tests.
pub(super) const FILE_BYTES: u64 = 1_000_000;
pub(super) const AVATAR_BYTES: u64 = 1_000;
/// How many bytes a user may have.
pub(super) const USER_BYTES: u64 = 3_000_000;
/// How long an access token works.
pub(super) const TOKEN_TTL_MS: i64 = 3_600_000;
/// How long an upload is waited for.
pub(super) const LIFETIME_MS: i64 = 3_600_000;
pub(super) const SMALLER: &[u8] = b"\xff\xd8 a smaller picture";
/// How many connections of one user may listen.
pub(super) const LISTENERS: usize = 2;
/// Short: what is told at each heartbeat is waited for.
pub(super) const HEARTBEAT: Duration = Duration::from_millis(20);

pub(super) type Response = ServiceResponse<BoxBody>;
type TestService = Rc<dyn Fn(Request) -> LocalBoxFuture<'static, Response>>;

pub(super) struct Site {
    state: AppState,
    settings: HttpSettings,
    pub(super) stores: Stores,
    pub(super) blobs: MemoryBlobs,
    pub(super) clock: Arc<ManualClock>,
    pub(super) subscriptions: Arc<Subscriptions>,
    /// It takes longer to make than what most of these tests do.
    service: OnceCell<TestService>,
}

impl Site {
    /// A server with two users, whose tokens are `user` and `other`.
    pub(super) async fn new() -> Self {
        let (clock, ids) = (
            Arc::new(ManualClock::default()),
            Arc::new(SequentialIds::default()),
        );
        let settings = SqliteSettings::new(Location::Memory);
        let store = SqliteStore::open(settings, clock.clone(), ids.clone()).await;
        let stores = Stores::of(&Arc::new(store.unwrap()));
        let blobs = MemoryBlobs::new(clock.clone());
        let subscriptions = Arc::new(Subscriptions::default());
        stores.commits.listen(subscriptions.clone());
        let site = Self {
            state: state(&stores, &blobs, &subscriptions, clock.clone(), ids),
            settings: HttpSettings::default(),
            stores,
            blobs,
            clock,
            subscriptions,
            service: OnceCell::new(),
        };
        for number in [1, 2] {
            site.add_user(number, Role::User).await;
            site.log_in(login(number, None)).await;
        }
        site
    }

    pub(super) async fn add_user(&self, number: u8, role: Role) {
        let now = self.clock.now();
        let account = Account {
            user: User {
                id: user(number),
                username: format!("user-{number}").parse().unwrap(),
                avatar_url: None,
                role,
                must_change_password: false,
                disabled: false,
                quota: mosaic_domain::Quota::Default,
                time_zone: None,
                // So that the first stamp is the time that the clock has (S1).
                created_at: now.plus(-1),
                updated_at: now,
            },
            password: password(),
        };
        self.stores.accounts.create(account, false, None).await.unwrap();
    }

    pub(super) async fn log_in(&self, login: StoredRefreshToken) {
        self.stores.tokens.issue(login, password()).await.unwrap();
    }

    /// Ends the login of the token `user`.
    pub(super) async fn log_out(&self) {
        let NewRefreshToken { key, hash, .. } = login(1, None).token;
        let ended = self.stores.tokens.end_family(PresentedToken { key, hash }).await;
        assert!(ended.unwrap().is_some());
    }

    pub(super) fn state(&self) -> &AppState {
        &self.state
    }

    /// For what is to be otherwise in the requests that follow.
    pub(super) fn state_mut(&mut self) -> &mut AppState {
        self.service = OnceCell::new();
        &mut self.state
    }

    /// The same.
    pub(super) fn settings_mut(&mut self) -> &mut HttpSettings {
        self.service = OnceCell::new();
        &mut self.settings
    }

    /// Sends a request, and gives its answer as far as it has come.
    pub(super) async fn start(&self, request: Request) -> Response {
        let make = async || {
            let site = crate::server::Site::of(&self.settings, self.state.clone());
            let document = Document::of(table);
            let service = Rc::new(init_service(app(&self.settings, &site, &document)).await);
            let take = move |request| {
                let service = Rc::clone(&service);
                let answer = async move { service.call(request).await.unwrap().map_into_boxed_body() };
                answer.boxed_local()
            };
            Rc::new(take) as TestService
        };
        let service = self.service.get_or_init(make).await;
        service(request).await
    }

    pub(super) async fn send(&self, request: TestRequest) -> Answer {
        self.send_raw(request.to_request()).await
    }

    pub(super) async fn send_raw(&self, request: Request) -> Answer {
        let answer = tokio::time::timeout(PATIENCE, Answer::try_of(self.start(request).await));
        answer.await.expect("it never ends").expect("it breaks off")
    }

    /// Sends what is refused. Every answer about resumable uploads says its version of tus, and no other.
    pub(super) async fn refuses(&self, request: TestRequest, status: u16, code: &str) -> Answer {
        let request = request.to_request();
        let version = request.path().contains("/uploads").then_some("1.0.0");
        let answer = self.send_raw(request).await.assert_is(status, code);
        assert_eq!(answer.header("tus-resumable"), version);
        answer
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send(ask("GET", path)).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(ask("POST", path).set_json(body)).await
    }

    /// Serves it on a port of its own, and connects to it: for what only a socket shows.
    pub(super) async fn connect(&self) -> Connection {
        let mut settings = self.settings.clone();
        settings.workers = 1;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let listener = crate::Listener::Tcp(listener);
        let server = crate::start(&settings, vec![listener], None, self.state.clone()).unwrap();
        let handle = server.handle();
        rt::spawn(server);
        let (read, write) = TcpStream::connect(address).await.unwrap().into_split();
        let pieces = stream::unfold(read, async |mut read| {
            let mut piece = vec![0; 4096];
            // An answer that is cut short may end with a reset.
            let count = read.read(&mut piece).await.unwrap_or(0);
            piece.truncate(count);
            (count > 0).then(|| (Bytes::from(piece), read))
        });
        Connection {
            handle,
            write,
            incoming: Incoming::new(pieces),
        }
    }
}

fn state(
    stores: &Stores,
    blobs: &MemoryBlobs,
    subscriptions: &Arc<Subscriptions>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGenerator>,
) -> AppState {
    let s = stores.clone();
    let sessions = Sessions::new(Arc::new(tokens()), s.tokens.clone(), clock.clone(), 1000);
    let trail = Trail::new(s.activity.clone(), clock.clone(), ids.clone());
    let account_ports = AccountPorts {
        accounts: s.accounts.clone(),
        refresh_tokens: s.tokens.clone(),
        invites: s.invites.clone(),
        activity: s.activity.clone(),
        passwords: Arc::new(no_password_is_right()),
        clock: clock.clone(),
        ids: ids.clone(),
        randomness: Arc::new(secrets()),
    };
    let records = Records::new(s.write.clone(), s.reader.clone(), ids.clone());
    let memos = Memos::new(records.clone(), Days::new(s.accounts.clone(), TimeZone::UTC));
    let attachment_ports = AttachmentPorts {
        blobs: blobs.port(),
        contents: s.contents,
        variants: s.variants,
        avatars: s.avatars,
        orphans: s.orphans,
        types: Arc::new(recognised()),
        pictures: Arc::new(pictures()),
        clock: clock.clone(),
        ids: ids.clone(),
    };
    let limits = AttachmentLimits {
        storage: StorageType::Local,
        file_bytes: FILE_BYTES,
        avatar_bytes: AVATAR_BYTES,
        user_bytes: USER_BYTES,
    };
    let attachments = Attachments::new(attachment_ports, records.clone(), limits);
    AppState {
        pull: Pull::new(s.feed.clone(), s.cursors.clone(), clock.clone()),
        push: Push::new(s.write, s.feed.clone(), s.reader.clone()),
        devices: Devices::new(
            s.cursors,
            s.tokens,
            s.feed.clone(),
            s.reader,
            clock.clone(),
            trail.clone(),
        ),
        nudges: Nudges::new(subscriptions.clone(), s.feed, LISTENERS),
        export: Export::new(
            s.accounts,
            s.dump_reader,
            s.identity,
            clock.clone(),
            trail.clone(),
        ),
        trail,
        diaries: Diaries::new(records.clone(), memos.clone()),
        bots: Bots::new(records.clone()),
        uploads: Uploads::new(attachments.clone(), records.clone(), s.uploads, LIFETIME_MS),
        attachments,
        downloads: DownloadSettings::default(),
        memos,
        records,
        accounts: Accounts::new(account_ports, sessions.clone(), Registration::Closed, 1000),
        sessions,
        health: s.health,
        clock,
        ids,
        figures: crate::figures::HttpFigures::default(),
        login_budgets: LoginBudgets::default(),
        public_url: None,
        heartbeat: HEARTBEAT,
    }
}

/// `user` and `admin` are tokens of user 1's login with that role; `other` is user 2's; `old` has expired. Tickets are numbered.
fn tokens() -> MockAccessTokens {
    let mut tokens = MockAccessTokens::new();
    tokens.expect_verify().returning(|token, now| {
        let (number, role) = match token {
            "admin" => (1, Role::Admin),
            "user" => (1, Role::User),
            "other" => (2, Role::User),
            "old" => return Err(AccessTokenError::Expired),
            _ => return Err(AccessTokenError::Invalid),
        };
        Ok(AccessClaims {
            user: user(number),
            role,
            family: login(number, None).family,
            client: None,
            issued_at: now,
            expires_at: now.plus(TOKEN_TTL_MS),
        })
    });
    tokens.expect_sign().returning(|_| Ok("signed".into()));
    let signed = Arc::new(Mutex::new(Vec::<TicketClaims>::new()));
    let known = signed.clone();
    tokens.expect_sign_ticket().returning(move |claims| {
        let mut signed = signed.lock().unwrap();
        signed.push(*claims);
        Ok(format!("ticket-{}", signed.len() - 1))
    });
    tokens.expect_verify_ticket().returning(move |ticket, now| {
        let known = known.lock().unwrap();
        let place = ticket
            .strip_prefix("ticket-")
            .and_then(|place| place.parse::<usize>().ok());
        let claims = place
            .and_then(|place| known.get(place))
            .ok_or(AccessTokenError::Invalid)?;
        if now < claims.expires_at {
            Ok(*claims)
        } else {
            Err(AccessTokenError::Expired)
        }
    });
    tokens
}

/// Knows PNG; takes the word of whoever brings anything else.
fn recognised() -> MockMediaTypes {
    let mut types = MockMediaTypes::new();
    types.expect_recognise().returning(|head, declared, _| {
        if head.starts_with(b"\x89PNG") {
            return MimeType::new("image/png").unwrap();
        }
        declared.cloned().unwrap_or_else(MimeType::unknown)
    });
    types
}

fn pictures() -> MockPictures {
    let mut pictures = MockPictures::new();
    pictures.expect_smaller().returning(|_, _| {
        Ok(SmallerPicture {
            bytes: Bytes::from_static(SMALLER),
            mime_type: MimeType::new("image/jpeg").unwrap(),
        })
    });
    pictures
}

/// Bytes that are all different from their neighbours.
pub(super) fn bytes(count: usize) -> Vec<u8> {
    (0..=250).cycle().take(count).collect()
}

/// Waits until it is so.
pub(super) async fn eventually(mut is_so: impl AsyncFnMut() -> bool) {
    let change = async {
        while !is_so().await {
            rt::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, change).await;
    waited.expect("it never becomes so");
}

/// A request with these bytes, of whose body nothing more comes.
pub(super) fn unfinished(request: TestRequest, bytes: &[u8]) -> Request {
    goes_on(request, bytes, stream::pending())
}

/// A request with these bytes, and what comes after them.
pub(super) fn goes_on(
    request: TestRequest,
    bytes: &[u8],
    rest: impl Stream<Item = Result<Bytes, PayloadError>> + 'static,
) -> Request {
    let bytes = Bytes::copy_from_slice(bytes);
    let payload: Payload = Payload::Stream {
        payload: stream::once(async { Ok(bytes) }).chain(rest).boxed_local(),
    };
    request.to_request().replace_payload(payload).0
}

/// What comes of an answer that goes on for a while.
pub(super) struct Incoming {
    pieces: LocalBoxStream<'static, Bytes>,
    text: String,
}

impl Incoming {
    pub(super) fn of(response: Response) -> Self {
        let mut body = response.into_body();
        let pieces = stream::poll_fn(move |task| Pin::new(&mut body).poll_next(task));
        Self::new(pieces.map(Result::unwrap))
    }

    fn new(pieces: impl Stream<Item = Bytes> + 'static) -> Self {
        Self {
            pieces: pieces.boxed_local(),
            text: String::new(),
        }
    }

    /// Reads until this text has come, and gives what came up to its end.
    pub(super) async fn until(&mut self, text: &str) -> String {
        let end = |read: &str| read.find(text).map(|found| found + text.len());
        let read = self.read(end).await;
        assert!(read.ends_with(text), "it ended: {read}");
        read
    }

    /// Reads until it ends.
    pub(super) async fn rest(&mut self) -> String {
        self.read(|_| None).await
    }

    /// Reads until what came is enough, or all.
    async fn read(&mut self, enough: impl Fn(&str) -> Option<usize>) -> String {
        let read = async {
            loop {
                if let Some(end) = enough(&self.text) {
                    return end;
                }
                let Some(piece) = self.pieces.next().await else {
                    return self.text.len();
                };
                self.text.push_str(&String::from_utf8_lossy(&piece));
            }
        };
        let Ok(end) = tokio::time::timeout(PATIENCE, read).await else {
            panic!("no more came than {}", self.text);
        };
        let rest = self.text.split_off(end);
        std::mem::replace(&mut self.text, rest)
    }
}

pub(super) struct Connection {
    handle: ServerHandle,
    write: OwnedWriteHalf,
    pub(super) incoming: Incoming,
}

impl Connection {
    /// Sends a request of the user.
    pub(super) async fn send(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) {
        let head =
            format!("{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer user\r\n{headers}\r\n");
        self.write.write_all(head.as_bytes()).await.unwrap();
        self.write.write_all(body).await.unwrap();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

//! A server over stores in memory, for the tests of files.

use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;

use actix_web::dev::ServerHandle;
use actix_web::rt;
use actix_web::web::Bytes;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use mosaic_domain::entity::MimeType;
use mosaic_ports::{Account, SmallerPicture, Stores};
use mosaic_testkit::{ManualClock, MemoryBlobs, MemoryStore, SequentialIds};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

use super::*;

/// Long enough for any machine: reached only by a failing test.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// How many bytes a file may have in these tests.
pub(super) const FILE_BYTES: u64 = 1_000_000;
pub(super) const AVATAR_BYTES: u64 = 1_000;
/// How many bytes a user may have.
pub(super) const USER_BYTES: u64 = 3_000_000;
/// How long an upload is waited for.
pub(super) const LIFETIME_MS: i64 = 3_600_000;
/// A resource.
pub(super) const ID: &str = "0198f3a2-7b1c-7def-8000-1234567890ab";
pub(super) const SMALLER: &[u8] = b"\xff\xd8 a smaller picture";

/// Takes requests in process. It takes longer to make than what most of these tests do.
pub(super) type TestService = Box<dyn Fn(TestRequest) -> LocalBoxFuture<'static, Answer>>;

pub(super) async fn service(settings: &HttpSettings, state: &AppState) -> TestService {
    let site = crate::server::Site::of(settings, state.clone());
    let document = Document::new(&table().document()).unwrap();
    let service = Rc::new(init_service(app(settings, &site, &document)).await);
    Box::new(move |request| {
        let service = Rc::clone(&service);
        let answer = async move {
            let Ok(response) = service.call(request.to_request()).await else {
                panic!("no answer")
            };
            Answer::of(response).await
        };
        answer.boxed_local()
    })
}

pub(super) struct Site {
    pub(super) state: AppState,
    service: OnceCell<TestService>,
    pub(super) stores: Stores,
    pub(super) blobs: MemoryBlobs,
    pub(super) clock: Arc<ManualClock>,
}

pub(super) fn user(number: u128) -> UserId {
    UserId::new(Uuid::from_u128(number))
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

impl Site {
    /// A server whose user 1 has the token `user`.
    pub(super) async fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let blobs = MemoryBlobs::new(clock.clone());
        Self::over(clock, blobs).await
    }

    /// One whose storage gives out addresses.
    pub(super) async fn signing() -> Self {
        let clock = Arc::new(ManualClock::default());
        let blobs = MemoryBlobs::new(clock.clone());
        blobs.sign(true);
        Self::over(clock, blobs).await
    }

    async fn over(clock: Arc<ManualClock>, blobs: MemoryBlobs) -> Self {
        let ids = Arc::new(SequentialIds::default());
        let stores = Arc::new(MemoryStore::new(clock.clone())).stores();
        let records = Records::new(stores.write.clone(), stores.reader.clone(), ids.clone());
        let ports = AttachmentPorts {
            blobs: blobs.port(),
            contents: stores.contents.clone(),
            variants: stores.variants.clone(),
            avatars: stores.avatars.clone(),
            orphans: stores.orphans.clone(),
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
        let attachments = Attachments::new(ports, records.clone(), limits);
        let mocked = state(Ports::default());
        let accounts = AccountPorts {
            accounts: stores.accounts.clone(),
            refresh_tokens: stores.tokens.clone(),
            passwords: Arc::new(MockPasswordHasher::new()),
            clock: clock.clone(),
            ids: ids.clone(),
            randomness: Arc::new(MockRandomness::new()),
        };
        let state = AppState {
            uploads: Uploads::new(
                attachments.clone(),
                records.clone(),
                stores.uploads.clone(),
                LIFETIME_MS,
            ),
            records,
            attachments,
            accounts: Accounts::new(accounts, mocked.sessions.clone(), Registration::Closed, 1000),
            clock: clock.clone(),
            ids,
            ..mocked
        };
        let site = Self {
            state,
            service: OnceCell::new(),
            stores,
            blobs,
            clock,
        };
        site.add_user(1).await;
        site
    }

    pub(super) async fn add_user(&self, number: u128) {
        let now = UnixMillis::clamped(ManualClock::START_MS);
        let account = Account {
            user: User {
                id: user(number),
                username: format!("user-{number}").parse().unwrap(),
                avatar_url: None,
                role: Role::User,
                must_change_password: false,
                disabled: false,
                created_at: now,
                updated_at: now,
            },
            password: PasswordHash::new("$argon2id$".to_owned()),
        };
        let proved_by = account.password.clone();
        self.stores.accounts.create(account, false, None).await.unwrap();
        // The one that the tests' tokens are of.
        let login = StoredRefreshToken {
            token: NewRefreshToken {
                key: TokenHash([1; 32]),
                hash: TokenHash([2; 32]),
                seed: TokenSeed([3; 32]),
                issued_at: now,
                expires_at: now.plus(1_000),
            },
            user: user(number),
            family: FamilyId::new(Uuid::from_u128(2)),
            client: None,
            device_name: None,
        };
        self.stores.tokens.issue(login, proved_by).await.unwrap();
    }

    pub(super) async fn send(&self, request: TestRequest) -> Answer {
        let start = async || service(&HttpSettings::default(), &self.state).await;
        let service = self.service.get_or_init(start).await;
        service(request).await
    }

    /// Goes on with other settings.
    pub(super) fn set(&mut self, change: impl FnOnce(&mut DownloadSettings)) {
        change(&mut self.state.downloads);
        self.service = OnceCell::new();
    }

    /// Serves it on a port of its own, with one worker.
    pub(super) fn serve(&self, settings: HttpSettings) -> Served {
        let settings = HttpSettings {
            workers: 1,
            ..settings
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = crate::start(&settings, listener, self.state.clone()).unwrap();
        let handle = server.handle();
        rt::spawn(server);
        Served { address, handle }
    }
}

pub(super) struct Served {
    address: SocketAddr,
    handle: ServerHandle,
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

impl Served {
    /// Sends the head of a request, and the beginning of its body.
    pub(super) async fn begin(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head =
            format!("{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer user\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        stream
    }
}

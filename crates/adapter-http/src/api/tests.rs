//! The whole table of routes, in process, over mocked ports.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::body::to_bytes;
use actix_web::dev::{Payload, Service, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, WWW_AUTHENTICATE};
use actix_web::test::{TestRequest, init_service};
use futures_util::{StreamExt, stream};
use mosaic_application::accounts::{AccountPorts, Accounts, Registration};
use mosaic_application::attachments::{AttachmentLimits, AttachmentPorts, Attachments};
use mosaic_application::bots::Bots;
use mosaic_application::devices::Devices;
use mosaic_application::diaries::Diaries;
use mosaic_application::export::Export;
use mosaic_application::memos::Memos;
use mosaic_application::nudges::{Hub, Nudges};
use mosaic_application::pull::Pull;
use mosaic_application::push::Push;
use mosaic_application::records::Records;
use mosaic_application::sessions::Sessions;
use mosaic_application::uploads::Uploads;
use mosaic_domain::account::{Role, User};
use mosaic_domain::digest::Digest;
use mosaic_domain::entity::{Memo, StorageType};
use mosaic_domain::pull::Snapshot;
use mosaic_domain::text::{Label, Tags, Text};
use mosaic_domain::write::Locked;
use mosaic_domain::{
    Content, Cursor, EditTime, EntityType, Epoch, FamilyId, PerEntity, Record, RecordKey, Revision,
    RevisionReason, Stamp, State, SyncClock, UnixMillis, UserId, Version,
};
use mosaic_ports::{
    AccessClaims, AccessTokenError, Account, BlobError, DeviceCursor, DeviceLogin, DumpedRecord,
    KeptRevision, LoginRefusal, MockAccessTokens, MockAccountStore, MockAttachmentIndex, MockAvatarIndex,
    MockBlobStore, MockChangeFeed, MockClock, MockDeviceCursors, MockDumpReader, MockHealth, MockIdGenerator,
    MockMediaTypes, MockOrphanIndex, MockPasswordHasher, MockPictures, MockRandomness, MockRecordReader,
    MockRefreshTokens, MockStoreIdentity, MockUploadStore, MockVariantIndex, MockWriteStore, NewRefreshToken,
    PasswordHash, RemoveOutcome, RevisionPage, StoreError, StoredRefreshToken, SyncDigest, TokenHash,
    TokenSeed, UserDump,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::limits::LoginBudgets;
use crate::server::{HttpSettings, Site, app};
use crate::state::{AppState, DownloadSettings};
use crate::turns::RequestLimits;
use crate::{docs::Document, problem};

/// The ports that a test may teach something; the others are never called.
struct Ports {
    store: MockWriteStore,
    reader: MockRecordReader,
    feed: MockChangeFeed,
    cursors: MockDeviceCursors,
    accounts: MockAccountStore,
    refresh_tokens: MockRefreshTokens,
    dump: MockDumpReader,
    identity: MockStoreIdentity,
    passwords: MockPasswordHasher,
    health: MockHealth,
    hub: Arc<Hub>,
    heartbeat: Duration,
    standing: Standing,
}

/// Whether the logins of these tests go on.
#[derive(Clone)]
struct Standing(Arc<Mutex<Result<(), LoginRefusal>>>);

impl Standing {
    fn set(&self, refusal: LoginRefusal) {
        *self.0.lock().unwrap() = Err(refusal);
    }

    fn get(&self) -> Result<(), LoginRefusal> {
        *self.0.lock().unwrap()
    }
}

impl Default for Standing {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Ok(()))))
    }
}

fn logins(standing: &Standing) -> Arc<MockRefreshTokens> {
    let (standing, mut logins) = (standing.clone(), MockRefreshTokens::new());
    logins.expect_standing().returning(move |_, _| Ok(standing.get()));
    Arc::new(logins)
}

impl Default for Ports {
    fn default() -> Self {
        Self {
            store: MockWriteStore::new(),
            reader: MockRecordReader::new(),
            feed: MockChangeFeed::new(),
            cursors: MockDeviceCursors::new(),
            accounts: MockAccountStore::new(),
            refresh_tokens: MockRefreshTokens::new(),
            dump: MockDumpReader::new(),
            identity: MockStoreIdentity::new(),
            passwords: MockPasswordHasher::new(),
            health: MockHealth::new(),
            hub: Arc::default(),
            heartbeat: HEARTBEAT,
            standing: Standing::default(),
        }
    }
}

const NOW: i64 = 1_715_000_000_000;
/// How many connections of one user may listen in these tests.
const LISTENERS: usize = 2;
/// Short: what is told at each heartbeat is waited for.
const HEARTBEAT: Duration = Duration::from_millis(20);

fn clock() -> Arc<MockClock> {
    let mut clock = MockClock::new();
    clock.expect_now().returning(|| UnixMillis::clamped(NOW));
    Arc::new(clock)
}

/// `user` and `admin` are the tokens of somebody with that role; `old` has expired.
fn tokens() -> Arc<MockAccessTokens> {
    let mut tokens = MockAccessTokens::new();
    tokens.expect_verify().returning(|token, now| {
        let role = match token {
            "admin" => Role::Admin,
            "user" => Role::User,
            "old" => return Err(AccessTokenError::Expired),
            _ => return Err(AccessTokenError::Invalid),
        };
        Ok(AccessClaims {
            user: UserId::new(Uuid::from_u128(1)),
            role,
            family: FamilyId::new(Uuid::from_u128(2)),
            client: None,
            issued_at: now,
            expires_at: now,
        })
    });
    Arc::new(tokens)
}

fn state(ports: Ports) -> AppState {
    let mut ids = MockIdGenerator::new();
    ids.expect_next().returning(|| Uuid::from_u128(3));
    let ids = Arc::new(ids);
    let (store, reader, feed) = (
        Arc::new(ports.store),
        Arc::new(ports.reader),
        Arc::new(ports.feed),
    );
    let (accounts, refresh_tokens) = (Arc::new(ports.accounts), Arc::new(ports.refresh_tokens));
    let cursors = Arc::new(ports.cursors);
    let records = Records::new(store.clone(), reader.clone(), ids.clone());
    let memos = Memos::new(records.clone());
    let attachment_ports = AttachmentPorts {
        blobs: Arc::new(MockBlobStore::new()),
        contents: Arc::new(MockAttachmentIndex::new()),
        variants: Arc::new(MockVariantIndex::new()),
        avatars: Arc::new(MockAvatarIndex::new()),
        orphans: Arc::new(MockOrphanIndex::new()),
        types: Arc::new(MockMediaTypes::new()),
        pictures: Arc::new(MockPictures::new()),
        clock: clock(),
        ids: ids.clone(),
    };
    let limits = AttachmentLimits {
        storage: StorageType::Local,
        file_bytes: 1000,
        avatar_bytes: 100,
        user_bytes: 10_000,
    };
    let attachments = Attachments::new(attachment_ports, records.clone(), limits);
    let uploads = Uploads::new(
        attachments.clone(),
        records.clone(),
        Arc::new(MockUploadStore::new()),
        1000,
    );
    let sessions = Sessions::new(tokens(), logins(&ports.standing), clock(), 1000);
    let account_ports = AccountPorts {
        accounts: accounts.clone(),
        refresh_tokens: refresh_tokens.clone(),
        passwords: Arc::new(ports.passwords),
        clock: clock(),
        ids: ids.clone(),
        randomness: Arc::new(MockRandomness::new()),
    };
    AppState {
        pull: Pull::new(feed.clone(), cursors.clone(), clock()),
        push: Push::new(store, feed.clone(), reader.clone()),
        devices: Devices::new(cursors, refresh_tokens, feed.clone(), reader, clock()),
        nudges: Nudges::new(ports.hub, feed, LISTENERS),
        export: Export::new(accounts, Arc::new(ports.dump), Arc::new(ports.identity), clock()),
        diaries: Diaries::new(records.clone(), memos.clone()),
        bots: Bots::new(records.clone()),
        attachments,
        uploads,
        downloads: DownloadSettings::default(),
        memos,
        records,
        accounts: Accounts::new(account_ports, sessions.clone(), Registration::Closed, 1000),
        sessions,
        health: Arc::new(ports.health),
        clock: clock(),
        ids,
        login_budgets: LoginBudgets::default(),
        heartbeat: ports.heartbeat,
    }
}

mod document;
mod files;
mod lists;
mod live;
mod site;
mod uploads;

struct Answer {
    status: StatusCode,
    authenticate: bool,
    headers: HeaderMap,
    body: Value,
    text: String,
}

impl Answer {
    fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    async fn of(response: ServiceResponse<impl actix_web::body::MessageBody>) -> Self {
        let status = response.status();
        let headers = response.headers().clone();
        let authenticate = headers.contains_key(WWW_AUTHENTICATE);
        let Ok(bytes) = to_bytes(response.into_body()).await else {
            panic!("no body")
        };
        Self {
            status,
            authenticate,
            headers,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            text: String::from_utf8_lossy(&bytes).into_owned(),
        }
    }
}

/// Sends one request to a fresh server over these ports.
async fn send(ports: Ports, request: TestRequest) -> Answer {
    let settings = HttpSettings::default();
    let site = Site::of(&settings, state(ports));
    let document = Document::new(&table().document()).unwrap();
    let service = init_service(app(&settings, &site, &document)).await;
    let Ok(response) = service.call(request.to_request()).await else {
        panic!("no answer")
    };
    Answer::of(response).await
}

fn by(token: &str, request: TestRequest) -> TestRequest {
    request.insert_header(("authorization", format!("Bearer {token}")))
}

fn document() -> Value {
    serde_json::from_str(Document::new(&table().document()).unwrap().json()).unwrap()
}

/// Method, path and description of every documented route.
fn documented() -> Vec<(String, String, Value)> {
    let document = document();
    let paths = document["paths"].as_object().unwrap();
    let of_path = |(path, item): (&String, &Value)| {
        let operations = item.as_object().unwrap().clone();
        let path = path.clone();
        operations
            .into_iter()
            .map(move |(method, operation)| (method.to_uppercase(), path.clone(), operation))
    };
    paths.iter().flat_map(of_path).collect()
}

fn request(method: &str, path: &str) -> TestRequest {
    let uri = path
        .replace("{id}", &Uuid::nil().to_string())
        .replace("{date}", "2026-05-16");
    TestRequest::with_uri(&uri).method(method.parse().unwrap())
}

#[actix_web::test]
async fn every_documented_route_is_answered_and_asks_for_a_token_unless_it_is_public() {
    const PUBLIC: [&str; 6] = [
        "/health",
        "/health/ready",
        "/auth/login",
        "/auth/register",
        "/auth/refresh",
        "/auth/logout",
    ];
    for (method, path, operation) in documented() {
        let mut ports = Ports::default();
        ports.health.expect_check().returning(|| Ok(()));
        let answer = send(ports, request(&method, &path)).await;
        let public = operation["security"].is_null();
        let may_be = PUBLIC.contains(&path.as_str()) || method == "OPTIONS";
        assert_eq!(public, may_be, "{method} {path}");
        if public {
            assert!(
                ![401, 404, 405].contains(&answer.status.as_u16()),
                "{method} {path}: {}",
                answer.body
            );
        } else {
            assert_eq!(
                (answer.status.as_u16(), answer.code()),
                (401, "unauthenticated"),
                "{method} {path}"
            );
            assert!(answer.authenticate);
        }
    }
}

#[actix_web::test]
async fn a_login_that_may_not_go_on_gets_nothing_on_any_route() {
    const LEFT_OPEN: [&str; 2] = ["/auth/me", "/auth/change-password"];
    for (refusal, expected) in [
        (LoginRefusal::Ended, (401, "login_ended")),
        (
            LoginRefusal::PasswordChangeRequired,
            (403, "password_change_required"),
        ),
    ] {
        for (method, path, operation) in documented() {
            if operation["security"].is_null() {
                continue;
            }
            let mut ports = Ports::default();
            ports.standing.set(refusal);
            ports
                .accounts
                .expect_by_id()
                .returning(|_| Err(StoreError::Failed("this was not asked before".into())));
            let answer = send(ports, by("admin", request(&method, &path))).await;
            let got = (answer.status.as_u16(), answer.code());
            if refusal == LoginRefusal::PasswordChangeRequired && LEFT_OPEN.contains(&path.as_str()) {
                assert_ne!(got, expected, "{method} {path}");
            } else {
                assert_eq!(got, expected, "{method} {path}: {}", answer.body);
            }
        }
    }
}

#[test]
fn the_document_has_every_route_of_the_table_once() {
    let mut registered: Vec<_> = table()
        .iter()
        .map(|(method, path)| (method.to_string(), path.to_owned()))
        .collect();
    let mut documented: Vec<_> = documented()
        .into_iter()
        .map(|(method, path, _)| (method, path))
        .collect();
    registered.sort();
    documented.sort();
    assert_eq!(registered, documented);
}

#[test]
fn the_document_is_complete() {
    let document = document();
    let mut ids = std::collections::HashSet::new();
    for (method, path, operation) in documented() {
        let id = operation["operationId"].as_str().unwrap().to_owned();
        assert!(ids.insert(id), "{method} {path}: the id is taken");
        assert!(operation["summary"].is_string(), "{method} {path}");
        assert!(
            operation["responses"]
                .as_object()
                .unwrap()
                .keys()
                .any(|status| status.starts_with('2')),
            "{path}"
        );
        assert!(operation["responses"]["default"].is_object(), "{method} {path}");
    }
    for name in [
        "Memo",
        "Diary",
        "Resource",
        "Bot",
        "Revision",
        "DiaryWithMemos",
        "TagCount",
    ] {
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(
            document["components"]["schemas"][name].is_object(),
            "{name} is not in the document"
        );
    }
}

#[test]
fn the_document_tells_the_limits_and_what_is_required() {
    let schemas = &document()["components"]["schemas"];
    let memo = &schemas["NewMemo"];
    assert_eq!(memo["required"], json!(["content"]));
    assert_eq!(schemas["LongText"]["maxLength"], 1_048_576);
    assert_eq!(schemas["Tags"]["maxItems"], 100);
    let day = &memo["properties"]["diaryDate"]["oneOf"];
    assert_eq!(day[0]["$ref"], "#/components/schemas/Day");
    assert_eq!(day[1]["type"], "null");
    assert_eq!(
        schemas["NewResource"]["required"],
        json!(["filename", "fileSize"])
    );
    assert_eq!(schemas["PullRequest"]["required"], json!(["clientId"]));
    assert_eq!(schemas["LoginBody"]["required"], json!(["username", "password"]));
    for name in ["EditMemo", "EditDiary", "EditResource", "EditBot"] {
        assert_eq!(schemas[name]["required"], Value::Null, "{name}");
    }
    let mut all: Vec<_> = schemas["Memo"]["properties"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    let mut required: Vec<_> = schemas["Memo"]["required"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap().to_owned())
        .collect();
    all.sort();
    required.sort();
    assert_eq!(all, required, "what is sent is never left out");
}

#[actix_web::test]
async fn tokens_that_do_not_count_are_told_apart() {
    for (token, code) in [("old", "token_expired"), ("forged", "invalid_token")] {
        let answer = send(Ports::default(), by(token, TestRequest::get().uri("/auth/me"))).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code(), answer.authenticate),
            (401, code, true)
        );
    }
    for header in ["user", "Basic user", "Bearer", "Bearer "] {
        let request = TestRequest::get()
            .uri("/auth/me")
            .insert_header(("authorization", header));
        assert_eq!(
            send(Ports::default(), request).await.code(),
            "unauthenticated",
            "{header}"
        );
    }
}

#[actix_web::test]
async fn only_administrators_manage_accounts() {
    for (method, path, _) in documented()
        .into_iter()
        .filter(|(_, path, _)| path.starts_with("/admin"))
    {
        let answer = send(Ports::default(), by("user", request(&method, &path))).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (403, "forbidden"),
            "{method} {path}"
        );
    }
    let bad = TestRequest::post()
        .uri("/admin/users")
        .set_json(json!({"username": "a b", "password": "short"}));
    let answer = send(Ports::default(), by("admin", bad)).await;
    let paths: Vec<_> = answer.body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["path"].clone())
        .collect();
    assert_eq!(paths, ["username", "password"]);
}

#[actix_web::test]
async fn keys_in_paths_are_checked() {
    for (method, path, _) in documented() {
        let path = match path {
            path if path.contains("{id}") => path.replace("{id}", "17"),
            path if path.contains("{date}") => path.replace("{date}", "2026-02-30"),
            _ => continue,
        };
        if method == "OPTIONS" {
            continue;
        }
        let request = TestRequest::with_uri(&path)
            .method(method.parse().unwrap())
            .set_json(json!({}));
        let answer = send(Ports::default(), by("admin", request)).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (422, "validation_failed"),
            "{method} {path}"
        );
        let expected = if path.contains("date") || path.contains("diaries") {
            "date"
        } else {
            "id"
        };
        assert_eq!(answer.body["errors"][0]["path"], expected, "{method} {path}");
    }
}

#[actix_web::test]
async fn the_device_s_headers_are_checked() {
    let long = "x".repeat(65);
    for (name, value, code) in [
        ("X-Client-Id", "", "empty"),
        ("X-Client-Id", long.as_str(), "too_long"),
        ("X-Client-Time", "soon", "invalid_type"),
        ("X-Client-Time", "1.5", "invalid_type"),
        ("X-Client-Time", "-1", "out_of_range"),
    ] {
        let request = TestRequest::post()
            .uri("/memos")
            .insert_header((name, value))
            .set_json(json!({"content": ""}));
        let answer = send(Ports::default(), by("user", request)).await;
        assert_eq!(answer.status, 422);
        assert_eq!(answer.body["errors"][0]["path"], name);
        assert_eq!(answer.body["errors"][0]["code"], code, "{name}: {value}");
    }
}

/// A store that holds nothing and decides by the real rule.
fn empty_store() -> MockWriteStore {
    let mut store = MockWriteStore::new();
    store.expect_write().returning(|_, decide| {
        let locked = Locked {
            clock: SyncClock::new(Stamp::ZERO, UnixMillis::clamped(NOW)),
            records: std::collections::BTreeMap::new(),
            children: std::collections::BTreeMap::new(),
            last_places: std::collections::BTreeMap::new(),
            revisions: Vec::new(),
            bytes: 0,
        };
        decide(&locked).map_err(Into::into)
    });
    store
}

#[actix_web::test]
async fn a_create_answers_the_record() {
    let ports = Ports {
        store: empty_store(),
        ..Ports::default()
    };
    let request = TestRequest::post()
        .uri("/api/bots")
        .set_json(json!({"name": "Mo", "updatedAt": NOW - 5}));
    let answer = send(ports, by("user", request)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["id"], Uuid::from_u128(3).to_string());
    assert_eq!(
        (&answer.body["updatedAt"], &answer.body["name"]),
        (&json!(NOW - 5), &json!("Mo"))
    );
}

#[actix_web::test]
async fn errors_of_use_cases_become_problems() {
    let put = TestRequest::put()
        .uri(&format!("/bots/{}", Uuid::nil()))
        .set_json(json!({"name": "Mo"}));
    let answer = send(
        Ports {
            store: empty_store(),
            ..Ports::default()
        },
        by("user", put),
    )
    .await;
    assert_eq!((answer.status.as_u16(), answer.code()), (404, "not_found"));

    let ahead = json!({"name": "Mo", "updatedAt": NOW + 600_000});
    let answer = send(
        Ports::default(),
        by("user", TestRequest::post().uri("/bots").set_json(ahead)),
    )
    .await;
    assert_eq!((answer.status.as_u16(), answer.code()), (422, "edit_time_ahead"));
    assert_eq!(
        (&answer.body["serverTime"], &answer.body["errors"][0]["path"]),
        (&json!(NOW), &json!("updatedAt"))
    );

    let orphan = json!({"filename": "a", "fileSize": 1, "memoId": Uuid::nil()});
    let request = TestRequest::post().uri("/resources").set_json(orphan);
    let answer = send(
        Ports {
            store: empty_store(),
            ..Ports::default()
        },
        by("user", request),
    )
    .await;
    assert_eq!((answer.status.as_u16(), answer.code()), (422, "unknown_memo"));

    let order = TestRequest::put()
        .uri("/bots/reorder")
        .set_json(json!({"order": [Uuid::nil()]}));
    let answer = send(
        Ports {
            store: empty_store(),
            ..Ports::default()
        },
        by("user", order),
    )
    .await;
    assert_eq!((answer.status.as_u16(), answer.code()), (422, "unknown_bot"));
    assert_eq!(answer.body["errors"][0]["path"], "order[0]");

    let mut ports = Ports::default();
    ports
        .reader
        .expect_record()
        .returning(|_, _| Err(StoreError::Unavailable("locked".into())));
    let answer = send(ports, by("user", request_of_bot())).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (503, "unavailable"));

    let mut ports = Ports::default();
    ports
        .reader
        .expect_record()
        .returning(|_, _| Err(StoreError::Failed("secret".into())));
    let answer = send(ports, by("user", request_of_bot())).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (500, "internal"));
    assert!(answer.body["requestId"].is_string() && !answer.body.to_string().contains("secret"));
}

fn request_of_bot() -> TestRequest {
    TestRequest::get().uri("/bots/0198f3a2-7b1c-7def-8000-1234567890ab")
}

#[actix_web::test]
async fn a_log_in_that_fails_says_no_more_than_that() {
    let mut ports = Ports::default();
    ports.accounts.expect_by_name().returning(|_| Ok(None));
    ports.passwords.expect_verify().returning(|_, _| Ok(false));
    let body = json!({"username": "nobody", "password": "wrong"});
    let answer = send(ports, TestRequest::post().uri("/auth/login").set_json(body)).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code(), answer.authenticate),
        (401, "bad_credentials", false)
    );

    let body = json!({"username": "anna", "password": "long enough"});
    let answer = send(
        Ports::default(),
        TestRequest::post().uri("/auth/register").set_json(body),
    )
    .await;
    assert_eq!(
        (answer.status.as_u16(), answer.code()),
        (403, "registration_closed")
    );
}

#[actix_web::test]
async fn log_ins_are_limited() {
    let mut ports = Ports::default();
    ports.accounts.expect_by_name().returning(|_| Ok(None));
    ports.passwords.expect_verify().returning(|_, _| Ok(false));
    let settings = HttpSettings::default();
    let site = Site::of(&settings, state(ports));
    let document = Document::new(&table().document()).unwrap();
    let service = init_service(app(&settings, &site, &document)).await;
    let mut codes = Vec::new();
    for _ in 0..=LoginBudgets::default().account.burst.get() {
        let body = json!({"username": "anna", "password": "guess"});
        let request = TestRequest::post().uri("/auth/login").set_json(body).to_request();
        let Ok(response) = service.call(request).await else {
            panic!("no answer")
        };
        codes.push(Answer::of(response).await.code().to_owned());
    }
    assert_eq!(codes.pop().as_deref(), Some("rate_limited"));
    assert!(codes.iter().all(|code| code == "bad_credentials"), "{codes:?}");
}

#[actix_web::test]
async fn p2_a_device_at_rest_is_told_four_equal_cursors() {
    let mut ports = Ports {
        feed: feed_at(50),
        ..Ports::default()
    };
    ports.cursors.expect_remember().return_const(());
    let body = json!({"clientId": "phone", "cursors": {"memo": 99}});
    let answer = send(
        ports,
        by("user", TestRequest::post().uri("/sync/pull").set_json(body)),
    )
    .await;
    let none = json!({"updated": [], "deletedIds": []});
    assert_eq!(
        answer.body,
        json!({
            "cursors": {"memo": 50, "diary": 50, "resource": 50, "bot": 50},
            "changes": {"memo": none, "diary": none, "resource": none, "bot": none},
            "hasMore": {"memo": false, "diary": false, "resource": false, "bot": false},
            "serverTime": NOW, "epoch": Uuid::nil(), "reset": ["memo"],
        })
    );
}

#[actix_web::test]
async fn readiness_is_that_of_the_store() {
    let mut ports = Ports::default();
    ports.health.expect_check().returning(|| Ok(()));
    let answer = send(ports, TestRequest::get().uri("/health/ready")).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["status"]),
        (200, &json!("ready"))
    );

    let mut ports = Ports::default();
    ports
        .health
        .expect_check()
        .returning(|| Err(StoreError::Unavailable("gone".into())));
    let answer = send(ports, TestRequest::get().uri("/health/ready")).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (503, "not_ready"));

    // Without attachments everything else works.
    let mut ports = Ports::default();
    ports.health.expect_check().returning(|| {
        let away = BlobError::Unavailable("gone".into());
        Err(StoreError::Unavailable(away.into()))
    });
    let answer = send(ports, TestRequest::get().uri("/health/ready")).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["attachments"]),
        (200, &json!("unavailable"))
    );
}

#[test]
fn every_code_is_in_the_document_with_its_status_and_meaning() {
    let document = document();
    let says = document["components"]["schemas"]["ProblemCode"]["description"]
        .as_str()
        .unwrap();
    for code in problem::ProblemCode::ALL {
        let line = format!("* `{}` ({}): {}", code.code(), code.status(), code.title());
        assert!(says.contains(&line), "{line}");
    }
    let of_bodies = &document["components"]["schemas"]["Problem"]["properties"]["code"];
    assert!(
        of_bodies.to_string().contains("#/components/schemas/ProblemCode"),
        "{of_bodies}"
    );
}

#[test]
fn every_problem_that_a_route_names_is_in_the_catalogue() {
    let known: Vec<_> = problem::ProblemCode::ALL
        .iter()
        .map(|code| code.status().to_string())
        .collect();
    for (method, path, operation) in documented() {
        for status in operation["responses"]
            .as_object()
            .unwrap()
            .keys()
            .filter(|key| key.starts_with(['4', '5']))
        {
            assert!(known.contains(status), "{method} {path}: {status}");
        }
    }
}

fn push(body: &Value) -> TestRequest {
    by("user", TestRequest::post().uri("/api/sync/push").set_json(body))
}

#[actix_web::test]
async fn b1_b2_each_record_of_a_push_has_its_outcome_in_its_place() {
    let ports = Ports {
        store: empty_store(),
        ..Ports::default()
    };
    let id = |number: u128| Uuid::from_u128(number).to_string();
    let body = json!({"clientId": "phone", "changes": {
        "resource": {"updated": [
            {"id": id(7), "filename": "a", "fileSize": 1, "memoId": id(1)},
            {"id": id(8), "filename": "b", "fileSize": 1, "memoId": id(99)},
        ]},
        "memo": {
            "updated": [
                {"id": id(1), "content": "one", "updatedAt": NOW},
                {"id": id(2), "content": 2},
                {"id": id(1), "content": "again"},
                {"id": id(3), "content": "early", "updatedAt": NOW + 600_000},
            ],
            "deleted": [{"id": id(4)}],
        },
        "diary": {"deleted": [{"date": "2026-05-16", "updatedAt": 5}]},
        "bot": {},
    }});
    let answer = send(ports, push(&body)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let results = &answer.body["results"];
    let outcomes = |entity: &str| -> Vec<(String, String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let all = results[entity].as_array().unwrap().iter();
        all.map(|one| {
            (
                text(&one["id"]),
                text(&one["outcome"]),
                text(&one["error"]["code"]),
            )
        })
        .collect()
    };
    let row = |id: String, outcome: &str, code: &str| (id, outcome.to_owned(), code.to_owned());
    assert_eq!(
        outcomes("memo"),
        [
            row(id(1), "applied", ""),
            row(id(2), "rejected", "validation_failed"),
            row(id(1), "rejected", "duplicate"),
            row(id(3), "rejected", "edit_time_ahead"),
            row(id(4), "applied", ""),
        ]
    );
    assert_eq!(
        outcomes("resource"),
        [row(id(7), "applied", ""), row(id(8), "rejected", "unknown_memo")]
    );
    assert_eq!(outcomes("diary"), [row("2026-05-16".to_owned(), "applied", "")]);
    assert_eq!(results["bot"], json!([]));
    let memos = results["memo"].as_array().unwrap();
    assert_eq!(memos[0], json!({"id": id(1), "outcome": "applied", "stamp": NOW}));
    assert_eq!(
        memos[1]["error"]["errors"][0]["path"],
        "changes.memo.updated[1].content"
    );
    assert_eq!(memos[1]["retryable"], false);
    assert_eq!(
        memos[3]["error"]["errors"][0]["path"],
        "changes.memo.updated[3].updatedAt"
    );
    let orphan = &results["resource"][1];
    assert_eq!(
        (&orphan["error"]["errors"][0]["path"], &orphan["retryable"]),
        (&json!("changes.resource.updated[1].memoId"), &json!(true))
    );
    assert_eq!(answer.body["clock"], NOW + 3);
    assert_eq!(answer.body["serverTime"], NOW);
}

/// A store whose memos are all newer than any edit, and large.
fn store_of_newer_memos() -> MockWriteStore {
    let mut store = MockWriteStore::new();
    store.expect_write().returning(|scope, decide| {
        let large = memo(&"x".repeat(1024 * 1024));
        let record = |key: &RecordKey| Record {
            key: *key,
            ..stored(large.clone())
        };
        let locked = Locked {
            clock: SyncClock::new(Stamp::clamped(9), UnixMillis::clamped(NOW)),
            records: scope.keys.iter().map(|key| (*key, record(key))).collect(),
            children: std::collections::BTreeMap::new(),
            last_places: std::collections::BTreeMap::new(),
            revisions: Vec::new(),
            bytes: 0,
        };
        decide(&locked).map_err(Into::into)
    });
    store
}

#[actix_web::test]
async fn w4_the_winners_are_shown_until_they_are_too_large() {
    let ports = Ports {
        store: store_of_newer_memos(),
        ..Ports::default()
    };
    let records: Vec<Value> = (0..6)
        .map(|i| json!({"id": Uuid::from_u128(i), "content": "old", "updatedAt": 5}))
        .collect();
    let body = json!({"clientId": "phone", "changes": {"memo": {"updated": records}}});
    let answer = send(ports, push(&body)).await;
    let results = answer.body["results"]["memo"].as_array().unwrap();
    assert!(results.iter().all(|one| one["outcome"] == "superseded"));
    assert_eq!(results[0]["current"]["updatedAt"], NOW - 5);
    let shown: Vec<bool> = results.iter().map(|one| one["current"].is_object()).collect();
    assert_eq!(shown, [true, true, true, true, false, false]);
}

#[actix_web::test]
async fn w6_the_clock_of_a_push_is_in_its_body_or_in_the_header() {
    let memo = json!({"id": Uuid::nil(), "content": "", "updatedAt": NOW + 3_600_000});
    for (in_body, in_header, outcome) in [
        (Some(NOW + 3_600_000), None, "applied"),
        (None, Some(NOW + 3_600_000), "applied"),
        (Some(NOW + 3_600_000), Some(NOW), "applied"),
        (Some(NOW), Some(NOW + 3_600_000), "rejected"),
        (None, None, "rejected"),
    ] {
        let ports = Ports {
            store: empty_store(),
            feed: feed_at(9),
            ..Ports::default()
        };
        let mut body = json!({"clientId": "phone", "changes": {"memo": {"updated": [memo]}}});
        if let Some(time) = in_body {
            body["clientTime"] = time.into();
        }
        let mut request = push(&body);
        if let Some(time) = in_header {
            request = request.insert_header(("X-Client-Time", time.to_string()));
        }
        let answer = send(ports, request).await;
        let found = &answer.body["results"]["memo"][0]["outcome"];
        assert_eq!(found, outcome, "{in_body:?} {in_header:?}");
    }
}

const ID: &str = "0198f3a2-7b1c-7def-8000-1234567890ab";

fn memo(content: &str) -> Content {
    Content::Memo(Memo {
        content: Text::new(content.to_owned()).unwrap(),
        tags: Tags::default(),
        is_archived: false,
        diary_date: None,
        ai_summary: None,
    })
}

fn memo_key() -> RecordKey {
    RecordKey::Memo(ID.parse().unwrap())
}

fn stored(content: Content) -> Record {
    Record {
        key: memo_key(),
        version: Version::new(EditTime::clamped(NOW - 5), "tablet".parse().unwrap()),
        stamp: Stamp::clamped(9),
        created_at: UnixMillis::clamped(1),
        revision_count: 2,
        state: State::Live(content),
    }
}

fn kept(number: u32) -> KeptRevision {
    let version = Version::new(EditTime::clamped(i64::from(number)), "phone".parse().unwrap());
    let revision = Revision::new(
        memo_key(),
        version,
        UnixMillis::clamped(1),
        memo("as it was"),
        RevisionReason::Overwritten,
        UnixMillis::clamped(3),
    );
    KeptRevision { number, revision }
}

#[actix_web::test]
async fn h1_pages_of_revisions_are_linked_below_the_root_that_was_asked() {
    for (root, query, before, limit, next) in [
        ("", "", None, 200, Some("before=3&limit=200")),
        ("/api", "?before=9&limit=2", Some(9), 2, Some("before=3&limit=2")),
        ("/api", "?before=9", Some(9), 200, None),
    ] {
        let mut ports = Ports::default();
        ports
            .reader
            .expect_record()
            .returning(|_, _| Ok(Some(stored(memo("now")))));
        ports
            .reader
            .expect_revisions()
            .withf(move |_, _, asked, limits| *asked == before && limits.records == limit)
            .returning(move |_, _, _, _| {
                Ok(RevisionPage {
                    items: vec![kept(4), kept(3)],
                    more: next.is_some(),
                })
            });
        let path = format!("{root}/memos/{ID}/revisions");
        let request = TestRequest::get().uri(&format!("{path}{query}"));
        let answer = send(ports, by("user", request)).await;
        let numbers = [
            &answer.body[0]["revisionNumber"],
            &answer.body[1]["revisionNumber"],
        ];
        assert_eq!(numbers, [4, 3]);
        let next = next.map(|next| format!("<{path}?{next}>; rel=\"next\""));
        assert_eq!(answer.header("link"), next.as_deref());
    }
    for query in [
        "before=-1",
        "before=4294967296",
        "limit=0",
        "limit=201",
        "limit=x",
    ] {
        let uri = format!("/memos/{ID}/revisions?{query}");
        let answer = send(Ports::default(), by("user", TestRequest::get().uri(&uri))).await;
        assert_eq!(answer.status, 422, "{query}");
    }
}

#[actix_web::test]
async fn h1_one_revision_is_read_and_restored() {
    let id = kept(4).revision.id;
    let reader = || {
        let mut reader = MockRecordReader::new();
        reader
            .expect_revision()
            .withf(move |user, key, asked| {
                *user == UserId::new(Uuid::from_u128(1)) && *key == memo_key() && *asked == id
            })
            .returning(|_, _, _| Ok(Some(kept(4))));
        reader.expect_children().returning(|_, _, _| Ok(Vec::new()));
        reader
    };
    let ports = Ports {
        reader: reader(),
        ..Ports::default()
    };
    let path = format!("/api/memos/{ID}/revisions/{id}");
    let answer = send(ports, by("user", TestRequest::get().uri(&path))).await;
    assert_eq!(
        answer.body,
        json!({
            "id": id.to_string(), "memoId": ID, "revisionNumber": 4, "content": "as it was", "tags": [],
            "isArchived": false, "diaryDate": null, "aiSummary": null, "createdAt": 1, "editedAt": 4,
            "clientId": "phone", "reason": "overwritten", "recordedAt": 3,
        })
    );
    for body in [None, Some("{}"), Some(r#"{"updatedAt": 1715000000003}"#)] {
        let ports = Ports {
            reader: reader(),
            store: empty_store(),
            ..Ports::default()
        };
        let mut request = by("user", TestRequest::post().uri(&format!("{path}/restore")));
        if let Some(body) = body {
            request = request.set_payload(body);
        }
        let answer = send(ports, request).await;
        let edited = if body == Some("{}") || body.is_none() {
            NOW
        } else {
            NOW + 3
        };
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(
            (
                &answer.body["content"],
                &answer.body["resources"],
                &answer.body["updatedAt"]
            ),
            (&json!("as it was"), &json!([]), &json!(edited))
        );
    }
}

#[actix_web::test]
async fn a_revision_that_is_not_there_is_404_and_a_bad_id_422() {
    let missing = || {
        let mut ports = Ports::default();
        ports.reader.expect_revision().returning(|_, _, _| Ok(None));
        ports
    };
    for (method, suffix) in [("GET", ""), ("POST", "/restore")] {
        for (id, status, code) in [(ID, 404, "not_found"), ("17", 422, "validation_failed")] {
            let path = format!("/diaries/2026-05-16/revisions/{id}{suffix}");
            let answer = send(missing(), by("user", request(method, &path))).await;
            assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{path}");
            if status == 422 {
                assert_eq!(answer.body["errors"][0]["path"], "revision");
            }
        }
    }
}

#[actix_web::test]
async fn d2_devices_are_listed_and_the_one_that_asks_is_marked() {
    let row = |entity: EntityType| DeviceCursor {
        client: "phone".parse().unwrap(),
        entity_type: entity,
        last_sync_at: Cursor::clamped(40),
        served_at: UnixMillis::clamped(7),
    };
    let mut ports = Ports {
        feed: feed_at(50),
        ..Ports::default()
    };
    let rows = EntityType::ALL.map(row).to_vec();
    ports
        .cursors
        .expect_cursors()
        .returning(move |_| Ok(rows.clone()));
    ports.refresh_tokens.expect_logins().returning(|_, _| {
        Ok(vec![DeviceLogin {
            client: "laptop".parse().unwrap(),
            device_name: Label::new("Mine".to_owned()).ok(),
            issued_at: UnixMillis::clamped(9),
        }])
    });
    let request = TestRequest::get()
        .uri("/devices")
        .insert_header(("X-Client-Id", "phone"));
    let answer = send(ports, by("user", request)).await;
    assert_eq!(
        answer.body,
        json!([
            {"clientId": "laptop", "name": "Mine", "cursors": {}, "lastPulledAt": null, "lastSeenAt": 9,
             "signedIn": true, "behindMs": null, "current": false},
            {"clientId": "phone", "name": null, "cursors": {"memo": 40, "diary": 40, "resource": 40, "bot": 40},
             "lastPulledAt": 7, "lastSeenAt": 7, "signedIn": false, "behindMs": 10, "current": true},
        ])
    );
}

#[actix_web::test]
async fn d2_a_device_is_forgotten_by_its_name() {
    let forgetting = |known: bool| {
        let mut ports = Ports::default();
        ports
            .refresh_tokens
            .expect_end_client()
            .returning(|_, _| Ok(Vec::new()));
        ports
            .cursors
            .expect_forget()
            .returning(move |_, client| Ok(known && client.as_str() == "Anna's tablet/ä%41"));
        ports
    };
    let path = "/api/devices/Anna's%20tablet%2F%C3%A4%2541";
    let forget = |ports, path: &str| send(ports, by("user", TestRequest::delete().uri(path)));
    assert_eq!(forget(forgetting(true), path).await.status, 204);
    let answer = forget(forgetting(false), path).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (404, "not_found"));
    for name in [&"x".repeat(65), "a%00"] {
        let answer = forget(Ports::default(), &format!("/devices/{name}")).await;
        assert_eq!(answer.status, 422, "{name}");
        assert_eq!(answer.body["errors"][0]["path"], "clientId");
    }
}

#[actix_web::test]
async fn a_digest_is_shown_for_each_type() {
    let mut ports = Ports::default();
    ports.reader.expect_digest().returning(|_| {
        let mut types = PerEntity::from_fn(|_| Digest::default());
        types[EntityType::Memo].add(memo_key(), EditTime::clamped(NOW));
        Ok(Some(SyncDigest {
            clock: Stamp::clamped(50),
            epoch: Epoch::new(Uuid::nil()),
            types,
        }))
    });
    let answer = send(ports, by("user", TestRequest::get().uri("/sync/digest"))).await;
    let none = json!({"count": 0, "hash": "0000000000000000"});
    assert_eq!(
        answer.body,
        json!({
            "clock": 50, "epoch": Uuid::nil(),
            "entities": {
                "memo": {"count": 1, "hash": "6539ad11bf03a7f0"}, "diary": none, "resource": none, "bot": none,
            },
        })
    );
}

#[actix_web::test]
async fn an_account_is_removed_step_by_step() {
    for (outcome, status, code) in [
        (RemoveOutcome::Removed, 204, ""),
        (RemoveOutcome::NotFound, 404, "not_found"),
        (RemoveOutcome::LastAdmin, 409, "last_admin"),
    ] {
        let mut ports = Ports::default();
        let mut steps = vec![outcome, RemoveOutcome::Removing];
        ports
            .accounts
            .expect_remove()
            .times(2)
            .returning(move |_, _, _| Ok(steps.pop().unwrap()));
        let path = format!("/admin/users/{ID}");
        let answer = send(ports, by("admin", TestRequest::delete().uri(&path))).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code));
    }
}

#[actix_web::test]
async fn those_who_are_not_signed_in_send_small_bodies() {
    for (length, code) in [
        (64 * 1024, "validation_failed"),
        (64 * 1024 + 1, "body_too_large"),
    ] {
        for path in ["/auth/login", "/auth/register", "/auth/refresh", "/auth/logout"] {
            let body = format!("{{{}}}", " ".repeat(length - 2));
            let request = TestRequest::post().uri(path).set_payload(body);
            assert_eq!(send(Ports::default(), request).await.code(), code, "{path}");
        }
    }
}

/// A request takes its place before its body is read.
#[actix_web::test]
async fn a_user_has_so_many_places_and_the_next_request_waits_for_one() {
    let requests = RequestLimits {
        per_user: 1,
        ..RequestLimits::default()
    };
    let settings = HttpSettings {
        requests,
        ..HttpSettings::default()
    };
    let site = Site::of(&settings, state(Ports::default()));
    let document = Document::new(&table().document()).unwrap();
    let service = init_service(app(&settings, &site, &document)).await;
    let never: Payload = Payload::Stream {
        payload: stream::pending().boxed_local(),
    };
    let (slow, _) = by("user", request("POST", "/memos"))
        .to_request()
        .replace_payload(never);
    let mut slow = Box::pin(service.call(slow));
    let a_moment = Duration::from_millis(50);
    assert!(
        tokio::time::timeout(a_moment, &mut slow).await.is_err(),
        "its body does not come"
    );
    let next = by("user", request("GET", "/memos?page=none")).to_request();
    let mut next = Box::pin(service.call(next));
    assert!(
        tokio::time::timeout(a_moment, &mut next).await.is_err(),
        "there is one place"
    );
    drop(slow);
    let answer = Answer::of(next.await.unwrap()).await;
    assert_eq!(answer.code(), "validation_failed");
}

/// Somebody with an open account, and what an export reads.
fn exporting(mut pages: Vec<Result<Vec<DumpedRecord>, StoreError>>) -> Ports {
    let mut ports = Ports::default();
    let account = |id| Account {
        user: User {
            id,
            username: "Änna".parse().unwrap(),
            avatar_url: None,
            role: Role::User,
            must_change_password: false,
            disabled: false,
            created_at: UnixMillis::ZERO,
            updated_at: UnixMillis::ZERO,
        },
        password: PasswordHash::new("hash".to_owned()),
    };
    ports
        .accounts
        .expect_by_id()
        .returning(move |id| Ok(Some(account(id))));
    ports.dump.expect_dump_user().returning(move |id| {
        Ok(Some(UserDump {
            avatars: Vec::new(),
            account: account(id),
            clock: Stamp::ZERO,
            record_bytes: 0,
            cursors: Vec::new(),
            logins: Vec::new(),
            earlier_tokens: Vec::new(),
        }))
    });
    ports
        .identity
        .expect_epoch()
        .returning(|| Ok(Epoch::new(Uuid::nil())));
    pages.reverse();
    ports
        .dump
        .expect_dump_records()
        .returning(move |_, _, _| pages.pop().unwrap());
    ports
        .dump
        .expect_dump_revisions()
        .returning(|_, _, _| Ok(Vec::new()));
    ports
}

fn large() -> DumpedRecord {
    DumpedRecord {
        record: stored(memo(&"x".repeat(1024 * 1024))),
        purged_revisions: 0,
    }
}

#[actix_web::test]
async fn an_export_is_a_file_of_lines() {
    let request = TestRequest::get()
        .uri("/account/export")
        .insert_header(("accept-encoding", "gzip"));
    let answer = send(
        exporting(vec![Ok(vec![large()]), Ok(Vec::new())]),
        by("user", request),
    )
    .await;
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(
        answer.header("content-disposition"),
        Some("attachment; filename=\"mosaic-_nna-2024-05-06.jsonl\"")
    );
    assert_eq!(answer.header("content-encoding"), None);
    let lines: Vec<Value> = answer
        .text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[1]["record"]["key"], ID);
    assert_eq!(lines[2]["end"]["records"], 1);
}

/// A feed that says how far the user's clock is, and nothing else.
fn feed_at(clock: i64) -> MockChangeFeed {
    let mut feed = MockChangeFeed::new();
    feed.expect_clock()
        .returning(move |_, _| Ok(Ok(Stamp::clamped(clock))));
    feed.expect_snapshot().returning(move |_, _, _| {
        Ok(Ok(Snapshot {
            clock: Stamp::clamped(clock),
            epoch: Epoch::new(Uuid::nil()),
            changes: PerEntity::default(),
        }))
    });
    feed
}

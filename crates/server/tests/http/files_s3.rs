//! Attachments in storage that speaks S3, and checks signatures.

use std::path::PathBuf;
use std::process::Output;

use mosaic_ports::BlobStore;
use reqwest::redirect::Policy;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::files::{Form, MIB, bytes_of, file, noise, sha256};
use crate::files_pictures::png;
use crate::harness::{Client, Data, Server, Signal};
use crate::kinds::{MEMO, RESOURCE};
use crate::storage::{ACCESS_KEY, BUCKET, SECRET_KEY, Storage};

/// What must not be seen anywhere.
pub fn secret() -> &'static str {
    SECRET_KEY
}

/// The flags of a server whose attachments are in storage at this address, but for the secret, which is in a file.
fn flags<'a>(data: &Data, endpoint: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let path: PathBuf = data.path().join("s3.toml");
    let secret = format!("[attachments]\ns3_secret_access_key = \"{SECRET_KEY}\"\n");
    std::fs::write(path, secret).unwrap();
    let mut flags = vec![
        "--config",
        "s3.toml",
        "--attachments-s3-bucket",
        BUCKET,
        "--attachments-s3-endpoint",
        endpoint,
        "--attachments-s3-access-key-id",
        ACCESS_KEY,
        "--attachments-s3-allow-http",
        "--attachments-s3-prefix",
        "mosaic/",
    ];
    flags.extend(more);
    flags
}

/// A server whose attachments are in storage at this address.
pub fn on_s3(data: &Data, endpoint: &str, more: &[&str]) -> Server {
    data.start(&flags(data, endpoint, more))
}

/// Storage, a server that uses it, and a phone.
struct Stage {
    storage: Storage,
    data: Data,
    server: Server,
    phone: Client,
}

impl Stage {
    async fn new(more: &[&str]) -> Self {
        let storage = Storage::start().await;
        let data = Data::new();
        let server = on_s3(&data, &endpoint(&storage), more);
        let phone = server.device("phone").await;
        Self {
            storage,
            data,
            server,
            phone,
        }
    }

    /// Begins a direct upload.
    async fn begin(&self, body: &Value) -> Direct {
        let begun = self.phone.post("/resources/presigned-upload", body).await.ok();
        Direct(begun)
    }

    async fn confirm(&self, direct: &Direct) -> crate::harness::Answer {
        let body = json!({"uploadId": direct.0["uploadId"]});
        self.phone.post("/resources/confirm-upload", &body).await
    }
}

pub fn endpoint(storage: &Storage) -> String {
    storage.settings().endpoint.expect("an address")
}

/// A client that knows no login, and follows nobody.
fn stranger() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .build()
        .unwrap()
}

/// What the server says of a direct upload.
struct Direct(Value);

impl Direct {
    fn address(&self) -> &str {
        self.0["uploadUrl"].as_str().expect("an address")
    }

    /// Sends bytes there, or to another address.
    async fn put_at(&self, address: &str, bytes: &[u8]) -> StatusCode {
        let method: Method = self.0["method"].as_str().expect("a method").parse().unwrap();
        let mut request = stranger().request(method, address);
        for (name, value) in self.0["headers"].as_object().expect("headers") {
            request = request.header(name, value.as_str().expect("a header"));
        }
        let answer = request.body(bytes.to_vec()).send().await.expect("an answer");
        answer.status()
    }

    async fn put(&self, bytes: &[u8]) -> StatusCode {
        self.put_at(self.address(), bytes).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_in_s3_come_back_whole_in_part_and_smaller_and_the_doctor_finds_nothing() {
    let Stage {
        storage,
        data,
        mut server,
        phone,
    } = Stage::new(&[]).await;
    let large = noise(80, 20 * MIB + 12_345);
    let small = noise(81, 5_000);
    let resource = phone.upload(file("large.bin", "", &large)).await.ok();
    assert_eq!(
        (&resource["sha256"], &resource["storageType"]),
        (&json!(sha256(&large)), &json!("s3"))
    );
    let second = phone.upload(file("small.bin", "", &small)).await.ok();
    let path = bytes_of(&resource);
    assert!(phone.download(&path).await.whole() == large);
    assert!(phone.download(&bytes_of(&second)).await.whole() == small);
    for (range, from, to) in [
        ("bytes=0-0", 0, 1),
        ("bytes=8388607-8388609", 8_388_607, 8_388_610),
        ("bytes=-12345", large.len() - 12_345, large.len()),
        ("bytes=20971520-", 20_971_520, large.len()),
    ] {
        let part = phone.download_with(&path, "range", range).await;
        assert_eq!(part.status, 206, "{range}");
        assert!(part.bytes == large[from..to], "{range}");
    }
    let parts = phone.download_with(&path, "range", "bytes=0-9,-10").await;
    assert_eq!(parts.status, 206);
    assert!(parts.header("content-type").starts_with("multipart/byteranges"));
    let tag = phone.download(&bytes_of(&second)).await.header("etag").to_owned();
    let known = phone
        .download_with(&bytes_of(&second), "if-none-match", &tag)
        .await;
    assert_eq!(known.status, 304);
    let picture = phone.upload(file("a.png", "", &png(1_000, 500))).await.ok();
    let thumbnail = phone.download(picture["thumbnailUrl"].as_str().unwrap()).await;
    assert_eq!(thumbnail.header("content-type"), "image/jpeg");
    thumbnail.whole();
    let avatar = phone
        .send_form("/resources/upload-avatar", file("me.png", "", &png(50, 50)))
        .await
        .ok();
    phone
        .download(avatar["avatarUrl"].as_str().unwrap())
        .await
        .whole();
    // The same bytes again are kept once.
    phone.upload(file("again.bin", "", &large)).await.ok();
    assert_eq!(storage.uploads().len(), 0, "all parts were joined");
    assert_eq!(storage.leftovers(), <[String; 0]>::default());
    assert_eq!(objects(&storage).await, 5);

    server.signal(Signal::TERM);
    let (_, log) = server.wait();
    assert!(!log.contains(secret()), "the secret is in the log");
    let said = doctor(&data, &storage).await;
    assert_eq!(said.status.code(), Some(0), "{said:?}");
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains("all as they should be"), "{said}");
}

/// How many blobs there are that are somebody's. Nobody's is the mark that says whose the storage is.
async fn objects(storage: &Storage) -> usize {
    let blobs = storage.store().list(None, 1_000).await.expect("a list");
    let nobody = "00000000-0000-0000-0000-000000000000";
    blobs
        .iter()
        .filter(|blob| blob.name.user.to_string() != nobody)
        .count()
}

async fn doctor(data: &Data, storage: &Storage) -> Output {
    let endpoint = endpoint(storage);
    let mut line = vec!["doctor"];
    line.extend(flags(data, &endpoint, &[]));
    let mut doctor = data.mosaic(&line);
    let run = tokio::task::spawn_blocking(move || doctor.output());
    run.await.unwrap().expect("a doctor")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_goes_past_the_server_becomes_a_resource_when_it_is_confirmed() {
    let stage = Stage::new(&[]).await;
    MEMO.create(&stage.phone, 1, "one", &json!({})).await.ok();
    let bytes = noise(82, 300_000);
    let id = RESOURCE.key(1);
    let said = json!({
        "id": id, "filename": "direct.bin", "fileSize": 300_000, "mimeType": "application/octet-stream",
        "memoId": MEMO.key(1), "metadata": {"a": 1},
    });
    let direct = stage.begin(&said).await;
    assert_eq!(direct.0["resourceId"], id);
    assert!(direct.0["expiresAt"].as_i64().unwrap() > stage.phone.server_time().await);
    assert!(!direct.address().contains(secret()));
    let before = stage.phone.everything().await;
    stage.confirm(&direct).await.problem(409, "upload_incomplete");
    assert!(direct.put(&bytes[1..]).await.is_success());
    stage.confirm(&direct).await.problem(409, "upload_incomplete");
    stage
        .phone
        .assert_untouched(&before, "what is not confirmed")
        .await;

    // Only these bytes, only there: an address that was changed is good for nothing.
    let other = direct.address().replacen(BUCKET, "other", 1);
    let (path, query) = direct.address().split_once('?').expect("a signature");
    let elsewhere = format!("{path}0?{query}");
    let longer = direct.address().replacen("X-Amz-Expires=", "X-Amz-Expires=9", 1);
    for tampered in [other, elsewhere, longer, path.to_owned()] {
        let status = direct.put_at(&tampered, &bytes).await;
        assert_eq!(status, 403, "{tampered}");
    }
    let read = stranger().get(direct.address()).send().await.unwrap();
    assert_eq!(read.status(), 403, "an address to write to is none to read from");

    assert!(direct.put(&bytes).await.is_success());
    let resource = stage.confirm(&direct).await.ok();
    assert_eq!(
        (
            &resource["id"],
            &resource["sha256"],
            &resource["memoId"],
            &resource["metadata"]
        ),
        (
            &json!(id),
            &json!(sha256(&bytes)),
            &json!(MEMO.key(1)),
            &json!({"a": 1})
        )
    );
    let clock = stage.phone.clock().await;
    assert_eq!(stage.confirm(&direct).await.ok(), resource, "sent again");
    assert_eq!(stage.phone.clock().await, clock);
    // The address still works, and changes nothing.
    direct.put(&noise(83, 300_000)).await;
    assert!(stage.phone.download(&bytes_of(&resource)).await.whole() == bytes);
    let tablet = stage.phone.on("tablet");
    assert_eq!(RESOURCE.pulled(&tablet, 1).await, resource);
}

#[tokio::test(flavor = "multi_thread")]
async fn direct_uploads_are_held_to_the_rules_of_all_uploads() {
    let limits = [
        "--attachments-max-file-bytes",
        "100000",
        "--attachments-user-quota-bytes",
        "150000",
    ];
    let stage = Stage::new(&limits).await;
    let begin = async |body: Value| stage.phone.post("/resources/presigned-upload", &body).await;
    begin(json!({"filename": "a", "fileSize": 100_001}))
        .await
        .problem(413, "file_too_large");
    begin(json!({"filename": "../a", "fileSize": 1}))
        .await
        .invalid("filename", "not_a_name");
    begin(json!({"filename": "a"}))
        .await
        .invalid("fileSize", "required");
    begin(json!({"filename": "a", "fileSize": -1}))
        .await
        .invalid("fileSize", "out_of_range");
    begin(json!({"filename": "a", "fileSize": 1, "memoId": MEMO.key(9)}))
        .await
        .problem(422, "unknown_memo");
    let first = stage.begin(&json!({"filename": "a", "fileSize": 80_000})).await;
    // What was announced takes room until it is given up.
    let refused = begin(json!({"filename": "b", "fileSize": 80_000})).await;
    let problem = refused.problem(413, "quota_exceeded");
    assert_eq!(problem["used"], 80_000, "{problem}");
    // More bytes than were announced are not taken, wherever they come from.
    first.put(&noise(84, 90_000)).await;
    stage.confirm(&first).await.problem(409, "upload_incomplete");
    assert_eq!(stage.phone.everything().await.delivered, []);
    let nobody = json!({"uploadId": RESOURCE.key(1)});
    let stranger = stage.server.new_user("anna", "phone").await;
    for (client, body) in [
        (&stage.phone, nobody),
        (&stranger, json!({"uploadId": first.0["uploadId"]})),
    ] {
        let answer = client.post("/resources/confirm-upload", &body).await;
        answer.problem(404, "not_found");
    }
    // A picture that is said to be something else is found out here, too.
    let page = b"<!doctype html><script>alert(1)</script>";
    let said = json!({"filename": "a.png", "fileSize": page.len(), "mimeType": "image/png"});
    let direct = stage.begin(&said).await;
    assert!(direct.put(page).await.is_success());
    let resource = stage.confirm(&direct).await.ok();
    assert_eq!(resource["mimeType"], "text/html");
    assert_eq!(resource["metadata"]["declaredMimeType"], "image/png");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_s3_has_no_direct_uploads() {
    let server = Server::start();
    let phone = server.device("phone").await;
    let said = json!({"filename": "a.bin", "fileSize": 10});
    let refused = phone.post("/resources/presigned-upload", &said).await;
    refused.problem(409, "no_direct_uploads");
}

#[tokio::test(flavor = "multi_thread")]
async fn downloads_are_sent_to_the_storage_where_the_operator_wants_it() {
    let stage = Stage::new(&["--attachments-redirect-downloads"]).await;
    let phone = &stage.phone;
    let bytes = noise(85, 400_000);
    let form = Form::new().field("filename", "日記 a.bin");
    let resource = phone.upload(form.file("x", "", &bytes)).await.ok();
    let path = bytes_of(&resource);
    let asked = |method| {
        let token = phone.token.as_deref().expect("a login");
        stranger()
            .request(method, format!("{}{path}", phone.url))
            .bearer_auth(token)
    };
    let redirect = asked(Method::GET).send().await.unwrap();
    assert_eq!(redirect.status(), 307);
    let caching = redirect.headers()["cache-control"].to_str().unwrap();
    assert!(
        caching.contains("no-store"),
        "the address ends some day: {caching}"
    );
    let location = redirect.headers()["location"].to_str().unwrap().to_owned();
    assert!(location.starts_with(&endpoint(&stage.storage)), "{location}");
    assert!(!location.contains(secret()));
    let there = stranger().get(&location).send().await.unwrap();
    assert_eq!(there.status(), 200);
    let header = |name: &str| there.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "application/octet-stream");
    let disposition = header("content-disposition");
    assert!(disposition.starts_with("attachment; "), "{disposition}");
    assert!(
        disposition.contains("UTF-8''%E6%97%A5%E8%A8%98%20a.bin"),
        "{disposition}"
    );
    assert!(there.bytes().await.unwrap() == bytes);
    let part = stranger().get(&location).header("range", "bytes=5-9").send();
    let part = part.await.unwrap();
    assert_eq!(part.status(), 206);
    assert!(part.bytes().await.unwrap() == bytes[5..10]);
    // An app need not know of any of that.
    assert!(phone.download(&path).await.whole() == bytes);
    for tampered in [
        location.replacen("X-Amz-Expires=", "X-Amz-Expires=9", 1),
        location.replacen("attachment", "inline", 1),
    ] {
        assert_ne!(tampered, location);
        let refused = stranger().get(&tampered).send().await.unwrap();
        assert_eq!(refused.status(), 403, "{tampered}");
    }
    // A page is no page there either.
    let page = file("a.html", "text/html", b"<script>alert(1)</script>");
    let page = phone.upload(page).await.ok();
    let shown = phone.download(&bytes_of(&page)).await;
    assert!(shown.header("content-disposition").starts_with("attachment"));
    let picture = phone.upload(file("a.png", "", &png(900, 900))).await.ok();
    let thumbnail = phone.download(picture["thumbnailUrl"].as_str().unwrap()).await;
    assert_eq!(thumbnail.header("content-type"), "image/jpeg");
    assert!(thumbnail.header("content-disposition").starts_with("inline"));
    phone
        .with_token(None)
        .get(&path)
        .await
        .problem(401, "unauthenticated");
    let stranger = stage.server.new_user("anna", "phone").await;
    stranger.get(&path).await.problem(404, "not_found");
}

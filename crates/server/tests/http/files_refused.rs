//! Files that are refused: with a clear problem, and without a trace (A1, A4).

use reqwest::Method;
use serde_json::json;

use crate::files::{Folder, Form, KIB, MIB, UPLOAD, Wire, bytes_of, file, noise};
use crate::harness::{Answer, Client, Data, Phone, Server};
use crate::kinds::{MEMO, RESOURCE, T};

/// A server on which nothing may change.
struct Calm {
    server: Server,
    phone: Client,
    folder: Folder,
    before: Phone,
    /// The files that were there before.
    blobs: usize,
}

impl Calm {
    async fn new(args: &[&str]) -> Self {
        let data = Data::new();
        let server = data.start(args);
        let phone = server.device("phone").await;
        Self {
            folder: Folder::of(&data),
            before: phone.everything().await,
            blobs: 0,
            server,
            phone,
        }
    }

    /// What is there now is what has to stay.
    async fn with(mut self, form: Form) -> Self {
        self.phone.upload(form).await.ok();
        self.before = self.phone.everything().await;
        self.blobs = self.folder.blobs().len();
        self
    }

    async fn assert_untouched(&self, by: &str) {
        self.phone.assert_untouched(&self.before, by).await;
        self.folder.assert_holds(self.blobs, by).await;
    }

    async fn raw(&self, content_type: &str, body: Vec<u8>) -> Answer {
        let request = self
            .phone
            .request(Method::POST, UPLOAD)
            .header("content-type", content_type);
        self.phone.send(request.body(body)).await
    }

    /// Sends a form, or a part of one, that is said to be so long; returns the connection.
    async fn begin(&self, content_length: u64, body: &[u8]) -> Wire {
        let length = content_length.to_string();
        let headers = [("content-type", Form::CONTENT_TYPE), ("content-length", &*length)];
        let mut wire = Wire::open(&self.phone, &format!("POST {UPLOAD}"), &headers).await;
        wire.send(body).await.expect("a server that reads");
        wire
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a1_forms_that_lack_something_or_have_it_twice_leave_nothing() {
    let calm = Calm::new(&[]).await;
    let bytes = noise(20, 200_000);
    let whole = || file("a.bin", "", &bytes);
    let twice = |name: &str, text: &str| Form::new().field(name, text).field(name, text);
    let id = RESOURCE.key(1);
    for (what, form, path, code) in [
        ("no parts", Form::new(), "file", "required"),
        ("no file", Form::new().field("id", &id), "file", "required"),
        (
            "a field instead of a file",
            Form::new().field("file", "words"),
            "file",
            "required",
        ),
        (
            "two files",
            whole().file("b.bin", "", b"other"),
            "file",
            "duplicate",
        ),
        (
            "one file twice",
            whole().file("a.bin", "", &bytes),
            "file",
            "duplicate",
        ),
        (
            "two ids",
            whole().field("id", &id).field("id", &id),
            "id",
            "duplicate",
        ),
        (
            "two ids before",
            twice("id", &id).file("a", "", &bytes),
            "id",
            "duplicate",
        ),
        (
            "an id of another kind",
            whole().field("id", "7"),
            "id",
            "invalid_uuid",
        ),
        (
            "a memo of no id",
            whole().field("memoId", "x"),
            "memoId",
            "invalid_uuid",
        ),
        (
            "metadata that is none",
            whole().field("metadata", "{"),
            "metadata",
            "malformed_json",
        ),
        (
            "a list as metadata",
            whole().field("metadata", "[1]"),
            "metadata",
            "invalid_type",
        ),
        (
            "a time of words",
            whole().field("updatedAt", "soon"),
            "updatedAt",
            "invalid_type",
        ),
        (
            "a time before all",
            whole().field("createdAt", "-1"),
            "createdAt",
            "out_of_range",
        ),
        (
            "a type that is none",
            whole().field("mimeType", "picture"),
            "mimeType",
            "invalid_mime_type",
        ),
    ] {
        let answer = calm.phone.upload(form).await;
        assert_eq!(answer.status, 422, "{what}: {}", answer.body);
        answer.invalid(path, code);
        calm.assert_untouched(what).await;
    }
    calm.phone.upload(whole()).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a1_names_that_are_none_leave_nothing() {
    let calm = Calm::new(&[]).await;
    let bytes = noise(20, 200_000);
    let whole = || file("a.bin", "", &bytes);
    let long = "ü".repeat(300);
    for (what, form, path, code) in [
        ("no name", file("", "", &bytes), "file", "empty"),
        (
            "a name that goes up",
            file("../a.bin", "", &bytes),
            "file",
            "not_a_name",
        ),
        ("a name of above", file("..", "", &bytes), "file", "not_a_name"),
        ("a path", file("/etc/passwd", "", &bytes), "file", "not_a_name"),
        (
            "a path of Windows",
            file("C:\\\\a.bin", "", &bytes),
            "file",
            "not_a_name",
        ),
        (
            "a name of 300 letters",
            file(&long, "", &bytes),
            "file",
            "too_long",
        ),
        (
            "a name with NUL",
            whole().field("filename", "a\0.bin"),
            "filename",
            "nul",
        ),
        (
            "a name with a line",
            whole().field("filename", "a\n.bin"),
            "filename",
            "control_character",
        ),
    ] {
        calm.phone.upload(form).await.invalid(path, code);
        calm.assert_untouched(what).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a1_names_that_no_header_can_carry_leave_nothing() {
    let calm = Calm::new(&[]).await;
    for (what, head) in [
        (
            "NUL",
            "Content-Disposition: form-data; name=\"file\"; filename=\"a\0.bin\"",
        ),
        (
            "no name of the field",
            "Content-Disposition: form-data; filename=\"a.bin\"",
        ),
        ("no disposition", "Content-Type: text/plain"),
        (
            "another disposition",
            "Content-Disposition: attachment; name=\"file\"; filename=\"a\"",
        ),
    ] {
        let refused = calm.phone.upload(Form::new().part(head, b"words")).await;
        refused.problem(400, "invalid_multipart");
        calm.assert_untouched(what).await;
    }
    // Without a file name it is a field, not a file.
    let head = "Content-Disposition: form-data; name=\"file\"\r\nContent-Type: image/png";
    let refused = calm.phone.upload(Form::new().part(head, b"words")).await;
    refused.invalid("file", "required");
    calm.assert_untouched("no file name").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a1_bodies_that_are_no_forms_leave_nothing() {
    let calm = Calm::new(&[]).await;
    let bytes = noise(21, 300_000);
    let whole = file("a.bin", "", &bytes).finished();
    let unfinished = file("a.bin", "", &bytes).unfinished();
    for (what, content_type, body, status, code) in [
        (
            "a wrong boundary",
            "multipart/form-data; boundary=other",
            &whole,
            400,
            "invalid_multipart",
        ),
        (
            "no boundary",
            "multipart/form-data",
            &whole,
            400,
            "invalid_multipart",
        ),
        ("JSON", "application/json", &whole, 415, "unsupported_media_type"),
        (
            "bytes",
            "application/octet-stream",
            &whole,
            415,
            "unsupported_media_type",
        ),
        ("no type", "", &whole, 415, "unsupported_media_type"),
        (
            "nothing",
            Form::CONTENT_TYPE,
            &Vec::new(),
            400,
            "invalid_multipart",
        ),
        (
            "no end",
            Form::CONTENT_TYPE,
            &unfinished,
            400,
            "invalid_multipart",
        ),
        (
            "an end in the middle of the file",
            Form::CONTENT_TYPE,
            &whole[..150_000].to_vec(),
            400,
            "invalid_multipart",
        ),
    ] {
        let answer = calm.raw(content_type, body.clone()).await;
        answer.problem(status, code);
        calm.assert_untouched(what).await;
    }
    let packed = calm
        .phone
        .request(Method::POST, UPLOAD)
        .header("content-type", Form::CONTENT_TYPE)
        .header("content-encoding", "gzip");
    let answer = calm.phone.send(packed.body(whole)).await;
    answer.problem(415, "unsupported_encoding");
    calm.assert_untouched("a body that is packed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a1_a_body_that_breaks_off_or_stands_still_leaves_nothing() {
    let calm = Calm::new(&["--attachments-idle-timeout-ms", "300"]).await;
    let body = file("a.bin", "", &noise(22, 2 * MIB)).finished();
    let length = body.len() as u64;
    for sent in [0, 50, KIB, MIB, body.len() - 3] {
        let wire = calm.begin(length, &body[..sent]).await;
        // Once some of it was read, the connection is cut.
        if sent >= MIB {
            let begun = crate::files::eventually(|| !calm.folder.incoming().is_empty()).await;
            assert!(begun, "nothing was written of {sent} bytes");
        }
        drop(wire);
        calm.assert_untouched(&format!("a body cut off after {sent} bytes"))
            .await;
    }
    for sent in [0, 50, MIB, body.len() - 3] {
        let mut wire = calm.begin(length, &body[..sent]).await;
        let told = wire.answer().await;
        assert_eq!(
            (told.status, &told.body["code"]),
            (408, &json!("request_timeout")),
            "{sent}"
        );
        calm.assert_untouched(&format!("a body that stands still after {sent} bytes"))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a1_sizes_that_lie_leave_nothing() {
    let calm = Calm::new(&["--attachments-idle-timeout-ms", "300"]).await;
    let bytes = noise(23, 100_000);
    let part = |length: &str| {
        let name = "Content-Disposition: form-data; name=\"file\"; filename=\"a.bin\"";
        Form::new().part(&format!("{name}\r\nContent-Length: {length}"), &bytes)
    };
    for length in ["99999", "100001", "0", "-1", "x", "99999999999999999999999"] {
        calm.phone
            .upload(part(length))
            .await
            .problem(400, "invalid_multipart");
        calm.assert_untouched(length).await;
    }
    // A request that says less than it has ends before its form does; one that says more stands still.
    let body = part("100000").finished();
    let said = body.len() as u64;
    let mut wire = calm.begin(said - 1_000, &body).await;
    // The rest of it is no request: the connection may end over that before it has told of the first.
    if let Ok(told) = wire.try_answer().await {
        assert_eq!(told.status, 400, "{told:?}");
    }
    calm.assert_untouched("a request that says too little").await;
    let mut wire = calm.begin(said + 1_000, &body).await;
    assert_eq!(wire.answer().await.body["code"], "request_timeout");
    calm.assert_untouched("a request that says too much").await;
    calm.phone.upload(part("100000")).await.ok();
}

const LIMITS: [&str; 4] = [
    "--attachments-max-file-bytes",
    "1000000",
    "--attachments-user-quota-bytes",
    "2500000",
];

#[tokio::test(flavor = "multi_thread")]
async fn a4_a_file_may_be_as_large_as_the_limit_and_no_larger() {
    let calm = Calm::new(&LIMITS).await;
    for bytes in [1_000_001, 1_500_000, 5 * MIB] {
        let refused = calm.phone.upload(file("a.bin", "", &noise(24, bytes))).await;
        let problem = refused.problem(413, "file_too_large");
        assert_eq!(problem["limit"], 1_000_000, "{problem}");
        calm.assert_untouched("a file that is too large").await;
    }
    let whole = noise(24, 1_000_000);
    let resource = calm.phone.upload(file("a.bin", "", &whole)).await.ok();
    assert!(calm.phone.download(&bytes_of(&resource)).await.whole() == whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn a4_a_file_without_an_announced_length_is_held_to_the_limit_too() {
    let calm = Calm::new(&LIMITS).await;
    let headers = [
        ("content-type", Form::CONTENT_TYPE),
        ("transfer-encoding", "chunked"),
    ];
    for (bytes, status) in [(2_000_000, 413), (1_000_000, 200)] {
        let mut wire = Wire::open(&calm.phone, &format!("POST {UPLOAD}"), &headers).await;
        let body = file("a.bin", "", &noise(25, bytes)).finished();
        for chunk in body.chunks(16 * KIB) {
            let size = format!("{:x}\r\n", chunk.len());
            wire.send(&[size.as_bytes(), chunk, b"\r\n"].concat())
                .await
                .expect("a server that reads");
        }
        wire.send(b"0\r\n\r\n").await.expect("a server that reads");
        let told = wire.answer().await;
        assert_eq!(told.status, status, "{}", told.body);
        if status == 413 {
            assert_eq!(told.body["code"], "file_too_large");
            calm.assert_untouched("chunks that are too many").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a4_what_is_announced_as_too_large_is_refused_before_it_is_sent() {
    let gib = (KIB * MIB) as u64;
    let calm = Calm::new(&[]).await;
    // Of ten gigabytes the first few come.
    for sent in [0, 64 * KIB, MIB] {
        let begun = file("a.bin", "", &noise(26, sent)).unfinished();
        let mut wire = calm.begin(10 * gib, &begun).await;
        let told = wire.answer().await;
        assert_eq!(
            (told.status, &told.body["code"]),
            (413, &json!("file_too_large")),
            "{sent}"
        );
        calm.assert_untouched("ten gigabytes").await;
        if sent == MIB {
            assert!(wire.is_closed().await, "what is not read can not be skipped");
        }
    }
    // A client that asks first is told before it has sent anything.
    let length = (10 * gib).to_string();
    let headers = [
        ("content-type", Form::CONTENT_TYPE),
        ("content-length", &*length),
        ("expect", "100-continue"),
    ];
    let mut wire = Wire::open(&calm.phone, &format!("POST {UPLOAD}"), &headers).await;
    assert_eq!(wire.answer().await.status, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn a4_a_client_that_sends_all_before_it_reads_gets_its_answer() {
    let calm = Calm::new(&LIMITS).await;
    for megabytes in [1, 4] {
        let body = file("a.bin", "", &noise(27, megabytes * MIB)).finished();
        let mut wire = calm.begin(body.len() as u64, &[]).await;
        // It may be cut off meanwhile, but not before it was told why.
        for piece in body.chunks(64 * KIB) {
            if wire.send(piece).await.is_err() {
                break;
            }
        }
        let told = wire.answer().await;
        assert_eq!(told.body["code"], "file_too_large", "{megabytes} MiB");
        calm.assert_untouched("a client that does not listen").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a4_a_user_may_have_so_much_and_no_more() {
    let calm = Calm::new(&LIMITS).await;
    let of = |n: u64| file(&format!("{n}.bin"), "", &noise(n, 1_000_000));
    let first = calm.phone.upload(of(1)).await.ok();
    let calm = calm.with(of(2)).await;
    let problem = calm.phone.upload(of(3)).await.problem(413, "quota_exceeded");
    assert_eq!(
        (&problem["used"], &problem["quota"]),
        (&json!(2_000_000), &json!(2_500_000))
    );
    calm.assert_untouched("a file for which there is no room").await;
    // Before the bytes are read, where their number is announced.
    let begun = of(3).unfinished();
    let mut wire = calm.begin(1_000_000, &begun[..1_000]).await;
    assert_eq!(wire.answer().await.body["code"], "quota_exceeded");
    // An avatar takes room like anything else.
    let avatar = [crate::files_pictures::png(4, 4), noise(4, 600_000)].concat();
    let refused = calm
        .phone
        .send_form("/resources/upload-avatar", file("a.png", "", &avatar))
        .await;
    refused.problem(413, "quota_exceeded");
    calm.assert_untouched("an avatar for which there is no room")
        .await;
    // What is there counts once, and a retry is no question of room.
    let id = first["id"].as_str().unwrap();
    let retry = Form::new()
        .field("id", id)
        .file("1.bin", "", &noise(1, 1_000_000));
    assert_eq!(calm.phone.upload(retry).await.ok(), first);
    let other = calm.server.new_user("anna", "phone").await;
    other.upload(of(3)).await.ok();
    calm.phone
        .upload(file("small.bin", "", &noise(5, 500_000)))
        .await
        .ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a4_uploads_at_once_do_not_slip_past_the_quota_together() {
    let data = Data::new();
    let server = data.start(&LIMITS);
    let phone = server.device("phone").await;
    let uploads: Vec<_> = (0..8)
        .map(|n| {
            let phone = phone.clone();
            tokio::spawn(async move { phone.upload(file("a.bin", "", &noise(30 + n, 900_000))).await })
        })
        .collect();
    let mut stored = 0;
    for upload in uploads {
        let answer = upload.await.expect("an answer");
        if answer.status.is_success() {
            stored += 1;
        } else {
            answer.problem(413, "quota_exceeded");
        }
    }
    assert_eq!(stored, 2);
    assert_eq!(phone.get("/resources").await.ok()["total"], 2);
    Folder::of(&data).assert_holds(2, "eight uploads at once").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a1_what_would_be_useless_is_refused_before_it_is_sent() {
    let calm = Calm::new(&[]).await;
    MEMO.create(&calm.phone, 1, "one", &json!({"updatedAt": T}))
        .await
        .ok();
    RESOURCE
        .create(&calm.phone, 1, "a.bin", &json!({"updatedAt": T}))
        .await
        .ok();
    RESOURCE.delete(&calm.phone, 1, Some(T + 1)).await.ok();
    let before = calm.phone.everything().await;
    for (form, status, code) in [
        (Form::new().field("memoId", &MEMO.key(9)), 422, "unknown_memo"),
        (Form::new().field("id", &RESOURCE.key(1)), 409, "deleted"),
        (Form::new().field("id", "x"), 422, "validation_failed"),
    ] {
        // The file begins, and more of it never comes.
        let begun = form.file("a.bin", "", &noise(28, 1_000)).unfinished();
        let mut wire = calm.begin(20 * MIB as u64, &begun).await;
        let told = wire.answer().await;
        assert_eq!((told.status, &told.body["code"]), (status, &json!(code)));
        calm.phone.assert_untouched(&before, code).await;
        calm.folder.assert_holds(0, code).await;
    }
}

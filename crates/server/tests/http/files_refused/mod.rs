//! Files that are refused: with a clear problem, and without a trace (A1, A4).

mod limits;

use serde_json::json;

use crate::files::{Folder, Form, KIB, MIB, UPLOAD, Wire, bytes_of, file, noise};
use crate::harness::{Client, Data, Phone, Server};
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

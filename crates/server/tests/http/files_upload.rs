//! Files on their way in, as apps send them: the bytes first, then a record that syncs (A1 to A3).

use reqwest::Method;
use serde_json::{Value, json};

use crate::files::{Folder, Form, bytes_of, file, noise, sha256};
use crate::harness::{Client, Data, Server};
use crate::kinds::{MEMO, RESOURCE, T};

/// A server, two devices of one user, and the folder of the bytes.
struct Stage {
    server: Server,
    phone: Client,
    tablet: Client,
    folder: Folder,
}

impl Stage {
    async fn new() -> Self {
        let data = Data::new();
        let server = data.start(&[]);
        Self {
            phone: server.device("phone").await,
            tablet: server.device("tablet").await,
            server,
            folder: Folder::of(&data),
        }
    }
}

/// The nth resource, as a device gets it that knows nothing yet.
async fn pulled(device: &Client, n: usize) -> Value {
    RESOURCE.pulled(device, n).await
}

/// The form of the nth resource.
fn of(n: usize) -> Form {
    Form::new().field("id", &RESOURCE.key(n))
}

#[tokio::test(flavor = "multi_thread")]
async fn a1_a_file_comes_to_the_other_device_with_its_bytes() {
    let stage = Stage::new().await;
    MEMO.create(&stage.phone, 1, "a walk", &json!({})).await.ok();
    let cursors = stage.tablet.everything().await.cursors();
    let bytes = noise(1, 300_000);
    let form = of(1)
        .field("memoId", &MEMO.key(1))
        .field("metadata", r#"{"width": 7}"#)
        .field("createdAt", &T.to_string())
        .field("updatedAt", &(T + 1).to_string())
        .file("a.bin", "application/octet-stream", &bytes);
    let resource = stage.phone.upload(form).await.ok();
    let id = RESOURCE.key(1);
    let wanted = json!({
        "id": id, "memoId": MEMO.key(1), "filename": "a.bin", "resourceType": "file",
        "mimeType": "application/octet-stream", "fileSize": 300_000, "sha256": sha256(&bytes), "storageType": "local",
        "url": format!("/api/resources/{id}/download"), "thumbnailUrl": null, "sortOrder": 0, "metadata": {"width": 7},
        "createdAt": T, "updatedAt": T + 1,
    });
    assert_eq!(resource, wanted);
    let pulled = stage.tablet.pull(&cursors).await;
    assert_eq!(pulled["changes"]["resource"]["updated"], json!([wanted]));
    let there = stage.tablet.download(resource["url"].as_str().unwrap()).await;
    assert_eq!(there.header("content-length"), "300000");
    assert!(there.whole() == bytes, "other bytes came back");
    assert_eq!(MEMO.get(&stage.phone, 1).await["resources"], json!([wanted]));
    stage.folder.assert_holds(1, "one upload").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a1_fields_may_come_after_the_file_and_most_may_be_left_out() {
    let stage = Stage::new().await;
    let form = file("a.txt", "text/plain", b"words").field("metadata", r#"{"a": [1]}"#);
    let resource = stage.phone.upload(form).await.ok();
    assert_eq!(
        (&resource["metadata"], &resource["memoId"]),
        (&json!({"a": [1]}), &Value::Null)
    );
    let named = file("camera.tmp", "application/octet-stream", b"words")
        .field("filename", "notes.txt")
        .field("mimeType", "text/plain");
    let resource = stage.phone.upload(named).await.ok();
    assert_eq!(
        (&resource["filename"], &resource["mimeType"]),
        (&json!("notes.txt"), &json!("text/plain"))
    );
    let empty = stage
        .phone
        .upload(file("empty.txt", "text/plain", b""))
        .await
        .ok();
    assert_eq!(
        (&empty["fileSize"], &empty["sha256"]),
        (&json!(0), &json!(sha256(b"")))
    );
    assert_eq!(
        stage.phone.download(&bytes_of(&empty)).await.whole(),
        b"",
        "an empty file"
    );
    // What is no field of ours may be one of a later version, or of the app.
    let more = file("a.txt", "text/plain", b"words").field("csrf", "x");
    stage.phone.upload(more).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn w3_a2_an_upload_that_is_sent_again_changes_nothing() {
    let stage = Stage::new().await;
    let bytes = noise(2, 70_000);
    let upload = || of(1).file("a.bin", "", &bytes);
    let first = stage.phone.upload(upload()).await.ok();
    let before = stage.tablet.everything().await;
    for again in 0..3 {
        assert_eq!(stage.phone.upload(upload()).await.ok(), first, "{again}");
    }
    // Also where the retry says something else beside the bytes, or says it in another order.
    let otherwise = file("b.bin", "", &bytes).field("id", &RESOURCE.key(1));
    assert_eq!(stage.phone.upload(otherwise).await.ok(), first);
    stage.tablet.assert_untouched(&before, "uploads sent again").await;
    assert_eq!(stage.phone.get("/resources").await.ok()["total"], 1, "no twin");
    let kept = RESOURCE.revisions(&stage.phone, 1).await;
    assert!(kept.is_empty(), "nothing was overwritten: {kept:?}");
    stage.folder.assert_holds(1, "uploads sent again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a2_ten_devices_that_send_one_file_at_once_make_one_resource() {
    let stage = Stage::new().await;
    let bytes = noise(3, 200_000);
    let uploads = (0..10).map(|n| {
        let device = stage.phone.on(&format!("device-{n}"));
        let form = of(1).file("a.bin", "", &bytes);
        tokio::spawn(async move { device.upload(form).await.ok() })
    });
    let mut answers = Vec::new();
    for upload in uploads.collect::<Vec<_>>() {
        answers.push(upload.await.expect("an upload"));
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
    assert_eq!(stage.tablet.everything().await.delivered.len(), 1);
    stage.folder.assert_holds(1, "ten uploads at once").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_bytes_are_kept_once_for_a_user_and_apart_for_another() {
    let stage = Stage::new().await;
    let bytes = noise(4, 50_000);
    for n in 1..=3 {
        stage
            .phone
            .upload(of(n).file(&format!("{n}.bin"), "", &bytes))
            .await
            .ok();
    }
    assert_eq!(stage.phone.get("/resources").await.ok()["total"], 3);
    stage
        .folder
        .assert_holds(1, "three resources of one content")
        .await;
    let anna = stage.server.new_user("anna", "phone").await;
    anna.upload(of(1).file("1.bin", "", &bytes)).await.ok();
    stage.folder.assert_holds(2, "the same bytes of two users").await;
    for n in 1..=3 {
        let path = format!("{}/download", RESOURCE.path(n));
        assert!(stage.tablet.download(&path).await.whole() == bytes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a2_a_record_that_was_pushed_first_gets_its_bytes() {
    let stage = Stage::new().await;
    for n in [1, 2] {
        let bytes = noise(50 + n as u64, 40_000);
        let known = sha256(&bytes);
        // The one record comes without a hash, the other with the one that its app has made.
        let hash = if n == 1 { Value::Null } else { json!(known) };
        let more = json!({"sha256": hash, "fileSize": 40_000, "updatedAt": T, "metadata": {"n": n}});
        let record = RESOURCE.record(n, "mine.bin", &more);
        stage.phone.push(&RESOURCE.updates(&[record])).await.ok();
        let path = format!("{}/download", RESOURCE.path(n));
        let refused = stage.phone.get(&path).await;
        refused.problem(404, "not_uploaded");
        let before = pulled(&stage.tablet, n).await;
        let resource = stage.phone.upload(of(n).file("other.bin", "", &bytes)).await.ok();
        assert_eq!(pulled(&stage.tablet, n).await, resource);
        assert_eq!(resource["sha256"], known);
        for field in ["filename", "memoId", "createdAt", "metadata", "sortOrder"] {
            assert_eq!(resource[field], before[field], "{field} is the app's matter");
        }
        assert!(
            resource["updatedAt"].as_i64().unwrap() >= T,
            "never older than what was stored: {resource}"
        );
        assert!(stage.tablet.download(&path).await.whole() == bytes);
    }
    stage
        .folder
        .assert_holds(2, "two records that got their bytes")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a2_bytes_that_arrive_damaged_are_refused_where_their_hash_was_pushed() {
    let stage = Stage::new().await;
    let bytes = noise(6, 40_000);
    let more = json!({"sha256": sha256(&bytes), "fileSize": 40_000, "updatedAt": T});
    let record = RESOURCE.record(1, "mine.bin", &more);
    stage.phone.push(&RESOURCE.updates(&[record])).await.ok();
    let before = stage.tablet.everything().await;
    let mut damaged = bytes.clone();
    damaged[39_999] ^= 1;
    let refused = stage.phone.upload(of(1).file("mine.bin", "", &damaged)).await;
    refused.problem(409, "content_differs");
    stage.tablet.assert_untouched(&before, "damaged bytes").await;
    stage.folder.assert_holds(0, "damaged bytes").await;
    stage.phone.upload(of(1).file("mine.bin", "", &bytes)).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a2_other_bytes_are_refused_whenever_they_were_made() {
    let stage = Stage::new().await;
    let bytes = noise(7, 30_000);
    stage.phone.upload(of(1).file("a.bin", "", &bytes)).await.ok();
    let before = stage.tablet.everything().await;
    for time in [None, Some(1), Some(stage.phone.server_time().await)] {
        let form = time.map_or(of(1), |time| of(1).field("updatedAt", &time.to_string()));
        let refused = stage
            .phone
            .upload(form.file("a.bin", "", &noise(8, 30_000)))
            .await;
        refused.problem(409, "content_differs");
    }
    stage.tablet.assert_untouched(&before, "other bytes").await;
    stage.folder.assert_holds(1, "other bytes").await;
    let path = format!("{}/download", RESOURCE.path(1));
    assert!(stage.tablet.download(&path).await.whole() == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn w9_a_file_of_a_deleted_memo_is_stored_detached_and_one_of_nobody_not_at_all() {
    let stage = Stage::new().await;
    MEMO.create(&stage.phone, 1, "one", &json!({"updatedAt": T}))
        .await
        .ok();
    MEMO.delete(&stage.phone, 1, Some(T + 1)).await.ok();
    let form = of(1).field("memoId", &MEMO.key(1)).file("a.bin", "", b"abc");
    let resource = stage.phone.upload(form).await.ok();
    assert_eq!(resource["memoId"], Value::Null);
    assert_eq!(pulled(&stage.tablet, 1).await, resource);
    let before = stage.tablet.everything().await;
    for form in [
        of(2).field("memoId", &MEMO.key(9)).file("a.bin", "", b"def"),
        of(2).file("a.bin", "", b"def").field("memoId", &MEMO.key(9)),
    ] {
        let problem = stage.phone.upload(form).await.problem(422, "unknown_memo");
        assert_eq!(problem["errors"][0]["path"], "memoId");
    }
    stage.tablet.assert_untouched(&before, "a memo of nobody").await;
    stage.folder.assert_holds(1, "a memo of nobody").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w5_a_deleted_resource_stays_deleted_unless_the_upload_is_newer() {
    let stage = Stage::new().await;
    let bytes = noise(9, 10_000);
    let first = of(1).field("updatedAt", &T.to_string()).file("a.bin", "", &bytes);
    stage.phone.upload(first).await.ok();
    RESOURCE.delete(&stage.phone, 1, Some(T + 10)).await.ok();
    let before = stage.tablet.everything().await;
    let refused = stage.phone.upload(of(1).file("a.bin", "", &bytes)).await;
    refused.problem(409, "deleted");
    let older = of(1).field("updatedAt", &(T + 9).to_string());
    let refused = stage.phone.upload(older.file("a.bin", "", &bytes)).await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    stage.tablet.assert_untouched(&before, "late uploads").await;
    let newer = of(1).field("updatedAt", &(T + 11).to_string());
    let back = stage.phone.upload(newer.file("a.bin", "", &bytes)).await.ok();
    assert_eq!(back["updatedAt"], T + 11);
    assert_eq!(pulled(&stage.tablet, 1).await, back);
    assert!(stage.tablet.download(&bytes_of(&back)).await.whole() == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_keeps_the_bytes_and_a_restored_revision_names_them_again() {
    let stage = Stage::new().await;
    let bytes = noise(10, 10_000);
    let resource = stage.phone.upload(of(1).file("a.bin", "", &bytes)).await.ok();
    let renamed = stage
        .phone
        .put(&RESOURCE.path(1), &json!({"filename": "b.bin"}))
        .await
        .ok();
    assert_eq!(renamed["sha256"], resource["sha256"]);
    // An app that says that nothing was uploaded; and one that takes it back.
    let forgotten = stage
        .phone
        .put(&RESOURCE.path(1), &json!({"sha256": null}))
        .await
        .ok();
    let path = bytes_of(&resource);
    stage.phone.get(&path).await.problem(404, "not_uploaded");
    assert_eq!(forgotten["thumbnailUrl"], Value::Null);
    let kept = RESOURCE.revisions(&stage.phone, 1).await;
    let restore = format!(
        "{}/revisions/{}/restore",
        RESOURCE.path(1),
        kept[0]["id"].as_str().unwrap()
    );
    stage.phone.post(&restore, &json!({})).await.ok();
    assert!(stage.tablet.download(&path).await.whole() == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn w6_an_upload_of_the_future_is_refused() {
    let stage = Stage::new().await;
    let ahead = stage.phone.server_time().await + 6 * 60_000;
    for form in [
        of(1).field("updatedAt", &ahead.to_string()).file("a", "", b"abc"),
        of(1).file("a", "", b"abc").field("updatedAt", &ahead.to_string()),
    ] {
        let refused = stage.phone.upload(form).await;
        refused.problem(422, "edit_time_ahead");
    }
    assert_eq!(stage.tablet.everything().await.delivered, []);
    stage.folder.assert_holds(0, "uploads of the future").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a3_what_a_file_is_said_to_be_is_corrected_and_noted() {
    let png = crate::files_pictures::png(2, 2);
    let stage = Stage::new().await;
    for (said, filename, bytes, mime_type, kind, noted) in [
        ("image/png", "a.png", &*png, "image/png", "image", None),
        ("", "a.png", &png, "image/png", "image", None),
        (
            "text/plain",
            "a.txt",
            &png,
            "image/png",
            "image",
            Some("text/plain"),
        ),
        (
            "image/jpeg",
            "a.jpg",
            &png,
            "image/png",
            "image",
            Some("image/jpeg"),
        ),
        ("application/octet-stream", "a", &png, "image/png", "image", None),
        (
            "image/png",
            "a.png",
            b"<!doctype html><p>hello",
            "text/html",
            "file",
            Some("image/png"),
        ),
        (
            "image/png",
            "a.png",
            b"just words",
            "text/plain",
            "file",
            Some("image/png"),
        ),
        ("text/markdown", "a.md", b"# words", "text/markdown", "file", None),
        (
            "audio/mpeg",
            "a.mp3",
            b"ID3\x03\0\0\0\0\0\x0a",
            "audio/mpeg",
            "audio",
            None,
        ),
    ] {
        let said_so = match said {
            "" => Form::new().part(
                "Content-Disposition: form-data; name=\"file\"; filename=\"a.png\"",
                bytes,
            ),
            said => file(filename, said, bytes),
        };
        let resource = stage.phone.upload(said_so).await.ok();
        assert_eq!(
            (&resource["mimeType"], &resource["resourceType"]),
            (&json!(mime_type), &json!(kind)),
            "{filename} said to be {said}"
        );
        assert_eq!(
            resource["metadata"],
            noted.map_or(json!({}), |noted| json!({"declaredMimeType": noted})),
            "{filename} said to be {said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_a_login_is_refused_and_one_of_nobody_s_device_is_taken() {
    let stage = Stage::new().await;
    let form = || file("a.bin", "", b"abc");
    let anonymous = stage.server.anonymous();
    anonymous.upload(form()).await.problem(401, "unauthenticated");
    stage.folder.assert_holds(0, "a stranger's upload").await;
    let request = stage
        .phone
        .nameless(Method::POST, crate::files::UPLOAD)
        .header("content-type", Form::CONTENT_TYPE)
        .body(form().finished());
    stage.phone.send(request).await.ok();
    stage
        .folder
        .assert_holds(1, "an upload of a device without a name")
        .await;
}

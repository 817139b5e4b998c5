//! Uploads that go past the server.

use actix_web::web::Bytes;

use super::super::site::FILE_BYTES;
use super::*;

const BEGIN: &str = "/resources/presigned-upload";
const CONFIRM: &str = "/resources/confirm-upload";

#[actix_web::test]
async fn a_direct_upload_becomes_a_resource_when_it_is_confirmed() {
    let site = Site::new().await;
    site.blobs.sign(true);
    let body =
        json!({"id": ID, "filename": "a.txt", "mimeType": "text/plain", "fileSize": 3, "metadata": {"a": 1}});
    let begun = site.post(BEGIN, &body).await.assert_ok();
    let lifetime = i64::try_from(site.state().downloads.direct_for.as_millis()).unwrap();
    begun.assert_has(&json!({"method": "PUT", "headers": {}, "resourceId": ID, "expiresAt": NOW + lifetime}));
    let confirmed = json!({"uploadId": begun.body["uploadId"]});
    let early = site.post(CONFIRM, &confirmed).await;
    early.assert_is(409, "upload_incomplete");
    let address = begun.body["uploadUrl"].as_str().unwrap();
    assert!(site.blobs.send(address, Bytes::from_static(b"abc")));
    for _ in 0..2 {
        let answer = site.post(CONFIRM, &confirmed).await.assert_ok();
        answer.assert_has(&json!({"id": ID, "fileSize": 3, "metadata": {"a": 1}}));
    }
    assert_eq!(site.get(&format!("/resources/{ID}/download")).await.text, "abc");
}

#[actix_web::test]
async fn a_direct_upload_that_can_not_be_is_refused() {
    let site = Site::new().await;
    let refused = site.post(BEGIN, &json!({"filename": "a", "fileSize": 3})).await;
    refused.assert_is(409, "no_direct_uploads");
    site.blobs.sign(true);
    for (path, body, field, code) in [
        (BEGIN, json!({"fileSize": 3}), "filename", "required"),
        (BEGIN, json!({"filename": "a"}), "fileSize", "required"),
        (
            BEGIN,
            json!({"filename": "a", "fileSize": -1}),
            "fileSize",
            "out_of_range",
        ),
        (
            BEGIN,
            json!({"filename": "../a", "fileSize": 1}),
            "filename",
            "not_a_name",
        ),
        (
            BEGIN,
            json!({"filename": "a", "fileSize": 1, "id": "7"}),
            "id",
            "invalid_uuid",
        ),
        (CONFIRM, json!({}), "uploadId", "required"),
        (CONFIRM, json!({"uploadId": "7"}), "uploadId", "invalid_uuid"),
    ] {
        site.post(path, &body).await.assert_refuses(field, code);
    }
    let large = json!({"filename": "a", "fileSize": FILE_BYTES + 1});
    site.post(BEGIN, &large).await.assert_is(413, "file_too_large");
    let unknown = site.post(CONFIRM, &json!({"uploadId": ID})).await;
    unknown.assert_is(404, "not_found");
}

//! Resumable uploads (tus).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mosaic_domain::entity::Resource;
use mosaic_domain::{Live, ResourceId};
use mosaic_testkit::{BlobCall, BlobFailure};

use super::site::{FILE_BYTES, LIFETIME_MS, USER_BYTES, bytes, user};
use super::*;

mod append;
mod begin;
mod broken;

/// `NOW` plus the lifetime of an upload, as HTTP tells it.
const EXPIRES: &str = "Mon, 06 May 2024 13:53:20 GMT";
const FILENAME: &str = "filename YS5iaW4=";

impl Site {
    /// Begins an upload of that many bytes; its address, and the resource that it becomes.
    async fn begin(&self, length: usize, metadata: &str) -> (String, ResourceId) {
        let answer = self.send(begin(length, metadata)).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        let id = answer.header("x-mosaic-resource-id").unwrap().parse().unwrap();
        (answer.header("location").unwrap().to_owned(), id)
    }

    /// Sends what is answered with nothing but headers.
    async fn takes(&self, request: TestRequest) -> Answer {
        let answer = self.send(request).await.assert_is(204, "");
        assert_eq!(answer.text, "");
        answer
    }

    /// How many bytes an upload has.
    async fn offset(&self, address: &str) -> u64 {
        let answer = self.send(tus("HEAD", address)).await.assert_ok();
        answer.header("upload-offset").unwrap().parse().unwrap()
    }

    async fn resource(&self, id: ResourceId) -> Live<Resource> {
        self.state().records.get(user(1), id).await.unwrap()
    }

    async fn has_no(&self, id: ResourceId) -> bool {
        let found = self.state().records.find::<Resource>(user(1), id).await;
        found.unwrap().is_none()
    }
}

/// A request of the user, of this version of tus.
fn tus(method: &str, address: &str) -> TestRequest {
    ask(method, address).insert_header(("tus-resumable", "1.0.0"))
}

fn begin(length: usize, metadata: &str) -> TestRequest {
    tus("POST", "/uploads")
        .insert_header(("upload-length", length.to_string()))
        .insert_header(("upload-metadata", metadata))
}

fn append(address: &str, offset: usize, bytes: &[u8]) -> TestRequest {
    announce(address, offset, bytes.len()).set_payload(bytes.to_vec())
}

/// A request that announces so many bytes.
fn announce(address: &str, offset: usize, length: usize) -> TestRequest {
    tus("PATCH", address)
        .insert_header(("upload-offset", offset.to_string()))
        .insert_header(("content-type", "application/offset+octet-stream"))
        .insert_header(("content-length", length.to_string()))
}

/// `Upload-Metadata` of these texts.
fn upload_metadata(pairs: &[(&str, &str)]) -> String {
    let encoded = |(name, text): &(&str, &str)| format!("{name} {}", STANDARD.encode(text));
    pairs.iter().map(encoded).collect::<Vec<_>>().join(",")
}

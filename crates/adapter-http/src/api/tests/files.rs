//! The bytes behind resources.

use super::site::bytes;
use super::*;

mod avatars;
mod direct;
mod download;
mod upload;

const PNG: &[u8] = b"\x89PNG a picture";
const BOUNDARY: &str = "the-boundary";
const FORM: (&str, &str) = ("content-type", "multipart/form-data; boundary=the-boundary");

impl Site {
    async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let with = |request: TestRequest, header: &(&str, &str)| request.insert_header(*header);
        self.send(headers.iter().fold(ask("GET", path), with)).await
    }

    /// Uploads a file; the address of its bytes.
    async fn store(&self, name: &str, mime_type: &str, bytes: &[u8]) -> String {
        let answer = self
            .send(upload(&[file(name, mime_type, bytes)]))
            .await
            .assert_ok();
        answer.body["url"].as_str().unwrap().to_owned()
    }

    /// A resource that has no bytes.
    async fn declare(&self, id: &str) {
        let body = json!({"id": id, "filename": "a.bin", "fileSize": 3});
        self.post("/resources", &body).await.assert_ok();
    }

    /// So many files are stored, and nothing is being stored.
    fn assert_holds(&self, files: usize) {
        assert_eq!((self.blobs.count(), self.blobs.writers()), (files, 0));
    }

    async fn assert_empty(&self, about: &str) {
        assert_eq!((self.blobs.count(), self.blobs.writers()), (0, 0), "{about}");
        assert_eq!(self.get("/resources").await.body["total"], 0, "{about}");
    }
}

fn part(head: &str, content: &[u8]) -> Vec<u8> {
    let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n");
    [head.as_bytes(), content, b"\r\n"].concat()
}

fn field(name: &str, value: &str) -> Vec<u8> {
    part(&format!("name=\"{name}\""), value.as_bytes())
}

fn file(name: &str, mime_type: &str, bytes: &[u8]) -> Vec<u8> {
    let head = format!("name=\"file\"; filename=\"{name}\"\r\nContent-Type: {mime_type}");
    part(&head, bytes)
}

fn text() -> Vec<u8> {
    file("a.txt", "text/plain", b"abc")
}

fn form(parts: &[Vec<u8>]) -> Vec<u8> {
    [parts.concat(), format!("--{BOUNDARY}--\r\n").into_bytes()].concat()
}

fn post(path: &str, body: Vec<u8>) -> TestRequest {
    announcing(path, body.len() as u64).set_payload(body)
}

/// A request that announces a form of so many bytes.
fn announcing(path: &str, length: u64) -> TestRequest {
    let request = ask("POST", path).insert_header(FORM);
    request.insert_header(("content-length", length.to_string()))
}

fn upload(parts: &[Vec<u8>]) -> TestRequest {
    post("/resources/upload", form(parts))
}

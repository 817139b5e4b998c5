//! The whole table of routes, in process, over the embedded store in memory.

use std::sync::Arc;
use std::time::Duration;

use actix_web::body::{BodySize, MessageBody as _, to_bytes};
use actix_web::http::header::HeaderMap;
use actix_web::test::TestRequest;
use mosaic_ports::StoreError;
use serde_json::{Value, json};
use uuid::Uuid;

use self::site::{ID, NOW, Response, Site, eventually, unfinished};
use super::*;
use crate::docs::Document;

mod activity;
mod auth;
mod days;
mod devices;
mod document;
mod events;
mod export;
mod files;
mod history;
mod invites;
mod lists;
mod records;
mod site;
mod sync;
mod tickets;
mod tus;

struct Answer {
    status: u16,
    headers: HeaderMap,
    /// How many bytes the body is said to have.
    length: Option<u64>,
    body: Value,
    text: String,
}

impl Answer {
    /// One whose body may break off.
    async fn try_of(response: Response) -> Option<Self> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let length = match response.response().body().size() {
            BodySize::Sized(length) => Some(length),
            BodySize::None | BodySize::Stream => None,
        };
        let bytes = to_bytes(response.into_body()).await.ok()?;
        Some(Self {
            status,
            headers,
            length,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            text: String::from_utf8_lossy(&bytes).into_owned(),
        })
    }

    fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    #[track_caller]
    fn assert_headers(&self, headers: &[(&str, &str)]) {
        for (name, value) in headers {
            assert_eq!(self.header(name), Some(*value), "{name}");
        }
    }

    /// Its body has all of this, and perhaps more.
    #[track_caller]
    fn assert_has(&self, members: &Value) {
        for (name, value) in members.as_object().unwrap() {
            assert_eq!(self.body[name], *value, "{name}");
        }
    }

    #[track_caller]
    fn assert_ok(self) -> Self {
        assert_eq!(self.status, 200, "{}", self.text);
        self
    }

    #[track_caller]
    fn assert_is(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.code()), (status, code), "{}", self.text);
        self
    }

    /// A refusal of one field.
    #[track_caller]
    fn assert_refuses(self, path: &str, code: &str) -> Self {
        let refused = self.assert_is(422, "validation_failed");
        assert!(
            refused.errors().contains(&(path, code)),
            "{path} {code}: {}",
            refused.text
        );
        refused
    }

    /// Path and code of whatever is wrong.
    fn errors(&self) -> Vec<(&str, &str)> {
        let errors = self.body["errors"].as_array().into_iter().flatten();
        errors
            .filter_map(|error| error["path"].as_str().zip(error["code"].as_str()))
            .collect()
    }
}

fn by(token: &str, request: TestRequest) -> TestRequest {
    request.insert_header(("authorization", format!("Bearer {token}")))
}

/// A request of the user.
fn ask(method: &str, path: &str) -> TestRequest {
    by("user", request(method, path))
}

fn request(method: &str, path: &str) -> TestRequest {
    let uri = path
        .replace("{id}", &Uuid::nil().to_string())
        .replace("{revision}", &Uuid::nil().to_string())
        .replace("{date}", "2026-05-16");
    TestRequest::with_uri(&uri).method(method.parse().unwrap())
}

fn document() -> Value {
    serde_json::from_slice(&Document::of(table).json().unwrap()).unwrap()
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

//! A server with a phone and a few records on it, and more that a client and a server of these tests can do.

use std::io::{Read, Write};
use std::net::TcpStream;

use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::harness::{Answer, Client, Phone, Server};
use crate::kinds::{KINDS, T};

impl Client {
    /// The same user on another device.
    pub fn on(&self, device: &str) -> Self {
        let mut other = self.clone();
        device.clone_into(&mut other.id);
        other
    }

    /// The same device with another access token, or none.
    pub fn with_token(&self, token: Option<&str>) -> Self {
        let mut other = self.clone();
        other.token = token.map(str::to_owned);
        other
    }

    /// A request with the login, on a device that does not say its name.
    pub fn nameless(&self, method: Method, path: &str) -> RequestBuilder {
        let (http, request) = self.request(method, path).build_split();
        let mut request = request.expect("a request");
        request.headers_mut().remove("x-client-id");
        RequestBuilder::from_parts(http, request)
    }

    /// A request with a body of these bytes, which is said to be JSON.
    pub async fn raw(&self, method: &Method, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self
            .request(method.clone(), path)
            .header("content-type", "application/json");
        self.send(request.body(body)).await
    }

    /// The server's clock, in Unix milliseconds.
    pub async fn server_time(&self) -> i64 {
        self.pull(&json!({})).await["serverTime"]
            .as_i64()
            .expect("a time")
    }

    /// The user's clock: the stamp of the latest change.
    pub async fn clock(&self) -> i64 {
        self.everything().await.cursors()["memo"]
            .as_i64()
            .expect("a cursor")
    }

    /// Fails when anything that the user has is not as it was, or a stamp was drawn.
    pub async fn assert_untouched(&self, before: &Phone, by: &str) {
        assert_eq!(&self.everything().await, before, "touched by: {by}");
    }
}

impl Server {
    /// Where it listens: `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        self.url.strip_prefix("http://").expect("an address")
    }

    /// Says this on a connection of its own; returns everything that is answered until the server closes it.
    pub fn talk(&self, said: &str) -> String {
        let mut connection = TcpStream::connect(self.address()).expect("a connection");
        connection.write_all(said.as_bytes()).expect("it listens");
        let mut answer = Vec::new();
        // A reset is an end, too.
        let _ = connection.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// A server, a user's phone on it, and the first record of each type.
pub struct Scene {
    pub server: Server,
    pub phone: Client,
    before: Phone,
}

impl Scene {
    /// On a server with these flags.
    pub async fn new(args: &[&str]) -> Self {
        let server = Server::start_with(args);
        let phone = server.device("phone").await;
        for kind in KINDS {
            kind.create(&phone, 1, "stored", &json!({"updatedAt": T}))
                .await
                .ok();
        }
        let before = phone.everything().await;
        Self {
            server,
            phone,
            before,
        }
    }

    /// Fails when anything is not as it was at the beginning.
    pub async fn assert_untouched(&self, by: &str) {
        self.phone.assert_untouched(&self.before, by).await;
    }
}

//! The other device of the same user, which keeps to the rules, and the server's word for what there is. It talks to the server past
//! the front: what the front has written down is of the client alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use mosaic_ports::BoxError;
use serde_json::{Value, json};

use super::Failure;
use super::bench::USER;
use crate::dev::DevServer;

/// Records by their keys.
pub(super) type Records = BTreeMap<String, Value>;

/// The other device.
pub(super) struct Peer {
    dev: Arc<DevServer>,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Peer {
    /// One on this server.
    pub(super) fn new(dev: Arc<DevServer>) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { dev, client }
    }

    /// Pushes these records of a type.
    pub(super) async fn write(&self, entity: &str, records: &[Value]) -> Result<(), Failure> {
        for records in records.chunks(200) {
            self.push(entity, json!({"updated": records})).await?;
        }
        Ok(())
    }

    /// Pushes a delete.
    pub(super) async fn delete(&self, entity: &str, key: &str, at: i64) -> Result<(), Failure> {
        self.push(entity, json!({"deleted": [{"id": key, "updatedAt": at}]}))
            .await
    }

    async fn push(&self, entity: &str, changes: Value) -> Result<(), Failure> {
        let body = json!({"clientId": "checker", "changes": {entity: changes}});
        let answer = self.post("/sync/push", &body).await?;
        let results = answer["results"][entity].as_array();
        if results.is_none_or(|all| all.iter().any(|one| one["outcome"] == "rejected")) {
            let how = format!("the checker's own edits were refused: {answer}");
            return Err(Failure::Stuck(how));
        }
        Ok(())
    }

    /// The live records of a type, as the server has them.
    pub(super) async fn records(&self, entity: &str) -> Result<Records, Failure> {
        let (mut records, mut cursors) = (Records::new(), json!({}));
        loop {
            let body = json!({"clientId": "checker", "entities": [entity], "cursors": cursors});
            let page = self.post("/sync/pull", &body).await?;
            for record in page["changes"][entity]["updated"]
                .as_array()
                .into_iter()
                .flatten()
            {
                let key = record["id"].as_str().unwrap_or_default();
                records.insert(key.to_owned(), record.clone());
            }
            cursors = page["cursors"].clone();
            if page["hasMore"][entity] != true {
                return Ok(records);
            }
        }
    }

    /// Each time with a login of its own: a scenario may let logins expire, and set the server back.
    async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let login = json!({"username": USER, "password": "any", "clientId": "checker"});
        let stuck = |error: BoxError| Failure::Stuck(format!("the checker's own request failed: {error}"));
        let login = self.send("/auth/login", &login, "").await.map_err(stuck)?;
        let token = login["accessToken"].as_str().unwrap_or_default();
        self.send(path, body, token).await.map_err(stuck)
    }

    async fn send(&self, path: &str, body: &Value, token: &str) -> Result<Value, BoxError> {
        let request = Request::post(format!("http://{}{path}", self.dev.address().await))
            .header(CONTENT_TYPE, "application/json")
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .body(Full::from(body.to_string()))?;
        let answer = self.client.request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if !status.is_success() {
            return Err(String::from_utf8_lossy(&body).into_owned().into());
        }
        Ok(serde_json::from_slice(&body)?)
    }
}

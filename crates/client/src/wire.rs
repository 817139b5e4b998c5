//! The envelopes of pulls, pushes and logins. Records travel in them as JSON objects: an app that does not know a field yet keeps it.

use std::collections::BTreeMap;

use mosaic_domain::{EntityType, Epoch, UnixMillis, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, Problem, Result};

/// A record, or some of its members.
pub(crate) type Object = Map<String, Value>;

/// Up to where a device was served, by the name of the type.
pub(crate) type Cursors = BTreeMap<String, i64>;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PullRequest<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) cursors: &'a Cursors,
    /// What this version knows: of a type that it does not know it takes no cursor.
    pub(crate) entities: [&'static str; EntityType::ALL.len()],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) epoch: Option<Epoch>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Page {
    pub(crate) cursors: Cursors,
    pub(crate) changes: BTreeMap<String, Changes>,
    pub(crate) has_more: BTreeMap<String, bool>,
    pub(crate) server_time: UnixMillis,
    pub(crate) epoch: Epoch,
    #[serde(default)]
    pub(crate) reset: Vec<String>,
    #[serde(default)]
    pub(crate) skipped: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Changes {
    pub(crate) updated: Vec<Object>,
    pub(crate) deleted_ids: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PushRequest<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) changes: BTreeMap<&'static str, Pushed<'a>>,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Pushed<'a> {
    pub(crate) updated: Vec<&'a Object>,
    pub(crate) deleted: Vec<&'a Object>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PushAnswer {
    pub(crate) results: BTreeMap<String, Vec<PushResult>>,
    pub(crate) clock: i64,
    pub(crate) clock_before: Option<i64>,
    pub(crate) server_time: UnixMillis,
}

#[derive(Debug, Deserialize)]
pub(crate) struct PushResult {
    pub(crate) id: String,
    pub(crate) outcome: Outcome,
    /// Nothing, where all is as it was sent; `None` where it was too long.
    #[serde(default = "nothing")]
    pub(crate) stored: Option<Object>,
    pub(crate) current: Option<Object>,
    pub(crate) error: Option<Problem>,
    #[serde(default)]
    pub(crate) retryable: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Applied,
    Unchanged,
    Superseded,
    Rejected,
}

#[expect(clippy::unnecessary_wraps, reason = "it stands for a member that is left out")]
fn nothing() -> Option<Object> {
    Some(Object::new())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LoginRequest<'a> {
    pub(crate) username: &'a str,
    pub(crate) password: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) device_name: Option<&'a str>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LoginAnswer {
    #[serde(flatten)]
    pub(crate) tokens: Tokens,
    pub(crate) user: User,
    pub(crate) must_change_password: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct User {
    pub(crate) id: UserId,
    pub(crate) username: String,
}

/// The tokens of a login.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tokens {
    pub(crate) access_token: String,
    pub(crate) refresh_token: String,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens(hidden)")
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct DigestAnswer {
    pub(crate) entities: BTreeMap<String, TypeDigest>,
}

/// What the live records of one type come to: equal on two sides exactly if they hold the same versions.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct TypeDigest {
    /// How many records.
    pub count: u64,
    /// What their keys and edit times come to: 16 hexadecimal digits.
    pub hash: String,
}

/// Reads the body of an answer.
pub(crate) fn read<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| Error::NotTheServer(error.to_string()))
}

/// What a member of a record says, if it is a whole number.
pub(crate) fn number(record: &Object, name: &str) -> i64 {
    record.get(name).and_then(Value::as_i64).unwrap_or_default()
}

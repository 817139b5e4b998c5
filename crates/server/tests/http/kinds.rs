//! The four entity types as these tests handle them, so that a rule that all of them keep is tested once.

use serde_json::{Map, Value, json};

use crate::harness::{Answer, Client};

/// A moment in the past, in Unix milliseconds: what edits of these tests count from.
pub const T: i64 = 1_715_000_000_000;

/// One entity type: where it lives, and which of its fields is its text.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// The name on the wire.
    pub name: &'static str,
    /// The path of its collection.
    pub collection: &'static str,
    /// A field that holds a text, and that a create needs.
    pub text: &'static str,
    /// What its key is called.
    pub key: &'static str,
    /// What its key is called in its revisions.
    pub foreign_key: &'static str,
}

pub const MEMO: Kind = Kind {
    name: "memo",
    collection: "/memos",
    text: "content",
    key: "id",
    foreign_key: "memoId",
};
pub const DIARY: Kind = Kind {
    name: "diary",
    collection: "/diaries",
    text: "summary",
    key: "date",
    foreign_key: "date",
};
pub const RESOURCE: Kind = Kind {
    name: "resource",
    collection: "/resources",
    text: "filename",
    key: "id",
    foreign_key: "resourceId",
};
pub const BOT: Kind = Kind {
    name: "bot",
    collection: "/bots",
    text: "name",
    key: "id",
    foreign_key: "botId",
};
/// All of them.
pub const KINDS: [Kind; 4] = [MEMO, DIARY, RESOURCE, BOT];
/// Those whose key is a UUID, which the client makes.
pub const KEYED_BY_ID: [Kind; 3] = [MEMO, RESOURCE, BOT];

impl Kind {
    /// Whether the key is a calendar day.
    pub fn is_diary(&self) -> bool {
        self.name == DIARY.name
    }

    /// The key of the nth record.
    pub fn key(&self, n: usize) -> String {
        if self.is_diary() {
            format!("{:04}-{:02}-{:02}", 2000 + n / 336, 1 + n / 28 % 12, 1 + n % 28)
        } else {
            format!("00000000-0000-4000-8000-{n:012x}")
        }
    }

    /// The path of the nth record.
    pub fn path(&self, n: usize) -> String {
        format!("{}/{}", self.collection, self.key(n))
    }

    /// Where the nth record is created.
    pub fn create_path(&self, n: usize) -> String {
        if self.is_diary() {
            self.path(n)
        } else {
            self.collection.to_owned()
        }
    }

    /// The least that a create of the nth record needs.
    pub fn body(&self, n: usize, text: &str) -> Value {
        let size = if self.name == RESOURCE.name {
            json!({"fileSize": 1})
        } else {
            json!({})
        };
        let key = if self.is_diary() {
            json!({})
        } else {
            json!({"id": self.key(n)})
        };
        with(&with(&key, &size), &json!({self.text: text}))
    }

    /// The nth record as a bulk push sends it, with no more than it needs.
    pub fn record(&self, n: usize, text: &str, more: &Value) -> Value {
        with(&with(&self.body(n, text), &json!({self.key: self.key(n)})), more)
    }

    /// The delete of the nth record as a bulk push sends it.
    pub fn deletion(&self, n: usize, updated_at: Option<i64>) -> Value {
        let time = updated_at.map_or(json!({}), |at| json!({"updatedAt": at}));
        with(&json!({"id": self.key(n)}), &time)
    }

    /// The changes of a push that writes these records of this type.
    pub fn updates(&self, records: &[Value]) -> Value {
        json!({self.name: {"updated": records}})
    }

    /// The changes of a push that deletes these records of this type.
    pub fn deletions(&self, deleted: &[Value]) -> Value {
        json!({self.name: {"deleted": deleted}})
    }

    /// `POST` of the nth record.
    pub async fn create(&self, client: &Client, n: usize, text: &str, more: &Value) -> Answer {
        client
            .post(&self.create_path(n), &with(&self.body(n, text), more))
            .await
    }

    /// `PUT` of the nth record's text.
    pub async fn edit(&self, client: &Client, n: usize, text: &str, more: &Value) -> Answer {
        client
            .put(&self.path(n), &with(&json!({self.text: text}), more))
            .await
    }

    /// `DELETE` of the nth record.
    pub async fn delete(&self, client: &Client, n: usize, updated_at: Option<i64>) -> Answer {
        let query = updated_at
            .map(|at| format!("?updatedAt={at}"))
            .unwrap_or_default();
        client.delete(&format!("{}{query}", self.path(n))).await
    }

    /// `GET` of the nth record; `null` where there is none, or none any more.
    pub async fn get(&self, client: &Client, n: usize) -> Value {
        let answer = client.get(&self.path(n)).await;
        if answer.status == 404 {
            let is_deleted = self.is_diary() || answer.body["updatedAt"].is_i64();
            answer.problem(404, if is_deleted { "deleted" } else { "not_found" });
            return Value::Null;
        }
        answer.ok()
    }

    /// The nth record as a fresh device gets it; `null` where there is none.
    pub async fn pulled(&self, client: &Client, n: usize) -> Value {
        let key = (self.name.to_owned(), self.key(n));
        client.everything().await.records.remove(&key).unwrap_or_default()
    }

    /// The revisions of the nth record, the latest first.
    pub async fn revisions(&self, client: &Client, n: usize) -> Vec<Map<String, Value>> {
        let answer = client.get(&format!("{}/revisions", self.path(n))).await.ok();
        serde_json::from_value(answer).expect("a list of objects")
    }
}

/// An object with the members of both; those of the second count.
pub fn with(base: &Value, more: &Value) -> Value {
    let (mut merged, more) = (base.clone(), more.as_object().expect("an object"));
    merged.as_object_mut().expect("an object").extend(more.clone());
    merged
}

/// The names of an object's members.
pub fn names(object: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = object
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    names
}

/// The strings that stand at this member of each object of a list.
pub fn column<'a>(list: &'a Value, name: &str) -> Vec<&'a str> {
    list.as_array()
        .expect("a list")
        .iter()
        .map(|item| item[name].as_str().expect("a string"))
        .collect()
}

/// The edit time of an edit.
pub fn at(time: i64) -> Value {
    json!({"updatedAt": time})
}

/// The changes of several types.
pub fn all(changes: &[Value]) -> Value {
    changes.iter().fold(json!({}), |all, one| with(&all, one))
}

/// The outcomes of one type in the answer to a push, in order.
pub fn outcomes(answer: &Value, kind: Kind) -> Vec<&str> {
    column(&answer["results"][kind.name], "outcome")
}

//! The app on a phone, as the protocol wants it: a database of its own with foreign keys, a clock of its own, edits made
//! offline, pushes in bulk, pulls, and what to do on a reset (R3).

mod pulling;

use std::collections::{BTreeMap, BTreeSet};

use mosaic_adapter_system::SystemClock;
use mosaic_ports::Clock as _;
pub use mosaic_testkit::Random;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::harness::{Client, ENTITIES};
use crate::kinds::{KINDS, Kind, MEMO, RESOURCE, with};

/// The most records of one type in a push and in a page.
const AT_ONCE: usize = 200;

/// More pages than any phone of these tests has to pull.
const PAGES: usize = 1_000;

/// A record's name: its type, and its key within it.
pub type Key = (&'static str, String);

/// The entity type of that name.
pub fn kind(entity: &str) -> Kind {
    *KINDS.iter().find(|kind| kind.name == entity).expect("a type")
}

/// The key of the nth record of a type.
pub fn key(kind: Kind, n: usize) -> Key {
    (kind.name, kind.key(n))
}

/// The path of a record.
pub fn path(key: &Key) -> String {
    format!("{}/{}", kind(key.0).collection, key.1)
}

/// Now, in Unix milliseconds.
pub fn now() -> i64 {
    SystemClock.now().get()
}

/// A row of the phone's database.
#[derive(Debug, Clone, Default)]
struct Row {
    /// The live record that the server last gave or acknowledged.
    theirs: Option<Value>,
    /// The edit that the server has not judged yet.
    mine: Option<Mine>,
}

/// An edit that is not synced.
#[derive(Debug, Clone)]
struct Mine {
    /// The whole record; none where it is deleted.
    body: Option<Value>,
    /// When it was edited, by the phone's clock.
    at: i64,
}

impl Row {
    /// The record as a person sees it.
    fn seen(&self) -> Option<&Value> {
        match &self.mine {
            Some(mine) => mine.body.as_ref(),
            None => self.theirs.as_ref(),
        }
    }

    fn is_empty(&self) -> bool {
        self.theirs.is_none() && self.mine.is_none()
    }
}

/// The app.
pub struct App {
    /// Its connection.
    pub client: Client,
    /// Its clock less the real one, in milliseconds.
    skew: i64,
    /// Whether it sends the epoch. Apps that are older than epochs do not.
    pub sends_epoch: bool,
    epoch: Value,
    cursors: Map<String, Value>,
    rows: BTreeMap<Key, Row>,
    /// The types that are being rebuilt, and what they were given so far (R3).
    rebuilding: BTreeMap<&'static str, BTreeSet<String>>,
    /// The records whose edits were rejected for good, and why.
    pub refused: Vec<(Key, Value)>,
    /// The types of each reset, in order.
    pub resets: Vec<Vec<String>>,
    /// Every key that was said to be deleted.
    pub told_deleted: BTreeSet<Key>,
    /// How many pushes were answered.
    pub pushes: usize,
    /// How often the clock of a push became the cursor of everything (B3).
    pub clocks_taken: usize,
    /// How often an outcome was answered.
    pub outcomes: BTreeMap<String, usize>,
}

impl App {
    /// A fresh installation with the right time.
    pub fn new(client: Client) -> Self {
        Self::with_skew(client, 0)
    }

    /// One whose clock differs from the real one by this much.
    pub fn with_skew(client: Client, skew: i64) -> Self {
        Self {
            client,
            skew,
            sends_epoch: true,
            epoch: Value::Null,
            cursors: Map::new(),
            rows: BTreeMap::new(),
            rebuilding: BTreeMap::new(),
            refused: Vec::new(),
            resets: Vec::new(),
            told_deleted: BTreeSet::new(),
            pushes: 0,
            clocks_taken: 0,
            outcomes: BTreeMap::new(),
        }
    }

    /// What a person sees: deleted records are gone, and so are the resources of a deleted memo.
    pub fn seen(&self) -> BTreeMap<Key, Value> {
        let shown = self.rows.iter().filter(|(_, row)| !self.is_hidden(row));
        shown
            .filter_map(|(key, row)| Some((key.clone(), row.seen()?.clone())))
            .collect()
    }

    /// One record as a person sees it.
    pub fn get(&self, key: &Key) -> Option<&Value> {
        let row = self.rows.get(key).filter(|row| !self.is_hidden(row));
        row.and_then(Row::seen)
    }

    /// The edits that are not synced.
    pub fn unsynced(&self) -> Vec<Key> {
        let dirty = self.rows.iter().filter(|(_, row)| row.mine.is_some());
        dirty.map(|(key, _)| key.clone()).collect()
    }

    /// The edit of a record that is not synced: the whole record, and its time by the phone's clock.
    pub fn unsynced_edit(&self, key: &Key) -> (Option<Value>, i64) {
        let mine = self.rows[key].mine.as_ref().expect("an edit");
        (mine.body.clone(), mine.at)
    }

    /// Whether the record has an edit that is not synced.
    pub fn is_dirty(&self, key: &Key) -> bool {
        self.rows.get(key).is_some_and(|row| row.mine.is_some())
    }

    /// The cursor of a type.
    pub fn cursor(&self, entity: &str) -> i64 {
        self.cursors.get(entity).and_then(Value::as_i64).unwrap_or(0)
    }

    /// Moves all cursors by this much, as if their history had been at another time.
    pub fn move_cursors(&mut self, by: i64) {
        for cursor in self.cursors.values_mut() {
            *cursor = json!(cursor.as_i64().expect("a cursor") + by);
        }
    }

    /// Whether the row belongs to a memo that is deleted here, which the server does not know yet.
    fn is_hidden(&self, row: &Row) -> bool {
        let memo = row.seen().and_then(memo_of);
        memo.is_some_and(|memo| self.rows.get(&memo).is_some_and(|memo| memo.seen().is_none()))
    }

    // Edits.

    /// Writes these fields of a record at this moment of the real time; makes the record where there is none. Returns the
    /// whole record.
    pub fn write(&mut self, key: &Key, fields: &Value, at: i64) -> Value {
        let at = self.edit_time(key, at);
        let body = if let Some(stored) = self.get(key) {
            with(stored, fields)
        } else {
            let named = json!({kind(key.0).key: key.1, "createdAt": at});
            with(&with(&named, &defaults(key.0)), fields)
        };
        if let Some(memo) = memo_of(&body) {
            assert!(self.get(&memo).is_some(), "foreign key: {key:?} on {memo:?}");
        }
        let body = with(&body, &json!({"updatedAt": at}));
        self.rows.entry(key.clone()).or_default().mine = Some(Mine {
            body: Some(body.clone()),
            at,
        });
        body
    }

    /// Deletes a record at this moment of the real time.
    pub fn delete(&mut self, key: &Key, at: i64) {
        assert!(self.get(key).is_some(), "there is no {key:?}");
        let at = self.edit_time(key, at);
        self.rows.entry(key.clone()).or_default().mine = Some(Mine { body: None, at });
    }

    /// The time of an edit by the phone's clock: never before that of what is edited.
    fn edit_time(&self, key: &Key, at: i64) -> i64 {
        let row = self.rows.get(key);
        let mine = row.and_then(|row| row.mine.as_ref()).map(|mine| mine.at);
        let theirs = row.and_then(|row| row.theirs.as_ref()?["updatedAt"].as_i64());
        let stored = mine.or(theirs.map(|at| at + self.skew));
        stored.map_or(at + self.skew, |stored| (at + self.skew).max(stored + 1))
    }

    // Pushing.

    /// Pushes everything that is not synced, until nothing more gets through.
    pub async fn push(&mut self) {
        loop {
            let before = self.unsynced().len();
            let mut tried = BTreeSet::new();
            while let Some((keys, body)) = self.batch(&tried) {
                let answer = self.client.post("/sync/push", &body).await.ok();
                self.pushes += 1;
                self.take_results(&keys, &answer);
                tried.extend(keys.into_values().flatten());
            }
            let left = self.unsynced().len();
            if left == 0 || left == before {
                return;
            }
        }
    }

    /// What it would push next; sent by somebody else, it is a push whose answer is lost.
    pub fn next_push(&self) -> Option<Value> {
        self.batch(&BTreeSet::new()).map(|(_, body)| body)
    }

    /// The next push, with its keys in the order of the results.
    fn batch(&self, tried: &BTreeSet<Key>) -> Option<(BTreeMap<&'static str, Vec<Key>>, Value)> {
        let (mut keys, mut changes) = (BTreeMap::new(), Map::new());
        for entity in ENTITIES {
            let waiting = self.rows.iter().filter_map(|(key, row)| {
                let mine = row.mine.as_ref()?;
                (key.0 == entity && !tried.contains(key) && !self.is_hidden(row)).then_some((key, mine))
            });
            let waiting: Vec<_> = waiting.take(AT_ONCE).collect();
            if waiting.is_empty() {
                continue;
            }
            let (updated, deleted): (Vec<_>, Vec<_>) =
                waiting.into_iter().partition(|(_, mine)| mine.body.is_some());
            let bodies: Vec<_> = updated
                .iter()
                .filter_map(|(_, mine)| mine.body.as_ref())
                .collect();
            let named: Vec<_> = deleted
                .iter()
                .map(|(key, mine)| json!({"id": key.1, "updatedAt": mine.at}))
                .collect();
            changes.insert(entity.into(), json!({"updated": bodies, "deleted": named}));
            let order: Vec<Key> = updated
                .into_iter()
                .chain(deleted)
                .map(|(key, _)| key.clone())
                .collect();
            keys.insert(entity, order);
        }
        let body = json!({"clientId": self.client.id, "clientTime": now() + self.skew, "changes": changes});
        (!keys.is_empty()).then_some((keys, body))
    }

    fn take_results(&mut self, keys: &BTreeMap<&'static str, Vec<Key>>, answer: &Value) {
        assert!(answer["clock"].is_i64(), "{answer}");
        for (entity, keys) in keys {
            let results = answer["results"][entity].as_array().expect("results");
            assert_eq!(results.len(), keys.len(), "{entity} in {answer}");
            for (key, result) in keys.iter().zip(results) {
                assert_eq!(result["id"], json!(key.1), "in the order of the push");
                self.take_result(key, result);
            }
        }
        // All that happened in between was told by the results (B3).
        let stood = |entity: &&str| answer["clockBefore"].as_i64() == Some(self.cursor(entity));
        if ENTITIES.iter().all(stood) {
            self.clocks_taken += 1;
            for cursor in self.cursors.values_mut() {
                *cursor = answer["clock"].clone();
            }
        }
    }

    fn take_result(&mut self, key: &Key, result: &Value) {
        let outcome = result["outcome"].as_str().expect("an outcome");
        *self.outcomes.entry(outcome.to_owned()).or_default() += 1;
        let cursor = self.cursor(key.0);
        let row = self.rows.get_mut(key).expect("a row that was pushed");
        match outcome {
            "applied" | "unchanged" => {
                let stamp = result["stamp"].as_i64().expect("a stamp");
                let mine = row.mine.take().expect("an edit that was pushed");
                // What was pulled already is the record as the server has it, with what the server makes itself.
                let pulled = row.theirs.clone().filter(|_| stamp <= cursor);
                if mine.body.is_none() {
                    self.forget_edits_below(key);
                }
                let told = mine.body.map(|sent| match &result["stored"] {
                    stored @ Value::Object(_) => with(&sent, stored),
                    _ => sent,
                });
                self.set_theirs(key, pulled.or(told));
            }
            "superseded" => {
                row.mine = None;
                // Without it: what was last heard of the record stays, and the pull brings what was not heard yet.
                let kept = row.theirs.clone();
                let current = match &result["current"] {
                    Value::Null => kept,
                    current if current["isDeleted"] == true => None,
                    current => Some(current.clone()),
                };
                self.set_theirs(key, current);
            }
            "rejected" if result["retryable"] == true => assert!(result["error"].is_object(), "{result}"),
            "rejected" => {
                row.mine = None;
                let kept = row.theirs.clone();
                self.set_theirs(key, kept);
                self.refused.push((key.clone(), result["error"].clone()));
            }
            other => panic!("an unknown outcome: {other}"),
        }
    }

    /// The edits of resources whose memo was deleted after them go with it.
    fn forget_edits_below(&mut self, memo: &Key) {
        for row in self.rows.values_mut() {
            if row.seen().and_then(memo_of).as_ref() == Some(memo) {
                row.mine = None;
            }
        }
        self.rows.retain(|_, row| !row.is_empty());
    }

    /// Sends one record that is not synced by the route of its own (`POST`, `PUT`, `DELETE`), as apps with a network do.
    pub async fn send(&mut self, key: &Key) {
        let row = self.rows.get_mut(key).expect("a row");
        let mine = row.mine.take().expect("an edit");
        let kind = kind(key.0);
        let answer = match (&mine.body, &row.theirs) {
            (None, _) => {
                let at = mine.at;
                self.client.delete(&format!("{}?updatedAt={at}", path(key))).await
            }
            (Some(body), None) if kind.is_diary() => self.client.post(&path(key), body).await,
            (Some(body), None) => self.client.post(kind.collection, body).await,
            (Some(body), Some(stored)) => {
                let mut changed = body.as_object().expect("a record").clone();
                changed.retain(|name, value| stored.get(name) != Some(value));
                self.client.put(&path(key), &Value::Object(changed)).await
            }
        };
        answer.ok();
        if mine.body.is_none() {
            self.forget_edits_below(key);
        }
        self.set_theirs(key, mine.body);
    }

    // Pulling.

    /// The digest of each type, computed from the phone's own database.
    pub fn digest(&self) -> Value {
        let of_type = |entity: &str| {
            let records = self.rows.iter().filter(|(key, _)| key.0 == entity);
            let mut hash = 0_u64;
            let mut count = 0;
            for (key, record) in records.filter_map(|(key, row)| Some((key, row.theirs.as_ref()?))) {
                let text = format!("{} {}", key.1, record["updatedAt"]);
                let first = Sha256::digest(text.as_bytes())[..8]
                    .try_into()
                    .expect("eight bytes");
                hash = hash.wrapping_add(u64::from_be_bytes(first));
                count += 1;
            }
            json!({"count": count, "hash": format!("{hash:016x}")})
        };
        let digests = ENTITIES.map(|entity| (entity.to_owned(), of_type(entity)));
        Value::Object(digests.into_iter().collect())
    }

    /// Asserts that the phone has nothing to push and nothing to pull, and holds what the server holds.
    pub async fn assert_in_sync(&self) {
        let server = self.client.get("/sync/digest").await.ok();
        let name = &self.client.id;
        assert_eq!(self.unsynced(), [], "{name}");
        assert_eq!(self.digest(), server["entities"], "{name}");
        assert_eq!(self.epoch, server["epoch"], "{name}");
        for entity in ENTITIES {
            assert_eq!(self.cursors[entity], server["clock"], "{name}, {entity}");
        }
    }
}

/// What a new record has that names nothing else.
fn defaults(entity: &str) -> Value {
    if entity == RESOURCE.name {
        json!({"fileSize": 1, "memoId": null})
    } else {
        json!({})
    }
}

/// The memo that a record belongs to.
fn memo_of(record: &Value) -> Option<Key> {
    Some((MEMO.name, record.get("memoId")?.as_str()?.to_owned()))
}

/// Asserts that they all show the same, and that a fresh installation does too.
pub async fn assert_alike(apps: &[&App]) {
    let mut fresh = App::new(apps[0].client.on("a-fresh-one"));
    fresh.pull_all().await;
    fresh.assert_in_sync().await;
    for app in apps {
        app.assert_in_sync().await;
        let (has, ought) = (app.seen(), fresh.seen());
        for key in has.keys().chain(ought.keys()) {
            assert_eq!(has.get(key), ought.get(key), "{key:?} on {}", app.client.id);
        }
    }
}

//! How the app takes what the server has: pages, resets, cascades.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{AT_ONCE, App, Key, PAGES, kind, memo_of};
use crate::harness::ENTITIES;
use crate::kinds::MEMO;

impl App {
    /// Pushes, then pulls until nothing more is to come.
    pub async fn sync(&mut self) {
        self.push().await;
        self.pull_all().await;
    }

    /// Pulls until nothing more is to come.
    pub async fn pull_all(&mut self) {
        for _ in 0..PAGES {
            if !self.pull_once().await {
                return;
            }
        }
        panic!("{} is never done", self.client.id);
    }

    /// Pulls once; returns whether there is more to come.
    pub async fn pull_once(&mut self) -> bool {
        let mut body = json!({"clientId": self.client.id, "cursors": self.cursors});
        if self.sends_epoch && !self.epoch.is_null() {
            body["epoch"] = self.epoch.clone();
        }
        let answer = self.client.post("/sync/pull", &body).await.ok();
        if let Some(reset) = answer.get("reset") {
            let reset: Vec<String> = serde_json::from_value(reset.clone()).expect("a list of types");
            for entity in ENTITIES
                .iter()
                .filter(|entity| reset.iter().any(|r| r == *entity))
            {
                self.rebuilding.insert(entity, BTreeSet::new());
            }
            self.resets.push(reset);
        }
        for entity in ENTITIES {
            self.take_page(entity, &answer["changes"][entity]);
            self.cursors
                .insert(entity.into(), answer["cursors"][entity].clone());
        }
        self.epoch = answer["epoch"].clone();
        for entity in ENTITIES
            .iter()
            .filter(|entity| answer["hasMore"][*entity] == false)
        {
            if let Some(given) = self.rebuilding.remove(entity) {
                self.drop_all_but(entity, &given);
            }
        }
        ENTITIES.iter().any(|entity| answer["hasMore"][entity] == true)
    }

    fn take_page(&mut self, entity: &'static str, changes: &Value) {
        let list = |name: &str| changes[name].as_array().expect("a list").clone();
        let (updated, deleted) = (list("updated"), list("deletedIds"));
        assert!(updated.len() + deleted.len() <= AT_ONCE, "P1");
        for record in updated {
            let key = (
                entity,
                record[kind(entity).key].as_str().expect("a key").to_owned(),
            );
            if let Some(memo) = memo_of(&record) {
                assert!(self.rows.contains_key(&memo), "P5: {key:?} came before {memo:?}");
            }
            self.note_given(&key);
            self.set_theirs(&key, Some(record));
        }
        for name in deleted {
            let key = (entity, name.as_str().expect("a key").to_owned());
            self.note_given(&key);
            self.set_theirs(&key, None);
            self.told_deleted.insert(key);
        }
    }

    fn note_given(&mut self, key: &Key) {
        if let Some(given) = self.rebuilding.get_mut(key.0) {
            given.insert(key.1.clone());
        }
    }

    /// R3: of a type that was rebuilt, what the server did not give goes, but for edits that are not synced.
    fn drop_all_but(&mut self, entity: &str, given: &BTreeSet<String>) {
        let of_type = self.rows.keys().filter(|key| key.0 == entity);
        let lost: Vec<Key> = of_type.filter(|key| !given.contains(&key.1)).cloned().collect();
        for key in lost {
            self.set_theirs(&key, None);
        }
    }

    /// Takes what the server says of a record. An edit that is not synced stays beside it: the next push has it judged, and
    /// kept as a revision where it loses.
    pub(super) fn set_theirs(&mut self, key: &Key, record: Option<Value>) {
        let row = self.rows.entry(key.clone()).or_default();
        row.theirs = record;
        if row.is_empty() {
            self.rows.remove(key);
        }
        if key.0 == MEMO.name && !self.rows.contains_key(key) {
            self.cascade(key);
        }
    }

    /// The foreign key: what belonged to a memo that is gone goes too, but for edits that are not synced, which are let go
    /// from it. The server says later in the same pull what becomes of each.
    fn cascade(&mut self, memo: &Key) {
        for row in self.rows.values_mut() {
            if row.theirs.as_ref().and_then(memo_of).as_ref() == Some(memo) {
                row.theirs = None;
            }
            if let Some(body) = row.mine.as_mut().and_then(|mine| mine.body.as_mut())
                && memo_of(body).as_ref() == Some(memo)
            {
                body["memoId"] = Value::Null;
            }
        }
        self.rows.retain(|_, row| !row.is_empty());
    }

    // In sync?
}

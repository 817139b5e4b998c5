//! A device that pulls for some of the users, whatever becomes of the server.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Client, ENTITIES};
use crate::instances::convergence::Scene;
use crate::instances::ledger::Records;
use crate::instances::writer::{Outcome, PAUSE, attempt};

/// How long a device rests between two pulls.
const REST: Duration = Duration::from_millis(10);

/// What the device knows of one user.
pub struct Known {
    /// Which one.
    pub user: usize,
    /// The live records.
    pub records: Records,
    cursors: Value,
    epoch: Value,
}

/// One puller.
pub struct Puller {
    scene: Arc<Scene>,
    number: usize,
    name: String,
    /// The users whose changes it follows.
    pub known: Vec<Known>,
    /// How many pulls were answered.
    pub pulls: usize,
    /// How often a pull was sent again.
    pub retries: usize,
}

impl Puller {
    pub fn new(scene: &Arc<Scene>, number: usize, users: impl Iterator<Item = usize>) -> Self {
        let unknown = |user| Known {
            user,
            records: Records::new(),
            cursors: json!({}),
            epoch: Value::Null,
        };
        Self {
            scene: Arc::clone(scene),
            number,
            name: format!("puller-{number:02}"),
            known: users.map(unknown).collect(),
            pulls: 0,
            retries: 0,
        }
    }

    /// Pulls for one user after the other until the run is over, then until nothing more is to come.
    pub async fn run(mut self) -> Self {
        while !self.scene.is_over.load(Ordering::SeqCst) {
            for at in 0..self.known.len() {
                self.pull(at).await;
                tokio::time::sleep(REST).await;
            }
        }
        self
    }

    /// Pulls until nothing more is to come for any of the users.
    pub async fn catch_up(&mut self) {
        for at in 0..self.known.len() {
            while self.pull(at).await {}
        }
    }

    /// Pulls once for a user, however often that takes; returns whether there is more to come.
    async fn pull(&mut self, at: usize) -> bool {
        let instance = self.scene.instance_of(self.number);
        let mut client: Client = self.scene.users[self.known[at].user].clone();
        client.id.clone_from(&self.name);
        let body = json!({"clientId": self.name, "cursors": self.known[at].cursors});
        loop {
            client.url = instance.url();
            match attempt(&client, Method::POST, "/sync/pull", Some(&body)).await {
                Outcome::Answer(status, answer) => {
                    assert!(status.is_success(), "{status} {answer}");
                    self.pulls += 1;
                    return self.known[at].take(&answer);
                }
                Outcome::Again => self.retries += 1,
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Known {
    /// Takes an answer as the protocol tells apps to.
    fn take(&mut self, answer: &Value) -> bool {
        // What was shown once is durable: the user's clock never falls behind a cursor (R1), nor does history begin anew.
        assert_eq!(answer.get("reset"), None, "{answer}");
        if self.epoch.is_null() {
            self.epoch = answer["epoch"].clone();
        }
        assert_eq!(self.epoch, answer["epoch"]);
        for entity in ENTITIES {
            self.take_changes(entity, &answer["changes"][entity]);
            let cursors = (&self.cursors[entity], &answer["cursors"][entity]);
            assert!(cursors.0.as_i64().unwrap_or(0) <= cursors.1.as_i64().unwrap());
        }
        self.cursors = answer["cursors"].clone();
        ENTITIES.iter().any(|entity| answer["hasMore"][entity] == true)
    }

    fn take_changes(&mut self, entity: &str, changes: &Value) {
        let name = if entity == "diary" { "date" } else { "id" };
        for record in changes["updated"].as_array().unwrap() {
            if let Some(memo) = record["memoId"].as_str() {
                let parent = ("memo".to_owned(), memo.to_owned());
                assert!(
                    self.records.contains_key(&parent),
                    "P5: {record} came before its memo"
                );
            }
            let key = record[name].as_str().unwrap().to_owned();
            self.records.insert((entity.to_owned(), key), record.clone());
        }
        for key in changes["deletedIds"].as_array().unwrap() {
            self.records
                .remove(&(entity.to_owned(), key.as_str().unwrap().to_owned()));
        }
    }
}

//! A device that writes for all users, and sends every request again until it is acknowledged.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mosaic_testkit::Random;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::Client;
use crate::instances::convergence::Scene;
use crate::instances::ledger::{Effect, Ledger};

/// How long to wait for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait before the same request is sent again.
pub const PAUSE: Duration = Duration::from_millis(50);
/// How many memos of each user all writers write.
const SHARED_MEMOS: usize = 4;
/// How many days and bots of each user all writers write.
const SHARED_OTHERS: usize = 2;

/// What a device got for a request.
pub enum Outcome {
    /// An answer that is no failure of the server.
    Answer(StatusCode, Value),
    /// No whole answer, or 503.
    Again,
}

/// Sends a request once.
pub async fn attempt(client: &Client, method: Method, path: &str, body: Option<&Value>) -> Outcome {
    let mut request = client.request(method, path).timeout(PATIENCE);
    if let Some(body) = body {
        request = request.json(body);
    }
    let Ok(response) = request.send().await else {
        return Outcome::Again;
    };
    let (status, waits) = (response.status(), response.headers().contains_key("retry-after"));
    let Ok(bytes) = response.bytes().await else {
        return Outcome::Again;
    };
    if status == StatusCode::SERVICE_UNAVAILABLE {
        assert!(waits, "503 without Retry-After for {path}");
        return Outcome::Again;
    }
    let text = String::from_utf8_lossy(&bytes);
    assert!(!status.is_server_error(), "{path}: {status} {text}");
    Outcome::Answer(status, serde_json::from_slice(&bytes).unwrap_or_default())
}

/// A request, and what it does once it is acknowledged.
struct Request {
    user: usize,
    method: Method,
    path: String,
    body: Option<Value>,
    time: i64,
    effects: Vec<Effect>,
}

/// A memo that only its writer writes, with its resources.
struct OwnMemo {
    id: String,
    resources: Vec<String>,
}

/// One writer.
pub struct Writer {
    scene: Arc<Scene>,
    number: usize,
    name: String,
    random: Random,
    time: i64,
    made: usize,
    own: Vec<Vec<OwnMemo>>,
    /// What was acknowledged, by user.
    pub ledgers: Vec<Ledger>,
    /// How many requests were acknowledged.
    pub acknowledged: usize,
    /// How often a request was sent again.
    pub retries: usize,
}

impl Writer {
    pub fn new(scene: &Arc<Scene>, number: usize) -> Self {
        let users = scene.users.len();
        Self {
            scene: Arc::clone(scene),
            number,
            name: format!("writer-{number:02}"),
            random: Random(number as u64),
            time: 1_715_000_000_000,
            made: 0,
            own: (0..users).map(|_| Vec::new()).collect(),
            ledgers: vec![Ledger::default(); users],
            acknowledged: 0,
            retries: 0,
        }
    }

    /// Writes every record that all writers share, so that there is one to delete.
    pub async fn write_shared(&mut self) {
        for user in 0..self.scene.users.len() {
            for n in 0..SHARED_MEMOS + 2 * SHARED_OTHERS {
                let request = self.put_shared(user, n);
                self.acknowledge(request).await;
            }
        }
    }

    /// Writes until the run is over.
    pub async fn run(mut self) -> Self {
        while !self.scene.is_over.load(Ordering::SeqCst) {
            let request = self.next_request();
            self.acknowledge(request).await;
        }
        self
    }

    fn next_request(&mut self) -> Request {
        let user = self.random.below(self.scene.users.len());
        let known = self.own[user].len();
        match self.random.below(100) {
            40..=64 if known > 0 => self.edit_own(user),
            65..=72 if known > 0 => self.delete_own(user),
            73..=82 if known > 0 => self.attach(user),
            83..=94 => {
                let n = self.random.below(SHARED_MEMOS + 2 * SHARED_OTHERS);
                self.put_shared(user, n)
            }
            95..=99 => {
                let n = self.random.below(SHARED_MEMOS + 2 * SHARED_OTHERS);
                self.delete_shared(user, n)
            }
            _ => self.create(user),
        }
    }

    /// A later edit time than all before.
    fn tick(&mut self) -> i64 {
        self.time += self.random.between(1, 1_000);
        self.time
    }

    fn new_id(&mut self) -> String {
        self.made += 1;
        format!("{:08x}-0000-4000-8000-{:012x}", self.number + 1, self.made)
    }

    fn request(&mut self, user: usize, method: Method, path: String) -> Request {
        Request {
            user,
            method,
            path,
            body: None,
            time: self.tick(),
            effects: Vec::new(),
        }
    }

    fn create(&mut self, user: usize) -> Request {
        let id = self.new_id();
        let text = format!("{} made {id}", self.name);
        let request = self.request(user, Method::POST, "/memos".into());
        self.own[user].push(OwnMemo {
            id: id.clone(),
            resources: Vec::new(),
        });
        let body = json!({"id": id, "content": text, "updatedAt": request.time});
        request.putting("memo", &id, text, body)
    }

    fn edit_own(&mut self, user: usize) -> Request {
        let at = self.random.below(self.own[user].len());
        let id = self.own[user][at].id.clone();
        let request = self.request(user, Method::PUT, format!("/memos/{id}"));
        let text = format!("{} edited {id} at {}", self.name, request.time);
        let body = json!({"content": text, "updatedAt": request.time});
        request.putting("memo", &id, text, body)
    }

    fn delete_own(&mut self, user: usize) -> Request {
        let at = self.random.below(self.own[user].len());
        let memo = self.own[user].swap_remove(at);
        let mut request = self
            .request(user, Method::DELETE, format!("/memos/{}", memo.id))
            .deleting("memo", &memo.id);
        // Its resources go with it, with the same version (W9).
        let resources = memo.resources.into_iter();
        request.effects.extend(resources.map(|id| Effect {
            entity: "resource",
            key: id,
            text: None,
            contested: false,
        }));
        request
    }

    fn attach(&mut self, user: usize) -> Request {
        let at = self.random.below(self.own[user].len());
        let id = self.new_id();
        let memo = self.own[user][at].id.clone();
        self.own[user][at].resources.push(id.clone());
        let request = self.request(user, Method::POST, "/resources".into());
        let name = format!("{id}.png");
        let body = json!({"id": id, "memoId": memo, "filename": name, "mimeType": "image/png", "fileSize": 1,
                          "updatedAt": request.time});
        request.putting("resource", &id, name, body)
    }

    /// The first of these are memos, then diaries, then bots.
    fn put_shared(&mut self, user: usize, n: usize) -> Request {
        let (entity, path, key) = shared(n);
        let path = if entity == "diary" {
            format!("{path}/{key}")
        } else {
            path.into()
        };
        let request = self.request(user, Method::POST, path);
        let text = format!("{} at {}", self.name, request.time);
        let body = match entity {
            "memo" => json!({"id": key, "content": text, "updatedAt": request.time}),
            "diary" => json!({"summary": text, "moodKey": "calm", "updatedAt": request.time}),
            _ => json!({"id": key, "name": text, "sortOrder": n, "updatedAt": request.time}),
        };
        request.putting(entity, &key, text, body).contested()
    }

    fn delete_shared(&mut self, user: usize, n: usize) -> Request {
        let (entity, path, key) = shared(n);
        self.request(user, Method::DELETE, format!("{path}/{key}"))
            .deleting(entity, &key)
            .contested()
    }

    /// Sends a request until it is answered, and notes what it did.
    async fn acknowledge(&mut self, request: Request) {
        let mut client = self.scene.users[request.user].clone();
        client.id.clone_from(&self.name);
        let instance = self.scene.instance_of(self.number);
        loop {
            client.url = instance.url();
            let (method, body) = (request.method.clone(), request.body.as_ref());
            match attempt(&client, method, &request.path, body).await {
                Outcome::Answer(status, answer) => {
                    request.assert_answer(status, &answer);
                    break;
                }
                Outcome::Again => self.retries += 1,
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.acknowledged += 1;
        instance.acknowledged.fetch_add(1, Ordering::SeqCst);
        for effect in request.effects {
            self.ledgers[request.user].note(effect, (request.time, self.name.clone()));
        }
    }
}

/// A record that all writers write: its type, the route of the type, its key.
fn shared(n: usize) -> (&'static str, &'static str, String) {
    let id = format!("00000000-0000-4000-8000-{n:012x}");
    match n {
        0..SHARED_MEMOS => ("memo", "/memos", id),
        n if n < SHARED_MEMOS + SHARED_OTHERS => ("diary", "/diaries", format!("2026-05-{:02}", n + 1)),
        _ => ("bot", "/bots", id),
    }
}

impl Request {
    fn putting(mut self, entity: &'static str, key: &str, text: String, body: Value) -> Self {
        self.body = Some(body);
        self.effects.push(Effect {
            entity,
            key: key.to_owned(),
            text: Some(text),
            contested: false,
        });
        self
    }

    fn deleting(mut self, entity: &'static str, key: &str) -> Self {
        self.path = format!("{}?updatedAt={}", self.path, self.time);
        self.effects.push(Effect {
            entity,
            key: key.to_owned(),
            text: None,
            contested: false,
        });
        self
    }

    fn contested(mut self) -> Self {
        for effect in &mut self.effects {
            effect.contested = true;
        }
        self
    }

    /// An edit of what others edit too may lose (W4), and is acknowledged all the same.
    fn assert_answer(&self, status: StatusCode, answer: &Value) {
        let lost = self.effects[0].contested && status == 409 && answer["code"] == "superseded";
        assert!(
            status.is_success() || lost,
            "{} {}: {status} {answer}",
            self.method,
            self.path
        );
    }
}

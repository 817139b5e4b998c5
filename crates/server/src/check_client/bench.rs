//! What a scenario works with: a server of its own, the client's devices, the other device, and what has to hold.

use std::ffi::OsString;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use mosaic_adapter_http::Listener;
use mosaic_ports::Clock as _;
use serde_json::{Value, json};

use super::Failure;
use super::driver::{Doing, Driver};
use super::peer::{Peer, Records};
use crate::config::Config;
use crate::dev::{DevError, DevServer, Exchange, Fault, Front, Rule};

/// Whose devices they all are.
pub(super) const USER: &str = "anna";
/// A client may show a person that a sync failed, and go on with the next one. So often it may.
const TRIES: usize = 3;
/// How long a request may take to come that a client has to make.
const DEADLINE: Duration = Duration::from_mins(1);
/// The fields that are compared of a record, so that a driver need not show all.
const COMPARED: [(&str, &[&str]); 2] = [
    ("memo", &["content", "tags", "updatedAt"]),
    ("resource", &["memoId", "filename", "updatedAt"]),
];
/// Where edits go: of a client that pushes, and of one that sends each by itself.
const WRITES: [&str; 3] = ["POST /sync/push", "POST /memos", "PUT /memos/*"];

/// What a step of a scenario comes to.
pub(super) type Done<T = ()> = Result<T, Failure>;

/// Fails with this rule, and what became of it.
fn broken(rule: &'static str, detail: String) -> Done {
    Err(Failure::Broken { rule, detail })
}

/// The key of a record, the same in every run.
pub(super) fn key(number: usize) -> String {
    format!("0198f3a2-0000-7000-8000-{number:012x}")
}

/// One scenario's.
pub(super) struct Bench {
    /// The server.
    pub(super) dev: Arc<DevServer>,
    /// The other device.
    pub(super) peer: Peer,
    /// How many checks held so far.
    pub(super) held: usize,
    front: Front,
    url: String,
    driver: Driver,
}

impl Bench {
    /// A new server and a new driver; the failure of one that can't be started.
    pub(super) async fn new(config: &Config, command: &[OsString]) -> Result<Done<Self>, DevError> {
        let driver = match Driver::start(command) {
            Ok(driver) => driver,
            Err(failure) => return Ok(Err(failure)),
        };
        let listener = TcpListener::bind("127.0.0.1:0").map_err(DevError::Start)?;
        let address = listener.local_addr().map_err(DevError::Start)?;
        let dev = Arc::new(DevServer::start(config).await?);
        Ok(Ok(Self {
            peer: Peer::new(Arc::clone(&dev)),
            front: Front::start(Arc::clone(&dev), vec![Listener::Tcp(listener)]).map_err(DevError::Start)?,
            url: format!("http://{address}"),
            held: 0,
            dev,
            driver,
        }))
    }

    /// A check: fails with this rule where there is a flaw.
    pub(super) fn check(&mut self, rule: &'static str, flaw: Option<String>) -> Done {
        if let Some(flaw) = flaw {
            return broken(rule, flaw);
        }
        self.held += 1;
        Ok(())
    }

    /// Ends both; answers what the driver said on stderr.
    pub(super) async fn end(self) -> String {
        let said = self.driver.end().await;
        self.front.stop().await;
        self.dev.stop().await;
        said
    }

    /// The server's clock, in Unix milliseconds.
    pub(super) fn now(&self) -> i64 {
        self.dev.clock.now().get()
    }

    /// Has a device do what it must be able to.
    async fn ask(&mut self, request: Value) -> Done<Value> {
        let done = self.driver.begin(request.clone()).await?.done().await?;
        done.map_err(|error| Failure::Stuck(format!("{request} failed: {error}")))
    }

    /// A new device, logged in, with nothing on it yet.
    pub(super) async fn open(&mut self, device: &str) -> Done {
        let before = self.dev.requests.last();
        self.open_with(json!({"device": device})).await?;
        let is_login = |one: &Exchange| one.path == "/auth/login" && one.status == Some(200);
        if self.sent(|one| one.id > before && is_login(one)) {
            return Ok(());
        }
        Err(Failure::Stuck(format!(
            "`open` was answered, but `{device}` has not logged in as `{USER}` at {}",
            self.url
        )))
    }

    /// Another tab of a device, which has its login.
    pub(super) async fn open_tab(&mut self, device: &str, of: &str) -> Done {
        self.open_with(json!({"device": device, "tabOf": of})).await
    }

    async fn open_with(&mut self, mut request: Value) -> Done {
        request["do"] = "open".into();
        request["url"] = self.url.as_str().into();
        request["user"] = USER.into();
        request["password"] = "any password".into();
        self.ask(request).await.map(drop)
    }

    /// A person makes a record on a device, or changes these fields of it.
    pub(super) async fn write(&mut self, device: &str, entity: &str, key: &str, fields: Value) -> Done {
        let request = json!({"do": "write", "device": device, "type": entity, "key": key, "fields": fields});
        self.ask(request).await.map(drop)
    }

    /// As [`Bench::write`], of a memo.
    pub(super) async fn write_memo(&mut self, device: &str, key: &str, content: &str) -> Done {
        self.write(device, "memo", key, json!({"content": content})).await
    }

    /// A person deletes a memo on a device.
    pub(super) async fn delete_memo(&mut self, device: &str, key: &str) -> Done {
        let request = json!({"do": "delete", "device": device, "type": "memo", "key": key});
        self.ask(request).await.map(drop)
    }

    /// The clock of all devices is so much ahead of the true time from now on.
    pub(super) async fn set_clock(&mut self, offset_ms: i64) -> Done {
        self.ask(json!({"do": "clock", "offsetMs": offset_ms}))
            .await
            .map(drop)
    }

    /// A device begins to sync.
    pub(super) async fn begin_sync(&mut self, device: &str) -> Done<Doing> {
        self.driver.begin(json!({"do": "sync", "device": device})).await
    }

    /// A device syncs once, and may say that it failed.
    pub(super) async fn sync(&mut self, device: &str) -> Done<Result<(), String>> {
        Ok(self.begin_sync(device).await?.done().await?.map(drop))
    }

    /// A device syncs until it says that it did.
    pub(super) async fn settle(&mut self, device: &str, rule: &'static str) -> Done {
        let mut said = String::new();
        for _ in 0..TRIES {
            match self.sync(device).await? {
                Ok(()) => return Ok(()),
                Err(error) => said = error,
            }
        }
        broken(
            rule,
            format!("`{device}` can not sync any more, it failed {TRIES} times in a row: {said}"),
        )
    }

    /// The records that a person sees on a device.
    pub(super) async fn records(&mut self, device: &str, entity: &str) -> Done<Records> {
        let answer = self
            .ask(json!({"do": "dump", "device": device, "type": entity}))
            .await?;
        let Some(records) = answer["records"].as_array() else {
            return Err(Failure::Stuck(format!(
                "`dump` must answer a list of `records`, not {answer}"
            )));
        };
        let keyed = |record: &Value| Some((record["id"].as_str()?.to_owned(), record.clone()));
        let keyed = records.iter().map(keyed).collect::<Option<_>>();
        keyed.ok_or_else(|| Failure::Stuck("each record of a `dump` must have its `id`".to_owned()))
    }

    /// The keys of the edits that a device was told are refused for good.
    pub(super) async fn rejected(&mut self, device: &str) -> Done<Vec<String>> {
        let answer = self.ask(json!({"do": "rejected", "device": device})).await?;
        let keys = serde_json::from_value(answer["keys"].clone());
        keys.map_err(|_| Failure::Stuck(format!("`rejected` must answer a list of `keys`, not {answer}")))
    }

    /// Whether the client made a request like this.
    pub(super) fn sent(&self, is_it: impl Fn(&Exchange) -> bool) -> bool {
        self.dev.requests.any(is_it)
    }

    /// The next request that brings an edit fails like this.
    pub(super) fn fail_writes(&self, fault: &Fault) -> Done {
        WRITES.iter().try_for_each(|on| self.fail(on, fault.clone()))
    }

    /// The next request like this fails like that.
    pub(super) fn fail(&self, on: &str, fault: Fault) -> Done {
        let rule = Rule {
            on: on.to_owned(),
            client_id: None,
            skip: 0,
            times: 1,
            fault,
        };
        self.dev
            .faults
            .add(rule)
            .map_err(|error| Failure::Stuck(error.to_string()))
    }

    /// Waits until the answer to a request of this sync is held.
    pub(super) async fn until_held(&self, sync: &mut Doing) -> Done {
        let mut changes = self.dev.requests.changes();
        let is_held = |one: &Exchange| one.ms.is_none() && one.fault.as_ref().is_some_and(|fault| fault.hold);
        let held = async {
            while !self.sent(is_held) {
                // It is not closed before the server is gone.
                let _ = changes.changed().await;
            }
        };
        let sync_ended = tokio::select! {
            () = held => return Ok(()),
            done = sync.done() => done?,
            () = tokio::time::sleep(DEADLINE) => Err("it makes no such request".to_owned()),
        };
        let how = sync_ended.err().unwrap_or_default();
        Err(Failure::Stuck(format!(
            "the sync ended without the request that it is about. {how}"
        )))
    }

    /// Takes a backup of the server.
    pub(super) async fn back_up(&self) -> Done {
        let done = self.dev.backup().await;
        done.map_err(|error| Failure::Stuck(format!("no backup was taken: {error}")))
    }

    /// Sets the server back to the backup.
    pub(super) async fn set_back(&self) -> Done {
        let done = self.dev.restore().await.map(drop);
        done.map_err(|error| Failure::Stuck(format!("the backup was not restored: {error}")))
    }

    /// Checks that a device holds what the server has.
    pub(super) async fn agree(&mut self, device: &str, rule: &'static str) -> Done {
        let mut flaw = None;
        for (entity, fields) in COMPARED {
            let there = self.peer.records(entity).await?;
            let here = self.records(device, entity).await?;
            flaw = flaw.or_else(|| difference(&shown(entity), fields, &here, &there));
        }
        let say = |how| format!("`{device}` and the server do not agree: {how}");
        self.check(rule, flaw.map(say))
    }

    /// Checks that a memo of the server's has this content, since what `why` says.
    pub(super) async fn memo_is(&mut self, key: &str, content: &str, rule: &'static str, why: &str) -> Done {
        let how = match self.peer.records("memo").await?.get(key) {
            Some(memo) if memo["content"] == content => None,
            Some(memo) => Some(format!(
                "on the server its memo is {} instead of \"{content}\"",
                memo["content"]
            )),
            None => Some(format!("the memo \"{content}\" is not on the server")),
        };
        let say = |how| format!("{why}: {how}{}", self.what_was_pushed(key));
        let flaw = how.map(say);
        self.check(rule, flaw)
    }

    /// What the client pushed of a memo at last, and what it was answered, as far as that was written down.
    fn what_was_pushed(&self, key: &str) -> String {
        let pushed = self.dev.requests.last_of(|one| {
            let sent: Value = serde_json::from_str(&one.sent.shown()).ok()?;
            let got: Value = serde_json::from_str(&one.got.shown()).unwrap_or_default();
            let of_key = |list: &Value| list.as_array()?.iter().find(|one| one["id"] == key).cloned();
            let memos = &sent["changes"]["memo"];
            let memo = of_key(&memos["updated"]).or_else(|| of_key(&memos["deleted"]))?;
            let answer = of_key(&got["results"]["memo"]).unwrap_or_default();
            Some((memo["updatedAt"].clone(), answer))
        });
        let Some((updated_at, answer)) = pushed else {
            return String::new();
        };
        let outcome = answer["outcome"].as_str().unwrap_or("nothing");
        let code = answer["error"]["code"].as_str();
        let code = code.map(|code| format!(", `{code}`")).unwrap_or_default();
        format!(". It was pushed last with the updatedAt {updated_at}, and answered `{outcome}`{code}")
    }

    /// Checks that a memo is deleted on the server.
    pub(super) async fn memo_is_gone(&mut self, key: &str, rule: &'static str, why: &str) -> Done {
        let say = |memo: &Value| format!("{why}: the memo {} is on the server", memo["content"]);
        let flaw = self.peer.records("memo").await?.get(key).map(say);
        self.check(rule, flaw)
    }
}

/// What is not the same here, on a device, and there, on the server.
fn difference(
    shown: &dyn Fn(&Value) -> String,
    fields: &[&str],
    here: &Records,
    there: &Records,
) -> Option<String> {
    for (key, theirs) in there {
        let name = shown(theirs);
        let Some(mine) = here.get(key) else {
            return Some(format!("{name} is on the server alone"));
        };
        if let Some(field) = fields.iter().find(|field| mine[**field] != theirs[**field]) {
            let (mine, theirs) = (&mine[*field], &theirs[*field]);
            return Some(format!(
                "`{field}` of {name} is {mine} on the device, and {theirs} on the server"
            ));
        }
    }
    let (_, record) = here.iter().find(|(key, _)| !there.contains_key(*key))?;
    let name = shown(record);
    Some(format!(
        "{name} is still on the device, and not, or deleted, on the server"
    ))
}

/// How a record of a type is named to people.
fn shown(entity: &'static str) -> impl Fn(&Value) -> String {
    let name = if entity == "memo" { "content" } else { "filename" };
    move |record| format!("the {entity} {}", record[name])
}

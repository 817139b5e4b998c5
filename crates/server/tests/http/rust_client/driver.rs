//! `mosaic check-client` over the client in Rust. Its driver is this test program, started once more: answers go where the shell that
//! starts it leads the file descriptor 3, since the standard output is for what the test harness says.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::sync::{Arc, Mutex};

use mosaic_client::domain::entity::{Entity, Memo, Resource};
use mosaic_client::{Client, Login};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Machine, open};
use crate::check_client::{check_client, outcomes};

/// Says that this test program is the driver.
const IS_DRIVER: &str = "MOSAIC_TESTS_DRIVE_THE_CLIENT";

#[tokio::test(flavor = "multi_thread")]
async fn the_client_in_rust_passes_every_scenario_of_the_kit() {
    if std::env::var_os(IS_DRIVER).is_some() {
        return drive();
    }
    let program = std::env::current_exe().unwrap();
    let start = format!(
        "{IS_DRIVER}=1 exec \"$0\" --exact rust_client::driver::the_client_in_rust_passes_every_scenario_of_the_kit 3>&1 >/dev/null"
    );
    let driver = ["--json", "--", "sh", "-c", &start, program.to_str().unwrap()];
    let output = check_client(&driver).await;
    let mut outcomes = outcomes(&output);
    // A tag that is too long can't be written with it.
    assert_eq!(outcomes.remove("rejected-record").unwrap(), "skip");
    assert!(outcomes.len() >= 12, "{output:?}");
    assert!(outcomes.values().all(|outcome| outcome == "pass"), "{output:?}");
}

/// The devices of a scenario, by name.
#[derive(Default)]
struct Devices {
    machine: Arc<Machine>,
    apps: Mutex<HashMap<String, (Arc<TempDir>, Client)>>,
}

fn drive() {
    let answers = Arc::new(Mutex::new(File::options().write(true).open("/dev/fd/3").unwrap()));
    let devices = Arc::<Devices>::default();
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let (answers, devices) = (Arc::clone(&answers), Arc::clone(&devices));
        // Not waited for: what comes next may have to be done while this goes on.
        tokio::spawn(async move {
            let request: Value = serde_json::from_str(&line).unwrap();
            let mut answer = match devices.done(&request).await {
                Ok(answer) => answer,
                Err(error) => json!({"error": error.to_string()}),
            };
            answer["id"] = request["id"].clone();
            writeln!(answers.lock().unwrap(), "{answer}").unwrap();
        });
    }
}

impl Devices {
    async fn done(&self, request: &Value) -> mosaic_client::Result<Value> {
        let text = |name: &str| request[name].as_str().unwrap_or_default();
        let device = text("device");
        let is_memo = text("type") == "memo";
        match text("do") {
            "open" => self.open(device, request).await?,
            "write" if is_memo => return write::<Memo>(&self.app(device), request),
            "write" => return write::<Resource>(&self.app(device), request),
            "delete" if is_memo => self.app(device).delete::<Memo>(text("key").parse()?)?,
            "delete" => self.app(device).delete::<Resource>(text("key").parse()?)?,
            "sync" => self.app(device).sync(|_| {}).await.map(|_| ())?,
            "dump" if is_memo => return dump::<Memo>(&self.app(device)),
            "dump" => return dump::<Resource>(&self.app(device)),
            "rejected" => {
                let rejected = self.app(device).status()?.rejected;
                let for_good = rejected.iter().filter(|rejection| !rejection.retryable);
                let keys: Vec<_> = for_good.map(|rejection| rejection.key.to_string()).collect();
                return Ok(json!({"keys": keys}));
            }
            "clock" => self.machine.set_ahead(request["offsetMs"].as_i64().unwrap()),
            _ => return Ok(json!({"unsupported": true})),
        }
        Ok(json!({}))
    }

    fn app(&self, device: &str) -> Client {
        self.apps.lock().unwrap()[device].1.clone()
    }

    async fn open(&self, device: &str, request: &Value) -> mosaic_client::Result<()> {
        if let Some(other) = request["tabOf"].as_str() {
            // Another process on the same file.
            let mut apps = self.apps.lock().unwrap();
            let folder = Arc::clone(&apps[other].0);
            let app = open(&folder, &self.machine, 6);
            apps.insert(device.to_owned(), (folder, app));
            return Ok(());
        }
        let folder = Arc::new(tempfile::tempdir().unwrap());
        drop(open(&folder, &self.machine, 6));
        let database = rusqlite::Connection::open(folder.path().join("diary.db")).unwrap();
        let name = "UPDATE state SET value = json_quote(?1) WHERE name = 'client_id'";
        assert_eq!(database.execute(name, [device]).unwrap(), 1);
        let app = open(&folder, &self.machine, 6);
        let login = Login {
            server: request["url"].as_str().unwrap(),
            username: request["user"].as_str().unwrap(),
            password: request["password"].as_str().unwrap(),
            device_name: None,
        };
        app.login(login).await?;
        self.apps.lock().unwrap().insert(device.to_owned(), (folder, app));
        Ok(())
    }
}

/// Writes some fields over those of the record, or over those that a new one has.
fn write<E: Entity>(app: &Client, request: &Value) -> mosaic_client::Result<Value> {
    let key: E::Key = request["key"].as_str().unwrap().parse()?;
    let mut fields = match app.get::<E>(key)? {
        Some(record) => serde_json::to_value(record.content).unwrap(),
        None => json!({
            "content": "", "tags": [], "isArchived": false, "diaryDate": null, "aiSummary": null,
            "memoId": null, "filename": "x", "mimeType": "text/plain", "fileSize": 0, "sha256": null,
            "storageType": "local", "sortOrder": 0, "metadata": {},
        }),
    };
    fields
        .as_object_mut()
        .unwrap()
        .extend(request["fields"].as_object().unwrap().clone());
    // What the types of the client can't hold.
    let Ok(content) = serde_json::from_value::<E>(fields) else {
        return Ok(json!({"unsupported": true}));
    };
    app.put(key, &content)?;
    Ok(json!({}))
}

fn dump<E: Entity>(app: &Client) -> mosaic_client::Result<Value> {
    let records = app.list::<E>()?.into_iter().map(|record| {
        let mut shown = serde_json::to_value(record.content).unwrap();
        shown["id"] = json!(record.key.to_string());
        shown["updatedAt"] = json!(record.updated_at);
        shown
    });
    Ok(json!({"records": records.collect::<Vec<_>>()}))
}

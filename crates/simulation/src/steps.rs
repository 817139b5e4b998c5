//! What people do with their devices, no network needed.

use mosaic_client::domain::MemoId;
use mosaic_client::domain::entity::{Bot, Diary, Entity, Memo, Resource};
use mosaic_client::{Client, Error};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Outcome;
use crate::device::{Data, Pending, Upload};
use crate::model::{Fields, Key};
use crate::run::Run;
use crate::script::{Kind, Slot, Step};

impl Run {
    /// A step of one device that needs no network.
    pub(crate) fn offline(&mut self, step: &Step) -> Outcome {
        match *step {
            Step::Write {
                device,
                slot,
                is_main,
                text,
                length,
            } => self.write(device, slot, is_main, &text_of(text, length)),
            Step::Delete { device, slot } => self.delete(device, slot),
            Step::Attach {
                device,
                n,
                memo,
                bytes,
            } => self.attach(device, n, memo, bytes),
            Step::Import { device, from, count } => {
                for n in from..from + count {
                    let kind = Kind::Memo;
                    self.write(device, Slot { kind, n }, true, &format!("imported {n}"))?;
                }
                Ok(())
            }
            Step::Clock { device, ahead } => {
                self.devices[device].machine.set_ahead(ahead * 1_000);
                Ok(())
            }
            Step::SaveDevice { device } => {
                let device = &mut self.devices[device];
                device.saved = Some(device.data.copy()?);
                Ok(())
            }
            Step::RestoreDevice { device } => {
                let device = &mut self.devices[device];
                let saved = device.saved.as_ref().map(Data::copy).transpose()?;
                saved.map_or(Ok(()), |data| device.become_one_with(data))
            }
            _ => Ok(()),
        }
    }

    pub(crate) async fn reinstall(&mut self, device: usize) -> Outcome {
        self.begin_with(device, Data::new()?).await
    }

    /// Two devices have the same client id from now on.
    pub(crate) async fn copy(&mut self, device: usize, of: usize) -> Outcome {
        if device == of || self.devices[device].user != self.devices[of].user {
            return Ok(());
        }
        let data = self.devices[of].data.copy()?;
        self.begin_with(device, data).await
    }

    /// The device has these data, and logs in through its own proxy.
    async fn begin_with(&mut self, device: usize, data: Data) -> Outcome {
        self.devices[device].become_one_with(data)?;
        self.devices[device].log_in().await
    }

    fn key(&self, user: usize, slot: Slot) -> Option<Key> {
        let key = match slot.kind {
            Kind::Memo => memo_id(slot.n).to_string(),
            Kind::Bot => uuid(1, slot.n).to_string(),
            Kind::Diary => format!("2026-05-{:02}", slot.n % 28 + 1),
            Kind::Resource => self.files.get(&(user, slot.n))?.to_string(),
        };
        let entity = match slot.kind {
            Kind::Memo => "memo",
            Kind::Diary => "diary",
            Kind::Bot => "bot",
            Kind::Resource => "resource",
        };
        Some((entity.to_owned(), key))
    }

    fn write(&mut self, device: usize, slot: Slot, is_main: bool, text: &str) -> Outcome {
        let Some(key) = self.key(self.devices[device].user, slot) else {
            return Ok(());
        };
        let app = &self.devices[device].app;
        let (name, value) = match (slot.kind, is_main) {
            (Kind::Memo, true) => ("content", json!(text)),
            (Kind::Memo, false) => ("tags", json!([word(text)])),
            (Kind::Diary, _) => ("summary", json!(text)),
            (Kind::Bot, true) => ("name", json!(word(text))),
            (Kind::Bot, false) => ("description", json!(word(text))),
            (Kind::Resource, _) => ("filename", json!(word(text))),
        };
        let field = [(name.to_owned(), value)].into_iter().collect();
        let is_done = match slot.kind {
            Kind::Memo => edit::<Memo>(app, &key.1, &field, Some(&Memo::default()))?,
            Kind::Diary => edit::<Diary>(app, &key.1, &field, Some(&Diary::default()))?,
            Kind::Bot => edit::<Bot>(app, &key.1, &field, Some(&new_bot()?))?,
            Kind::Resource => edit::<Resource>(app, &key.1, &field, None)?,
        };
        if is_done {
            self.edited(device, &key, Some(&field))
        } else {
            Ok(())
        }
    }

    fn delete(&mut self, device: usize, slot: Slot) -> Outcome {
        let Some(key) = self.key(self.devices[device].user, slot) else {
            return Ok(());
        };
        let app = &self.devices[device].app;
        let done = match slot.kind {
            Kind::Memo => app.delete::<Memo>(parse::<Memo>(&key.1)?),
            Kind::Diary => app.delete::<Diary>(parse::<Diary>(&key.1)?),
            Kind::Bot => app.delete::<Bot>(parse::<Bot>(&key.1)?),
            Kind::Resource => app.delete::<Resource>(parse::<Resource>(&key.1)?),
        };
        match done {
            Err(Error::NotFound) => Ok(()),
            done => {
                done?;
                self.edited(device, &key, None)
            }
        }
    }

    /// An edit was made: it waits on the device, together with what waited there of that record before, and the model knows of it.
    fn edited(&mut self, device: usize, key: &Key, field: Option<&Fields>) -> Outcome {
        let device = &mut self.devices[device];
        let model = &mut self.models[device.user];
        let before = device.data.pending.get(key);
        let waiting = before.and_then(|before| model.fields(before.edit));
        let row = device.waiting(Some(key))?.remove(key);
        let row = row.ok_or_else(|| format!("{key:?}: an edit that does not wait"))?;
        if before.is_some_and(|before| before.counter == row.counter) {
            return Err(format!("{key:?}: an edit with the counter of another one").into());
        }
        let names = |name: &String| {
            row.changes
                .as_ref()
                .is_some_and(|changes| changes.contains_key(name))
        };
        let says = |(name, value): (&String, &Value)| {
            row.changes
                .as_ref()
                .is_some_and(|changes| changes.get(name) == Some(value))
        };
        let is_whole = match field {
            Some(field) => field.iter().all(says) && waiting.is_none_or(|waiting| waiting.keys().all(names)),
            None => row.changes.is_none(),
        };
        if !is_whole {
            return Err(format!("{key:?}: {row:?} does not say {field:?}, and before {waiting:?}").into());
        }
        self.figures.edits += 1;
        let edit = model.edit(key, device.app.client_id().as_str(), row.changes);
        let counter = row.counter;
        device.data.pending.insert(key.clone(), Pending { counter, edit });
        Ok(())
    }

    fn attach(&mut self, number: usize, n: u32, memo: Option<u32>, bytes: usize) -> Outcome {
        let device = &mut self.devices[number];
        let memo = match memo.map(memo_id) {
            Some(memo) => device.app.get::<Memo>(memo)?.map(|_| memo),
            None => None,
        };
        let name = format!("file {n}");
        let file = device.folder().join(&name);
        let content: Vec<u8> = n
            .to_be_bytes()
            .into_iter()
            .chain(std::iter::repeat_n(b'.', bytes))
            .collect();
        std::fs::write(&file, content)?;
        let resource = device.app.attach(&file, memo)?;
        std::fs::remove_file(file)?;
        self.figures.edits += 1;
        let fields = json!({"filename": name, "memoId": memo});
        let key = ("resource".to_owned(), resource.to_string());
        let edit = self.models[device.user].edit(&key, device.client_id(), fields.as_object().cloned());
        device.data.uploads.insert(key, Upload { edit, since: None });
        self.files.insert((device.user, n), resource);
        Ok(())
    }
}

/// Writes a field of a record that is there, or of a new one; answers whether it did.
fn edit<E: Entity>(app: &Client, key: &str, field: &Fields, new: Option<&E>) -> Outcome<bool> {
    let key = parse::<E>(key)?;
    let mut record = match (app.get::<E>(key)?, new) {
        (Some(record), _) => serde_json::to_value(record.content)?,
        (None, Some(new)) => serde_json::to_value(new)?,
        (None, None) => return Ok(false),
    };
    if let Some(record) = record.as_object_mut() {
        record.extend(field.clone());
    }
    app.put(key, &serde_json::from_value::<E>(record)?)?;
    Ok(true)
}

fn parse<E: Entity>(key: &str) -> Outcome<E::Key> {
    key.parse().map_err(|_| format!("{key} is no key").into())
}

fn memo_id(n: u32) -> MemoId {
    MemoId::new(uuid(0, n))
}

fn uuid(kind: u8, n: u32) -> Uuid {
    Uuid::from_fields(n, kind.into(), 0x4000, &[0x80, 0, 0, 0, 0, 0, 0, 0])
}

fn new_bot() -> Outcome<Bot> {
    let new = json!({
        "name": "new", "avatarUrl": null, "description": "", "tags": [], "autoReply": true, "sortOrder": 0, "model": null,
        "aiConfig": null,
    });
    Ok(serde_json::from_value(new)?)
}

/// A text that nobody else writes, and that is so much longer.
fn text_of(number: u32, length: usize) -> String {
    format!("text{number} {}", "x".repeat(length))
}

fn word(text: &str) -> &str {
    text.split(' ').next().unwrap_or_default()
}

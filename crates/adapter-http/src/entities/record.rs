//! A record, as responses have it: its fields as the domain writes them, between its key and its times.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt::Write as _;

use mosaic_domain::entity::Document;
use mosaic_domain::pull::{PulledRecord, PulledState};
use mosaic_domain::{Live, Record};
use serde::ser::{Error as _, SerializeMap as _};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::entity::ApiEntity;
use crate::response::Written;

/// A live record, as pulls, lists and conflicts show it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase", bound(serialize = "F: Serialize"))]
pub(crate) struct RecordDto<E: ApiEntity, F = Read<E>> {
    #[serde(flatten)]
    key_and_fields: F,
    #[serde(flatten)]
    derived: E::Derived,
    created_at: i64,
    updated_at: i64,
}

/// The key, and the fields, of a record that was read.
#[derive(Debug, Serialize)]
#[serde(bound = "")]
pub(crate) struct Read<E: ApiEntity> {
    #[serde(flatten)]
    key: Named<E>,
    #[serde(flatten)]
    fields: E,
}

/// A key, under the name that it has in records of its type.
#[derive(Debug)]
struct Named<E: ApiEntity>(E::Key);

impl<E: ApiEntity> Serialize for Named<E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(E::TYPE.key_name(), &format_args!("{}", self.0))?;
        map.end()
    }
}

/// The key, and the fields, of a record that was not read: they are as they are stored.
#[derive(Debug)]
pub(crate) struct AsStored<E: ApiEntity> {
    key: E::Key,
    fields: Document,
}

impl<E: ApiEntity> Serialize for AsStored<E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // No key has anything that JSON escapes. The other members follow what is, for serde, the value of this one.
        let fields = self.fields.members();
        let mut key_and_fields = String::with_capacity(fields.len() + 40);
        write!(key_and_fields, "\"{}\",{fields}", self.key).map_err(S::Error::custom)?;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(E::TYPE.key_name(), &Written(key_and_fields))?;
        map.end()
    }
}

impl<E: ApiEntity> From<Live<E>> for RecordDto<E> {
    fn from(live: Live<E>) -> Self {
        let fields = || Ok::<_, Infallible>(Cow::Borrowed(&live.content));
        let Ok(derived) = E::derived(live.key, live.revision_count, fields);
        Self {
            derived,
            created_at: live.created_at.get(),
            updated_at: live.version.time.get(),
            key_and_fields: Read {
                key: Named(live.key),
                fields: live.content,
            },
        }
    }
}

impl<E: ApiEntity> RecordDto<E, AsStored<E>> {
    /// A record as a pull shows it; `None` for a tombstone, and for what can't be read.
    pub(super) fn pulled(record: PulledRecord) -> Option<Self> {
        let PulledState::Live(fields) = record.state else {
            return None;
        };
        let key = E::key_of(record.key)?;
        Some(Self {
            derived: E::derived(key, record.revision_count, || fields.read().map(Cow::Owned)).ok()?,
            created_at: record.created_at.get(),
            updated_at: record.edit_time.get(),
            key_and_fields: AsStored { key, fields },
        })
    }
}

/// A record as a conflict shows it: a tombstone keeps its key and its times.
pub(super) fn record_json<E: ApiEntity>(record: Record) -> Value {
    let (key, created_at, updated_at) = (record.key, record.created_at.get(), record.version.time.get());
    match record.into_live::<E>() {
        Some(live) => serde_json::to_value(RecordDto::from(live)).unwrap_or(Value::Null),
        None => json!({
            (E::TYPE.key_name()): key.to_string(), "isDeleted": true, "createdAt": created_at, "updatedAt": updated_at,
        }),
    }
}

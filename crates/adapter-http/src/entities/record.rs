//! A record, as responses have it: its fields as the domain writes them, between its key and its times.

use mosaic_domain::{Live, Record};
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::entity::ApiEntity;

/// A live record, as pulls, lists and conflicts show it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase", bound = "")]
pub(crate) struct RecordDto<E: ApiEntity> {
    #[serde(flatten)]
    key: Named<E>,
    #[serde(flatten)]
    fields: E,
    #[serde(flatten)]
    derived: E::Derived,
    created_at: i64,
    updated_at: i64,
}

/// A key, under the name that it has in records of its type.
#[derive(Debug)]
struct Named<E: ApiEntity>(E::Key);

impl<E: ApiEntity> Serialize for Named<E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(E::KEY, &format_args!("{}", self.0))?;
        map.end()
    }
}

impl<E: ApiEntity> From<Live<E>> for RecordDto<E> {
    fn from(live: Live<E>) -> Self {
        Self {
            key: Named(live.key),
            derived: E::derived(&live),
            fields: live.content,
            created_at: live.created_at.get(),
            updated_at: live.version.time.get(),
        }
    }
}

/// A record as a conflict shows it: a tombstone keeps its key and its times.
pub(super) fn record_json<E: ApiEntity>(record: Record) -> Value {
    let (key, created_at, updated_at) = (record.key, record.created_at.get(), record.version.time.get());
    match record.into_live::<E>() {
        Some(live) => serde_json::to_value(RecordDto::from(live)).unwrap_or(Value::Null),
        None => json!({
            E::KEY: key.to_string(), "isDeleted": true, "createdAt": created_at, "updatedAt": updated_at,
        }),
    }
}

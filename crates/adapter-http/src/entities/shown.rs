//! A record, as it is shown: its fields as the domain writes them, between its key and its times.

use std::collections::BTreeMap;

use mosaic_domain::{Live, Record};
use serde::Serialize;
use serde_json::{Value, json};

use super::Wire;

/// A live record, as pulls, lists and conflicts show it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase", bound = "")]
pub(crate) struct Shown<E: Wire> {
    #[serde(flatten)]
    key: BTreeMap<&'static str, String>,
    #[serde(flatten)]
    fields: E,
    #[serde(flatten)]
    derived: E::Derived,
    created_at: i64,
    updated_at: i64,
}

impl<E: Wire> From<Live<E>> for Shown<E> {
    fn from(live: Live<E>) -> Self {
        Self {
            key: BTreeMap::from([(E::KEY, live.key.to_string())]),
            derived: E::derived(&live),
            fields: live.content,
            created_at: live.created_at.get(),
            updated_at: live.version.time.get(),
        }
    }
}

/// A record as a conflict shows it: a tombstone keeps its key and its times.
pub(super) fn wire_form<E: Wire>(record: Record) -> Value {
    let (key, created_at, updated_at) = (record.key, record.created_at.get(), record.version.time.get());
    match record.into_live::<E>() {
        Some(live) => serde_json::to_value(Shown::from(live)).unwrap_or(Value::Null),
        None => json!({
            E::KEY: key.to_string(), "isDeleted": true, "createdAt": created_at, "updatedAt": updated_at,
        }),
    }
}

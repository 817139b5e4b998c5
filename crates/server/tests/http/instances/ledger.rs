//! What must be stored in the end, worked out from what was acknowledged: for each record the greatest version (W2).

use std::collections::BTreeMap;

use serde_json::Value;

/// An entity type and a key.
pub type Key = (String, String);
/// Records by type and key, as the protocol sends them.
pub type Records = BTreeMap<Key, Value>;

/// What one acknowledged request did to one record.
#[derive(Debug, Clone)]
pub struct Effect {
    pub entity: &'static str,
    pub key: String,
    /// What was written into the record's text; none: it was deleted.
    pub text: Option<String>,
    /// Whether others write this record too.
    pub contested: bool,
}

/// The state of a record after all acknowledged writes.
#[derive(Debug, Clone)]
struct Expected {
    version: (i64, String),
    text: Option<String>,
    puts: usize,
    contested: bool,
}

/// All records that one user's devices had acknowledged.
#[derive(Debug, Clone, Default)]
pub struct Ledger(BTreeMap<Key, Expected>);

impl Ledger {
    /// Notes a write that was acknowledged.
    pub fn note(&mut self, effect: Effect, version: (i64, String)) {
        let puts = usize::from(effect.text.is_some());
        let written = Expected {
            version,
            text: effect.text,
            puts,
            contested: effect.contested,
        };
        self.add((effect.entity.to_owned(), effect.key), written);
    }

    /// Takes over what another writer had acknowledged.
    pub fn merge(&mut self, other: Self) {
        for (key, written) in other.0 {
            self.add(key, written);
        }
    }

    fn add(&mut self, key: Key, written: Expected) {
        let Some(known) = self.0.get_mut(&key) else {
            self.0.insert(key, written);
            return;
        };
        let puts = known.puts + written.puts;
        if written.version > known.version {
            *known = written;
        }
        known.puts = puts;
    }

    /// Asserts that exactly what was acknowledged is stored.
    pub fn assert_stored(&self, user: usize, stored: &Records) {
        for (key, expected) in &self.0 {
            assert_record(user, key, expected, stored.get(key));
        }
        let unknown: Vec<_> = stored.keys().filter(|key| !self.0.contains_key(key)).collect();
        assert!(unknown.is_empty(), "user {user}: nobody wrote {unknown:?}");
    }
}

fn assert_record(user: usize, key: &Key, expected: &Expected, stored: Option<&Value>) {
    let Some(text) = &expected.text else {
        assert!(stored.is_none(), "user {user}: {key:?} was deleted: {stored:?}");
        return;
    };
    let Some(stored) = stored else {
        panic!("user {user}: {key:?} is missing: {expected:?}");
    };
    assert_eq!(stored[text_field(&key.0)], text.as_str(), "user {user}: {key:?}");
    assert_eq!(stored["updatedAt"], expected.version.0, "user {user}: {key:?}");
    if key.0 == "memo" && !expected.contested {
        // Each edit is a version, and one that was sent again is no further one (W3).
        assert_eq!(stored["revisionCount"], expected.puts, "user {user}: {key:?}");
    }
}

/// The field of a type that the writers write.
fn text_field(entity: &str) -> &'static str {
    match entity {
        "memo" => "content",
        "diary" => "summary",
        "resource" => "filename",
        "bot" => "name",
        other => panic!("no entity type: {other}"),
    }
}

//! What the protocol says becomes of edits, written from docs/protocol.md alone: nothing here is the product's code.
//!
//! The model knows every edit that was ever made, and of each the times at which the server may have seen it (W6). What the devices
//! took for acknowledged has *certainly* arrived; what was on its way when a sync broke off has *perhaps*. So each record has a set of
//! versions that may stand now: those of which no certain one is newer (W2). What W9 does to resources is in that set, too.
//!
//! An edit names some fields. What the others hold is compared with what stood at the last check: only an edit that came since may have
//! changed them (W7).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

/// A record's type and key, as on the wire.
pub(crate) type Key = (String, String);
/// The fields of a record, as on the wire.
pub(crate) type Fields = Map<String, Value>;

/// An edit: what one request says of one record.
#[derive(Debug, Clone)]
struct Edit {
    client: String,
    /// The fields that it names; none: it deletes.
    fields: Option<Fields>,
}

/// The number of an edit.
pub(crate) type EditNumber = usize;

#[derive(Debug, Clone)]
struct Arrival {
    edit: EditNumber,
    /// The edit time by the server's clock.
    times: RangeInclusive<i64>,
    is_certain: bool,
    /// H2: the history of the time when it came is purged.
    is_purged: bool,
    /// It came before the last check, for certain: what it changed was seen there.
    is_settled: bool,
}

/// A version of a record, as the server has it.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    /// Its edit time.
    pub(crate) time: i64,
    /// Who made the edit.
    pub(crate) client: String,
    /// Whether it is a tombstone.
    pub(crate) is_deleted: bool,
    /// What it has, or had.
    pub(crate) fields: Fields,
}

/// A record, as the server has it.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    /// What stands.
    pub(crate) current: Version,
    /// What stood, and what lost.
    pub(crate) revisions: Vec<Version>,
}

/// All that the server has of a user.
pub(crate) type Server = BTreeMap<Key, Stored>;

/// What a server has seen, which a backup takes with it.
#[derive(Debug, Clone, Default)]
struct Seen {
    arrivals: BTreeMap<Key, Vec<Arrival>>,
    /// What stood at the last check.
    stood: BTreeMap<Key, Version>,
}

/// One user's edits.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    edits: Vec<Edit>,
    by_key: BTreeMap<Key, Vec<EditNumber>>,
    seen: Seen,
    saved: Seen,
    /// The edits that brought bytes.
    files: BTreeSet<EditNumber>,
    /// The memos that a resource was ever attached to.
    memos: BTreeMap<String, BTreeSet<String>>,
}

impl Model {
    /// An edit is made. `fields`: what it names; none: it deletes.
    pub(crate) fn edit(&mut self, key: &Key, client: &str, fields: Option<Fields>) -> EditNumber {
        let memo = fields.as_ref().and_then(|fields| fields.get("memoId")?.as_str());
        if let Some(memo) = memo {
            self.memos
                .entry(key.1.clone())
                .or_default()
                .insert(memo.to_owned());
        }
        self.edits.push(Edit {
            client: client.to_owned(),
            fields,
        });
        let number = self.edits.len() - 1;
        self.by_key.entry(key.clone()).or_default().push(number);
        number
    }

    /// What an edit names; none: it deletes.
    pub(crate) fn fields(&self, edit: EditNumber) -> Option<&Fields> {
        self.edits[edit].fields.as_ref()
    }

    /// The server has seen an edit, perhaps or for certain, with one of these edit times.
    pub(crate) fn arrive(
        &mut self,
        key: &Key,
        edit: EditNumber,
        times: RangeInclusive<i64>,
        is_certain: bool,
    ) {
        self.seen.arrivals.entry(key.clone()).or_default().push(Arrival {
            edit,
            times,
            is_certain,
            is_purged: false,
            is_settled: false,
        });
    }

    /// As [`arrive`](Self::arrive), for a file. Sent again it changes nothing (A2): it is of when it came first, and what was kept of it
    /// then may be purged.
    pub(crate) fn arrive_file(
        &mut self,
        key: &Key,
        edit: EditNumber,
        times: RangeInclusive<i64>,
        is_certain: bool,
    ) {
        let arrivals = self.seen.arrivals.entry(key.clone()).or_default();
        let before = arrivals.iter().filter(|arrival| arrival.edit == edit);
        let first = before.clone().map(|arrival| *arrival.times.start()).min();
        let first = first.map_or(*times.start(), |first| first.min(*times.start()));
        let is_purged = before.clone().any(|arrival| arrival.is_purged);
        arrivals.push(Arrival {
            edit,
            times: first..=*times.end(),
            is_certain,
            is_purged,
            is_settled: false,
        });
        self.files.insert(edit);
    }

    /// Whether the server has the bytes of a resource for certain.
    pub(crate) fn has_file(&self, key: &Key) -> bool {
        let mut arrivals = self.seen.arrivals.get(key).into_iter().flatten();
        arrivals.any(|arrival| arrival.is_certain && self.files.contains(&arrival.edit))
    }

    /// H2: all history is too old, and purged.
    pub(crate) fn purge(&mut self) {
        for arrival in self.seen.arrivals.values_mut().flatten() {
            arrival.is_purged = true;
        }
    }

    /// The server's store is saved.
    pub(crate) fn save(&mut self) {
        self.saved.clone_from(&self.seen);
    }

    /// What was saved is put back: what arrived since is gone, and nobody can ask for it.
    pub(crate) fn put_back(&mut self) {
        self.seen.clone_from(&self.saved);
    }

    /// Compares the server with what the rules allow, and keeps what stands for the next comparison.
    ///
    /// # Errors
    /// The first record that is not as it has to be, and why.
    pub(crate) fn check(&mut self, server: &Server) -> Result<(), String> {
        self.check_arrivals(server)?;
        for (key, stored) in server {
            self.check_current(key, &stored.current)?;
            self.check_fields(key, &stored.current)?;
        }
        for arrival in self.seen.arrivals.values_mut().flatten() {
            arrival.is_settled |= arrival.is_certain;
        }
        let current = |(key, stored): (&Key, &Stored)| (key.clone(), stored.current.clone());
        self.seen.stood = server.iter().map(current).collect();
        Ok(())
    }

    /// W2, H1: no edit that certainly arrived is lost.
    fn check_arrivals(&self, server: &Server) -> Result<(), String> {
        for (key, arrivals) in &self.seen.arrivals {
            let certain = || arrivals.iter().filter(|arrival| arrival.is_certain);
            let Some(stored) = server.get(key) else {
                if certain().next().is_some() {
                    return Err(format!("{key:?} was acknowledged, and is not there"));
                }
                continue;
            };
            let tell = |what: &str, arrival: &Arrival| {
                let edit = &self.edits[arrival.edit];
                let current = &stored.current;
                format!("{key:?}: {what}: {arrival:?} {edit:?}; there is {current:?}")
            };
            for arrival in certain() {
                if self.is_newer(arrival, &stored.current) {
                    return Err(tell("W2: a newer edit lost", arrival));
                }
                if !arrival.is_purged && !self.is_kept(arrival, stored) {
                    let revisions = &stored.revisions;
                    return Err(tell(&format!("H1: an edit is gone from {revisions:?}"), arrival));
                }
            }
        }
        Ok(())
    }

    /// W2: the version is certainly greater than the one that stands.
    fn is_newer(&self, arrival: &Arrival, current: &Version) -> bool {
        let edit = &self.edits[arrival.edit];
        let (from, to) = (*arrival.times.start(), *arrival.times.end());
        let is_equal = from == to && from == current.time && edit.client == current.client;
        from > current.time
            || (from == current.time && edit.client > current.client)
            || (is_equal && edit.fields.is_none() && !current.is_deleted)
    }

    /// H1: what the edit said is current, or in the history. A delete says nothing.
    fn is_kept(&self, arrival: &Arrival, stored: &Stored) -> bool {
        let Some(named) = &self.edits[arrival.edit].fields else {
            return true;
        };
        let mut versions = stored.revisions.iter().chain([&stored.current]);
        versions.any(|version| has(&version.fields, named))
    }

    /// What stands is an edit that may have arrived.
    fn check_current(&self, key: &Key, current: &Version) -> Result<(), String> {
        let arrivals = self.seen.arrivals.get(key).into_iter().flatten();
        let is_told = |arrival: &Arrival| {
            let edit = &self.edits[arrival.edit];
            let is_alike = match &edit.fields {
                Some(named) => !current.is_deleted && has(&current.fields, named),
                None => current.is_deleted,
            };
            is_alike && edit.client == current.client && arrival.times.contains(&current.time)
        };
        if !arrivals.clone().any(is_told) && !self.went_with_its_memo(key, current) {
            let arrivals: Vec<_> = arrivals
                .map(|arrival| (arrival, &self.edits[arrival.edit]))
                .collect();
            return Err(format!(
                "{key:?}: nobody wrote {current:?}; there were {arrivals:?}"
            ));
        }
        Ok(())
    }

    /// W7: each field is as it stood at the last check, or as an edit names it that perhaps came since. Of a record that was not there,
    /// or perhaps was deleted in between, a device may have sent all that it knew: that was written by somebody, once.
    fn check_fields(&self, key: &Key, current: &Version) -> Result<(), String> {
        if current.is_deleted {
            return Ok(());
        }
        let arrivals = self.seen.arrivals.get(key).into_iter().flatten();
        let came = arrivals.filter(|arrival| !arrival.is_settled);
        let came: Vec<&Edit> = came.map(|arrival| &self.edits[arrival.edit]).collect();
        let stood = self.seen.stood.get(key);
        let stood = stood.filter(|stood| !stood.is_deleted && came.iter().all(|edit| edit.fields.is_some()));
        let ever = self
            .by_key
            .get(key)
            .into_iter()
            .flatten()
            .map(|edit| &self.edits[*edit]);
        let edits = if stood.is_some() { came } else { ever.collect() };
        let is_right = |name: &String, value: &Value| {
            let named = edits.iter().filter_map(|edit| edit.fields.as_ref()?.get(name));
            let mut values = named
                .chain(stood.and_then(|stood| stood.fields.get(name)))
                .peekable();
            // The server adds what it knows of a file, and takes away a memo that is deleted (W9).
            let is_servers = key.0 == "resource" && (values.peek().is_none() || value.is_null());
            is_servers || values.any(|one| one == value)
        };
        match current.fields.iter().find(|(name, value)| !is_right(name, value)) {
            Some((name, value)) => Err(format!(
                "{key:?}: W7: {name} may not be {value}; there was {stood:?}, and came {edits:?}"
            )),
            None => Ok(()),
        }
    }

    /// W9: a resource that is deleted with its memo has its version.
    fn went_with_its_memo(&self, key: &Key, current: &Version) -> bool {
        let memos = self.memos.get(&key.1).into_iter().flatten();
        let mut deletes = memos
            .filter_map(|memo| self.seen.arrivals.get(&("memo".to_owned(), memo.clone())))
            .flatten()
            .filter(|arrival| self.edits[arrival.edit].fields.is_none());
        let is_it = |arrival: &Arrival| {
            arrival.times.contains(&current.time) && self.edits[arrival.edit].client == current.client
        };
        current.is_deleted && deletes.any(is_it)
    }
}

/// Whether a version has what an edit names. A memo that was deleted is named no more (W9).
fn has(version: &Fields, named: &Fields) -> bool {
    named.iter().all(|(name, value)| {
        let there = version.get(name);
        there == Some(value) || (name == "memoId" && there == Some(&Value::Null))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(text: &str) -> Fields {
        [("content".to_owned(), json!(text))].into_iter().collect()
    }

    fn version(time: i64, client: &str, text: &str) -> Version {
        Version {
            time,
            client: client.to_owned(),
            is_deleted: false,
            fields: fields(text),
        }
    }

    fn stored(current: Version, revisions: Vec<Version>) -> Server {
        [(memo(), Stored { current, revisions })].into_iter().collect()
    }

    fn memo() -> Key {
        ("memo".to_owned(), "1".to_owned())
    }

    /// An edit at 10 that was acknowledged, and one at 20 that perhaps arrived.
    fn model() -> Model {
        let mut model = Model::default();
        for (client, at, is_certain) in [("a", 10, true), ("b", 20, false)] {
            let edit = model.edit(&memo(), client, Some(fields(client)));
            model.arrive(&memo(), edit, at..=at, is_certain);
        }
        model
    }

    #[test]
    fn what_the_rules_allow_passes() {
        let (sure, perhaps) = (version(10, "a", "a"), version(20, "b", "b"));
        model().check(&stored(sure.clone(), vec![])).unwrap();
        model().check(&stored(perhaps, vec![sure])).unwrap();
    }

    #[test]
    fn what_the_rules_forbid_is_seen() {
        let wrong = |server: &Server, word: &str| {
            let told = model().check(server).unwrap_err();
            assert!(told.contains(word), "{told}");
        };
        wrong(&Server::new(), "not there");
        wrong(&stored(version(20, "b", "b"), vec![]), "H1");
        wrong(&stored(version(9, "a", "a"), vec![]), "W2");
        wrong(&stored(version(10, "Z", "a"), vec![]), "W2");
        wrong(&stored(version(30, "a", "a"), vec![]), "nobody wrote");
        let mut deleted = version(10, "a", "a");
        deleted.is_deleted = true;
        wrong(&stored(deleted, vec![]), "nobody wrote");
    }

    #[test]
    fn w7_a_field_that_no_edit_names_is_as_it_stood() {
        let both = |content: &str, tags: &str| {
            let both = [("content", content), ("tags", tags)];
            both.map(|(name, value)| (name.to_owned(), json!(value)))
                .into_iter()
                .collect::<Fields>()
        };
        let with = |time: i64, fields: Fields| Version {
            fields,
            ..version(time, "a", "")
        };
        let mut model = Model::default();
        for (time, named) in [(10, both("1", "1")), (20, fields("2"))] {
            let edit = model.edit(&memo(), "a", Some(named));
            model.arrive(&memo(), edit, time..=time, true);
            let now = with(time, both(if time == 10 { "1" } else { "2" }, "1"));
            model.check(&stored(now, vec![with(10, both("1", "1"))])).unwrap();
        }
        let tags = both("", "3")
            .into_iter()
            .filter(|(name, _)| name == "tags")
            .collect();
        let edit = model.edit(&memo(), "a", Some(tags));
        model.arrive(&memo(), edit, 30..=30, true);
        let history = || vec![with(10, both("1", "1")), with(20, both("2", "1"))];
        let told = model
            .check(&stored(with(30, both("1", "3")), history()))
            .unwrap_err();
        assert!(told.contains("W7"), "{told}");
        model.check(&stored(with(30, both("2", "3")), history())).unwrap();
    }

    #[test]
    fn what_came_after_a_backup_may_be_gone_once_it_is_restored() {
        let mut model = model();
        model.save();
        let edit = model.edit(&memo(), "c", Some(fields("c")));
        model.arrive(&memo(), edit, 30..=30, true);
        let old = stored(version(10, "a", "a"), vec![]);
        model.check(&old).unwrap_err();
        model.put_back();
        model.check(&old).unwrap();
    }

    #[test]
    fn a2_a_file_that_is_sent_again_is_of_when_it_came_first() {
        let mut model = Model::default();
        let key = ("resource".to_owned(), "2".to_owned());
        let named = |text: &str| {
            [("filename".to_owned(), json!(text))]
                .into_iter()
                .collect::<Fields>()
        };
        let upload = model.edit(&key, "a", Some(named("file")));
        model.arrive_file(&key, upload, 5..=6, false);
        let rename = model.edit(&key, "b", Some(named("text")));
        model.arrive(&key, rename, 9..=9, true);
        let renamed = Version {
            fields: named("text"),
            ..version(9, "b", "")
        };
        let server = [(
            key.clone(),
            Stored {
                current: renamed,
                revisions: vec![],
            },
        )];
        let server = server.into_iter().collect::<Server>();
        let mut unpurged = model.clone();
        unpurged.arrive_file(&key, upload, 20..=21, true);
        assert!(unpurged.check(&server).unwrap_err().contains("H1"));
        model.purge();
        model.arrive_file(&key, upload, 20..=21, true);
        model.check(&server).unwrap();
    }

    #[test]
    fn w9_a_resource_goes_with_its_memo() {
        let mut model = Model::default();
        let key = ("resource".to_owned(), "2".to_owned());
        let file = [("filename", "f"), ("memoId", "1")].map(|(name, value)| (name.to_owned(), json!(value)));
        let upload = model.edit(&key, "a", Some(file.clone().into_iter().collect()));
        model.arrive(&key, upload, 5..=6, true);
        let delete = model.edit(&memo(), "b", None);
        model.arrive(&memo(), delete, 9..=9, true);
        let mut gone = version(9, "b", "");
        (gone.is_deleted, gone.fields) = (true, file.into_iter().collect());
        let mut server = stored(gone.clone(), vec![]);
        server.insert(
            key.clone(),
            Stored {
                current: gone,
                revisions: vec![],
            },
        );
        model.check(&server).unwrap();
        server.get_mut(&key).unwrap().current.time = 8;
        assert!(model.check(&server).unwrap_err().contains("nobody wrote"));
    }
}

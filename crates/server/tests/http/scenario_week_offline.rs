//! A week without a network: a phone with a wrong clock pushes what was edited on it, a third of it also by others.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::harness::Server;
use crate::kinds::{KINDS, MEMO, RESOURCE};
use crate::phone::{App, Key, Random, assert_alike, key, kind, now, path};

const SEED: u64 = 20_240_506;
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// How far the phone's clock is behind.
const BEHIND: i64 = 3 * HOUR;
/// What is there of each type before the week begins.
const BEFORE: usize = 160;
/// What is edited on the phone, of each type: so many creates, edits and deletes.
const EDITS: [(Step, usize); 3] = [(Step::Create, 60), (Step::Edit, 100), (Step::Delete, 40)];
/// Of how many records of each type the tablet makes an edit at about the same time.
const CONFLICTS: usize = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Create,
    Edit,
    Delete,
}

/// An edit as it was made, with the real time.
#[derive(Debug, Clone)]
struct Edit {
    key: Key,
    at: i64,
    by: &'static str,
    /// The whole record, none where it is deleted.
    body: Option<Value>,
}

/// What the records must be in the end: last-writer-wins by (edit time, device), written down once more.
#[derive(Default)]
struct Expected(BTreeMap<Key, Edit>);

impl Expected {
    /// The edits of each device come in the order in which the server is told of them: what a delete takes along is what hangs
    /// on the memo at that moment (W9).
    fn hear(&mut self, mut edit: Edit) {
        let newest = self.0.get(&edit.key);
        if newest.is_some_and(|newest| (newest.at, newest.by) >= (edit.at, edit.by)) {
            return;
        }
        let memo = edit.body.as_ref().and_then(|body| body["memoId"].as_str());
        if memo.is_some_and(|memo| self.0[&(MEMO.name, memo.to_owned())].body.is_none()) {
            edit.body.as_mut().expect("a resource")["memoId"] = Value::Null;
        }
        if edit.key.0 == MEMO.name && edit.body.is_none() {
            self.delete_below(&edit);
        }
        self.0.insert(edit.key.clone(), edit);
    }

    fn delete_below(&mut self, delete: &Edit) {
        for (key, resource) in self.0.iter_mut().filter(|(key, _)| key.0 == RESOURCE.name) {
            let Some(body) = &mut resource.body else { continue };
            if body["memoId"] != json!(delete.key.1) {
                continue;
            }
            if (resource.at, resource.by) > (delete.at, delete.by) {
                body["memoId"] = Value::Null;
            } else {
                *resource = Edit {
                    key: key.clone(),
                    ..delete.clone()
                };
            }
        }
    }

    /// The live records: what a person typed, and what sync needs.
    fn live(&self) -> BTreeMap<Key, Value> {
        let live = self
            .0
            .iter()
            .filter_map(|(key, edit)| Some((key, edit, edit.body.as_ref()?)));
        live.map(|(key, edit, body)| (key.clone(), essence(key, body, &json!(edit.at))))
            .collect()
    }
}

/// The fields that are compared.
fn essence(key: &Key, body: &Value, updated_at: &Value) -> Value {
    let text = kind(key.0).text;
    json!({text: body[text], "memoId": body["memoId"], "createdAt": body["createdAt"], "updatedAt": updated_at})
}

/// What is being played.
struct Week {
    random: Random,
    phone: App,
    tablet: App,
    /// When the week begins and ends, in real time.
    span: (i64, i64),
    /// Every edit that the server is told of from the tablet, in order.
    heard: Vec<Edit>,
    /// What the tablet does: when, with which record, and whether it deletes it.
    plan: Vec<(i64, Key, bool)>,
    /// Records that both have edited.
    conflicts: BTreeSet<Key>,
}

impl Week {
    /// What was there before: the tablet made it, and both have it.
    async fn begin(mut phone: App, mut tablet: App) -> Self {
        let end = now() - HOUR;
        let span = (end - 7 * DAY, end);
        let mut heard = Vec::new();
        for kind in KINDS {
            for n in 0..BEFORE {
                let (key, at) = (
                    key(kind, n),
                    span.0 - DAY + i64::try_from(n).expect("a small number"),
                );
                let mut fields = json!({kind.text: format!("{} {n} of before", kind.name)});
                if kind.name == RESOURCE.name {
                    fields["memoId"] = json!(MEMO.key(n));
                }
                let body = Some(tablet.write(&key, &fields, at));
                heard.push(Edit {
                    key,
                    at,
                    by: "tablet",
                    body,
                });
            }
        }
        tablet.sync().await;
        phone.pull_all().await;
        assert_alike(&[&phone, &tablet]).await;
        Self {
            random: Random(SEED),
            phone,
            tablet,
            span,
            heard,
            plan: Vec::new(),
            conflicts: BTreeSet::new(),
        }
    }

    /// The phone's week, without a network.
    fn be_offline(&mut self) {
        let mut steps = Vec::new();
        for kind in KINDS {
            for (step, count) in EDITS {
                steps.extend((0..count).map(|n| (kind, step, n)));
            }
        }
        self.random.shuffle(&mut steps);
        let pause = (self.span.1 - self.span.0) / i64::try_from(steps.len()).expect("a small number");
        let mut at = self.span.0;
        for (kind, step, n) in steps {
            at += pause;
            let (key, text) = match step {
                Step::Create => (key(kind, 1_000 + n), format!("{} {n}, made offline", kind.name)),
                Step::Edit | Step::Delete => (self.any(kind.name, step), format!("edited offline at {at}")),
            };
            if step == Step::Delete {
                self.phone.delete(&key, at);
                continue;
            }
            let mut fields = json!({kind.text: text});
            if step == Step::Create && kind.name == RESOURCE.name {
                fields["memoId"] = json!(self.any(MEMO.name, Step::Create).1);
            }
            self.phone.write(&key, &fields, at);
        }
    }

    /// A record of a type that the phone may do this with. To make something in it: mostly one that was made offline itself.
    /// Memos whose resources have edits of their own are not deleted.
    fn any(&mut self, entity: &str, to: Step) -> Key {
        let seen = self.phone.seen();
        let mut keys: Vec<&Key> = seen.keys().filter(|key| key.0 == entity).collect();
        if to == Step::Create {
            let new: Vec<&Key> = keys.iter().copied().filter(|key| is_new(key)).collect();
            if !new.is_empty() && self.random.percent(70) {
                return (*self.random.of(&new)).clone();
            }
        }
        if to == Step::Delete && entity == MEMO.name {
            let busy: BTreeSet<&str> = seen
                .iter()
                .filter(|(key, _)| key.0 == RESOURCE.name && self.phone.is_dirty(key))
                .filter_map(|(_, body)| body["memoId"].as_str())
                .collect();
            keys.retain(|key| !busy.contains(key.1.as_str()));
        }
        (*self.random.of(&keys)).clone()
    }

    /// What the phone has to push, in the order of a push: the latest of each record.
    fn unsynced(&self, shift: i64) -> Vec<Edit> {
        let pushed = self.phone.unsynced().into_iter().map(|key| {
            let (body, at) = self.phone.unsynced_edit(&key);
            let (at, by) = (at + shift, "phone");
            Edit { key, at, by, body }
        });
        let mut pushed: Vec<Edit> = pushed.collect();
        // Parents first.
        pushed.sort_by_key(|edit| edit.key.0 == RESOURCE.name);
        pushed
    }

    /// Has the tablet edit the same records, before, after, or in the very same millisecond.
    fn plan_conflicts(&mut self) {
        for kind in KINDS {
            let mut edited: Vec<Edit> = self.unsynced(BEHIND);
            // Nobody else knows what was made offline, but days are the same for everybody.
            edited.retain(|edit| edit.key.0 == kind.name && (kind.is_diary() || !is_new(&edit.key)));
            self.random.shuffle(&mut edited);
            for edit in edited.into_iter().take(CONFLICTS) {
                let at = match self.random.below(10) {
                    0 => edit.at,
                    _ => (edit.at + self.random.between(-DAY, DAY)).clamp(self.span.0, self.span.1),
                };
                let deletes = self.random.percent(30);
                self.plan.push((at, edit.key, deletes));
            }
        }
        self.plan_conflicts_below();
        self.plan.sort();
    }

    /// And has it edit resources of memos that the phone deletes, so that some are edited later than that (W9).
    fn plan_conflicts_below(&mut self) {
        let planned: BTreeSet<Key> = self.plan.iter().map(|(_, key, _)| key.clone()).collect();
        for memo in (0..BEFORE).map(|n| key(MEMO, n)) {
            // The nth resource belongs to the nth memo.
            let resource = (RESOURCE.name, memo.1.clone());
            if !self.phone.is_dirty(&memo) || planned.contains(&resource) {
                continue;
            }
            if let (None, at) = self.phone.unsynced_edit(&memo) {
                let at = (at + BEHIND + self.random.between(-DAY, DAY)).clamp(self.span.0, self.span.1);
                self.plan.push((at, resource, false));
            }
        }
    }

    /// The tablet's week, with a network: each edit is sent at once.
    async fn be_online(&mut self) {
        for (at, key, deletes) in std::mem::take(&mut self.plan) {
            let is_there = self.tablet.get(&key).is_some();
            let makes = !is_there && !deletes && kind(key.0).is_diary();
            if !is_there && !makes {
                // It went with its memo.
                continue;
            }
            let body = if deletes {
                self.tablet.delete(&key, at);
                None
            } else {
                let text = json!({kind(key.0).text: format!("edited on the tablet at {at}")});
                Some(self.tablet.write(&key, &text, at))
            };
            self.tablet.send(&key).await;
            self.conflicts.insert(key.clone());
            self.heard.push(Edit {
                key,
                at,
                by: "tablet",
                body,
            });
        }
    }
}

/// Whether the record was made in this week.
fn is_new(key: &Key) -> bool {
    (1_000..1_100).any(|n| kind(key.0).key(n) == key.1)
}

#[tokio::test(flavor = "multi_thread")]
async fn w2_w6_a_week_offline_on_a_phone_whose_clock_is_three_hours_behind() {
    let server = Server::start();
    let phone = App::with_skew(server.device("phone").await, -BEHIND);
    let tablet = App::new(server.device("tablet").await);
    let mut week = Week::begin(phone, tablet).await;
    week.be_offline();
    week.plan_conflicts();
    week.be_online().await;
    let edits: usize = KINDS.len() * EDITS.iter().map(|(_, count)| count).sum::<usize>();
    assert!(
        week.conflicts.len() * 3 >= edits,
        "{} of {edits}",
        week.conflicts.len()
    );

    // The clocks are compared when the push arrives, and rounded: what a slow machine adds is the same for all edits.
    let sentinel = key(KINDS[3], 1_000);
    let sent_at = week.phone.unsynced_edit(&sentinel).1;
    let pushed = week.unsynced(0);
    let mut again = week.phone.next_push().unwrap();
    week.phone.push().await;
    assert_eq!(week.phone.pushes, 1, "a week is one push");
    let stored = week.phone.client.get(&path(&sentinel)).await.ok();
    let shift = stored["updatedAt"].as_i64().unwrap() - sent_at;
    assert!(
        (BEHIND..BEHIND + 60_000).contains(&shift) && shift % 1_000 == 0,
        "W6: {shift}"
    );
    let outcomes = &week.phone.outcomes;
    assert!(
        outcomes["applied"] > 300 && outcomes["superseded"] > 50,
        "{outcomes:?}"
    );
    assert!(!outcomes.contains_key("rejected"), "{outcomes:?}");

    let shifted = pushed.into_iter().map(|edit| Edit {
        at: edit.at + shift,
        ..edit
    });
    week.heard.extend(shifted);
    week.phone.pull_all().await;
    week.tablet.sync().await;
    assert_alike(&[&week.phone, &week.tablet]).await;
    assert_as_expected(&week);
    assert_nothing_is_gone(&week).await;

    shift_times(&mut again, shift);
    assert_replay_is_free(&week, &again).await;
}

/// Has the edits of a push say their times by the server's clock.
fn shift_times(push: &mut Value, shift: i64) {
    push.as_object_mut().unwrap().remove("clientTime");
    for changes in push["changes"].as_object_mut().unwrap().values_mut() {
        for edit in changes
            .as_object_mut()
            .unwrap()
            .values_mut()
            .flat_map(|list| list.as_array_mut().unwrap())
        {
            edit["updatedAt"] = json!(edit["updatedAt"].as_i64().unwrap() + shift);
        }
    }
}

/// The same push again changes nothing, as after an answer that was lost (W3, S4).
async fn assert_replay_is_free(week: &Week, push: &Value) {
    let answer = week.phone.client.post("/sync/push", push).await.ok();
    let results = answer["results"].as_object().unwrap().values();
    for result in results.flat_map(|results| results.as_array().unwrap()) {
        assert!(
            result["outcome"] == "unchanged" || result["outcome"] == "superseded",
            "{result}"
        );
    }
    week.phone.assert_in_sync().await;
}

/// Compares what both hold with last-writer-wins over all edits.
fn assert_as_expected(week: &Week) {
    let mut expected = Expected::default();
    for edit in &week.heard {
        expected.hear(edit.clone());
    }
    let expected = expected.live();
    let seen = week.phone.seen();
    let seen: BTreeMap<Key, Value> = seen
        .iter()
        .map(|(key, body)| (key.clone(), essence(key, body, &body["updatedAt"])))
        .collect();
    for key in expected.keys().chain(seen.keys()) {
        assert_eq!(seen.get(key), expected.get(key), "{key:?}");
    }
}

/// H1: every text that the server was told of is current or kept, with who wrote it.
async fn assert_nothing_is_gone(week: &Week) {
    let mut texts: BTreeMap<&Key, Vec<(&str, &Value)>> = BTreeMap::new();
    for edit in &week.heard {
        if let Some(body) = &edit.body {
            let text = &body[kind(edit.key.0).text];
            texts.entry(&edit.key).or_default().push((edit.by, text));
        }
    }
    let (mut kept, client) = (0, &week.tablet.client);
    for (key, texts) in texts {
        let field = kind(key.0).text;
        let current = week.tablet.get(key).map(|body| &body[field]);
        let lost: Vec<_> = texts.iter().filter(|(_, text)| current != Some(*text)).collect();
        if lost.is_empty() {
            continue;
        }
        let revisions = client.get(&format!("{}/revisions", path(key))).await.ok();
        for (by, text) in lost {
            let is_kept = |revision: &Value| &revision[field] == *text && revision["clientId"] == *by;
            let found = revisions.as_array().unwrap().iter().any(is_kept);
            assert!(found, "{key:?}: {text} by {by} is gone");
            kept += 1;
        }
    }
    assert!(kept > 600, "{kept}");
}

//! Pushes beside single requests, and of several devices at once.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::harness::{Client, ENTITIES, Phone, Server};
use crate::kinds::{KEYED_BY_ID, KINDS, Kind, MEMO, RESOURCE, T, all, at, column, outcomes, with};

/// One edit of the mixture: of which type, of which record, and whether it deletes it.
#[derive(Clone)]
struct Edit {
    kind: Kind,
    n: usize,
    time: i64,
    text: Option<String>,
}

/// The same numbers in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u16) -> u16 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let [high, low, ..] = self.0.to_be_bytes();
        u16::from_be_bytes([high, low]) % limit
    }
}

/// Batches of edits, in none of which a record stands twice.
fn mixture() -> Vec<Vec<Edit>> {
    let mut dice = Dice(7);
    let mut batches = Vec::new();
    for number in 0..40 {
        let mut named = BTreeSet::new();
        let mut batch = Vec::new();
        for _ in 0..=dice.below(60) {
            let kind = KINDS[usize::from(dice.below(4))];
            let n = usize::from(dice.below(25));
            let text = (dice.below(5) > 0).then(|| format!("{number} {}", dice.below(3)));
            let time = T + i64::from(dice.below(30));
            if named.insert((kind.name, n)) {
                batch.push(Edit { kind, n, time, text });
            }
        }
        // As a push applies them.
        batch.sort_by_key(|edit| {
            (
                ENTITIES.iter().position(|name| *name == edit.kind.name),
                edit.text.is_none(),
            )
        });
        batches.push(batch);
    }
    batches
}

impl Edit {
    /// What every edit of this record says besides: each second resource belongs to the memo with the same number.
    fn more(&self) -> Value {
        let of_memo = self.kind.name == RESOURCE.name && self.n.is_multiple_of(2);
        let memo = if of_memo {
            json!({"memoId": MEMO.key(self.n)})
        } else {
            json!({})
        };
        with(&memo, &at(self.time))
    }

    /// By CRUD; returns what a push would call it.
    async fn send(&self, client: &Client) -> &'static str {
        let before = client.clock().await;
        let answer = match &self.text {
            Some(text) => self.kind.create(client, self.n, text, &self.more()).await,
            None => self.kind.delete(client, self.n, Some(self.time)).await,
        };
        match answer.status.as_u16() {
            409 => "superseded",
            422 => "rejected",
            200 | 204 if client.clock().await == before => "unchanged",
            200 | 204 => "applied",
            _ => panic!("{answer:?}"),
        }
    }
}

/// Sends the edits as one push; returns the outcomes in the order of the edits.
async fn push_all(client: &Client, batch: &[Edit]) -> Vec<String> {
    let mut changes: BTreeMap<&str, [Vec<Value>; 2]> = BTreeMap::new();
    for edit in batch {
        let [updated, deleted] = changes.entry(edit.kind.name).or_default();
        match &edit.text {
            Some(text) => updated.push(edit.kind.record(edit.n, text, &edit.more())),
            None => deleted.push(edit.kind.deletion(edit.n, Some(edit.time))),
        }
    }
    let changes: serde_json::Map<_, _> = changes
        .into_iter()
        .map(|(name, [updated, deleted])| (name.to_owned(), json!({"updated": updated, "deleted": deleted})))
        .collect();
    let answer = client.push(&Value::Object(changes)).await.ok();
    let in_order = ENTITIES.iter().filter_map(|name| answer["results"].get(*name));
    in_order
        .flat_map(|results| column(results, "outcome"))
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn b1_pushes_mixed_with_single_requests_end_as_the_same_edits_one_by_one() {
    let server = Server::start();
    let anna = server.new_user("anna", "phone").await;
    let bert = server.new_user("bert", "phone").await;
    for (number, batch) in mixture().into_iter().enumerate() {
        let mut one_by_one = Vec::new();
        for edit in &batch {
            one_by_one.push(edit.send(&anna).await.to_owned());
        }
        let pushed = if number % 3 == 2 {
            let mut sent = Vec::new();
            for edit in &batch {
                sent.push(edit.send(&bert).await.to_owned());
            }
            sent
        } else {
            push_all(&bert, &batch).await
        };
        assert_eq!(pushed, one_by_one, "batch {number}");
    }
    let (of_anna, of_bert) = (anna.everything().await, bert.everything().await);
    assert_eq!(of_bert.records, of_anna.records);
    assert_eq!(
        of_bert.delivered, of_anna.delivered,
        "in the same order, tombstones included"
    );
    for (name, key) in &of_anna.delivered {
        let kind = KINDS.into_iter().find(|kind| kind.name == name).unwrap();
        let kept = |client: Client| async move {
            let path = format!("{}/{key}/revisions", kind.collection);
            let kept = client.get(&path).await.ok();
            let kept = kept.as_array().unwrap().iter();
            kept.map(|r| (r[kind.text].clone(), r["editedAt"].clone(), r["reason"].clone()))
                .collect::<Vec<_>>()
        };
        assert_eq!(kept(bert.clone()).await, kept(anna.clone()).await, "{name} {key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b1_pushes_of_several_devices_at_once_all_arrive() {
    let server = Server::start();
    let phone = server.device("phone").await;
    let mut running = tokio::task::JoinSet::new();
    for device in 0..4 {
        let phone = phone.on(&format!("device {device}"));
        running.spawn(async move {
            for part in 0..5 {
                let first = (device * 5 + part) * 40;
                let changes = KEYED_BY_ID.map(|kind| {
                    let records = (first..first + 40).map(|n| kind.record(n, "one", &at(T)));
                    kind.updates(&records.collect::<Vec<_>>())
                });
                let answer = phone.push(&all(&changes)).await.ok();
                for kind in KEYED_BY_ID {
                    assert_eq!(outcomes(&answer, kind), ["applied"; 40]);
                }
            }
        });
    }
    let mut tablet = Phone::default();
    while !running.is_empty() {
        tablet.pull_once(&phone.on("tablet")).await;
        while let Some(done) = running.try_join_next() {
            done.expect("a push");
        }
    }
    tablet.pull_all(&phone.on("tablet")).await;
    assert_eq!((tablet.records.len(), tablet.delivered.len()), (3 * 800, 3 * 800));
}

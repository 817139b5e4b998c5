//! Phones that listen, over a network that loses, doubles and reorders nudges (N1).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::sync::Barrier;

use crate::harness::{Client, ENTITIES, Server, Signal};
use crate::kinds::{KINDS, MEMO, RESOURCE};
use crate::phone::{App, Random, assert_alike, key, now};
use crate::scenario_events::{Event, Events};

const PHONES: usize = 4;
/// So many edits each phone makes at least.
const EDITS: usize = 40;
/// Few records, so that edits meet.
const RECORDS: usize = 12;
/// How long the scenario may take on a machine that is busy.
const LIMIT: Duration = Duration::from_mins(2);

/// What a bad network does to the nudges of one phone.
struct BadNetwork {
    random: Random,
    events: Events,
    client: Client,
    /// Nudges that were overtaken.
    held: VecDeque<Event>,
    /// The latest that arrived: what a phone says when it connects again.
    last: Option<i64>,
    lost: usize,
    doubled: usize,
    overtaken: usize,
    reconnects: usize,
}

impl BadNetwork {
    async fn connect(client: &Client, seed: u64) -> Self {
        Self {
            random: Random(seed),
            events: Events::open(client, None).await,
            client: client.clone(),
            held: VecDeque::new(),
            last: None,
            lost: 0,
            doubled: 0,
            overtaken: 0,
            reconnects: 0,
        }
    }

    /// The nudges that arrive at the phone when the server sends this one.
    fn pass(&mut self, event: Event) -> Vec<Event> {
        match self.random.below(10) {
            0..4 => {
                self.lost += 1;
                Vec::new()
            }
            4..6 => {
                self.doubled += 1;
                vec![event.clone(), event]
            }
            6..8 => {
                self.held.push_back(event);
                Vec::new()
            }
            _ => {
                let late: Vec<Event> = self.held.drain(..).rev().collect();
                self.overtaken += late.len();
                std::iter::once(event).chain(late).collect()
            }
        }
    }

    /// What has arrived at the phone by now. Waits for nothing but, sometimes, a new connection.
    async fn arrived(&mut self) -> Vec<Event> {
        let mut arrived = Vec::new();
        if self.random.percent(5) {
            arrived.push(self.reconnect().await);
        }
        while let Ok(event) = tokio::time::timeout(Duration::ZERO, self.events.next()).await {
            let event = event.expect("a stream that goes on");
            arrived.extend(self.pass(event));
        }
        if let Some(event) = arrived.last() {
            self.last = Some(event.clock);
        }
        arrived
    }

    /// A new connection, whose first event comes for certain.
    async fn reconnect(&mut self) -> Event {
        self.reconnects += 1;
        self.events = Events::open(&self.client, self.last).await;
        let first = self.events.soon().await;
        let known = self.last == Some(first.clock);
        assert_eq!(first.name, if known { "unchanged" } else { "changed" });
        self.last = Some(first.clock);
        first
    }

    /// Whether everything has happened that can happen to a nudge.
    fn did_its_worst(&self) -> bool {
        self.lost > 0 && self.doubled > 0 && self.overtaken > 0 && self.reconnects > 0
    }
}

struct Phone {
    app: App,
    network: BadNetwork,
    random: Random,
    /// How often a nudge had it pull.
    pulls: usize,
}

impl Phone {
    async fn new(server: &Server, n: usize) -> Self {
        let client = server.device(&format!("phone-{n}")).await;
        let seed = 7_000 + n as u64;
        Self {
            network: BadNetwork::connect(&client, seed).await,
            app: App::new(client),
            random: Random(seed + 100),
            pulls: 0,
        }
    }

    /// Edits, pushes, and pulls when a nudge arrives, until all phones have edited enough.
    async fn live(&mut self, n: usize, busy: &AtomicUsize) {
        for edit in 0.. {
            if edit == EDITS {
                busy.fetch_sub(1, Ordering::SeqCst);
            }
            if edit >= EDITS && busy.load(Ordering::SeqCst) == 0 && self.network.did_its_worst() {
                return;
            }
            self.edit(n, edit);
            if self.random.percent(20)
                && let Some(push) = self.app.next_push()
            {
                // The answer is lost; the phone tries again.
                self.app.client.post("/sync/push", &push).await.ok();
            }
            if self.random.percent(80) {
                self.app.push().await;
            }
            for event in self.network.arrived().await {
                self.take(&event).await;
            }
        }
    }

    /// A nudge says: pull now. Nothing else.
    async fn take(&mut self, event: &Event) {
        if event.name == "changed" {
            self.pulls += 1;
            self.app.pull_all().await;
        }
        let (cursor, clock) = (self.app.cursor(MEMO.name), event.clock);
        assert!(
            cursor >= clock,
            "the clock {clock} was told before it could be pulled: {cursor}"
        );
    }

    fn edit(&mut self, n: usize, edit: usize) {
        let kind = *self.random.of(&KINDS);
        let key = key(kind, self.random.below(RECORDS));
        if self.random.percent(20) && self.app.get(&key).is_some() {
            self.app.delete(&key, now());
            return;
        }
        let mut fields = json!({kind.text: format!("edit {edit} of phone {n}")});
        if kind.name == RESOURCE.name {
            let seen = self.app.seen();
            let memos: Vec<_> = seen.keys().filter(|key| key.0 == MEMO.name).collect();
            fields["memoId"] = if memos.is_empty() {
                json!(null)
            } else {
                json!(self.random.of(&memos).1)
            };
        }
        self.app.write(&key, &fields, now());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn n1_phones_converge_though_nudges_are_lost_doubled_and_reordered() {
    let mut server = Server::start_with(&[
        "--auth-account-attempts-per-minute",
        "1000",
        // A stop does not wait until this is over for those who listen.
        "--http-shutdown-timeout-ms",
        "3600000",
    ]);
    let busy = Arc::new(AtomicUsize::new(PHONES));
    let (edited, pushed) = (
        Arc::new(Barrier::new(PHONES + 1)),
        Arc::new(Barrier::new(PHONES + 1)),
    );
    let mut lives = Vec::new();
    for n in 0..PHONES {
        let mut phone = Phone::new(&server, n).await;
        let (busy, edited, pushed) = (Arc::clone(&busy), Arc::clone(&edited), Arc::clone(&pushed));
        lives.push(tokio::spawn(async move {
            phone.live(n, &busy).await;
            phone.app.push().await;
            edited.wait().await;
            if n % 2 == 0 {
                // From here on its network is good, and one nudge is still to come.
                pushed.wait().await;
                let last = phone.app.client.get("/sync/digest").await.ok()["clock"]
                    .as_i64()
                    .unwrap();
                phone.network.events.until(last).await;
            } else {
                pushed.wait().await;
                phone.network.reconnect().await;
            }
            phone.app.pull_all().await;
            phone
        }));
    }
    let end = async {
        edited.wait().await;
        let last = server.device("last").await;
        last.post("/memos", &json!({"content": "the last nudge"}))
            .await
            .ok();
        pushed.wait().await;
    };
    tokio::time::timeout(LIMIT, end)
        .await
        .expect("phones that come to an end");
    let mut phones = Vec::new();
    for life in lives {
        let phone = tokio::time::timeout(LIMIT, life)
            .await
            .expect("an end")
            .expect("a phone");
        assert!(
            phone.pulls > 0 && phone.app.refused.is_empty(),
            "{:?}",
            phone.app.refused
        );
        phones.push(phone);
    }
    let apps: Vec<&App> = phones.iter().map(|phone| &phone.app).collect();
    assert_alike(&apps).await;
    assert!(apps[0].seen().len() > RECORDS);

    // Phones that listen hold up no stop.
    server.signal(Signal::TERM);
    for phone in phones {
        phone.network.events.end().await;
    }
    let ended = tokio::task::spawn_blocking(move || server.wait());
    let (status, log) = tokio::time::timeout(LIMIT, ended).await.expect("an end").unwrap();
    assert!(status.success(), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn n1_the_first_event_says_whether_there_is_anything_to_pull() {
    let server = Server::start();
    let mut phone = App::new(server.device("phone").await);
    let tablet = server.device("tablet").await;
    for (behind, name) in [(None, "changed"), (Some(1), "changed"), (Some(0), "unchanged")] {
        phone.pull_all().await;
        let clock = phone.cursor(MEMO.name);
        let mut events = Events::open(&phone.client, behind.map(|behind| clock - behind)).await;
        let first = events.soon().await;
        assert_eq!((&*first.name, first.clock), (name, clock), "{behind:?}");
        tablet.post("/memos", &json!({"content": "more"})).await.ok();
        let next = events.soon().await;
        assert!(next.name == "changed" && next.clock > clock, "{next:?}");
        phone.pull_all().await;
        // One clock for all types.
        assert!(ENTITIES.iter().all(|entity| phone.cursor(entity) == next.clock));
    }
}

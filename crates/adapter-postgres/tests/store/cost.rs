//! What a request costs: how often the database is asked, whatever the size of the request (B1).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mosaic_adapter_postgres::PostgresStore;
use mosaic_domain::UserId;
use mosaic_domain::write::RecordEdit;
use mosaic_testkit::postgres::{Proxy, TestDatabase};
use mosaic_testkit::{
    Device, EditExt as _, bot, bot_key, delete, diary, diary_key, memo, memo_id, memo_key, put, resource_key,
    resource_of,
};

use crate::fixture::schema;
use crate::nudges::{Listener, another};
use crate::{Test, wire};

/// Counts what clients ask: messages after which the database says that it is ready, which it is once for each statement.
/// What an ordinary statement needs before that, it gets in the same message.
#[derive(Debug, Default)]
struct Asked(AtomicUsize);

impl wire::Listener for Asked {
    fn asked(&self, kind: u8, body: &[u8]) {
        if let b'S' | b'Q' = kind {
            assert!(kind == b'Q' || body.is_empty());
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Asked {
    fn so_far(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// A store with one connection, behind a counter, and another one that is told of its commits.
struct Counted {
    test: Test,
    asked: Arc<Asked>,
    other: PostgresStore,
    heard: Arc<Listener>,
    _proxy: Proxy,
}

impl Counted {
    async fn new() -> Self {
        let database = TestDatabase::create(&schema()).await;
        // However the server is reached: by TCP through this.
        let proxy = Proxy::start(&database.url()).await;
        let asked = Arc::<Asked>::default();
        let url = wire::tapped(&proxy.url(), Arc::clone(&asked)).await;
        let test = Test::over(database, |settings| {
            settings.url = url.parse().unwrap();
            settings.pool_size = 1;
        })
        .await;
        let other = another(&test, |_| {}).await;
        let heard = Listener::to(&other).await;
        Self {
            test,
            asked,
            other,
            heard,
            _proxy: proxy,
        }
    }

    /// Writes, until others have been told, and counts what the database was asked.
    async fn write(&self, user: UserId, edits: Vec<RecordEdit>) -> usize {
        let (before, count) = (self.asked.so_far(), edits.len());
        let plan = self.test.h.write(user, edits).await;
        assert_eq!(plan.records.len(), count);
        self.heard.hears(user, plan.clock).await;
        self.asked.so_far() - before
    }

    async fn stop(self) {
        self.other.close().await;
        self.test.stop().await;
    }
}

/// So many edits of each type.
fn edits(n: u64, time: i64) -> Vec<RecordEdit> {
    let text = format!("edited at {time}");
    let mut edits = Vec::new();
    for n in 0..n {
        let day = format!("20{:02}-01-{:02}", n / 28, n % 28 + 1);
        edits.push(put(memo_key(n), memo(&text)).at(time));
        edits.push(put(diary_key(&day), diary(&text)).at(time));
        edits.push(put(resource_key(n), resource_of(memo_id(n), &text)).at(time));
        edits.push(put(bot_key(n), bot(&text)).at(time));
    }
    edits
}

#[tokio::test(flavor = "multi_thread")]
async fn b1_eight_hundred_edits_cost_as_many_statements_as_eight() {
    let counted = Counted::new().await;
    let h = &counted.test.h;
    let bots = |n| (0..n).map(|n| delete(bot_key(n)).at(3)).collect();
    let mut costs = Vec::new();
    // The first one is only there so that every statement is prepared.
    for n in [1, 2, 200] {
        let user = h.user().await;
        costs.push([
            counted.write(user, edits(n, 1)).await,
            counted.write(user, edits(n, 2)).await,
            counted.write(user, bots(n)).await,
        ]);
        assert_eq!(h.live(user).await.len(), usize::try_from(3 * n).unwrap());
        assert_eq!(h.revisions(user, bot_key(n - 1)).await.len(), 2);
    }
    assert_eq!(costs[1], costs[2]);
    // Begin, the lock, the quota, the records, how many resources memos have, the history; the clock, the revisions, records, texts
    // that go, texts, commit; and one to tell of it.
    // texts, those that are not there, commit; and one to tell of it.
    assert!(costs[2].iter().all(|cost| *cost <= 13), "{costs:?}");
    counted.stop().await;
}

/// Whatever comes: four full pages, or nothing.
#[tokio::test(flavor = "multi_thread")]
async fn p2_a_pull_asks_the_database_once() {
    let counted = Counted::new().await;
    let h = &counted.test.h;
    let user = h.user().await;
    counted.write(user, edits(200, 1)).await;
    // So that the statement is prepared.
    h.fresh_device(user).await;
    let mut device = Device::new("phone");
    for _ in 0..3 {
        let before = counted.asked.so_far();
        assert!(!h.pull_page(user, &mut device).await);
        assert_eq!(counted.asked.so_far() - before, 1);
    }
    assert_eq!(device.records().len(), 800);
    counted.stop().await;
}

//! Who is told of commits (N1), and when: other stores too, never too soon, and again after whatever went wrong.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::poll_fn;
use mosaic_adapter_postgres::{PostgresSettings, PostgresStore};
use mosaic_domain::{Stamp, UserId};
use mosaic_ports::{CommitFeed as _, CommitListener, Figures as _, Reading};
use mosaic_testkit::postgres::{PgBouncer, Proxy, TestDatabase, When};
use mosaic_testkit::{EditExt as _, Harness, memo, memo_key, patch_memo, put};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_postgres::{AsyncMessage, NoTls};
use tracing::field::Field;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata};

use crate::fixture::schema;
use crate::support::{open, settings};
use crate::{SOON, Test, WAITS, lock_user, until, write};

/// How long what is only noticed by waiting may take.
const IN_TIME: Duration = Duration::from_secs(30);

/// What a listener was told.
#[derive(Debug, Default, Clone)]
struct Told {
    commits: Vec<(UserId, Stamp)>,
    missed: usize,
}

/// Writes down what it is told.
#[derive(Debug, Default)]
pub(crate) struct Listener(watch::Sender<Told>);

impl CommitListener for Listener {
    fn logins_ended(&self, _: UserId) {}

    fn committed(&self, user: UserId, clock: Stamp) {
        self.0.send_modify(|told| told.commits.push((user, clock)));
    }

    fn missed(&self) {
        self.0.send_modify(|told| told.missed += 1);
    }
}

impl Listener {
    /// Listens to a store, and waits until commits of others are heard.
    pub(crate) async fn to(store: &PostgresStore) -> Arc<Self> {
        let listener = Arc::new(Self::default());
        store.listen(Arc::clone(&listener) as _);
        listener.missed(1).await;
        listener
    }

    async fn until(&self, what: &str, is_told: impl Fn(&Told) -> bool) {
        let mut told = self.0.subscribe();
        let waited = timeout(IN_TIME, told.wait_for(|told| is_told(told))).await;
        assert!(waited.is_ok(), "{what}: {:?}", self.told());
    }

    pub(crate) async fn hears(&self, user: UserId, clock: Stamp) {
        let what = format!("{user} {clock}");
        self.until(&what, |told| told.commits.contains(&(user, clock)))
            .await;
    }

    /// Waits until commits may have been missed so often.
    async fn missed(&self, times: usize) {
        self.until(&format!("missed {times}"), |told| told.missed >= times)
            .await;
    }

    fn told(&self) -> Told {
        self.0.borrow().clone()
    }

    fn has_heard_of(&self, user: UserId) -> bool {
        self.told().commits.iter().any(|(of, _)| *of == user)
    }
}

/// Another store over the database of a test.
pub(crate) async fn another(test: &Test, change: impl FnOnce(&mut PostgresSettings)) -> PostgresStore {
    let mut settings = settings(&test.fixture.database.url());
    change(&mut settings);
    open(settings).await.unwrap()
}

async fn clock_of(h: &Harness, user: UserId) -> i64 {
    let digest = h.stores.reader.digest(user).await.unwrap();
    digest.unwrap().clock.get()
}

#[tokio::test(flavor = "multi_thread")]
async fn n1_two_stores_on_one_database_hear_each_other() {
    let test = Test::new().await;
    let h = &test.h;
    let second = another(&test, |_| {}).await;
    let (user, other) = (h.user().await, h.user().await);
    let here = Listener::to(&test.fixture.store).await;
    let there = Listener::to(&second).await;
    let too = Listener::default();
    let too = Arc::new(too);
    second.listen(Arc::clone(&too) as _);

    let plan = h.write(user, [put(memo_key(1), memo("x"))]).await;
    // The one that wrote knows at once, and once.
    assert_eq!(here.told().commits, [(user, plan.clock)]);
    there.hears(user, plan.clock).await;
    too.hears(user, plan.clock).await;
    let plan = write(&second, other, vec![put(memo_key(1), memo("x"))])
        .await
        .unwrap();
    here.hears(other, plan.clock).await;
    assert_eq!(here.told().commits.len(), 2);

    // What draws no stamp is no news (S4).
    let replay = put(memo_key(2), memo("x")).at(5);
    let first = h.write(user, [replay.clone()]).await;
    here.hears(user, first.clock).await;
    let before = here.told().commits.len();
    assert!(h.write(user, [replay]).await.is_empty());
    assert_eq!(here.told().commits.len(), before);
    second.close().await;
    test.stop().await;
}

/// The commit itself is held up, by a trigger that waits for a lock at the very end of the transaction.
#[tokio::test(flavor = "multi_thread")]
async fn n1_nothing_is_told_before_the_commit() {
    let test = Test::on_one_machine().await;
    let (h, sql) = (&test.h, test.sql().await);
    let (user, other) = (h.user().await, h.user().await);
    let held = format!(
        "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NULL; END';
         CREATE CONSTRAINT TRIGGER hold AFTER UPDATE ON sync_clocks DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW WHEN (NEW.user_id = '{user}') EXECUTE FUNCTION hold();"
    );
    sql.batch_execute(&held).await.unwrap();
    let second = another(&test, |_| {}).await;
    let here = Listener::to(&test.fixture.store).await;
    let there = Listener::to(&second).await;

    sql.batch_execute("SELECT pg_advisory_lock(42)").await.unwrap();
    let writing = tokio::spawn({
        let h = h.clone();
        async move { h.write(user, [put(memo_key(1), memo("x"))]).await }
    });
    until(&sql, WAITS).await;
    // What is told after it is heard, so anything told of it before would have been heard too.
    for n in 0..3 {
        let marker = h.write(other, [put(memo_key(n), memo("x"))]).await;
        there.hears(other, marker.clock).await;
    }
    assert!(!here.has_heard_of(user) && !there.has_heard_of(user));

    sql.batch_execute("SELECT pg_advisory_unlock(42)").await.unwrap();
    let plan = timeout(SOON, writing).await.unwrap().unwrap();
    here.hears(user, plan.clock).await;
    there.hears(user, plan.clock).await;
    second.close().await;
    test.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn n1_a_connection_that_listens_and_is_cut_comes_back_and_says_so() {
    let test = Test::new().await;
    let h = &test.h;
    let user = h.user().await;
    let proxy = Proxy::start(&test.fixture.database.url()).await;
    let second = another(&test, |settings| {
        settings.listen_url = Some(proxy.url().parse().unwrap());
    })
    .await;
    let there = Listener::to(&second).await;
    for n in 1..=3 {
        proxy.cut();
        there.missed(n + 1).await;
        let plan = h.write(user, [patch_or_put(n)]).await;
        there.hears(user, plan.clock).await;
    }
    // While nothing is heard, the listeners look for themselves from time to time.
    proxy.refuse().await;
    proxy.cut();
    let missed = there.told().missed;
    there.missed(missed + 1).await;
    let unheard = h.write(user, [patch_or_put(4)]).await;
    proxy.admit().await;
    there
        .until("back", |told| told.missed > missed + 1 && proxy.open() == 1)
        .await;
    let plan = h.write(user, [patch_or_put(5)]).await;
    there.hears(user, plan.clock).await;
    assert!(!there.told().commits.contains(&(user, unheard.clock)));
    second.close().await;
    test.stop().await;
}

fn patch_or_put(n: usize) -> mosaic_domain::write::RecordEdit {
    if n == 1 {
        put(memo_key(1), memo("1"))
    } else {
        patch_memo(1, &n.to_string())
    }
}

/// A connection whose other end is gone is silent. What is asked through the pool does not come back.
#[tokio::test(flavor = "multi_thread")]
async fn n1_a_connection_that_goes_silent_is_noticed() {
    let test = Test::new().await;
    let h = &test.h;
    let user = h.user().await;
    let proxy = Proxy::start(&test.fixture.database.url()).await;
    let second = another(&test, |settings| {
        settings.listen_url = Some(proxy.url().parse().unwrap());
        settings.keepalive = Duration::from_secs(3);
    })
    .await;
    let there = Listener::to(&second).await;
    let plan = h.write(user, [put(memo_key(1), memo("x"))]).await;
    there.hears(user, plan.clock).await;
    proxy.freeze();
    there.missed(2).await;
    proxy.thaw();
    let missed = there.told().missed;
    there.missed(missed + 1).await;
    let plan = h.write(user, [patch_memo(1, "y")]).await;
    there.hears(user, plan.clock).await;
    second.close().await;
    test.stop().await;
}

/// Whoever listens without a store: payloads as they come.
async fn payloads(url: &str) -> Arc<Mutex<Vec<String>>> {
    let (client, mut connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let all = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&all);
    tokio::spawn(async move {
        let mut messages = poll_fn(move |cx| connection.poll_message(cx));
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notification(heard) = message {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.push(heard.payload().to_owned());
            }
        }
    });
    client.batch_execute("LISTEN mosaic_commits").await.unwrap();
    // Kept for as long as the connection.
    std::mem::forget(client);
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn n1_five_hundred_commits_are_told_of_together() {
    let test = Test::new().await;
    let h = &test.h;
    let payloads = payloads(&test.fixture.database.url()).await;
    let second = another(&test, |_| {}).await;
    let there = Listener::to(&second).await;
    let users = join_all((0..5).map(|_| h.user())).await;
    let begin = Instant::now();
    let last = join_all(users.iter().map(async |user| {
        let mut plan = h.write(*user, [put(memo_key(0), memo("x"))]).await;
        for n in 1..100 {
            plan = h.write(*user, [put(memo_key(n), memo("x"))]).await;
        }
        (*user, plan.clock)
    }))
    .await;
    for (user, clock) in last {
        there.hears(user, clock).await;
    }
    // Not oftener than every 25 ms, whatever the number of commits.
    let times = begin.elapsed().as_millis() / 25 + 2;
    let told = payloads
        .lock()
        .unwrap()
        .iter()
        .filter(|payload| payload.starts_with('c'))
        .count();
    assert!(told as u128 <= times && told < 250, "{told} in {times}");
    second.close().await;
    test.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn n1_a_commit_whose_answer_was_lost_is_told_of_all_the_same() {
    let database = TestDatabase::create(&schema()).await;
    let proxy = Proxy::start(&database.url()).await;
    let url = proxy.url().parse().unwrap();
    let test = Test::over(database, |settings| settings.url = url).await;
    let h = &test.h;
    let user = h.user().await;
    let second = another(&test, |_| {}).await;
    let there = Listener::to(&second).await;
    let here = Listener::to(&test.fixture.store).await;
    h.write(user, [put(memo_key(1), memo("0"))]).await;
    for when in [When::Carried, When::Lost] {
        proxy.cut_at("COMMIT\0", when);
        let plan = h.write(user, [patch_memo(1, &format!("{when:?}"))]).await;
        here.hears(user, plan.clock).await;
        there.hears(user, plan.clock).await;
    }
    test.stop().await;
    second.close().await;
}

/// Whoever sent a write may be gone before it is committed. The network is slow, so that it is easily met.
#[tokio::test(flavor = "multi_thread")]
async fn n1_a_write_that_nobody_waits_for_is_told_of_if_it_is_committed() {
    let database = TestDatabase::create(&schema()).await;
    let proxy = Proxy::start(&database.url()).await;
    let url = proxy.url().parse().unwrap();
    let test = Test::over(database, |settings| settings.url = url).await;
    let h = &test.h;
    let here = Listener::to(&test.fixture.store).await;
    let mut met = 0;
    for n in 0..400 {
        let user = h.user().await;
        let began = clock_of(h, user).await;
        proxy.delay(Duration::from_millis(8));
        let write = h.try_write(user, [put(memo_key(1), memo("x"))]);
        let answered = timeout(Duration::from_millis(n % 50), write).await.is_ok();
        proxy.delay(Duration::ZERO);
        // When this is held, the write has ended, one way or the other.
        let holder = test.sql().await;
        lock_user(&holder, user).await;
        let clock = clock_of(h, user).await;
        drop(holder);
        if clock > began {
            here.hears(user, Stamp::new(clock).unwrap()).await;
            met += usize::from(!answered);
        }
        if met == 3 {
            break;
        }
    }
    assert!(met > 0, "no write was dropped while it was committed");
    test.stop().await;
}

/// A command that imports ends right after its last write.
#[tokio::test(flavor = "multi_thread")]
async fn n1_a_store_that_closes_tells_what_it_has_not_told() {
    let test = Test::new().await;
    let h = &test.h;
    let there = Listener::to(&test.fixture.store).await;
    let user = h.user().await;
    for n in 0..5 {
        let importing = another(&test, |_| {}).await;
        // The first is told of right away, the second waits to be told with others.
        write(&importing, user, vec![put(memo_key(2 * n), memo("x"))])
            .await
            .unwrap();
        let last = write(&importing, user, vec![put(memo_key(2 * n + 1), memo("x"))])
            .await
            .unwrap();
        importing.close().await;
        drop(importing);
        there.hears(user, last.clock).await;
    }
    test.stop().await;
}

/// Counts the warnings of this thread that advise to listen somewhere else.
#[derive(Debug, Default, Clone)]
struct Advice(Arc<AtomicUsize>);

impl tracing::Subscriber for Advice {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }

    fn event(&self, event: &Event<'_>) {
        let mut is_advice = false;
        event.record(&mut |_: &Field, value: &dyn std::fmt::Debug| {
            is_advice |= format!("{value:?}").contains("listen_url");
        });
        if is_advice {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// A connection to a pooler listens to nothing, and nobody says so. The listeners look for themselves then, and the log
/// says once what can be done.
#[tokio::test]
async fn n1_behind_a_pooler_the_listeners_look_for_themselves_or_listen_past_it() {
    let advice = Advice::default();
    let _logging = tracing::subscriber::set_default(advice.clone());
    let test = Test::new().await;
    let h = &test.h;
    let user = h.user().await;
    let bouncer = PgBouncer::start(&test.fixture.database.url()).await;
    let direct = test.fixture.database.url().parse().unwrap();
    let pooled = |settings: &mut PostgresSettings| {
        settings.url = bouncer.url().parse().unwrap();
        settings.prepared_statements = false;
    };
    let deaf = another(&test, |settings| {
        pooled(settings);
        settings.keepalive = Duration::from_secs(3);
    })
    .await;
    let hearing = another(&test, |settings| {
        pooled(settings);
        settings.listen_url = Some(direct);
    })
    .await;
    let (looks, hears) = (Listener::to(&deaf).await, Listener::to(&hearing).await);
    let here = Listener::to(&test.fixture.store).await;

    let plan = h.write(user, [put(memo_key(1), memo("x"))]).await;
    hears.hears(user, plan.clock).await;
    // What is sent goes through the pooler as it is.
    let plan = write(&hearing, user, vec![patch_memo(1, "y")]).await.unwrap();
    here.hears(user, plan.clock).await;
    looks.missed(4).await;
    assert_eq!(hears.told().missed, 1);
    assert_eq!(advice.0.load(Ordering::SeqCst), 1);
    let is_listening = |store: &PostgresStore| {
        let figures = store.figures();
        let figure = figures
            .iter()
            .find(|figure| figure.name == "mosaic_postgres_listening");
        figure.unwrap().series[0].reading.clone()
    };
    assert_eq!(is_listening(&hearing), Reading::Gauge(1));
    assert_eq!(is_listening(&deaf), Reading::Gauge(0));
    deaf.close().await;
    hearing.close().await;
    drop(bouncer);
    test.stop().await;
}

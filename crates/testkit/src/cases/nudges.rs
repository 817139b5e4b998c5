//! Who is told of commits: N1.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mosaic_domain::stamp::ClockExhausted;
use mosaic_domain::write::{Locked, Outcome, RecordEdit, decide};
use mosaic_domain::{Stamp, UserId};
use mosaic_ports::CommitListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::{EditExt, Gate, Harness, memo, memo_key, patch_memo, put};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

struct Listener(UnboundedSender<(UserId, Stamp)>);

impl CommitListener for Listener {
    fn committed(&self, user: UserId, clock: Stamp) {
        // Nobody is there any more when the case is over.
        let _ = self.0.send((user, clock));
    }

    fn logins_ended(&self, _: UserId) {}

    fn missed(&self) {}
}

/// What a listener was told.
struct Announced {
    heard: UnboundedReceiver<(UserId, Stamp)>,
    all: Vec<(UserId, Stamp)>,
}

impl Announced {
    fn new(h: &Harness) -> Self {
        let (sender, heard) = unbounded_channel();
        h.stores.commits.listen(Arc::new(Listener(sender)));
        let all = Vec::new();
        Self { heard, all }
    }

    async fn next(&mut self) -> (UserId, Stamp) {
        let next = tokio::time::timeout(PATIENCE, self.heard.recv()).await;
        let next = next
            .expect("nothing more was heard")
            .expect("the store keeps the listener");
        self.all.push(next);
        next
    }

    /// Waits until it was told of that user's clock.
    async fn hears(&mut self, user: UserId, clock: Stamp) {
        while !self.all.contains(&(user, clock)) {
            self.next().await;
        }
    }

    /// The clocks of a user that it was told of.
    fn clocks(&self, user: UserId) -> Vec<Stamp> {
        let of_user = self.all.iter().filter(|(heard, _)| *heard == user);
        of_user.map(|(_, clock)| *clock).collect()
    }
}

/// Every write of every user is announced, with the clock that it left.
pub async fn n1_every_commit_is_heard_of(h: &Harness) {
    let mut announced = Announced::new(h);
    let users = [h.user().await, h.user().await, h.user().await];
    for n in 0..5 {
        for user in users {
            h.clock.advance(1);
            let edits = [put(memo_key(n), memo("x")), put(memo_key(n + 100), memo("y"))];
            let plan = h.write(user, edits).await;
            announced.hears(user, plan.clock).await;
            assert_eq!(announced.clocks(user).iter().max(), Some(&plan.clock));
        }
    }
}

/// Of many commits the latest clock is announced: it stands for those before it.
pub async fn n1_the_latest_clock_stands_for_those_before_it(h: &Harness) {
    let mut announced = Announced::new(h);
    let mut users = Vec::new();
    for _ in 0..6 {
        users.push(h.user().await);
    }
    let writers = users.iter().map(|&user| {
        let h = h.clone();
        tokio::spawn(async move {
            let mut clocks = Vec::new();
            for n in 0..25 {
                clocks.push(h.write(user, [put(memo_key(n), memo("x"))]).await.clock);
            }
            (user, clocks)
        })
    });
    let mut committed = BTreeMap::new();
    for writer in writers.collect::<Vec<_>>() {
        let (user, clocks) = writer.await.unwrap();
        committed.insert(user, clocks);
    }
    for (user, clocks) in &committed {
        announced.hears(*user, *clocks.last().unwrap()).await;
    }
    for (user, clock) in &announced.all {
        assert!(committed[user].contains(clock), "{clock} was never committed");
    }
}

/// A commit is announced when it is there to be read, and not before.
pub async fn n1_a_commit_is_heard_of_when_it_can_be_read(h: &Harness) {
    let mut announced = Announced::new(h);
    let user = h.user().await;
    let gate = Gate::default();
    let (held, door) = (h.clone(), gate.door());
    let edit = put(memo_key(0), memo("x"));
    let first = tokio::spawn(async move { held.write_through(door, user, [edit]).await });
    gate.reached().await;
    assert!(announced.heard.try_recv().is_err(), "heard of before the commit");
    gate.open();
    let writing = h.clone();
    let writer = tokio::spawn(async move {
        let mut last = first.await.unwrap().unwrap().clock;
        for n in 1..30 {
            last = writing.write(user, [put(memo_key(n), memo("x"))]).await.clock;
        }
        last
    });
    // The test does not wait for the writer, so each of these reads comes right after the news.
    let all = 30 + crate::ManualClock::START_MS - 1;
    loop {
        let (heard, clock) = announced.next().await;
        assert_eq!(heard, user);
        let digest = h.stores.reader.digest(user).await.unwrap().unwrap();
        assert!(
            digest.clock >= clock,
            "heard of {clock} and read {}",
            digest.clock
        );
        if clock.get() == all {
            break;
        }
    }
    assert_eq!(writer.await.unwrap().get(), all);
}

/// A user with one memo and one kept revision whom nobody was told of yet: brought in from elsewhere.
async fn unheard_of(h: &Harness) -> UserId {
    let other = h.another_store().await;
    let user = other.user().await;
    other
        .write(user, [put(memo_key(1), memo("winner")).at(500)])
        .await;
    let (from, to) = (&other.stores.dump_reader, &h.stores.dump_writer);
    to.load_user(from.dump_user(user).await.unwrap().unwrap())
        .await
        .unwrap();
    let limits = mosaic_domain::pull::PageLimits::PROTOCOL;
    let records = from.dump_records(user, Stamp::ZERO, limits).await.unwrap();
    to.load_records(user, records).await.unwrap();
    user
}

/// Asserts that of that user nothing but that clock is heard.
async fn assert_only(h: &Harness, announced: &mut Announced, user: UserId, clock: Stamp) {
    announced.hears(user, clock).await;
    let other = h.user().await;
    let last = h.write(other, [put(memo_key(1), memo("last"))]).await;
    announced.hears(other, last.clock).await;
    assert!(
        announced.clocks(user).iter().all(|heard| *heard == clock),
        "{:?}",
        announced.clocks(user)
    );
}

/// A replay, an edit that loses and one that is refused move no clock, and are not announced.
pub async fn n1_what_moves_no_clock_is_not_heard_of(h: &Harness) {
    let user = unheard_of(h).await;
    let mut announced = Announced::new(h);
    let replay = put(memo_key(1), memo("winner")).at(500);
    h.write_as(user, replay, Outcome::Unchanged).await;
    let plan = h
        .write_as(user, put(memo_key(1), memo("loser")).at(400), Outcome::Superseded)
        .await;
    assert_eq!((plan.records.len(), plan.revisions.len()), (0, 1));
    h.write(user, [patch_memo(99, "unknown"), patch_memo(98, "unknown")])
        .await;
    h.write(user, []).await;
    h.clock.advance(1_000);
    let plan = h.write_as(user, patch_memo(1, "newer"), Outcome::Applied).await;
    assert_only(h, &mut announced, user, plan.clock).await;
}

/// A write that fails is not announced, whether its decision fails or its plan can't be carried out.
pub async fn n1_a_write_that_fails_is_not_heard_of(h: &Harness) {
    let user = unheard_of(h).await;
    let mut announced = Announced::new(h);
    let edits = [patch_memo(1, "y"), put(memo_key(2), memo("z"))];
    let failed = h
        .write_with(user, edits.clone(), |_, _| Err(ClockExhausted))
        .await;
    assert!(failed.is_err());
    let twice = |locked: &Locked, edits: &[RecordEdit]| {
        let mut plan = decide(locked, edits)?;
        plan.records[1].stamp = plan.records[0].stamp;
        Ok(plan)
    };
    assert!(h.write_with(user, edits.clone(), twice).await.is_err());
    h.clock.advance(1_000);
    let plan = h.write(user, edits).await;
    assert_only(h, &mut announced, user, plan.clock).await;
}

/// Everybody who listens is told of it, also of what another instance commits.
pub async fn n1_everybody_hears_of_every_instance(h: &Harness) {
    let mut ears = [Announced::new(h), Announced::new(h)];
    let other = h.elsewhere();
    let mut third = Announced::new(&other);
    let user = h.user().await;
    for n in 0..5 {
        let here = h.write(user, [put(memo_key(n), memo("here"))]).await;
        let there = other.write(user, [put(memo_key(n + 100), memo("there"))]).await;
        for announced in ears.iter_mut().chain([&mut third]) {
            announced.hears(user, there.clock).await;
            assert!(announced.clocks(user).iter().all(|clock| *clock <= there.clock));
        }
        assert!(here.clock < there.clock);
    }
}

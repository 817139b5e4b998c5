//! Nudges: whoever listens is told of the latest clock, whatever is lost, repeated or reordered on the way (N1).

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mosaic_application::AppError;
use mosaic_application::error::Unauthenticated;
use mosaic_application::nudges::{Listener, Nudges, Subscriptions};
use mosaic_application::sessions::Actor;
use mosaic_domain::login::LoginRefusal;
use mosaic_domain::{FamilyId, Stamp, UserId};
use mosaic_ports::{CommitListener, MockChangeFeed};
use tokio::time::timeout;
use uuid::Uuid;

const ANNA: UserId = UserId::new(Uuid::from_u128(1));
const BEN: UserId = UserId::new(Uuid::from_u128(2));

fn actor(user: UserId) -> Actor {
    let login = Some(FamilyId::new(user.uuid()));
    Actor { user, login }
}

struct World {
    subscriptions: Arc<Subscriptions>,
    clock: Arc<AtomicI64>,
    /// The login that has ended.
    ended: Arc<Mutex<Option<FamilyId>>>,
    nudges: Nudges,
}

fn world(limit: usize) -> World {
    let (subscriptions, clock) = (Arc::new(Subscriptions::default()), Arc::new(AtomicI64::new(100)));
    let stored = Arc::clone(&clock);
    let ended = Arc::<Mutex<_>>::default();
    let has_ended = Arc::clone(&ended);
    let mut feed = MockChangeFeed::new();
    feed.expect_clock().returning(move |_, login| {
        assert!(login.is_some());
        if login == *has_ended.lock().unwrap() {
            return Ok(Err(LoginRefusal::Ended));
        }
        Ok(Ok(Stamp::clamped(stored.load(Ordering::SeqCst))))
    });
    let nudges = Nudges::new(Arc::clone(&subscriptions), Arc::new(feed), limit);
    World {
        subscriptions,
        clock,
        ended,
        nudges,
    }
}

impl World {
    fn commit(&self, user: UserId, clock: i64) {
        self.subscriptions.committed(user, Stamp::clamped(clock));
    }
}

async fn next(listener: &mut Listener) -> Option<i64> {
    listener.next().await.unwrap().map(Stamp::get)
}

/// Whether there is nothing to tell now.
async fn is_quiet(listener: &mut Listener) -> bool {
    tokio::select! {
        biased;
        _ = listener.next() => false,
        () = std::future::ready(()) => true,
    }
}

#[tokio::test]
async fn n1_the_clock_is_told_at_once_and_then_whenever_it_moves() {
    let world = world(9);
    let mut listener = world.nudges.listen(actor(ANNA)).unwrap();
    assert_eq!(next(&mut listener).await, Some(100));
    assert!(is_quiet(&mut listener).await);
    world.commit(ANNA, 101);
    assert_eq!(next(&mut listener).await, Some(101));
}

#[tokio::test]
async fn n1_whoever_waits_is_woken_by_a_commit() {
    let world = world(9);
    let mut listener = world.nudges.listen(actor(ANNA)).unwrap();
    next(&mut listener).await;
    let waiting = tokio::spawn(async move { next(&mut listener).await });
    tokio::task::yield_now().await;
    world.commit(ANNA, 101);
    let told = timeout(Duration::from_mins(1), waiting).await;
    assert_eq!(told.expect("it is woken").unwrap(), Some(101));
}

#[tokio::test]
async fn n1_only_the_latest_is_told_and_repeated_or_late_nudges_are_not() {
    let world = world(9);
    let mut listener = world.nudges.listen(actor(ANNA)).unwrap();
    next(&mut listener).await;
    for clock in [105, 103, 104, 105] {
        world.commit(ANNA, clock);
    }
    assert_eq!(next(&mut listener).await, Some(105));
    for late in [104, 105] {
        world.commit(ANNA, late);
        assert!(is_quiet(&mut listener).await, "{late}");
    }
}

#[tokio::test]
async fn n1_a_commit_between_listening_and_the_first_look_is_not_told_twice() {
    let world = world(9);
    let mut listener = world.nudges.listen(actor(ANNA)).unwrap();
    world.clock.store(101, Ordering::SeqCst);
    world.commit(ANNA, 101);
    assert_eq!(next(&mut listener).await, Some(101));
    assert!(is_quiet(&mut listener).await);
}

#[tokio::test]
async fn n1_after_a_gap_the_clock_is_told_as_it_is() {
    let world = world(9);
    let mut listener = world.nudges.listen(actor(ANNA)).unwrap();
    next(&mut listener).await;
    world.commit(ANNA, 110);
    assert_eq!(next(&mut listener).await, Some(110));
    // The database was restored meanwhile: the clock is an earlier one.
    world.clock.store(90, Ordering::SeqCst);
    world.subscriptions.missed();
    assert_eq!(next(&mut listener).await, Some(90));
    world.commit(ANNA, 91);
    assert_eq!(next(&mut listener).await, Some(91));
}

#[tokio::test]
async fn n1_nobody_hears_of_other_users() {
    let world = world(9);
    let mut listener = world.nudges.listen(actor(ANNA)).unwrap();
    next(&mut listener).await;
    world.commit(BEN, 500);
    assert!(is_quiet(&mut listener).await);
}

#[tokio::test]
async fn n1_of_one_user_only_so_many_listen() {
    let world = world(2);
    let first = world.nudges.listen(actor(ANNA)).unwrap();
    let _second = world.nudges.listen(actor(ANNA)).unwrap();
    assert!(matches!(
        world.nudges.listen(actor(ANNA)),
        Err(AppError::TooManyListeners)
    ));
    let _other = world.nudges.listen(actor(BEN)).unwrap();
    drop(first);
    let _third = world.nudges.listen(actor(ANNA)).unwrap();
}

#[tokio::test]
async fn a_listener_that_goes_leaves_nothing_behind() {
    let world = world(9);
    let listeners = [ANNA, ANNA, BEN].map(|user| world.nudges.listen(actor(user)).unwrap());
    assert_eq!(world.subscriptions.listeners(), 3);
    let [first, mut stays, other] = listeners;
    drop((first, other));
    assert_eq!(world.subscriptions.listeners(), 1);
    next(&mut stays).await;
    world.commit(ANNA, 101);
    assert_eq!(
        next(&mut stays).await,
        Some(101),
        "the user's other listener hears"
    );
    drop(stays);
    assert_eq!(world.subscriptions.listeners(), 0);
    let [left, empty] = [&*world.subscriptions, &Subscriptions::default()].map(|hub| format!("{hub:?}"));
    assert_eq!(left, empty, "nor is anything kept of the users");
}

#[tokio::test]
async fn every_listener_ends_when_the_server_stops() {
    let world = world(9);
    let mut listener = world.nudges.listen(actor(ANNA)).unwrap();
    next(&mut listener).await;
    world.subscriptions.close();
    assert_eq!(next(&mut listener).await, None);
    let mut late = world.nudges.listen(actor(ANNA)).unwrap();
    late.next().await.unwrap();
    assert_eq!(next(&mut late).await, None);
}

#[tokio::test]
async fn n1_whoever_listens_with_a_login_that_ends_is_told_nothing_more() {
    let world = world(2);
    let mut ends = world.nudges.listen(actor(ANNA)).unwrap();
    let other = FamilyId::new(Uuid::from_u128(9));
    let mut stays = world
        .nudges
        .listen(Actor {
            login: Some(other),
            ..actor(ANNA)
        })
        .unwrap();
    assert_eq!(
        (next(&mut ends).await, next(&mut stays).await),
        (Some(100), Some(100))
    );
    *world.ended.lock().unwrap() = actor(ANNA).login;
    world.subscriptions.logins_ended(ANNA);
    let refused = tokio::select! {
        biased;
        refused = ends.next() => refused,
        () = std::future::ready(()) => panic!("it was not told that its login ended"),
    };
    assert!(
        matches!(
            refused,
            Err(AppError::Unauthenticated(Unauthenticated::LoginEnded))
        ),
        "{refused:?}"
    );
    // The other login of the same user goes on, and is told no clock that it knows already.
    assert!(is_quiet(&mut stays).await);
    world.clock.store(110, Ordering::SeqCst);
    world.subscriptions.logins_ended(ANNA);
    assert_eq!(next(&mut stays).await, Some(110));
    world.commit(ANNA, 110);
    assert!(is_quiet(&mut stays).await);
}

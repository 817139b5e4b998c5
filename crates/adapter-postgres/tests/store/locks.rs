//! Who waits for whom, and what a dropped future leaves behind.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use mosaic_ports::{StoreError, WriteError};
use mosaic_testkit::postgres::{Proxy, TestDatabase};
use mosaic_testkit::{Device, Gate, memo, memo_key, patch_memo, put};
use tokio::time::timeout;

use crate::fixture::schema;
use crate::support::{open, settings};
use crate::{AT_REST, SOON, Test, lock_user, until, waits, write};

/// A has drawn its stamp and not committed. B, of the same user and on another instance, waits; C, of another user, does
/// not. A pull meanwhile sees neither A nor B; after both have committed, a pull from the old cursor gets both.
#[tokio::test(flavor = "multi_thread")]
async fn s1_commits_of_one_user_become_visible_in_the_order_of_their_stamps() {
    let test = Test::new().await;
    let (h, sql) = (&test.h, test.sql().await);
    let (user, other) = (h.user().await, h.user().await);
    h.write(user, [put(memo_key(1), memo("before"))]).await;
    let mut device = h.fresh_device(user).await;
    let before = device.records();

    let gate = Gate::default();
    let (a, door) = (h.clone(), gate.door());
    let a = tokio::spawn(async move { a.write_through(door, user, [put(memo_key(2), memo("a"))]).await });
    gate.reached().await;
    let second = Arc::new(open(settings(&test.fixture.database.url())).await.unwrap());
    let b = tokio::spawn({
        let second = second.clone();
        async move { write(&second, user, vec![put(memo_key(3), memo("b"))]).await }
    });
    until(&sql, waits()).await;
    timeout(SOON, h.write(other, [put(memo_key(1), memo("c"))]))
        .await
        .expect("C does not wait");
    h.pull_all(user, &mut device).await;
    assert_eq!(device.records(), before);
    assert!(!a.is_finished() && !b.is_finished());

    gate.open();
    let (a, b) = (a.await.unwrap().unwrap(), b.await.unwrap().unwrap());
    assert!(a.clock < b.records[0].stamp);
    h.pull_all(user, &mut device).await;
    h.assert_converged(user, &device).await;
    assert_eq!(device.records().len(), 3);
    second.close().await;
    test.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_dropped_while_it_waits_for_the_lock_stops_waiting() {
    let test = Test::new().await;
    let (h, sql, holder) = (&test.h, test.sql().await, test.sql().await);
    let user = h.user().await;
    lock_user(&holder, user).await;
    let waiting = tokio::spawn({
        let h = h.clone();
        async move { h.try_write(user, [put(memo_key(1), memo("x"))]).await }
    });
    until(&sql, waits()).await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    until(&sql, AT_REST).await;
    holder.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(h.record(user, memo_key(1)).await, None);
    test.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_dropped_under_the_lock_lets_it_go() {
    let test = Test::new().await;
    let (h, sql) = (&test.h, test.sql().await);
    let user = h.user().await;
    for whether_or_not_another_comes in [true, false] {
        let gate = Gate::default();
        let holding = tokio::spawn({
            let (h, door) = (h.clone(), gate.door());
            async move { h.write_through(door, user, [put(memo_key(1), memo("x"))]).await }
        });
        gate.reached().await;
        holding.abort();
        assert!(holding.await.unwrap_err().is_cancelled());
        if whether_or_not_another_comes {
            timeout(SOON, h.write(user, [put(memo_key(2), memo("y"))]))
                .await
                .expect("the lock is free");
        }
        until(&sql, AT_REST).await;
    }
    assert_eq!(h.record(user, memo_key(1)).await, None);
    test.stop().await;
}

/// The network is slow, so that a write is dropped in each of its phases: before and while it begins, waits, commits.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_dropped_at_any_moment_happens_whole_or_not_at_all() {
    let database = TestDatabase::create(&schema()).await;
    let proxy = Proxy::start(&database.url()).await;
    let url = proxy.url().parse().unwrap();
    let test = Test::over(database, |settings| {
        settings.url = url;
        settings.pool_size = 2;
    })
    .await;
    let (h, sql) = (&test.h, test.sql().await);
    let user = h.user().await;
    proxy.delay(Duration::from_millis(4));
    for n in (0..40).step_by(2) {
        let both = [put(memo_key(n), memo("x")), put(memo_key(n + 1), memo("x"))];
        let write = h.try_write(user, both);
        let _ = timeout(Duration::from_millis(n), write).await;
    }
    proxy.delay(Duration::ZERO);
    timeout(SOON, h.write(user, [put(memo_key(100), memo("y"))]))
        .await
        .expect("the lock is free");
    until(&sql, AT_REST).await;
    for n in (0..40).step_by(2) {
        let stored = [
            h.record(user, memo_key(n)).await,
            h.record(user, memo_key(n + 1)).await,
        ];
        assert_eq!(stored[0].is_some(), stored[1].is_some(), "{n}");
    }
    let device = h.fresh_device(user).await;
    h.assert_converged(user, &device).await;
    test.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_waits_for_the_lock_only_so_long() {
    let test = Test::with(|settings| settings.lock_timeout = Duration::from_millis(50)).await;
    let (h, holder) = (&test.h, test.sql().await);
    let user = h.user().await;
    lock_user(&holder, user).await;
    let refused = timeout(SOON, h.try_write(user, [put(memo_key(1), memo("x"))]))
        .await
        .unwrap();
    let refused = refused.unwrap_err();
    assert!(
        matches!(refused, WriteError::Store(StoreError::Unavailable(_))),
        "{refused:?}"
    );
    holder.batch_execute("ROLLBACK").await.unwrap();
    h.write(user, [put(memo_key(1), memo("x"))]).await;
    test.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exhausted_pool_answers_quickly_and_recovers() {
    let test = Test::with(|settings| {
        settings.pool_size = 1;
        settings.acquire_timeout = Duration::from_millis(50);
    })
    .await;
    let h = &test.h;
    let user = h.user().await;
    let gate = Gate::default();
    let holding = tokio::spawn({
        let (h, door) = (h.clone(), gate.door());
        async move { h.write_through(door, user, [put(memo_key(1), memo("x"))]).await }
    });
    gate.reached().await;
    let refused = timeout(SOON, h.stores.health.check()).await.unwrap().unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    gate.open();
    holding.await.unwrap().unwrap();
    h.stores.health.check().await.unwrap();
    test.stop().await;
}

/// A device at rest draws no stamp and takes no lock: it does not even wait for the user's own writes.
#[tokio::test(flavor = "multi_thread")]
async fn a_pull_takes_no_lock() {
    let test = Test::new().await;
    let (h, holder) = (&test.h, test.sql().await);
    let user = h.user().await;
    h.write(user, [put(memo_key(1), memo("x"))]).await;
    lock_user(&holder, user).await;
    let mut device = Device::new("phone");
    timeout(SOON, h.pull_all(user, &mut device))
        .await
        .expect("it does not wait");
    assert!(h.try_write(user, [patch_memo(1, "y")]).now_or_never().is_none());
    test.stop().await;
}

/// A user's writes that wait for each other hold few connections: with a pool of four, others still get one.
#[tokio::test(flavor = "multi_thread")]
async fn one_user_s_writes_leave_connections_for_others() {
    let test = Test::with(|settings| settings.pool_size = 4).await;
    let (h, sql, holder) = (&test.h, test.sql().await, test.sql().await);
    let (user, other) = (h.user().await, h.user().await);
    lock_user(&holder, user).await;
    let waiting: Vec<_> = (1..=20)
        .map(|n| {
            let h = h.clone();
            tokio::spawn(async move { h.try_write(user, [put(memo_key(n), memo("x"))]).await })
        })
        .collect();
    until(&sql, waits()).await;
    timeout(SOON, h.write(other, [put(memo_key(1), memo("y"))]))
        .await
        .expect("others do not wait");
    holder.batch_execute("ROLLBACK").await.unwrap();
    for write in waiting {
        write.await.unwrap().unwrap();
    }
    test.stop().await;
}

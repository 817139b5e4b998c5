//! `mosaic purge`.

use std::process::Stdio;
use std::time::Duration;

use mosaic_domain::lease::{ClaimOutcome, JobClaim};
use mosaic_testkit::{delete, memo, memo_key, patch_memo, put};
use uuid::Uuid;

use crate::harness::{Signal, send_signal};
use crate::upkeep::support::{Ended, Place, memo_id, now, on_both_stores, prepared, stop, user_of, write};

on_both_stores! {
    what_is_old_is_forgotten_and_everything_else_stays
    another_instance_that_is_at_it_is_not_disturbed
}

/// Memos, each with a revision, and a deleted one, written in May 2024.
async fn old_history(place: &Place, memos: u64) {
    // The account is older than they are.
    place.execute("UPDATE sync_clocks SET last_stamp = 0").await;
    let open = place.open().await;
    let ports = open.ports();
    let user = user_of(&ports, "admin").await.unwrap();
    let all = || 1..=memos;
    write(
        &ports,
        user,
        all().map(|n| put(memo_key(n), memo("old"))).collect(),
    )
    .await;
    write(&ports, user, all().map(|n| patch_memo(n, "newer")).collect()).await;
    write(&ports, user, vec![put(memo_key(0), memo("a secret"))]).await;
    write(&ports, user, vec![delete(memo_key(0))]).await;
    open.close().await;
}

async fn what_is_old_is_forgotten_and_everything_else_stays(place: Place) {
    prepared(&place);
    old_history(&place, 2).await;
    let before = place.loaded("admin").await;
    assert!(before.revisions >= 2, "{before:?}");

    for days in ["0", "36500"] {
        let nothing = place.mosaic(&["purge", "--retention-days", days]).done();
        assert!(
            nothing.contains("0 revisions, the content of 0 deleted records and 0 files"),
            "{nothing}"
        );
    }
    assert_eq!(place.loaded("admin").await, before);

    let done = place.mosaic(&["purge"]).done();
    let expected = format!(
        "Purged: {} revisions, the content of 1 deleted record and 0 files of attachments, of 1 user.\n",
        before.revisions
    );
    assert_eq!(done, expected);
    let after = place.loaded("admin").await;
    assert_eq!(
        (after.records, after.last_stamp),
        (before.records, before.last_stamp)
    );
    assert_eq!(after.revisions, 0);
    let again = place.mosaic(&["purge"]).done();
    assert!(again.contains("Purged: 0 revisions"), "{again}");

    let server = place.start();
    let phone = server.device("phone").await.everything().await;
    assert_eq!(phone.records.len(), 2);
    let deleted = (
        "memo".to_owned(),
        memo_id(0).replace("-4000-8000-", "-0000-0000-"),
    );
    assert!(phone.delivered.contains(&deleted), "{:?}", phone.delivered);
    place.mosaic(&["purge"]).done();
    stop(server);
    place.remove().await;
}

async fn another_instance_that_is_at_it_is_not_disturbed(place: Place) {
    prepared(&place);
    old_history(&place, 1).await;
    let before = place.loaded("admin").await;
    let open = place.open().await;
    let (jobs, holder) = (open.ports().jobs, Uuid::from_u128(7));
    let claim = JobClaim {
        job: "purge",
        holder,
        now: now(),
        until: now().plus(600_000),
        unless_done_since: None,
    };
    assert_eq!(jobs.claim(claim).await.unwrap(), ClaimOutcome::Claimed);
    open.close().await;
    let said = place.mosaic(&["purge"]).failed();
    assert!(said.contains("another instance is purging"), "{said}");
    assert_eq!(place.loaded("admin").await, before);

    let open = place.open().await;
    open.ports().jobs.release("purge", holder, None).await.unwrap();
    open.close().await;
    place.mosaic(&["purge"]).done();
    place.remove().await;
}

/// The first step waits for the user's lock, which the test holds until the signal was sent. Two more steps follow.
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_a_purge_after_the_step_that_it_is_in_and_the_next_one_goes_on() {
    for signal in [Signal::TERM, Signal::INT] {
        let place = Place::postgres().await;
        prepared(&place);
        old_history(&place, 1_200).await;
        let database = place.database.as_ref().unwrap();
        let holder = database.connect().await;
        holder
            .batch_execute("BEGIN; SELECT 1 FROM sync_clocks FOR UPDATE")
            .await
            .unwrap();
        let mut command = place.command(&["purge", "--postgres-lock-timeout-ms", "120000"]);
        command
            .env("MOSAIC_POSTGRES_STATEMENT_TIMEOUT_MS", "120000")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let purge = command.spawn().unwrap();
        until_somebody_waits(database).await;
        send_signal(purge.id(), signal);
        holder.batch_execute("ROLLBACK").await.unwrap();
        let ended = tokio::task::spawn_blocking(|| Ended::of(purge.wait_with_output().unwrap()));
        let said = ended.await.unwrap().failed();
        assert!(
            said.contains("stopped before it was done") && said.contains("of 0 users"),
            "{said}"
        );

        let left = place.loaded("admin").await.revisions;
        assert!((1..1_200).contains(&left), "{left}");
        place.mosaic(&["purge"]).done();
        assert_eq!(place.loaded("admin").await.revisions, 0);
        place.remove().await;
    }
}

/// Asks the database again and again until a command waits for a lock.
async fn until_somebody_waits(database: &mosaic_testkit::postgres::TestDatabase) {
    let client = database.connect().await;
    let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
                 AND wait_event_type = 'Lock' AND application_name = 'mosaic')";
    let asked = async {
        while !client.query_one(waits, &[]).await.unwrap().get::<_, bool>(0) {
            tokio::task::yield_now().await;
        }
    };
    let came = tokio::time::timeout(Duration::from_mins(1), asked).await;
    assert!(came.is_ok(), "the purge does not wait for the lock");
}

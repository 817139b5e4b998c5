//! Uploads that are over, finished, ended or expired: no blob is forgotten.

use std::collections::BTreeSet;

use mosaic_domain::attachment::{AppendOutcome, Collected, ContentRef, Upload, UploadPart};
use mosaic_domain::{UploadId, UserId};

use super::uploads::{
    ENOUGH, EXPIRES, PLENTY, START, append, begin, blobs, direct, drop_all, end, finish, go_on, part, parts,
    received, set, state, step, upload, usage,
};
use crate::{Harness, at, hash};

/// A finished upload gives its blobs back once, and is still answered, as received, until it expires or is ended.
pub async fn a_finished_upload_is_still_answered(h: &Harness) {
    let (user, other) = (h.user().await, h.user().await);
    let begun = upload(h, 30);
    let id = begin(h, user, begun.clone()).await;
    let neighbour = begin(h, user, upload(h, 30)).await;
    let kept = go_on(h, user, neighbour, 10).await;
    let taken = [go_on(h, user, id, 10).await, go_on(h, user, id, 20).await];
    assert_eq!(finish(h, other, id).await, BTreeSet::new());
    assert_eq!(received(h, user, id).await, 30);
    assert_eq!(parts(h, user, id).await, taken);
    assert_eq!(finish(h, user, id).await, blobs(&taken));
    assert_eq!(finish(h, user, id).await, BTreeSet::new());
    let finished = state(h, user, id).await.unwrap();
    assert_eq!(finished.upload, begun);
    assert_eq!((finished.received, finished.finished), (30, true));
    assert_eq!(parts(h, user, id).await, []);
    let conflict = AppendOutcome::Conflict { received: 30 };
    for offset in [0, 10, 30] {
        assert_eq!(append(h, user, id, part(h, offset, 1)).await, conflict);
    }
    assert_eq!(usage(h, user).await, (0, 30));
    assert_eq!(parts(h, user, neighbour).await, [kept]);
    let unknown = UploadId::new(h.new_id());
    assert_eq!(finish(h, user, unknown).await, BTreeSet::new());
    assert_eq!(drop_all(h, user, EXPIRES - 1, 10).await, BTreeSet::new());
    assert!(state(h, user, id).await.is_some());
    assert_eq!(drop_all(h, user, EXPIRES, 10).await, blobs(&[kept]));
    assert_eq!(state(h, user, id).await, None);
    assert_eq!(finish(h, user, id).await, BTreeSet::new());
    // Nothing has to be received for it.
    let empty = begin(h, user, upload(h, 0)).await;
    assert_eq!(finish(h, user, empty).await, BTreeSet::new());
    assert!(state(h, user, empty).await.unwrap().finished);
}

/// An upload can be ended at any time, by its user, and is gone then.
pub async fn an_upload_is_ended_at_any_time(h: &Harness) {
    let (user, other) = (h.user().await, h.user().await);
    let id = begin(h, user, upload(h, 30)).await;
    let neighbour = begin(h, user, upload(h, 30)).await;
    let kept = go_on(h, user, neighbour, 10).await;
    let taken = [go_on(h, user, id, 10).await, go_on(h, user, id, 10).await];
    assert_eq!(end(h, other, id).await, None);
    assert_eq!(parts(h, user, id).await, taken);
    assert_eq!(end(h, user, id).await, Some(blobs(&taken)));
    assert_eq!(end(h, user, id).await, None);
    assert_eq!(state(h, user, id).await, None);
    assert_eq!(parts(h, user, id).await, []);
    assert_eq!(append(h, user, id, part(h, 20, 10)).await, AppendOutcome::Gone);
    assert_eq!(parts(h, user, neighbour).await, [kept]);
    assert_eq!(usage(h, user).await, (0, 30));
    finish(h, user, neighbour).await;
    assert_eq!(end(h, user, neighbour).await, Some(BTreeSet::new()));
    assert_eq!(state(h, user, neighbour).await, None);
    let empty = begin(h, user, upload(h, 30)).await;
    assert_eq!(end(h, user, empty).await, Some(BTreeSet::new()));
}

/// A part that comes while its upload ends, is finished or is dropped is either taken, and its blob given back, or not.
pub async fn no_blob_of_a_part_that_comes_too_late_is_forgotten(h: &Harness) {
    let user = h.user().await;
    for round in 0..24 {
        let id = begin(h, user, upload(h, 30)).await;
        let first = go_on(h, user, id, 10).await;
        let second = part(h, 10, 10);
        let (appending, ending) = (h.clone(), h.elsewhere());
        let appended = tokio::spawn(async move { append(&appending, user, id, second).await });
        let ended = tokio::spawn(async move {
            match round % 3 {
                0 => end(&ending, user, id).await.unwrap(),
                1 => finish(&ending, user, id).await,
                _ => drop_all(&ending, user, EXPIRES, 10).await,
            }
        });
        let back = ended.await.unwrap();
        match appended.await.unwrap() {
            AppendOutcome::Appended => assert_eq!(back, blobs(&[first, second])),
            outcome => {
                let conflict = AppendOutcome::Conflict { received: 30 };
                let expected = if round % 3 == 1 {
                    conflict
                } else {
                    AppendOutcome::Gone
                };
                assert_eq!((outcome, back), (expected, blobs(&[first])));
            }
        }
        assert_eq!(parts(h, user, id).await, []);
        assert_eq!(usage(h, user).await, (0, 0));
        end(h, user, id).await;
    }
}

/// An upload expires at its moment, to the millisecond, and goes on until it is dropped.
pub async fn expired_uploads_are_dropped(h: &Harness) {
    let (user, other) = (h.user().await, h.user().await);
    let id = begin(h, user, upload(h, 30)).await;
    let first = go_on(h, user, id, 10).await;
    let theirs = begin(h, other, upload(h, 30)).await;
    assert_eq!(step(h, user, EXPIRES - 1, 10).await, Collected::default());
    h.clock.set(EXPIRES + 1_000);
    assert_eq!(parts(h, user, id).await, [first]);
    let second = part(h, 10, 10);
    let later = at(EXPIRES + 5);
    let appended = h.stores.uploads.append(user, id, second, later).await.unwrap();
    assert_eq!(appended, AppendOutcome::Appended);
    let young = Upload {
        expires_at: at(EXPIRES + 6),
        ..upload(h, 30)
    };
    let young = begin(h, user, young).await;
    assert_eq!(drop_all(h, user, EXPIRES + 4, 10).await, BTreeSet::new());
    assert_eq!(received(h, user, id).await, 20);
    assert_eq!(drop_all(h, user, EXPIRES + 5, 10).await, blobs(&[first, second]));
    assert_eq!(state(h, user, id).await, None);
    assert_eq!(usage(h, user).await, (0, 30));
    assert!(state(h, user, young).await.is_some());
    assert!(state(h, other, theirs).await.is_some());
    assert_eq!(step(h, user, EXPIRES + 5, 10).await, Collected::default());
    let nobody = UserId::new(h.new_id());
    assert_eq!(step(h, nobody, EXPIRES + 5, 10).await, Collected::default());
}

/// Small steps come to the same. What is left of an upload between them is its beginning.
pub async fn expired_uploads_are_dropped_in_small_steps(h: &Harness) {
    let user = h.user().await;
    let (mut expected, mut ids) = (BTreeSet::new(), Vec::new());
    for count in [5, 0, 1, 4] {
        let id = begin(h, user, upload(h, 100)).await;
        for _ in 0..count {
            expected.insert(go_on(h, user, id, 10).await.blob);
        }
        ids.push(id);
    }
    let past = h.new_id();
    ids.push(begin(h, user, direct(h, 100, past)).await);
    expected.insert(past);
    let finished = begin(h, user, upload(h, 10)).await;
    finish(h, user, finished).await;
    ids.push(finished);
    let mut dropped = Vec::new();
    for steps in 0.. {
        assert!(steps < ENOUGH, "no end");
        let step = step(h, user, EXPIRES, 2).await;
        dropped.extend(step.blobs);
        for id in &ids {
            let left = parts(h, user, *id).await;
            let places: Vec<_> = left.iter().map(|part| part.offset).collect();
            assert_eq!(places, (0..left.len() as u64).map(|n| n * 10).collect::<Vec<_>>());
            assert!(left.iter().all(|part| !dropped.contains(&part.blob)));
        }
        if !step.more {
            break;
        }
    }
    assert_eq!(set(dropped), expected);
    for id in ids {
        assert_eq!(state(h, user, id).await, None);
    }
    assert_eq!(usage(h, user).await, (0, 0));
}

/// All blobs of an upload are answered when it is over, those that hold a content by now too: whoever removes blobs asks first.
pub async fn all_blobs_of_an_upload_are_answered(h: &Harness) {
    let user = h.user().await;
    for (round, over) in ["finished", "ended", "expired"].into_iter().enumerate() {
        let (held, past) = (h.new_id(), h.new_id());
        let in_parts = begin(h, user, upload(h, 30)).await;
        let direct = begin(h, user, direct(h, 30, past)).await;
        let content = ContentRef {
            sha256: hash(round as u64),
            blob: held,
            size: 10,
            touched_at: at(START),
        };
        // What came in one request and could not be written just then.
        h.stores.contents.reference(user, content, PLENTY).await.unwrap();
        let first = UploadPart {
            blob: held,
            ..part(h, 0, 10)
        };
        assert_eq!(append(h, user, in_parts, first).await, AppendOutcome::Appended);
        let second = go_on(h, user, in_parts, 10).await;
        let (parts, past) = (blobs(&[first, second]), BTreeSet::from([past]));
        match over {
            "finished" => {
                assert_eq!(finish(h, user, in_parts).await, parts);
                assert_eq!(finish(h, user, direct).await, past);
            }
            "ended" => {
                assert_eq!(end(h, user, in_parts).await, Some(parts));
                assert_eq!(end(h, user, direct).await, Some(past));
            }
            _ => assert_eq!(drop_all(h, user, EXPIRES, 10).await, &parts | &past),
        }
        let asked = vec![held, second.blob];
        assert_eq!(h.stores.orphans.referenced(user, asked).await.unwrap(), [held]);
    }
}

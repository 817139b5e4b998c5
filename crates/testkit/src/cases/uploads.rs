//! Uploads that take several requests: what is announced counts, and parts follow each other.

use std::collections::BTreeSet;

use mosaic_domain::attachment::{
    AppendOutcome, AttachmentUsage, BeginOutcome, Collected, ContentRef, LengthOutcome, ReferenceOutcome,
    Upload, UploadKind, UploadPart, UploadState,
};
use mosaic_domain::{UnixMillis, UploadId, UserId};
use uuid::Uuid;

use crate::{Harness, ManualClock, at, by, hash, resource_id};

pub(super) const START: i64 = ManualClock::START_MS;

/// When an upload here expires, unless it goes on.
pub(super) const EXPIRES: i64 = START + 1_000;

/// No quota at all.
pub(super) const PLENTY: u64 = u64::MAX;

/// More steps than any of these drops takes.
pub(super) const ENOUGH: usize = 100;

/// An upload of that many bytes, through the server.
pub(super) fn upload(h: &Harness, length: u64) -> Upload {
    Upload {
        id: UploadId::new(h.new_id()),
        resource: resource_id(1),
        author: by("phone"),
        length,
        is_deferred: false,
        kind: UploadKind::Parts,
        fields: "{}".into(),
        created_at: at(START),
        expires_at: at(EXPIRES),
    }
}

/// An upload of that many bytes, past the server.
pub(super) fn direct(h: &Harness, length: u64, blob: Uuid) -> Upload {
    Upload {
        kind: UploadKind::Direct { blob },
        ..upload(h, length)
    }
}

pub(super) async fn begin_within(
    h: &Harness,
    user: UserId,
    upload: Upload,
    quota: u64,
    most: u32,
) -> BeginOutcome {
    let uploads = &h.stores.uploads;
    uploads.begin(user, upload, quota, most).await.unwrap()
}

/// Begins an upload that fits.
pub(super) async fn begin(h: &Harness, user: UserId, upload: Upload) -> UploadId {
    let id = upload.id;
    assert_eq!(
        begin_within(h, user, upload, PLENTY, 100).await,
        BeginOutcome::Begun
    );
    id
}

pub(super) async fn state(h: &Harness, user: UserId, id: UploadId) -> Option<UploadState> {
    h.stores.uploads.upload(user, id).await.unwrap()
}

pub(super) async fn received(h: &Harness, user: UserId, id: UploadId) -> u64 {
    state(h, user, id).await.unwrap().received
}

pub(super) async fn expires_at(h: &Harness, user: UserId, id: UploadId) -> UnixMillis {
    state(h, user, id).await.unwrap().upload.expires_at
}

pub(super) fn part(h: &Harness, offset: u64, size: u64) -> UploadPart {
    UploadPart {
        offset,
        size,
        blob: h.new_id(),
    }
}

pub(super) async fn append(h: &Harness, user: UserId, id: UploadId, part: UploadPart) -> AppendOutcome {
    let uploads = &h.stores.uploads;
    uploads.append(user, id, part, at(EXPIRES)).await.unwrap()
}

/// Appends so many bytes, which fit.
pub(super) async fn go_on(h: &Harness, user: UserId, id: UploadId, size: u64) -> UploadPart {
    let part = part(h, received(h, user, id).await, size);
    assert_eq!(append(h, user, id, part).await, AppendOutcome::Appended);
    part
}

pub(super) async fn parts(h: &Harness, user: UserId, id: UploadId) -> Vec<UploadPart> {
    h.stores.uploads.parts(user, id).await.unwrap()
}

pub(super) async fn finish(h: &Harness, user: UserId, id: UploadId) -> BTreeSet<Uuid> {
    set(h.stores.uploads.finish(user, id).await.unwrap())
}

pub(super) async fn end(h: &Harness, user: UserId, id: UploadId) -> Option<BTreeSet<Uuid>> {
    h.stores.uploads.end(user, id).await.unwrap().map(set)
}

pub(super) fn set(blobs: Vec<Uuid>) -> BTreeSet<Uuid> {
    let all = blobs.len();
    let distinct: BTreeSet<_> = blobs.into_iter().collect();
    assert_eq!(distinct.len(), all, "a blob twice");
    distinct
}

pub(super) fn blobs(parts: &[UploadPart]) -> BTreeSet<Uuid> {
    parts.iter().map(|part| part.blob).collect()
}

/// Takes one step, which is within its limit.
pub(super) async fn step(h: &Harness, user: UserId, now: i64, limit: u32) -> Collected {
    let uploads = &h.stores.uploads;
    let dropped = uploads.drop_expired(user, at(now), limit).await.unwrap();
    assert!(dropped.blobs.len() <= limit as usize, "{dropped:?}");
    dropped
}

/// Drops in steps until there is no more to do, and says which blobs hold nothing any more.
pub(super) async fn drop_all(h: &Harness, user: UserId, now: i64, limit: u32) -> BTreeSet<Uuid> {
    let mut blobs = Vec::new();
    for _ in 0..ENOUGH {
        let step = step(h, user, now, limit).await;
        blobs.extend(step.blobs);
        if !step.more {
            return set(blobs);
        }
    }
    panic!("no end after {ENOUGH} steps");
}

pub(super) async fn usage(h: &Harness, user: UserId) -> (u64, u64) {
    let AttachmentUsage { held, announced, .. } = h.stores.contents.usage(user).await.unwrap();
    (held, announced)
}

pub(super) async fn hold(h: &Harness, user: UserId, size: u64) {
    let content = ContentRef {
        sha256: hash(size),
        blob: h.new_id(),
        size,
        touched_at: at(START),
    };
    let outcome = h.stores.contents.reference(user, content, PLENTY).await.unwrap();
    assert_eq!(outcome, ReferenceOutcome::Added);
}

/// An upload comes back as it began, whatever was said of its resource; who asks for another one's finds none.
pub async fn an_upload_comes_back_as_it_began(h: &Harness) {
    let (user, other) = (h.user().await, h.user().await);
    let in_parts = Upload {
        fields: "{\"filename\": \"日記 \\\\ \\\"1\\\".png\",\n \"memoId\":null}".into(),
        resource: resource_id(7),
        author: by("anna's tablet"),
        created_at: at(1),
        expires_at: at(9_007_199_254_740_991),
        ..upload(h, 9_007_199_254_740_991)
    };
    for upload in [in_parts, upload(h, 0), direct(h, 5, h.new_id())] {
        let id = begin(h, user, upload.clone()).await;
        let begun = UploadState {
            upload,
            received: 0,
            parts: 0,
            finished: false,
        };
        assert_eq!(state(h, user, id).await, Some(begun));
        assert_eq!(parts(h, user, id).await, []);
        assert_eq!(state(h, other, id).await, None);
    }
    let unknown = UploadId::new(h.new_id());
    assert_eq!(state(h, user, unknown).await, None);
    assert_eq!(parts(h, user, unknown).await, []);
}

/// What is announced counts as if it were there: an upload begins only where contents, uploads and its own length come to
/// the quota at most, to the byte. What was received of an upload counts no second time, and what is over no more.
pub async fn an_upload_begins_only_where_it_fits(h: &Harness) {
    let (user, other) = (h.user().await, h.user().await);
    let over = |held, announced| {
        BeginOutcome::OverQuota(AttachmentUsage {
            held,
            announced,
            ..AttachmentUsage::default()
        })
    };
    let within = async |length| begin_within(h, user, upload(h, length), 100, 100).await;
    hold(h, user, 30).await;
    assert_eq!(within(71).await, over(30, 0));
    assert_eq!(usage(h, user).await, (30, 0));
    let first = upload(h, 40);
    let id = first.id;
    assert_eq!(begin_within(h, user, first, 100, 100).await, BeginOutcome::Begun);
    assert_eq!(usage(h, user).await, (30, 40));
    let refused = upload(h, 31);
    let late = refused.id;
    assert_eq!(begin_within(h, user, refused, 100, 100).await, over(30, 40));
    assert_eq!(state(h, user, late).await, None);
    go_on(h, user, id, 25).await;
    assert_eq!(usage(h, user).await, (30, 40));
    let past = direct(h, 30, h.new_id());
    let last = past.id;
    assert_eq!(begin_within(h, user, past, 100, 100).await, BeginOutcome::Begun);
    assert_eq!(within(1).await, over(30, 70));
    assert_eq!(within(0).await, BeginOutcome::Begun);
    assert_eq!(
        begin_within(h, other, upload(h, 100), 100, 100).await,
        BeginOutcome::Begun
    );
    // Finished or ended, it is announced no longer; expired, it is until it is dropped.
    finish(h, user, id).await;
    assert_eq!(usage(h, user).await, (30, 30));
    end(h, user, last).await;
    assert_eq!(usage(h, user).await, (30, 0));
    let short = Upload {
        expires_at: at(START - 1),
        ..upload(h, 70)
    };
    assert_eq!(begin_within(h, user, short, 100, 100).await, BeginOutcome::Begun);
    assert_eq!(within(1).await, over(30, 70));
    drop_all(h, user, START, 100).await;
    assert_eq!(within(70).await, BeginOutcome::Begun);
    assert_eq!(usage(h, other).await, (0, 100));
}

/// A user has so many uploads at most that are not finished.
pub async fn a_user_has_only_so_many_uploads(h: &Harness) {
    let (user, other) = (h.user().await, h.user().await);
    let begin = async |upload| begin_within(h, user, upload, PLENTY, 2).await;
    let (first, second) = (upload(h, 1), upload(h, 1));
    let ids = [first.id, second.id];
    assert_eq!(begin(first).await, BeginOutcome::Begun);
    assert_eq!(begin(second).await, BeginOutcome::Begun);
    assert_eq!(begin(upload(h, 1)).await, BeginOutcome::TooMany);
    assert_eq!(usage(h, user).await, (0, 2));
    assert_eq!(
        begin_within(h, other, upload(h, 1), PLENTY, 2).await,
        BeginOutcome::Begun
    );
    finish(h, user, ids[0]).await;
    assert_eq!(begin(upload(h, 1)).await, BeginOutcome::Begun);
    assert_eq!(begin(upload(h, 1)).await, BeginOutcome::TooMany);
    end(h, user, ids[1]).await;
    assert_eq!(begin(upload(h, 1)).await, BeginOutcome::Begun);
    assert_eq!(begin(upload(h, 1)).await, BeginOutcome::TooMany);
}

/// Of uploads that begin at the same time, with whatever instance, exactly as many do as there is room for.
pub async fn of_uploads_that_begin_at_once_as_many_begin_as_fit(h: &Harness) {
    for (quota, most) in [(35, 100), (PLENTY, 3)] {
        let user = h.user().await;
        let tasks: Vec<_> = (0..8)
            .map(|n| {
                let h = if n % 2 == 0 { h.clone() } else { h.elsewhere() };
                let upload = upload(&h, 10);
                tokio::spawn(async move { begin_within(&h, user, upload, quota, most).await })
            })
            .collect();
        let mut begun = 0;
        for task in tasks {
            match task.await.unwrap() {
                BeginOutcome::Begun => begun += 1,
                BeginOutcome::OverQuota(usage) => assert_eq!((usage.announced, quota), (30, 35)),
                BeginOutcome::TooMany => assert_eq!(most, 3),
            }
        }
        assert_eq!(begun, 3);
        assert_eq!(usage(h, user).await, (0, 30));
    }
}

/// A part is taken where it follows what was received, up to the announced length, and puts the end of the upload off. What
/// is not taken changes nothing.
pub async fn parts_follow_each_other(h: &Harness) {
    let (user, other) = (h.user().await, h.user().await);
    let id = begin(h, user, upload(h, 100)).await;
    let neighbour = begin(h, user, upload(h, 100)).await;
    let first = part(h, 0, 30);
    let later = at(EXPIRES + 500);
    let uploads = &h.stores.uploads;
    assert_eq!(
        uploads.append(user, id, first, later).await.unwrap(),
        AppendOutcome::Appended
    );
    assert_eq!(expires_at(h, user, id).await, later);
    let conflict = AppendOutcome::Conflict { received: 30 };
    for offset in [0, 29, 31, 100, 9_007_199_254_740_991] {
        assert_eq!(
            append(h, user, id, part(h, offset, 10)).await,
            conflict,
            "{offset}"
        );
    }
    assert_eq!(append(h, user, id, part(h, 30, 71)).await, AppendOutcome::TooLong);
    let endless = part(h, 30, 9_007_199_254_740_991);
    assert_eq!(append(h, user, id, endless).await, AppendOutcome::TooLong);
    assert_eq!(append(h, user, id, part(h, 0, 1_000)).await, conflict);
    assert_eq!(append(h, other, id, part(h, 30, 10)).await, AppendOutcome::Gone);
    let unknown = UploadId::new(h.new_id());
    assert_eq!(
        append(h, user, unknown, part(h, 0, 10)).await,
        AppendOutcome::Gone
    );
    assert_eq!(expires_at(h, user, id).await, later);
    assert_eq!(parts(h, user, id).await, [first]);
    let mut all = vec![first];
    for size in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] {
        all.push(go_on(h, user, id, size).await);
    }
    assert_eq!(expires_at(h, user, id).await, at(EXPIRES));
    assert_eq!(append(h, user, id, part(h, 85, 16)).await, AppendOutcome::TooLong);
    all.push(go_on(h, user, id, 15).await);
    let whole = state(h, user, id).await.unwrap();
    assert_eq!((whole.received, whole.parts, whole.finished), (100, 12, false));
    assert_eq!(parts(h, user, id).await, all);
    assert_eq!(parts(h, other, id).await, []);
    assert_eq!(append(h, user, id, part(h, 100, 1)).await, AppendOutcome::TooLong);
    assert_eq!(received(h, user, neighbour).await, 0);
}

/// Of several parts for the same place that come at the same time, to whatever instance, one is taken.
pub async fn of_parts_for_one_place_one_is_taken(h: &Harness) {
    let user = h.user().await;
    let id = begin(h, user, upload(h, 1_000)).await;
    let mut expected = Vec::new();
    for round in 0..8 {
        let tasks: Vec<_> = (0..6)
            .map(|n| {
                let h = if n % 2 == 0 { h.clone() } else { h.elsewhere() };
                let part = part(&h, round * 10, 10);
                tokio::spawn(async move { (part, append(&h, user, id, part).await) })
            })
            .collect();
        let mut taken = Vec::new();
        for task in tasks {
            match task.await.unwrap() {
                (part, AppendOutcome::Appended) => taken.push(part),
                (_, outcome) => {
                    let received = round * 10 + 10;
                    assert_eq!(outcome, AppendOutcome::Conflict { received });
                }
            }
        }
        assert_eq!(taken.len(), 1);
        expected.extend(taken);
        assert_eq!(parts(h, user, id).await, expected);
    }
}

/// An upload past the server takes no parts, and gives its blob back when it is over.
pub async fn a_direct_upload_takes_no_parts(h: &Harness) {
    let user = h.user().await;
    let blob = h.new_id();
    let id = begin(h, user, direct(h, 100, blob)).await;
    let conflict = AppendOutcome::Conflict { received: 0 };
    assert_eq!(append(h, user, id, part(h, 0, 10)).await, conflict);
    assert_eq!(parts(h, user, id).await, []);
    assert_eq!(usage(h, user).await, (0, 100));
    assert_eq!(finish(h, user, id).await, [blob].into());
    assert_eq!(received(h, user, id).await, 100);
    let conflict = AppendOutcome::Conflict { received: 100 };
    assert_eq!(append(h, user, id, part(h, 0, 10)).await, conflict);
    assert_eq!(finish(h, user, id).await, BTreeSet::new());
    assert_eq!(end(h, user, id).await, Some(BTreeSet::new()));
    let given_up = h.new_id();
    let id = begin(h, user, direct(h, 100, given_up)).await;
    assert_eq!(end(h, user, id).await, Some([given_up].into()));
    let expired = h.new_id();
    begin(h, user, direct(h, 100, expired)).await;
    assert_eq!(drop_all(h, user, EXPIRES, 10).await, [expired].into());
    assert_eq!(usage(h, user).await, (0, 0));
}

/// Until the length of an upload is told, the most that it may have counts; of lengths that are told at once one holds.
pub async fn a_length_that_is_told_later_is_told_once(h: &Harness) {
    let (user, other) = (h.user().await, h.user().await);
    let deferred = Upload {
        is_deferred: true,
        ..upload(h, 100)
    };
    let id = begin(h, user, deferred.clone()).await;
    assert_eq!(state(h, user, id).await.unwrap().upload, deferred);
    go_on(h, user, id, 30).await;
    let announced = async || h.stores.contents.usage(user).await.unwrap().announced;
    assert_eq!(announced().await, 100);
    let tell = async |user, length| h.stores.uploads.settle_length(user, id, length).await.unwrap();
    let too_long = LengthOutcome::TooLong { most: 100 };
    assert_eq!(tell(user, 29).await, LengthOutcome::Conflict);
    assert_eq!(tell(user, 101).await, too_long);
    assert_eq!(tell(other, 40).await, LengthOutcome::Gone);
    assert_eq!(state(h, user, id).await.unwrap().upload, deferred);
    let (one, two) = tokio::join!(tell(user, 40), tell(user, 50));
    let told = match (one, two) {
        (LengthOutcome::Settled, LengthOutcome::Conflict) => 40,
        (LengthOutcome::Conflict, LengthOutcome::Settled) => 50,
        both => panic!("{both:?}"),
    };
    assert_eq!(tell(user, told).await, LengthOutcome::Settled);
    let known = state(h, user, id).await.unwrap().upload;
    assert_eq!((known.length, known.is_deferred), (told, false));
    assert_eq!(announced().await, told);
    let beyond = part(h, 30, told - 29);
    assert_eq!(append(h, user, id, beyond).await, AppendOutcome::TooLong);
    go_on(h, user, id, told - 30).await;
}

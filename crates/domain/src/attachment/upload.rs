//! Uploads that take several requests: when one begins, what follows what, and which blobs are over with it.

use uuid::Uuid;

use super::contents::AttachmentUsage;
use super::garbage::Collected;
use crate::plan::Plan;
use crate::{ClientId, ResourceId, UnixMillis, UploadId};

/// How the bytes of an upload come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadKind {
    /// Through the server, in parts.
    Parts,
    /// Past it: one request to the storage, which stores them as this blob.
    Direct {
        /// The blob, among those of the user.
        blob: Uuid,
    },
}

impl UploadKind {
    /// Past the server into that blob, or through it.
    pub fn of(direct: Option<Uuid>) -> Self {
        direct.map_or(Self::Parts, |blob| Self::Direct { blob })
    }

    /// The blob that the bytes come into past the server.
    pub const fn direct(self) -> Option<Uuid> {
        match self {
            Self::Parts => None,
            Self::Direct { blob } => Some(blob),
        }
    }
}

/// An upload that may take several requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Its id, which its address has.
    pub id: UploadId,
    /// The resource that it becomes.
    pub resource: ResourceId,
    /// The device that began it.
    pub author: ClientId,
    /// How many bytes it has when it is complete; where it `is_deferred`, the most that it may have.
    pub length: u64,
    /// Whether its length is told later ([`settle_length`]).
    pub is_deferred: bool,
    /// How its bytes come.
    pub kind: UploadKind,
    /// What its beginner said of the resource: JSON that the store does not look into.
    pub fields: String,
    /// When it began.
    pub created_at: UnixMillis,
    /// When it is given up.
    pub expires_at: UnixMillis,
}

impl Upload {
    /// Whether so many bytes are all of it.
    pub const fn is_whole_with(&self, bytes: u64) -> bool {
        !self.is_deferred && bytes >= self.length
    }
}

/// Bytes of an upload that came in one request, and the blob that holds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadPart {
    /// How many bytes come before it.
    pub offset: u64,
    /// How many bytes it has; at least one.
    pub size: u64,
    /// The blob, among those of the user.
    pub blob: Uuid,
}

/// How far an upload has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadState {
    /// The upload.
    pub upload: Upload,
    /// How many bytes were received through the server; all of them, once it is finished.
    pub received: u64,
    /// In how many parts.
    pub parts: u32,
    /// Whether its resource was written.
    pub finished: bool,
}

impl UploadState {
    /// That of an upload whose parts have so many bytes together. Those of a finished one are gone.
    pub const fn new(upload: Upload, bytes: u64, parts: u32, finished: bool) -> Self {
        let received = if finished { upload.length } else { bytes };
        Self {
            upload,
            received,
            parts,
            finished,
        }
    }

    /// All blobs that hold bytes of this upload, whose parts are these. When it is over, it needs none of them; one of them may
    /// hold a content by now.
    pub fn blobs(&self, parts: &[UploadPart]) -> Vec<Uuid> {
        let own = direct_blob(self.upload.kind, self.finished);
        parts.iter().map(|part| part.blob).chain(own).collect()
    }
}

/// The blob that an upload past the server still needs: one that is finished has given it away.
fn direct_blob(kind: UploadKind, finished: bool) -> Option<Uuid> {
    kind.direct().filter(|_| !finished)
}

/// What is known of a user before an upload begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadFacts {
    /// How many uploads are not finished.
    pub unfinished: u32,
    /// What the user's attachments come to.
    pub usage: AttachmentUsage,
}

/// What became of beginning an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeginOutcome {
    /// It has begun.
    Begun,
    /// With it, the user's contents and uploads could come to more than allowed.
    OverQuota(AttachmentUsage),
    /// The user has too many that are not finished.
    TooMany,
}

/// Whether an upload of so many bytes begins, where `most` may be unfinished and all bytes may come to `quota` (A4): the
/// store notes it then.
pub fn begin(facts: UploadFacts, length: u64, quota: u64, most: u32) -> Plan<(), BeginOutcome> {
    if facts.unfinished >= most {
        Plan::nothing(BeginOutcome::TooMany)
    } else if facts.usage.has_room_for(length, quota) {
        Plan::write((), BeginOutcome::Begun)
    } else {
        Plan::nothing(BeginOutcome::OverQuota(facts.usage))
    }
}

/// What became of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendOutcome {
    /// It is a part of the upload now.
    Appended,
    /// The upload has this many bytes, or is finished: the part does not follow. Its blob is not needed.
    Conflict {
        /// How many bytes were received.
        received: u64,
    },
    /// The part would go beyond the announced length. Its blob is not needed.
    TooLong,
    /// There is no such upload, or no longer. Its blob is not needed.
    Gone,
}

/// Whether a part follows what was received of an upload, if that is there: the store notes it then, and when the upload
/// expires from now on.
pub fn append(found: Option<&UploadState>, part: &UploadPart) -> Plan<(), AppendOutcome> {
    let Some(state) = found else {
        return Plan::nothing(AppendOutcome::Gone);
    };
    let received = state.received;
    let takes_parts = !state.finished && state.upload.kind == UploadKind::Parts;
    if !takes_parts || part.offset != received {
        Plan::nothing(AppendOutcome::Conflict { received })
    } else if received.saturating_add(part.size) > state.upload.length {
        Plan::nothing(AppendOutcome::TooLong)
    } else {
        Plan::write((), AppendOutcome::Appended)
    }
}

/// What became of telling the length of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LengthOutcome {
    /// That is its length, now or before.
    Settled,
    /// It has another length, or more bytes than that already.
    Conflict,
    /// It may have this many bytes at most.
    TooLong {
        /// How many bytes it may have.
        most: u64,
    },
    /// There is no such upload, or no longer.
    Gone,
}

/// Whether an upload has so many bytes when it is complete, if that was not told before: the store notes it then. It is no more
/// than what was counted for it when it began, so it fits (A4).
pub fn settle_length(found: Option<&UploadState>, length: u64) -> Plan<(), LengthOutcome> {
    let Some(UploadState { upload, received, .. }) = found else {
        return Plan::nothing(LengthOutcome::Gone);
    };
    if !upload.is_deferred {
        let outcome = if upload.length == length {
            LengthOutcome::Settled
        } else {
            LengthOutcome::Conflict
        };
        Plan::nothing(outcome)
    } else if length > upload.length {
        Plan::nothing(LengthOutcome::TooLong { most: upload.length })
    } else if length < *received {
        Plan::nothing(LengthOutcome::Conflict)
    } else {
        Plan::write((), LengthOutcome::Settled)
    }
}

/// An upload that has expired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiredUpload {
    /// Its id.
    pub id: UploadId,
    /// How its bytes came.
    pub kind: UploadKind,
    /// Whether its resource was written.
    pub finished: bool,
    /// Its last parts, the last one first. A store need not load more of all uploads together than a step takes rows, in the
    /// order of the uploads.
    pub parts: Vec<UploadPart>,
}

/// What a store forgets of uploads that have expired.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExpirePlan {
    /// The parts, by upload and offset.
    pub parts: Vec<(UploadId, u64)>,
    /// The uploads, whose parts are all gone then.
    pub uploads: Vec<UploadId>,
    /// The blobs of both.
    pub dropped: Collected,
}

/// Takes one step of forgetting uploads that have expired, of at most `limit` rows, and at least one: parts before their
/// upload, the last ones first. What is left of an upload has no gap, if somebody goes on with it after all.
pub fn expire(expired: &[ExpiredUpload], limit: u32) -> ExpirePlan {
    let mut plan = ExpirePlan::default();
    let mut left = limit.max(1);
    for upload in expired {
        for part in &upload.parts {
            if left == 0 {
                break;
            }
            left -= 1;
            plan.parts.push((upload.id, part.offset));
            plan.dropped.blobs.push(part.blob);
        }
        if left == 0 {
            break;
        }
        left -= 1;
        plan.uploads.push(upload.id);
        plan.dropped
            .blobs
            .extend(direct_blob(upload.kind, upload.finished));
    }
    plan.dropped.more = left == 0;
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    const THROUGH: UploadKind = UploadKind::Parts;
    const PAST: UploadKind = UploadKind::Direct {
        blob: Uuid::from_u128(99),
    };

    fn id(n: u128) -> UploadId {
        UploadId::new(Uuid::from_u128(n))
    }

    fn state(kind: UploadKind, bytes: u64, finished: bool) -> UploadState {
        let upload = Upload {
            id: id(1),
            resource: ResourceId::new(Uuid::from_u128(1)),
            author: "phone".parse().unwrap(),
            length: 100,
            is_deferred: false,
            kind,
            fields: "{}".into(),
            created_at: UnixMillis::ZERO,
            expires_at: UnixMillis::ZERO,
        };
        UploadState::new(upload, bytes, 1, finished)
    }

    fn part(offset: u64, size: u64) -> UploadPart {
        UploadPart {
            offset,
            size,
            blob: Uuid::from_u128(u128::from(offset)),
        }
    }

    #[test]
    fn a4_an_upload_begins_only_where_it_fits_and_there_are_not_too_many() {
        let usage = |held, announced| AttachmentUsage {
            held,
            announced,
            ..AttachmentUsage::default()
        };
        let over = |held, announced| BeginOutcome::OverQuota(usage(held, announced));
        for (unfinished, usage, length, expected) in [
            (0, usage(0, 0), 100, BeginOutcome::Begun),
            (0, usage(0, 0), 101, over(0, 0)),
            (1, usage(30, 40), 30, BeginOutcome::Begun),
            (1, usage(30, 40), 31, over(30, 40)),
            (1, usage(100, 0), 0, BeginOutcome::Begun),
            (0, usage(0, 0), u64::MAX, over(0, 0)),
            (2, usage(0, 0), 0, BeginOutcome::TooMany),
            // That there are too many is said first: no smaller file would help.
            (3, usage(100, 100), 1, BeginOutcome::TooMany),
        ] {
            let facts = UploadFacts { unfinished, usage };
            let plan = begin(facts, length, 100, 2);
            assert_eq!(plan.outcome, expected, "{facts:?} {length}");
            assert_eq!(plan.write.is_some(), expected == BeginOutcome::Begun);
        }
    }

    #[test]
    fn a_part_follows_what_was_received_up_to_the_announced_length() {
        let conflict = |received| AppendOutcome::Conflict { received };
        for (state, part, expected) in [
            (state(THROUGH, 0, false), part(0, 100), AppendOutcome::Appended),
            (state(THROUGH, 30, false), part(30, 70), AppendOutcome::Appended),
            (state(THROUGH, 30, false), part(30, 71), AppendOutcome::TooLong),
            (
                state(THROUGH, 30, false),
                part(30, u64::MAX),
                AppendOutcome::TooLong,
            ),
            (state(THROUGH, 100, false), part(100, 1), AppendOutcome::TooLong),
            (state(THROUGH, 30, false), part(29, 1), conflict(30)),
            (state(THROUGH, 30, false), part(31, 1), conflict(30)),
            (state(THROUGH, 30, false), part(0, 1_000), conflict(30)),
            // A finished one has all of its bytes, whatever is left of its parts.
            (state(THROUGH, 0, true), part(0, 1), conflict(100)),
            (state(THROUGH, 0, true), part(100, 1), conflict(100)),
            (state(PAST, 0, false), part(0, 1), conflict(0)),
            (state(PAST, 0, true), part(100, 1), conflict(100)),
        ] {
            let plan = append(Some(&state), &part);
            assert_eq!(plan.outcome, expected, "{state:?} {part:?}");
            assert_eq!(plan.write.is_some(), expected == AppendOutcome::Appended);
        }
        assert_eq!(append(None, &part(0, 1)), Plan::nothing(AppendOutcome::Gone));
    }

    #[test]
    fn a_length_is_told_once_and_fits_what_came_and_what_was_counted() {
        let deferred = |bytes| {
            let known = state(THROUGH, bytes, false);
            let upload = Upload {
                is_deferred: true,
                ..known.upload
            };
            UploadState { upload, ..known }
        };
        let (known, finished) = (state(THROUGH, 30, false), state(THROUGH, 0, true));
        let too_long = LengthOutcome::TooLong { most: 100 };
        for (state, length, expected, writes) in [
            (&deferred(30), 30, LengthOutcome::Settled, true),
            (&deferred(30), 100, LengthOutcome::Settled, true),
            (&deferred(0), 0, LengthOutcome::Settled, true),
            (&deferred(30), 29, LengthOutcome::Conflict, false),
            (&deferred(30), 101, too_long, false),
            (&known, 100, LengthOutcome::Settled, false),
            (&known, 99, LengthOutcome::Conflict, false),
            (&known, 101, LengthOutcome::Conflict, false),
            (&finished, 100, LengthOutcome::Settled, false),
        ] {
            let plan = settle_length(Some(state), length);
            assert_eq!(
                (plan.outcome, plan.write.is_some()),
                (expected, writes),
                "{length}"
            );
        }
        assert_eq!(settle_length(None, 1), Plan::nothing(LengthOutcome::Gone));
        assert!(known.upload.is_whole_with(100) && !known.upload.is_whole_with(99));
        assert!(!deferred(100).upload.is_whole_with(100), "more may come");
    }

    #[test]
    fn an_upload_that_is_over_answers_all_its_blobs_once() {
        let (parts, blob) = ([part(0, 10), part(10, 20)], Uuid::from_u128);
        assert_eq!(state(THROUGH, 30, false).blobs(&parts), [blob(0), blob(10)]);
        assert_eq!(state(PAST, 0, false).blobs(&[]), [blob(99)]);
        assert!(state(PAST, 0, true).blobs(&[]).is_empty());
        assert!(state(THROUGH, 0, true).blobs(&[]).is_empty());
    }

    #[test]
    fn expired_uploads_go_in_steps_the_last_parts_first() {
        let expired = |n, kind, finished, offsets: &[u64]| ExpiredUpload {
            id: id(n),
            kind,
            finished,
            parts: offsets.iter().map(|offset| part(*offset, 10)).collect(),
        };
        let all = [
            expired(1, THROUGH, false, &[20, 10, 0]),
            expired(2, PAST, false, &[]),
            expired(3, THROUGH, true, &[]),
            expired(4, PAST, true, &[]),
        ];
        let parts = [(id(1), 20), (id(1), 10), (id(1), 0)];
        let blobs = [20, 10, 0, 99].map(Uuid::from_u128);
        // The rows, the parts, uploads and blobs among them, and whether there may be more.
        for (limit, parts_gone, uploads_gone, blobs_gone, more) in [
            (0, 1, 0, 1, true),
            (1, 1, 0, 1, true),
            (3, 3, 0, 3, true),
            (4, 3, 1, 3, true),
            (5, 3, 2, 4, true),
            (6, 3, 3, 4, true),
            (7, 3, 4, 4, true),
            (8, 3, 4, 4, false),
        ] {
            let plan = expire(&all, limit);
            assert_eq!(plan.parts, parts[..parts_gone], "{limit}");
            assert_eq!(plan.uploads, [1, 2, 3, 4].map(id)[..uploads_gone], "{limit}");
            assert_eq!(plan.dropped.blobs, blobs[..blobs_gone], "{limit}");
            assert_eq!(plan.dropped.more, more, "{limit}");
        }
        assert_eq!(expire(&[], 1), ExpirePlan::default());
    }

    #[test]
    fn no_more_parts_are_needed_than_a_step_takes() {
        // Of the five parts of this one a store that takes three rows loads three.
        let loaded = ExpiredUpload {
            id: id(1),
            kind: THROUGH,
            finished: false,
            parts: vec![part(40, 10), part(30, 10), part(20, 10)],
        };
        let next = ExpiredUpload {
            id: id(2),
            parts: Vec::new(),
            ..loaded.clone()
        };
        let plan = expire(&[loaded, next], 3);
        assert_eq!((plan.parts.len(), plan.uploads.len()), (3, 0));
        assert!(plan.dropped.more);
    }
}

//! Which blob holds which content, within a quota (A4).

use uuid::Uuid;

use crate::entity::{MimeType, Sha256, Variant};
use crate::plan::Plan;
use crate::quota::Quota;
use crate::{AvatarId, UnixMillis};

/// A content and the blob that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRef {
    /// The hash of the bytes.
    pub sha256: Sha256,
    /// The blob, among those of the user.
    pub blob: Uuid,
    /// How many bytes.
    pub size: u64,
    /// When somebody last brought these bytes. For a while after that they are kept though no record names them yet.
    pub touched_at: UnixMillis,
}

/// A smaller picture that was made of a content, and the blob that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariantRef {
    /// Which one.
    pub variant: Variant,
    /// The blob, among those of the user.
    pub blob: Uuid,
    /// How many bytes.
    pub size: u64,
    /// What kind of picture it is.
    pub mime_type: MimeType,
}

/// A picture of an account or of a bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Avatar {
    /// Its id, which its address has.
    pub id: AvatarId,
    /// Its content.
    pub sha256: Sha256,
    /// What kind of picture it is.
    pub mime_type: MimeType,
    /// When it was uploaded. For a while after that it is kept though nothing names it yet.
    pub created_at: UnixMillis,
}

/// What a user's attachments come to, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AttachmentUsage {
    /// The contents that are stored.
    pub held: u64,
    /// The announced sizes of the uploads that are not finished.
    pub announced: u64,
    /// What the user may store.
    pub quota: Quota,
}

impl AttachmentUsage {
    /// Both together.
    pub const fn total(self) -> u64 {
        self.held.saturating_add(self.announced)
    }

    /// Whether so many bytes more come to what the user may store at most (A4); `quota` is what others may.
    pub const fn has_room_for(self, bytes: u64, quota: u64) -> bool {
        self.total().saturating_add(bytes) <= self.quota.of_attachments(quota)
    }
}

/// What became of bytes that somebody brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferenceOutcome {
    /// The blob holds the content from now on.
    Added,
    /// Another blob holds the same content, and goes on doing so.
    Existing(ContentRef),
    /// The user would have more than allowed; nothing changed.
    OverQuota {
        /// How many bytes the user's contents have.
        used: u64,
        /// How many they may have.
        quota: u64,
    },
}

/// Bytes came, and there may be a content with that hash. The same bytes are stored once; those that are there are never
/// over the quota, and count as brought just now. Uploads that were announced and not finished leave their room to whoever
/// comes first (A4). `quota` is what users may store of whom nothing else is said.
pub fn reference(
    there: Option<ContentRef>,
    new: ContentRef,
    usage: AttachmentUsage,
    quota: u64,
) -> Plan<ContentRef, ReferenceOutcome> {
    let usage = AttachmentUsage {
        announced: 0,
        ..usage
    };
    match there {
        Some(there) => {
            let touched = touched(there, new);
            Plan::write(touched, ReferenceOutcome::Existing(touched))
        }
        None if usage.has_room_for(new.size, quota) => Plan::write(new, ReferenceOutcome::Added),
        None => Plan::nothing(ReferenceOutcome::OverQuota {
            used: usage.held,
            quota: usage.quota.of_attachments(quota),
        }),
    }
}

/// A blob turned out to be gone or damaged, and another one has its bytes. What is stored from now on; `None` where the
/// content is another blob's by now, or gone.
pub fn replace(there: Option<ContentRef>, gone: &ContentRef, by: ContentRef) -> Option<ContentRef> {
    let there = there.filter(|there| there.blob == gone.blob)?;
    Some(ContentRef {
        touched_at: touched(there, by).touched_at,
        ..by
    })
}

/// A touch that is older than one before it changes nothing.
fn touched(there: ContentRef, by: ContentRef) -> ContentRef {
    ContentRef {
        touched_at: there.touched_at.max(by.touched_at),
        ..there
    }
}

/// A smaller picture was made of a content, which may be gone by now, or have one already. Says whether it is stored, which it
/// is too where the store was asked before: else its blob is not needed.
pub fn add_variant(
    content: Option<ContentRef>,
    there: Option<&VariantRef>,
    new: &VariantRef,
) -> Plan<(), bool> {
    match (content, there) {
        (Some(_), None) => Plan::write((), true),
        (Some(_), Some(there)) => Plan::nothing(there.blob == new.blob),
        (None, _) => Plan::nothing(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(blob: u128, size: u64, touched_at: i64) -> ContentRef {
        ContentRef {
            sha256: Sha256::from_bytes([7; 32]),
            blob: Uuid::from_u128(blob),
            size,
            touched_at: UnixMillis::new(touched_at).unwrap(),
        }
    }

    fn holding(held: u64, quota: Quota) -> AttachmentUsage {
        AttachmentUsage {
            held,
            announced: 7,
            quota,
        }
    }

    #[test]
    fn a4_contents_come_to_the_quota_at_most_and_are_stored_once() {
        let new = content(1, 10, 5);
        let added = (Some(new), ReferenceOutcome::Added);
        let over = |used, quota| (None, ReferenceOutcome::OverQuota { used, quota });
        let touched = |at| {
            (
                Some(content(9, 10, at)),
                ReferenceOutcome::Existing(content(9, 10, at)),
            )
        };
        for (there, used, quota, expected) in [
            (None, 0, 10, added),
            (None, 0, 9, over(0, 9)),
            (None, 90, 100, added),
            (None, 91, 100, over(91, 100)),
            (None, u64::MAX, 100, over(u64::MAX, 100)),
            (None, u64::MAX, u64::MAX, added),
            // What is there is never over the quota, and no touch is undone.
            (Some(content(9, 10, 3)), 10, 0, touched(5)),
            (Some(content(9, 10, 7)), 10, 100, touched(7)),
        ] {
            let plan = reference(there, new, holding(used, Quota::Default), quota);
            assert_eq!((plan.write, plan.outcome), expected, "{there:?} {used} {quota}");
            // What is said of the user alone takes the place of what is said of all.
            let plan = reference(there, new, holding(used, Quota::Bytes(quota)), 1_000);
            assert_eq!((plan.write, plan.outcome), expected, "{there:?} {used} {quota}");
        }
        let nothing = ContentRef { size: 0, ..new };
        assert_eq!(
            reference(None, nothing, holding(100, Quota::Default), 100).outcome,
            ReferenceOutcome::Added
        );
    }

    #[test]
    fn a_blob_is_replaced_only_where_it_still_holds_the_content() {
        let (gone, by) = (content(1, 10, 5), content(2, 10, 7));
        for (there, expected) in [
            (None, None),
            (Some(content(1, 10, 5)), Some(by)),
            // Touched meanwhile: still that blob, and the touch stays.
            (Some(content(1, 10, 9)), Some(content(2, 10, 9))),
            (Some(content(3, 10, 5)), None),
            (Some(by), None),
        ] {
            assert_eq!(replace(there, &gone, by), expected, "{there:?}");
        }
    }

    #[test]
    fn a_content_has_each_variant_once() {
        let picture = |blob| VariantRef {
            variant: Variant::Thumb,
            blob: Uuid::from_u128(blob),
            size: 3,
            mime_type: MimeType::new("image/webp").unwrap(),
        };
        let of = Some(content(1, 10, 5));
        for (content, there, expected) in [
            (None, None, Plan::nothing(false)),
            (None, Some(picture(1)), Plan::nothing(false)),
            (of, None, Plan::write((), true)),
            (of, Some(picture(1)), Plan::nothing(true)),
            (of, Some(picture(2)), Plan::nothing(false)),
        ] {
            assert_eq!(add_variant(content, there.as_ref(), &picture(1)), expected);
        }
    }

    #[test]
    fn a4_what_is_announced_counts_as_if_it_were_there() {
        let usage = |held, announced| AttachmentUsage {
            held,
            announced,
            quota: Quota::Default,
        };
        for (usage, bytes, fits) in [
            (usage(0, 0), 100, true),
            (usage(0, 0), 101, false),
            (usage(30, 40), 30, true),
            (usage(30, 40), 31, false),
            (usage(100, 0), 0, true),
            (usage(60, 50), 0, false),
            (usage(u64::MAX, u64::MAX), u64::MAX, false),
        ] {
            assert_eq!(usage.has_room_for(bytes, 100), fits, "{usage:?} {bytes}");
        }
    }
}

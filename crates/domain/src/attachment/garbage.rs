//! What nobody needs any more (A6).

use uuid::Uuid;

use super::contents::ContentRef;
use crate::entity::Sha256;
use crate::{AvatarId, UnixMillis};

/// Blobs that something was in which is forgotten now. Whoever removes them asks first whether something else is: names of blobs are
/// never given again, so one that nothing is in stays so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Collected {
    /// Which, among those of the user.
    pub blobs: Vec<Uuid>,
    /// Whether there may be more to do for this user.
    pub more: bool,
}

/// An avatar, and whether it is referenced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AvatarFacts {
    /// Its id.
    pub id: AvatarId,
    /// When it was uploaded.
    pub created_at: UnixMillis,
    /// Whether its id stands in the account's `avatarUrl`, or in a record, tombstone or revision of a type that names avatars
    /// ([`EntityType::names_avatars`](crate::EntityType::names_avatars)).
    pub is_referenced: bool,
}

impl AvatarFacts {
    /// Whether the avatar goes: nothing references it, and nobody brought it from `before` on.
    pub fn is_stale(&self, before: UnixMillis) -> bool {
        !self.is_referenced && self.created_at < before
    }
}

/// A content, and what references it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentFacts {
    /// The content.
    pub content: ContentRef,
    /// Whether a record, a tombstone with its content, or a revision names it.
    pub is_referenced: bool,
    /// The avatars that have it.
    pub avatars: Vec<AvatarId>,
    /// The blobs of its variants.
    pub variants: Vec<Uuid>,
}

/// What a store forgets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CollectPlan {
    /// The avatars.
    pub avatars: Vec<AvatarId>,
    /// The contents, with their variants.
    pub contents: Vec<Sha256>,
    /// The blobs of the contents and of their variants.
    pub collected: Collected,
}

/// Takes one step of forgetting: which of these avatars and contents go. They are those that nothing references, and that
/// nobody brought from `before` on. A content that only such avatars have goes with them.
///
/// A store looks for at most `limit` of each that may go, which it may do before it has the lock. The facts are as they are under
/// the lock.
pub fn collect(
    avatars: &[AvatarFacts],
    contents: &[ContentFacts],
    before: UnixMillis,
    limit: u32,
) -> CollectPlan {
    let mut plan = CollectPlan::default();
    let looked_at = avatars.len().max(contents.len());
    plan.collected.more = looked_at >= usize::try_from(limit).unwrap_or(usize::MAX);
    let stale = avatars.iter().filter(|avatar| avatar.is_stale(before));
    plan.avatars = stale.map(|avatar| avatar.id).collect();
    for facts in contents {
        let is_referenced = facts.is_referenced || facts.avatars.iter().any(|id| !plan.avatars.contains(id));
        if !is_referenced && facts.content.touched_at < before {
            plan.contents.push(facts.content.sha256);
            plan.collected.blobs.push(facts.content.blob);
            plan.collected.blobs.extend(&facts.variants);
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: i64) -> UnixMillis {
        UnixMillis::new(time).unwrap()
    }

    fn avatar(n: u128, created_at: i64, is_referenced: bool) -> AvatarFacts {
        AvatarFacts {
            id: AvatarId::new(Uuid::from_u128(n)),
            created_at: at(created_at),
            is_referenced,
        }
    }

    fn content(n: u8, touched_at: i64, is_referenced: bool, avatars: &[AvatarFacts]) -> ContentFacts {
        ContentFacts {
            content: ContentRef {
                sha256: Sha256::from_bytes([n; 32]),
                blob: Uuid::from_u128(n.into()),
                size: 10,
                touched_at: at(touched_at),
            },
            is_referenced,
            avatars: avatars.iter().map(|avatar| avatar.id).collect(),
            variants: vec![Uuid::from_u128(u128::from(n) + 100)],
        }
    }

    #[test]
    fn a6_what_nothing_references_goes_after_a_while() {
        let (stale, young, named) = (avatar(1, 9, false), avatar(2, 10, false), avatar(3, 9, true));
        let other_stale = avatar(4, 0, false);
        let avatars = [stale, young, named, other_stale];
        // Each content with whether it goes.
        let cases = [
            (content(1, 9, false, &[]), true),
            (content(2, 10, false, &[]), false),
            (content(3, 9, true, &[]), false),
            (content(4, 9, false, &[stale]), true),
            (content(5, 9, false, &[stale, other_stale]), true),
            (content(6, 9, false, &[stale, young]), false),
            (content(7, 9, false, &[named]), false),
            (content(8, 10, false, &[stale]), false),
            (content(9, 9, true, &[stale]), false),
            // One that the store did not look at, because it came just now.
            (content(10, 9, false, &[avatar(7, 9, false)]), false),
        ];
        let contents: Vec<_> = cases.iter().map(|(facts, _)| facts.clone()).collect();
        let plan = collect(&avatars, &contents, at(10), 11);
        assert_eq!(plan.avatars, [stale.id, other_stale.id]);
        let mut expected = CollectPlan::default();
        for (facts, _) in cases.iter().filter(|(_, goes)| *goes) {
            expected.contents.push(facts.content.sha256);
            expected.collected.blobs.push(facts.content.blob);
            expected.collected.blobs.extend(&facts.variants);
        }
        assert_eq!(
            (plan.contents, plan.collected),
            (expected.contents, expected.collected)
        );
    }

    #[test]
    fn there_may_be_more_where_as_much_was_found_as_was_looked_for() {
        let avatars = [avatar(1, 9, false), avatar(2, 9, true)];
        let contents = [content(1, 9, false, &[])];
        for (limit, more) in [(1, true), (2, true), (3, false)] {
            assert_eq!(
                collect(&avatars, &contents, at(10), limit).collected.more,
                more,
                "{limit}"
            );
            assert_eq!(collect(&[], &contents, at(10), limit).collected.more, limit == 1);
        }
        assert!(!collect(&[], &[], at(10), 1).collected.more);
    }
}

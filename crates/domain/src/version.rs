//! Last-writer-wins (rule W2): one total order over the states that a record can be in.
//!
//! A record's state is the greatest of all states that were ever offered for it. Taking the greatest is commutative,
//! associative and idempotent, so the outcome depends only on the set of edits, never on the order, the batching or the
//! number of replays in which they arrive.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::entity::Content;
use crate::id::ClientId;
use crate::time::{EditTime, UnixMillis};

/// The identity of an edit: when it was made, then by which device. Compared in that order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version {
    /// When the edit was made.
    pub time: EditTime,
    /// The device that made it.
    pub author: ClientId,
}

impl Version {
    /// The version of an edit.
    pub fn new(time: EditTime, author: ClientId) -> Self {
        Self { time, author }
    }
}

/// What an edit says a record should be, as far as last-writer-wins looks at it.
#[derive(Debug, Clone, Copy)]
pub enum MergeState<'a> {
    /// The record lives, with this content and creation time.
    Live(&'a Content, UnixMillis),
    /// The record is deleted. What it held before plays no part.
    Deleted,
}

/// Compares two states of one record: the greater one wins.
///
/// 1. The newer [`Version`] wins.
/// 2. Of equal versions, a delete wins over an update.
/// 3. Else the greater content wins: first the stored document ([`Content::to_document`]), compared as bytes, then the
///    creation time.
///
/// `Equal` means that the two are the same edit: a replay.
pub fn compare(a: (&Version, MergeState<'_>), b: (&Version, MergeState<'_>)) -> Ordering {
    a.0.cmp(b.0).then_with(|| match (a.1, b.1) {
        (MergeState::Deleted, MergeState::Deleted) => Ordering::Equal,
        (MergeState::Deleted, MergeState::Live(..)) => Ordering::Greater,
        (MergeState::Live(..), MergeState::Deleted) => Ordering::Less,
        (MergeState::Live(a, a_created), MergeState::Live(b, b_created)) => a
            .to_document()
            .as_bytes()
            .cmp(b.to_document().as_bytes())
            .then(a_created.cmp(&b_created)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::Memo;
    use crate::text::Text;

    fn version(time: i64, author: &str) -> Version {
        Version::new(EditTime::clamped(time), author.parse().unwrap())
    }

    fn memo(content: &str) -> Content {
        Content::Memo(Memo {
            content: Text::new(content.into()).unwrap(),
            ..Memo::default()
        })
    }

    #[test]
    fn w2_the_newer_edit_time_wins_then_the_greater_client_id() {
        assert!(version(2, "a") > version(1, "z"));
        assert!(version(1, "b") > version(1, "a"));
    }

    #[test]
    fn w2_of_equal_versions_a_delete_wins_then_the_greater_content() {
        let v = version(1, "a");
        let (low, high, at) = (memo("a"), memo("b"), UnixMillis::clamped(0));
        let live = |content| MergeState::Live(content, at);
        assert_eq!(
            compare((&v, MergeState::Deleted), (&v, live(&high))),
            Ordering::Greater
        );
        assert_eq!(compare((&v, live(&high)), (&v, live(&low))), Ordering::Greater);
        assert_eq!(compare((&v, live(&high)), (&v, live(&high))), Ordering::Equal);
        assert_eq!(
            compare((&v, MergeState::Deleted), (&v, MergeState::Deleted)),
            Ordering::Equal
        );
        assert_eq!(
            compare(
                (&v, MergeState::Live(&low, UnixMillis::clamped(1))),
                (&v, live(&low))
            ),
            Ordering::Greater
        );
    }
}

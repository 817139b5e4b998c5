//! A record with everything that sync needs to know about it, whatever its type.

use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::entity::{Content, Entity, RecordKey, SortGroup};
use crate::id::{MemoId, RevisionId};
use crate::stamp::Stamp;
use crate::time::UnixMillis;
use crate::version::{MergeState, Version};
use crate::violation::Violation;

/// One record as the server holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its name within its user.
    pub key: RecordKey,
    /// The edit that it is the outcome of.
    pub version: Version,
    /// Its place in the user's history: that of its latest change.
    pub stamp: Stamp,
    /// When it was made.
    pub created_at: UnixMillis,
    /// How many versions it has had, this one included. Losing edits do not count.
    pub revision_count: u32,
    /// Whether it lives.
    pub state: State,
}

/// Whether a record lives.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// It does.
    Live(Content),
    /// It is a tombstone. What it held is kept until the retention time has passed (H2), and not known at all where the
    /// delete arrived first.
    Deleted(Option<Content>),
}

impl State {
    /// The content, of a live record or the one kept with a tombstone.
    pub fn content(&self) -> Option<&Content> {
        match self {
            Self::Live(content) => Some(content),
            Self::Deleted(kept) => kept.as_ref(),
        }
    }
}

impl Record {
    /// Whether the record is a tombstone.
    pub fn is_deleted(&self) -> bool {
        matches!(self.state, State::Deleted(_))
    }

    /// Whether the record lives, with a content that can't be read. Whatever edit comes takes its place: it has nothing that
    /// could win.
    pub fn is_unreadable(&self) -> bool {
        self.live_content().is_some_and(Content::is_unreadable)
    }

    /// The content of a live record.
    pub fn live_content(&self) -> Option<&Content> {
        match &self.state {
            State::Live(content) => Some(content),
            State::Deleted(_) => None,
        }
    }

    /// What the record claims to be, for last-writer-wins.
    pub fn claim(&self) -> (&Version, MergeState<'_>) {
        let claim = match &self.state {
            State::Live(content) => MergeState::Live(content, self.created_at),
            State::Deleted(_) => MergeState::Deleted,
        };
        (&self.version, claim)
    }

    /// The memo that the record belongs to, live or as it was when it was deleted.
    pub fn parent(&self) -> Option<MemoId> {
        self.state.content().and_then(Content::parent)
    }

    /// The key of the record that it belongs to.
    pub fn parent_key(&self) -> Option<RecordKey> {
        self.parent().map(RecordKey::from)
    }

    /// The records of its type that belong to the same one; `None` where it belongs to none.
    pub fn siblings(&self) -> Option<SortGroup> {
        Some(SortGroup {
            entity_type: self.key.entity_type(),
            parent: Some(self.parent()?),
        })
    }

    /// The record with its type known; `None` when it is a tombstone, of another type, or can't be read.
    pub fn into_live<E: Entity>(self) -> Option<Live<E>> {
        let State::Live(content) = self.state else {
            return None;
        };
        Some(Live {
            key: E::key_of(self.key)?,
            version: self.version,
            stamp: self.stamp,
            created_at: self.created_at,
            revision_count: self.revision_count,
            content: E::from_content(content)?,
        })
    }
}

/// A live record of a known type.
#[derive(Debug, Clone, PartialEq)]
pub struct Live<E: Entity> {
    /// Its key.
    pub key: E::Key,
    /// The edit that it is the outcome of.
    pub version: Version,
    /// Its place in the user's history.
    pub stamp: Stamp,
    /// When it was made.
    pub created_at: UnixMillis,
    /// How many versions it has had.
    pub revision_count: u32,
    /// Its fields.
    pub content: E,
}

/// Why a version was kept (H1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevisionReason {
    /// A newer edit took its place.
    Overwritten,
    /// It lost against a newer edit when it arrived (W4).
    Superseded,
    /// The record was deleted.
    Deleted,
}

impl RevisionReason {
    /// The name on the wire and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Overwritten => "overwritten",
            Self::Superseded => "superseded",
            Self::Deleted => "deleted",
        }
    }
}

impl FromStr for RevisionReason {
    type Err = Violation;
    fn from_str(name: &str) -> Result<Self, Violation> {
        [Self::Overwritten, Self::Superseded, Self::Deleted]
            .into_iter()
            .find(|reason| reason.name() == name)
            .ok_or_else(|| Violation::new("unknown_value", "must be overwritten, superseded or deleted"))
    }
}

/// A version that is not current, kept so that nothing that a person typed is ever gone (H1).
#[derive(Debug, Clone, PartialEq)]
pub struct Revision {
    /// Derived from everything below but `reason` and `recorded_at`: keeping the same version twice keeps it once (W3).
    pub id: RevisionId,
    /// The record.
    pub key: RecordKey,
    /// Who made the edit, and when.
    pub version: Version,
    /// When the record was made, as that version had it.
    pub created_at: UnixMillis,
    /// The whole content.
    pub content: Content,
    /// Why it is not current.
    pub reason: RevisionReason,
    /// When the server kept it.
    pub recorded_at: UnixMillis,
}

impl Revision {
    /// A revision of that version.
    pub fn new(
        key: RecordKey,
        version: Version,
        created_at: UnixMillis,
        content: Content,
        reason: RevisionReason,
        recorded_at: UnixMillis,
    ) -> Self {
        let id = revision_id(key, &version, created_at, &content);
        Self {
            id,
            key,
            version,
            created_at,
            content,
            reason,
            recorded_at,
        }
    }
}

/// The first 16 bytes of a SHA-256 over the parts, each preceded by its length, shaped as a version 8 UUID.
fn revision_id(key: RecordKey, version: &Version, created_at: UnixMillis, content: &Content) -> RevisionId {
    let mut hash = Sha256::new();
    let parts = [
        key.entity_type().name().to_owned(),
        key.to_string(),
        version.time.to_string(),
        version.author.to_string(),
        created_at.to_string(),
        content.to_document(),
    ];
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest = hash.finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    RevisionId::new(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::{EntityType, Memo, Resource, Unreadable};
    use crate::text::Text;
    use crate::{ClientId, EditTime};

    fn memo(state: State) -> Record {
        Record {
            key: MemoId::new(uuid::Uuid::from_u128(1)).into(),
            version: Version {
                time: EditTime::clamped(5),
                author: "phone".parse::<ClientId>().unwrap(),
            },
            stamp: Stamp::clamped(7),
            created_at: UnixMillis::clamped(3),
            revision_count: 2,
            state,
        }
    }

    fn content() -> Memo {
        Memo {
            content: Text::new("x".to_owned()).unwrap(),
            ..Memo::default()
        }
    }

    #[test]
    fn a_record_of_a_type_is_live_and_can_be_read() {
        let live = memo(State::Live(content().into_content()));
        assert!(!live.is_unreadable());
        let read = live.clone().into_live::<Memo>().unwrap();
        assert_eq!(
            (read.stamp, read.revision_count, read.content),
            (live.stamp, 2, content())
        );
        assert_eq!(live.into_live::<Resource>(), None);
        assert_eq!(memo(State::Deleted(None)).into_live::<Memo>(), None);
        let damaged = Content::Unreadable(Unreadable {
            entity_type: EntityType::Memo,
            document: "{".to_owned(),
            parent: None,
            attachment: None,
        });
        let unreadable = memo(State::Live(damaged));
        assert!(unreadable.is_unreadable());
        assert_eq!(unreadable.into_live::<Memo>(), None);
    }

    #[test]
    fn reasons_are_named_on_the_wire_and_in_the_database() {
        for (reason, name) in [
            (RevisionReason::Overwritten, "overwritten"),
            (RevisionReason::Superseded, "superseded"),
            (RevisionReason::Deleted, "deleted"),
        ] {
            assert_eq!((reason.name(), name.parse()), (name, Ok(reason)));
        }
        assert_eq!(
            "lost".parse::<RevisionReason>().unwrap_err().code,
            "unknown_value"
        );
    }
}

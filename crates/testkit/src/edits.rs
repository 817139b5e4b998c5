//! Builders for records and edits: short enough that a test shows what it is about.

use mosaic_domain::entity::{
    Bot, Diary, FileSize, Filename, KeptObject, Memo, MemoPatch, MimeType, Resource, ResourcePatch, Sha256,
    StorageType,
};
use mosaic_domain::text::{Label, Tags, Text};
use mosaic_domain::write::{Action, RecordEdit};
use mosaic_domain::{
    BotId, ClientId, EditTime, Entity, EntityType, MemoId, Patch, RecordKey, ResourceId, Revision, UnixMillis,
};
use uuid::Uuid;

/// The memo with that number as its id.
pub fn memo_id(n: u64) -> MemoId {
    MemoId::new(Uuid::from_u128(u128::from(n)))
}

/// The resource with that number as its id.
pub fn resource_id(n: u64) -> ResourceId {
    ResourceId::new(Uuid::from_u128(u128::from(n)))
}

/// The key of the memo with that number.
pub fn memo_key(n: u64) -> RecordKey {
    RecordKey::Memo(memo_id(n))
}

/// The key of the diary of that day, `YYYY-MM-DD`.
pub fn diary_key(day: &str) -> RecordKey {
    RecordKey::Diary(day.parse().unwrap())
}

/// The key of the resource with that number.
pub fn resource_key(n: u64) -> RecordKey {
    RecordKey::Resource(resource_id(n))
}

/// The key of the bot with that number.
pub fn bot_key(n: u64) -> RecordKey {
    RecordKey::Bot(BotId::new(Uuid::from_u128(u128::from(n))))
}

/// A memo with that text.
pub fn memo(content: &str) -> Memo {
    Memo {
        content: Text::new(content.to_owned()).unwrap(),
        ..Memo::default()
    }
}

/// A memo with that text and those tags.
pub fn tagged(content: &str, tags: &[&str]) -> Memo {
    Memo {
        tags: Tags::new(tags.iter().map(|&tag| tag.to_owned()).collect()).unwrap(),
        ..memo(content)
    }
}

/// A diary with that summary.
pub fn diary(summary: &str) -> Diary {
    Diary {
        summary: Text::new(summary.to_owned()).unwrap(),
        ..Diary::default()
    }
}

/// A picture that belongs to no memo.
pub fn resource(filename: &str) -> Resource {
    Resource {
        memo_id: None,
        filename: Filename::new(filename.to_owned()).unwrap(),
        mime_type: MimeType::new("image/png").unwrap(),
        file_size: FileSize::clamped(12_345),
        sha256: None,
        storage_type: StorageType::Local,
        sort_order: 0,
        metadata: KeptObject::default(),
    }
}

/// A picture that belongs to a memo.
pub fn resource_of(memo: MemoId, filename: &str) -> Resource {
    Resource {
        memo_id: Some(memo),
        ..resource(filename)
    }
}

/// The hash with that number at its end.
pub fn hash(n: u64) -> Sha256 {
    let mut bytes = [0; 32];
    bytes[24..].copy_from_slice(&n.to_be_bytes());
    Sha256::from_bytes(bytes)
}

/// A picture that belongs to no memo and whose bytes have the hash with that number.
pub fn filled(filename: &str, n: u64) -> Resource {
    Resource {
        sha256: Some(hash(n)),
        ..resource(filename)
    }
}

/// A bot with that name.
pub fn bot(name: &str) -> Bot {
    Bot {
        name: Label::new(name.to_owned()).unwrap(),
        avatar_url: None,
        description: Text::default(),
        tags: Tags::default(),
        auto_reply: false,
        sort_order: 0,
        model: None,
        ai_config: None,
    }
}

/// A device's name.
pub fn by(author: &str) -> ClientId {
    author.parse().unwrap()
}

/// An edit that writes a whole record, made by `phone`, without an edit time.
pub fn put(key: RecordKey, content: impl Entity) -> RecordEdit {
    let action = Action::Put {
        content: content.into_content(),
        created_at: None,
        unplaced: false,
        overwrites: key.entity_type() == EntityType::Diary,
        attachments: None,
    };
    edit(key, action)
}

/// An edit that writes some fields, made by `phone`, without an edit time.
pub fn patch(key: RecordKey, patch: Patch) -> RecordEdit {
    let action = Action::Patch {
        patch,
        created_at: None,
        attachments: None,
    };
    edit(key, action)
}

/// An edit that writes a memo's text, made by `phone`, without an edit time.
pub fn patch_memo(n: u64, content: &str) -> RecordEdit {
    let content = Some(Text::new(content.to_owned()).unwrap());
    let changes = MemoPatch {
        content,
        ..MemoPatch::default()
    };
    patch(memo_key(n), Patch::Memo(changes))
}

/// An edit that brings the bytes of a resource, made by `phone`, without an edit time. Of a record that is there it changes
/// what is said of the bytes.
pub fn fill(key: RecordKey, content: Resource) -> RecordEdit {
    let patch = ResourcePatch {
        mime_type: Some(content.mime_type.clone()),
        file_size: Some(content.file_size),
        sha256: Some(content.sha256),
        ..ResourcePatch::default()
    };
    let action = Action::Fill {
        content: content.into_content(),
        created_at: None,
        patch: Patch::Resource(patch),
    };
    edit(key, action)
}

/// An edit that deletes a record, made by `phone`, without an edit time.
pub fn delete(key: RecordKey) -> RecordEdit {
    edit(
        key,
        Action::Delete {
            buries_unknown: false,
        },
    )
}

/// An edit that deletes a record as a bulk push does, made by `phone`, without an edit time: one that is unknown gets a
/// tombstone too.
pub fn bury(key: RecordKey) -> RecordEdit {
    let buries_unknown = true;
    edit(key, Action::Delete { buries_unknown })
}

/// An edit that restores a revision, made by `phone`, without an edit time.
pub fn restore(revision: &Revision) -> RecordEdit {
    let action = Action::Put {
        content: revision.content.clone(),
        created_at: Some(revision.created_at),
        unplaced: false,
        overwrites: true,
        attachments: None,
    };
    edit(revision.key, action)
}

fn edit(key: RecordKey, action: Action) -> RecordEdit {
    RecordEdit {
        key,
        author: by("phone"),
        time: None,
        action,
    }
}

/// What an edit may say besides.
pub trait EditExt: Sized {
    /// The device that made it.
    fn by(self, author: &str) -> Self;
    /// When it was made, in milliseconds.
    fn at(self, ms: i64) -> Self;
    /// When the record was made, in milliseconds.
    fn created(self, ms: i64) -> Self;
    /// That it names no place among the siblings.
    fn unplaced(self) -> Self;
    /// The resources that the memo has from now on.
    fn attaching(self, resources: &[u64]) -> Self;
}

impl EditExt for RecordEdit {
    fn by(self, author: &str) -> Self {
        let author = by(author);
        Self { author, ..self }
    }

    fn at(self, ms: i64) -> Self {
        let time = Some(EditTime::new(ms).unwrap());
        Self { time, ..self }
    }

    fn created(mut self, ms: i64) -> Self {
        match &mut self.action {
            Action::Put { created_at, .. }
            | Action::Patch { created_at, .. }
            | Action::Fill { created_at, .. } => {
                *created_at = Some(UnixMillis::new(ms).unwrap());
            }
            Action::Delete { .. } => {}
        }
        self
    }

    fn unplaced(mut self) -> Self {
        if let Action::Put { unplaced, .. } = &mut self.action {
            *unplaced = true;
        }
        self
    }

    fn attaching(mut self, resources: &[u64]) -> Self {
        match &mut self.action {
            Action::Put { attachments, .. } | Action::Patch { attachments, .. } => {
                *attachments = Some(resources.iter().copied().map(resource_id).collect());
            }
            Action::Fill { .. } | Action::Delete { .. } => {}
        }
        self
    }
}

//! Builders for records and edits: short enough that a test shows what it is about.

use mosaic_domain::entity::{
    Bot, BotPatch, Diary, DiaryPatch, FileSize, Filename, KeptObject, Memo, MemoPatch, MimeType, Resource,
    ResourcePatch, Sha256, StorageType,
};
use mosaic_domain::text::{Label, Tags, Text};
use mosaic_domain::write::{Action, RecordEdit};
use mosaic_domain::{
    BotId, ClientId, Content, EditTime, Entity, MemoId, Patch, RecordKey, ResourceId, Revision, UnixMillis,
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

/// A partial edit that names every field, those that are empty too.
pub fn every_field(content: Content) -> Patch {
    match content {
        Content::Memo(memo) => Patch::Memo(MemoPatch {
            content: Some(memo.content),
            tags: Some(memo.tags),
            is_archived: Some(memo.is_archived),
            diary_date: Some(memo.diary_date),
            ai_summary: Some(memo.ai_summary),
        }),
        Content::Diary(diary) => Patch::Diary(DiaryPatch {
            summary: Some(diary.summary),
            mood_key: Some(diary.mood_key),
            mood_score: Some(diary.mood_score),
            generation_source: Some(diary.generation_source),
            auto_generation_locked: Some(diary.auto_generation_locked),
            generated_from_memo_ids: Some(diary.generated_from_memo_ids),
            last_auto_generated_at: Some(diary.last_auto_generated_at),
        }),
        Content::Resource(resource) => Patch::Resource(ResourcePatch {
            memo_id: Some(resource.memo_id),
            filename: Some(resource.filename),
            mime_type: Some(resource.mime_type),
            file_size: Some(resource.file_size),
            sha256: Some(resource.sha256),
            storage_type: Some(resource.storage_type),
            sort_order: Some(resource.sort_order),
            metadata: Some(resource.metadata),
        }),
        Content::Bot(bot) => Patch::Bot(BotPatch {
            name: Some(bot.name),
            avatar_url: Some(bot.avatar_url),
            description: Some(bot.description),
            tags: Some(bot.tags),
            auto_reply: Some(bot.auto_reply),
            sort_order: Some(bot.sort_order),
            model: Some(bot.model),
            ai_config: Some(bot.ai_config),
        }),
        Content::Unreadable(_) => panic!("nobody writes what can't be read"),
    }
}

/// An edit that writes every field of a record, there or not, made by `phone`, without an edit time.
pub fn put(key: RecordKey, content: impl Entity) -> RecordEdit {
    create(key, every_field(content.into_content()))
}

/// An edit that writes some fields of a record, there or not, made by `phone`, without an edit time.
pub fn create(key: RecordKey, patch: Patch) -> RecordEdit {
    let action = Action::Patch {
        patch,
        created_at: None,
        attachments: None,
        creates: true,
    };
    edit(key, action)
}

/// What an edit writes where nothing is stored. `None` where it makes no record.
pub fn new_content(edit: &RecordEdit) -> Option<Content> {
    match &edit.action {
        Action::Patch { patch, .. } => patch.to_new_content().ok(),
        Action::Put { content, .. } => Some(content.clone()),
        Action::AttachContent { .. } | Action::Delete { .. } => None,
    }
}

/// An edit that writes some fields of a record that is there, made by `phone`, without an edit time.
pub fn patch(key: RecordKey, patch: Patch) -> RecordEdit {
    let action = Action::Patch {
        patch,
        created_at: None,
        attachments: None,
        creates: false,
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

/// An edit that brings the bytes of a resource, made by `phone`, without an edit time. It names the memo only where there is one.
pub fn fill(key: RecordKey, content: Resource) -> RecordEdit {
    let patch = ResourcePatch {
        memo_id: content.memo_id.map(Some),
        filename: Some(content.filename),
        mime_type: Some(content.mime_type),
        file_size: Some(content.file_size),
        sha256: Some(content.sha256),
        ..ResourcePatch::default()
    };
    let created_at = None;
    edit(key, Action::AttachContent { patch, created_at })
}

/// An edit that deletes a record, made by `phone`, without an edit time.
pub fn delete(key: RecordKey) -> RecordEdit {
    edit(
        key,
        Action::Delete {
            tombstone_if_missing: false,
        },
    )
}

/// An edit that deletes a record as a bulk push does, made by `phone`, without an edit time: one that is unknown gets a
/// tombstone too.
pub fn bury(key: RecordKey) -> RecordEdit {
    let tombstone_if_missing = true;
    edit(key, Action::Delete { tombstone_if_missing })
}

/// An edit that restores a revision, made by `phone`, without an edit time.
pub fn restore(revision: &Revision) -> RecordEdit {
    overwrite(revision.key, revision.content.clone(), revision.created_at)
}

/// An edit that writes a whole record over whatever is stored, made by `phone`, without an edit time.
pub fn overwrite(key: RecordKey, content: Content, created_at: UnixMillis) -> RecordEdit {
    edit(key, Action::Put { content, created_at })
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
    fn append_to_end(self) -> Self;
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
            Action::Patch { created_at, .. } | Action::AttachContent { created_at, .. } => {
                *created_at = Some(UnixMillis::new(ms).unwrap());
            }
            Action::Put { .. } | Action::Delete { .. } => {}
        }
        self
    }

    fn append_to_end(mut self) -> Self {
        if let Action::Patch { patch, .. } = &mut self.action {
            match patch {
                Patch::Resource(patch) => patch.sort_order = None,
                Patch::Bot(patch) => patch.sort_order = None,
                Patch::Memo(_) | Patch::Diary(_) => {}
            }
        }
        self
    }

    fn attaching(mut self, resources: &[u64]) -> Self {
        if let Action::Patch { attachments, .. } = &mut self.action {
            *attachments = Some(resources.iter().copied().map(resource_id).collect());
        }
        self
    }
}

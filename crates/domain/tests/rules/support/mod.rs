//! What the property tests draw from: few keys, few devices and few times, so that edits meet.

pub(crate) mod world;

use mosaic_domain::entity::{BotPatch, DiaryPatch, MemoPatch, Resource, ResourcePatch};
use mosaic_domain::write::RecordEdit;
use mosaic_domain::{Content, EditTime, Entity, Patch, RecordKey, Version};
use mosaic_testkit::{
    EditExt, bot, bot_key, by, create, delete, diary, diary_key, every_field, fill, filled, hash, memo,
    memo_id, memo_key, new_content, put, resource, resource_key, resource_of, tagged,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

/// The same cases in every run, and no files left behind.
pub(crate) fn config(cases: u32) -> Config {
    Config {
        rng_seed: RngSeed::Fixed(2),
        failure_persistence: None,
        ..Config::with_cases(cases)
    }
}

/// One of a few versions.
pub(crate) fn versions() -> impl Strategy<Value = Version> {
    let author = prop_oneof![Just("a"), Just("b"), Just("c")];
    (0..4_i64, author).prop_map(|(time, author)| Version::new(EditTime::clamped(time), by(author)))
}

/// One of a few memos.
pub(crate) fn memos() -> impl Strategy<Value = Content> {
    prop_oneof![Just(""), Just("x"), Just("y")].prop_map(|text| memo(text).into_content())
}

/// An edit of a whole record, with its edit time and creation time: put or delete, of one of a few records of each type.
/// Resources belong to no memo: what becomes of an attached one depends on the memo as well (W9).
pub(crate) fn whole_edits() -> impl Strategy<Value = RecordEdit> {
    let text = prop_oneof![Just("x"), Just("y"), Just("z")];
    (
        0..6_usize,
        versions(),
        proptest::option::weighted(0.7, (text, 0..2_i64)),
    )
        .prop_map(|(record, version, content)| {
            let edit = match content {
                Some((text, created)) => put_of(record, text).created(created),
                None => delete(key_of(record)),
            };
            edit.by(version.author.as_str()).at(version.time.get())
        })
}

/// An edit of some fields of a record, or a delete, with its edit time. Each names what a new record needs, so that none depends on
/// another that made the record.
pub(crate) fn partial_edits() -> impl Strategy<Value = RecordEdit> {
    let text = prop_oneof![Just("x"), Just("y")];
    let named = (any::<bool>(), any::<bool>(), any::<bool>());
    let what = proptest::option::weighted(0.85, (text, named));
    (0..6_usize, versions(), what).prop_map(|(record, version, what)| {
        let edit = match what {
            Some((text, named)) => create(key_of(record), some_fields(record, text, named)),
            None => delete(key_of(record)),
        };
        edit.by(version.author.as_str()).at(version.time.get())
    })
}

fn some_fields(record: usize, text: &str, (first, second, third): (bool, bool, bool)) -> Patch {
    let label = |named: bool| named.then(|| tagged("", &[text]).tags);
    match every_field(put_content(record, text)) {
        Patch::Memo(memo) => Patch::Memo(MemoPatch {
            content: memo.content,
            tags: label(first),
            is_archived: second.then_some(third),
            ..MemoPatch::default()
        }),
        Patch::Diary(diary) => Patch::Diary(DiaryPatch {
            summary: diary.summary.filter(|_| first),
            auto_generation_locked: second.then_some(third),
            ..DiaryPatch::default()
        }),
        Patch::Resource(resource) => Patch::Resource(ResourcePatch {
            filename: resource.filename,
            file_size: resource.file_size,
            sha256: first.then(|| third.then(|| hash(1))),
            sort_order: second.then_some(7),
            ..ResourcePatch::default()
        }),
        Patch::Bot(bot) => Patch::Bot(BotPatch {
            name: bot.name,
            tags: label(first),
            auto_reply: second.then_some(third),
            ..BotPatch::default()
        }),
    }
}

fn put_content(record: usize, text: &str) -> Content {
    new_content(&put_of(record, text)).expect("a whole record")
}

fn key_of(record: usize) -> RecordKey {
    match record {
        0 | 1 => memo_key(record as u64),
        2 | 3 => diary_key(&format!("2026-05-0{record}")),
        4 => resource_key(4),
        _ => bot_key(5),
    }
}

fn put_of(record: usize, text: &str) -> RecordEdit {
    let key = key_of(record);
    match record {
        0 | 1 => put(key, memo(text)),
        2 | 3 => put(key, diary(text)),
        4 => put(key, resource(text)),
        _ => put(key, bot(text)),
    }
}

/// An edit as devices make them: with or without a time, memos with their resources, bytes, deletes and returns.
pub(crate) fn any_edits() -> impl Strategy<Value = RecordEdit> {
    let time = proptest::option::weighted(0.6, 0..30_i64);
    let author = prop_oneof![Just("a"), Just("b")];
    let what = (0..9_usize, 0..4_u64, 0..4_u64, 0..3_usize);
    (what, time, author).prop_map(|((kind, n, m, text), time, author)| {
        let text = ["x", "y", "z"][text];
        let edit = match kind {
            0 | 1 => put(memo_key(n), memo(text)),
            2 => delete(memo_key(n)),
            3 | 4 => put(resource_key(n), resource_of(memo_id(m), text)),
            5 => delete(resource_key(n)),
            6 => {
                let bytes = Resource {
                    memo_id: Some(memo_id(m)),
                    ..filled(text, m)
                };
                fill(resource_key(n), bytes)
            }
            7 => mosaic_testkit::patch_memo(n, text).attaching(&[m]),
            _ => put(diary_key(&format!("2026-05-0{}", n + 1)), diary(text)),
        };
        let edit = edit.by(author);
        match time {
            Some(time) => edit.at(time),
            None => edit,
        }
    })
}

//! Lists, search, tags, and content at its limits.

use mosaic_domain::entity::{Bot, Filename, KeptObject, Memo, MimeType, Resource};
use mosaic_domain::query::{Order, PageNumber, RecordQuery};
use mosaic_domain::text::{Label, Tags, Text};
use mosaic_domain::{Content, DiaryDate, EntityType, MAX_SAFE_INTEGER, TimeZone, UserId};

use crate::{
    EditExt, Harness, bot, bot_key, delete, diary, diary_key, memo, memo_id, memo_key, patch_memo, put,
    resource, resource_key, resource_of, tagged,
};

pub(super) fn everything(entity: EntityType, order: Order) -> RecordQuery {
    RecordQuery::all(entity, order, PageNumber::EVERYTHING)
}

fn memos() -> RecordQuery {
    everything(EntityType::Memo, Order::NewestFirst)
}

fn day(text: &str) -> DiaryDate {
    text.parse().unwrap()
}

/// The last digits of the keys that a query lists; the total must be their number.
pub(super) async fn listed(h: &Harness, user: UserId, query: &RecordQuery) -> Vec<String> {
    let listing = h.list(user, query).await;
    assert_eq!(listing.total, listing.items.len() as u64);
    listing
        .items
        .iter()
        .map(|record| short(&record.key.to_string()))
        .collect()
}

fn short(key: &str) -> String {
    match key.rsplit_once('-') {
        Some((_, last)) if key.len() == 36 => last.trim_start_matches('0').to_owned(),
        _ => key.to_owned(),
    }
}

/// Lists are ordered by creation, the newest first, equal ones by key; tombstones are in none.
pub async fn lists_show_live_records_newest_first(h: &Harness) {
    let user = h.user().await;
    let made = [(1, 10), (2, 30), (3, 20), (5, 20), (4, 20), (6, 40)];
    let edits = made.map(|(n, created)| put(memo_key(n), memo("x")).at(100).created(created));
    h.write(user, edits).await;
    h.write(user, [delete(memo_key(6)), delete(memo_key(7)).at(100)])
        .await;
    assert_eq!(listed(h, user, &memos()).await, ["2", "3", "4", "5", "1"]);
    h.write(user, [patch_memo(1, "edited later")]).await;
    assert_eq!(listed(h, user, &memos()).await, ["2", "3", "4", "5", "1"]);
}

/// Pages cut one list; each says how many there are on all.
pub async fn lists_are_paged(h: &Harness) {
    let user = h.user().await;
    let edits: Vec<_> = (1..=5).map(|n| put(memo_key(n), memo("x")).at(100)).collect();
    h.write(user, edits).await;
    let mut pages = Vec::new();
    for number in 1..=4 {
        let query = RecordQuery {
            page: PageNumber::new(number, 2).unwrap(),
            ..memos()
        };
        let listing = h.list(user, &query).await;
        assert_eq!(listing.total, 5);
        pages.push(
            listing
                .items
                .iter()
                .map(|record| short(&record.key.to_string()))
                .collect::<Vec<_>>(),
        );
    }
    assert_eq!(pages, [vec!["1", "2"], vec!["3", "4"], vec!["5"], vec![]]);
    let far = RecordQuery {
        page: PageNumber::new(i64::from(u32::MAX), 200).unwrap(),
        ..memos()
    };
    assert_eq!(h.list(user, &far).await.items, []);
}

/// Archived or not, and filed under a day: also as lists follow an edit.
pub async fn lists_filter_by_archive_and_day(h: &Harness) {
    let user = h.user().await;
    let filed = |n: u64, is_archived: bool, date: Option<&str>| {
        let memo = Memo {
            is_archived,
            diary_date: date.map(day),
            ..memo("x")
        };
        put(memo_key(n), memo).at(100 + i64::try_from(n).unwrap())
    };
    let edits = [
        filed(1, false, None),
        filed(2, true, Some("2026-05-16")),
        filed(3, false, Some("2026-05-17")),
    ];
    h.write(user, edits).await;
    let archived = |archived| RecordQuery {
        archived: Some(archived),
        ..memos()
    };
    assert_eq!(listed(h, user, &archived(true)).await, ["2"]);
    assert_eq!(listed(h, user, &archived(false)).await, ["3", "1"]);
    let on = |date| RecordQuery {
        day: Some(day(date)),
        ..memos()
    };
    assert_eq!(listed(h, user, &on("2026-05-16")).await, ["2"]);
    h.write(user, [filed(2, false, Some("2026-05-17")).at(200).created(102)])
        .await;
    assert_eq!(listed(h, user, &archived(true)).await, Vec::<String>::new());
    assert_eq!(listed(h, user, &on("2026-05-17")).await, ["3", "2"]);
    let both = RecordQuery {
        archived: Some(false),
        ..on("2026-05-16")
    };
    assert_eq!(listed(h, user, &both).await, Vec::<String>::new());
}

/// By moment of creation, the end left out; a day's list also has what was made on it.
pub async fn lists_filter_by_creation(h: &Harness) {
    let user = h.user().await;
    let shanghai: TimeZone = "Asia/Shanghai".parse().unwrap();
    let may_16 = shanghai.day(day("2026-05-16"));
    let (begin, end) = (may_16.begin.get(), may_16.end.get());
    let filed = Memo {
        diary_date: Some(day("2026-05-16")),
        ..memo("x")
    };
    let made = [(1, begin - 1), (2, begin), (3, end - 1), (4, end)];
    h.write(
        user,
        made.map(|(n, created)| put(memo_key(n), memo("x")).created(created)),
    )
    .await;
    h.write(user, [put(memo_key(5), filed).created(7)]).await;
    let on_day = RecordQuery {
        on_day: Some(may_16),
        ..memos()
    };
    assert_eq!(listed(h, user, &on_day).await, ["3", "2", "5"]);
    let between = RecordQuery {
        created_from: Some(may_16.begin),
        created_before: Some(may_16.end),
        ..memos()
    };
    assert_eq!(listed(h, user, &between).await, ["3", "2"]);
    let after = RecordQuery {
        created_from: Some(may_16.end),
        ..memos()
    };
    assert_eq!(listed(h, user, &after).await, ["4"]);
}

/// Diaries from the latest day to the first, within dates, both ends included.
pub async fn diaries_are_listed_by_date(h: &Harness) {
    let user = h.user().await;
    let days = [
        "0001-01-01",
        "2025-12-31",
        "2026-01-01",
        "2026-05-16",
        "9999-12-31",
    ];
    h.write(user, days.map(|day| put(diary_key(day), diary("x"))))
        .await;
    let all = everything(EntityType::Diary, Order::KeyDescending);
    let mut latest_first = days;
    latest_first.reverse();
    assert_eq!(listed(h, user, &all).await, latest_first);
    let within = RecordQuery {
        date_from: Some(day("2025-12-31")),
        date_to: Some(day("2026-05-16")),
        ..all.clone()
    };
    assert_eq!(
        listed(h, user, &within).await,
        ["2026-05-16", "2026-01-01", "2025-12-31"]
    );
    let until = RecordQuery {
        date_to: Some(day("2025-12-31")),
        ..all
    };
    assert_eq!(listed(h, user, &until).await, ["2025-12-31", "0001-01-01"]);
}

/// Siblings by memo and place, those of no memo first, equal places by key; places may be negative.
pub async fn siblings_are_listed_by_memo_and_place(h: &Harness) {
    let user = h.user().await;
    h.write(user, [1, 2].map(|n| put(memo_key(n), memo("x")))).await;
    let placed = |n: u64, memo: Option<u64>, sort_order: i64| {
        let content = Resource {
            memo_id: memo.map(memo_id),
            sort_order,
            ..resource("a.png")
        };
        put(resource_key(n), content)
    };
    let edits = [
        placed(1, Some(2), 0),
        placed(2, Some(1), 10),
        placed(3, Some(1), 9),
        placed(4, None, 5),
        placed(6, Some(1), -MAX_SAFE_INTEGER),
        placed(5, Some(1), 9),
    ];
    h.write(user, edits).await;
    let all = everything(EntityType::Resource, Order::Siblings);
    assert_eq!(listed(h, user, &all).await, ["4", "6", "3", "5", "2", "1"]);
    let of = |memos: &[u64]| RecordQuery {
        parents: Some(memos.iter().copied().map(memo_id).collect()),
        ..all.clone()
    };
    assert_eq!(listed(h, user, &of(&[2])).await, ["1"]);
    assert_eq!(listed(h, user, &of(&[2, 1])).await, ["6", "3", "5", "2", "1"]);
    assert_eq!(listed(h, user, &of(&[9])).await, Vec::<String>::new());
    assert_eq!(listed(h, user, &of(&[])).await, Vec::<String>::new());
    h.write(
        user,
        [
            put(bot_key(1), bot("b")).append_to_end(),
            put(bot_key(2), bot("a")).append_to_end(),
        ],
    )
    .await;
    assert_eq!(
        listed(h, user, &everything(EntityType::Bot, Order::Siblings)).await,
        ["1", "2"]
    );
}

/// Every tag that is named must be there, letter by letter.
pub async fn lists_filter_by_tags(h: &Harness) {
    let user = h.user().await;
    let edits = [
        put(memo_key(1), tagged("x", &["work", "日記"])).created(3),
        put(memo_key(2), tagged("x", &["work", "a\"b'c%_\\"])).created(2),
        put(memo_key(3), tagged("work", &["Work"])).created(1),
    ];
    h.write(user, edits).await;
    let with = |tags: &[&str]| RecordQuery {
        tags: tags
            .iter()
            .map(|&tag| Label::new(tag.to_owned()).unwrap())
            .collect(),
        ..memos()
    };
    assert_eq!(listed(h, user, &with(&["work"])).await, ["1", "2"]);
    assert_eq!(listed(h, user, &with(&["work", "日記"])).await, ["1"]);
    assert_eq!(listed(h, user, &with(&["a\"b'c%_\\"])).await, ["2"]);
    assert_eq!(listed(h, user, &with(&["wor"])).await, Vec::<String>::new());
}

/// Tags with their counts, the most frequent first, equal ones in code point order; live records of one type only.
pub async fn tags_are_counted(h: &Harness) {
    let user = h.user().await;
    let edits = [
        put(memo_key(1), tagged("x", &["b", "é", "common"])),
        put(memo_key(2), tagged("x", &["common", "a", "Z", "日"])),
        put(memo_key(3), tagged("x", &["gone", "a"])),
        put(memo_key(4), tagged("x", &["common", "😀"])),
    ];
    h.write(user, edits).await;
    let with_tags = Bot {
        tags: Tags::new(vec!["of a bot".into()]).unwrap(),
        ..bot("x")
    };
    h.write(user, [put(bot_key(1), with_tags), delete(memo_key(3))])
        .await;
    let tags = |entity| async move {
        let tags = h.stores.reader.tags(user, entity).await.unwrap();
        tags.into_iter()
            .map(|tag| (tag.tag, tag.count))
            .collect::<Vec<_>>()
    };
    let expected = [
        ("common", 3),
        ("Z", 1),
        ("a", 1),
        ("b", 1),
        ("é", 1),
        ("日", 1),
        ("😀", 1),
    ];
    assert_eq!(
        tags(EntityType::Memo).await,
        expected.map(|(tag, count)| (tag.to_owned(), count))
    );
    assert_eq!(tags(EntityType::Bot).await, [("of a bot".to_owned(), 1)]);
    assert!(tags(EntityType::Diary).await.is_empty());
}

/// Text of all planes of Unicode, with every character that a store could stumble over, of exactly so many bytes.
fn text_of_all_planes(bytes: usize) -> String {
    let odd = "\u{1}\t\r\n\u{7f}\u{85}\u{feff}\u{fffd}\u{ffff}\u{2028}\\\"'%_`$\u{200d}e\u{301}\u{202e}";
    let planes: String = (0..=16_u32)
        .filter_map(|plane| char::from_u32(plane * 0x1_0000 + 0xfffd))
        .collect();
    let mut text = String::with_capacity(bytes);
    while text.len() + odd.len() + planes.len() <= bytes {
        text.push_str(odd);
        text.push_str(&planes);
    }
    while text.len() < bytes {
        text.push('x');
    }
    text
}

async fn assert_round_trips(h: &Harness, user: UserId, key: mosaic_domain::RecordKey, content: Content) {
    let stored = h.record(user, key).await.unwrap();
    assert!(
        stored.live_content() == Some(&content),
        "{key} changed on its way"
    );
    let device = h.fresh_device(user).await;
    assert!(device.content(key) == Some(content), "{key} changed on its way");
}

/// A memo as large as it may be comes back to the byte.
pub async fn the_largest_memo_comes_back_to_the_byte(h: &Harness) {
    let user = h.user().await;
    let tags = (0..100)
        .map(|n| format!("{n:03}{}", "\u{10fffd}".repeat(97)))
        .collect();
    let largest = Memo {
        content: Text::new(text_of_all_planes(1024 * 1024)).unwrap(),
        tags: Tags::new(tags).unwrap(),
        is_archived: true,
        diary_date: Some(day("9999-12-31")),
        ai_summary: Some(Text::new(text_of_all_planes(64 * 1024)).unwrap()),
    };
    let author = "\u{1f600}".repeat(64);
    h.write(user, [put(memo_key(1), largest.clone()).by(&author)])
        .await;
    assert_round_trips(h, user, memo_key(1), Content::Memo(largest)).await;
    assert_eq!(
        h.record(user, memo_key(1)).await.unwrap().version.author.as_str(),
        author
    );
}

/// Empty is not nothing, and nothing is not empty.
pub async fn empty_texts_come_back_empty(h: &Harness) {
    let user = h.user().await;
    let empty = Memo {
        ai_summary: Some(Text::default()),
        ..Memo::default()
    };
    h.write(
        user,
        [put(memo_key(1), empty.clone()), put(memo_key(2), Memo::default())],
    )
    .await;
    assert_round_trips(h, user, memo_key(1), Content::Memo(empty)).await;
    assert_round_trips(h, user, memo_key(2), Content::Memo(Memo::default())).await;
}

/// Objects that apps keep come back as they were, numbers to the last digit.
pub async fn kept_objects_come_back_to_the_last_digit(h: &Harness) {
    let user = h.user().await;
    let numbers = r#"{"a":0.1,"b":1e300,"c":-9223372036854775808,"d":18446744073709551615,"e":5e-324,"f":[null,true,{"":""}]}"#;
    let odd: KeptObject = serde_json::from_str(numbers).unwrap();
    let name = "n".repeat(16 * 1024 - r#"{"n":""}"#.len());
    let large: KeptObject = serde_json::from_str(&format!(r#"{{"n":"{name}"}}"#)).unwrap();
    let attached = Resource {
        metadata: odd.clone(),
        filename: Filename::new("ß".repeat(255)).unwrap(),
        mime_type: MimeType::new(&format!("a/{}", "b".repeat(125))).unwrap(),
        sha256: Some("0f".repeat(32).parse().unwrap()),
        ..resource("a.png")
    };
    let full = Bot {
        ai_config: Some(large),
        avatar_url: Some(Label::new("u".repeat(2_048)).unwrap()),
        model: Some(Label::new("m".repeat(255)).unwrap()),
        ..bot("😀")
    };
    h.write(
        user,
        [
            put(resource_key(1), attached.clone()),
            put(bot_key(1), full.clone()),
        ],
    )
    .await;
    assert_round_trips(h, user, resource_key(1), Content::Resource(attached)).await;
    assert_round_trips(h, user, bot_key(1), Content::Bot(full)).await;
}

/// A record is read with everything that the plan said of it, whatever its type and state.
pub async fn a_record_is_read_as_it_was_planned(h: &Harness) {
    let user = h.user().await;
    h.write(user, [put(memo_key(1), memo("x"))]).await;
    let edits = [
        put(diary_key("2026-05-16"), diary("b")).at(7).created(3),
        put(resource_key(1), resource_of(memo_id(1), "c.png")),
        put(bot_key(1), bot("d")).by("tablet"),
        delete(memo_key(2)).at(9),
        delete(memo_key(1)).at(5),
    ];
    let plan = h.write(user, edits).await;
    assert!(plan.records.len() >= 4);
    for record in plan.records {
        assert_eq!(h.record(user, record.key).await, Some(record));
    }
    assert_eq!(h.record(user, memo_key(99)).await, None);
}

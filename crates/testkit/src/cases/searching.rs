//! Searches: what they find, and those that are meant to cost much: many tags, long terms, texts that look like what is
//! looked for.

use mosaic_domain::entity::Memo;
use mosaic_domain::query::{Order, PageNumber, RecordQuery};
use mosaic_domain::search::SearchTerms;
use mosaic_domain::text::{Label, Tag, Tags, Text};
use mosaic_domain::{EntityType, UserId};

use super::reading::{everything, listed};
use crate::{EditExt, Harness, bot, bot_key, delete, memo, memo_key, patch_memo, put, tagged};

fn memos() -> RecordQuery {
    RecordQuery::all(EntityType::Memo, Order::NewestFirst, PageNumber::EVERYTHING)
}

/// How many memos contain these terms.
async fn found(h: &Harness, user: UserId, terms: &str) -> u64 {
    let query = RecordQuery {
        search: SearchTerms::parse(terms).unwrap(),
        ..memos()
    };
    h.list(user, &query).await.total
}

/// As many tags as a record may have, looked for in many records: only those with all of them are found.
pub async fn as_many_tags_as_there_may_be_are_looked_for(h: &Harness) {
    let user = h.user().await;
    let names: Vec<String> = (0..Tags::MAX).map(|n| format!("tag {n}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let edits: Vec<_> = (0..200)
        .map(|n| {
            let carried = if n % 50 == 0 { &all[..] } else { &all[1..] };
            put(memo_key(n + 1), tagged("x", carried))
        })
        .collect();
    h.write(user, edits).await;
    let tags: Vec<Tag> = names
        .iter()
        .map(|name| Label::new(name.clone()).unwrap())
        .collect();
    let query = RecordQuery { tags, ..memos() };
    assert_eq!(h.list(user, &query).await.total, 4);
}

/// A term as long as a search may be is found where the text has it to the last character, in short texts and in long
/// ones.
pub async fn long_terms_are_found_to_the_last_character(h: &Harness) {
    let user = h.user().await;
    let mut term: String = (0..SearchTerms::MAX_CHARS).map(|n| n.to_string()).collect();
    term.truncate(SearchTerms::MAX_CHARS);
    let padding = "lorem ipsum dolor ".repeat(1_000);
    let changed = |at: usize| format!("{}!{}", &term[..at], &term[at + 1..]);
    let texts = [
        term.clone(),
        format!("{padding}{term}{padding}"),
        changed(0),
        changed(SearchTerms::MAX_CHARS / 2),
        changed(SearchTerms::MAX_CHARS - 1),
        format!("{padding}{}{padding}", changed(SearchTerms::MAX_CHARS / 2)),
    ];
    let edits: Vec<_> = (1..)
        .zip(&texts)
        .map(|(n, text)| put(memo_key(n), memo(text)))
        .collect();
    h.write(user, edits).await;
    assert_eq!(found(h, user, &term).await, 2);
    assert_eq!(found(h, user, &term[1..600]).await, 4);
    assert_eq!(found(h, user, &"a".repeat(SearchTerms::MAX_CHARS)).await, 0);
}

/// A text that has every run of three characters of a term, and not the term, is not found; nor is one that has all terms
/// but one.
pub async fn what_only_looks_like_a_term_is_not_found(h: &Harness) {
    let user = h.user().await;
    let padding = "z".repeat(10_000);
    let alike = "abcd bcde cdef";
    let texts = [
        alike.to_owned(),
        format!("{padding} {alike} {padding}"),
        format!("{padding} abcdef {padding}"),
        "abcdef".to_owned(),
    ];
    let edits: Vec<_> = (1..)
        .zip(&texts)
        .map(|(n, text)| put(memo_key(n), memo(text)))
        .collect();
    h.write(user, edits).await;
    assert_eq!(found(h, user, "abcdef").await, 2);
    assert_eq!(found(h, user, "abcd").await, 4);
    assert_eq!(found(h, user, "abcdef zzzz").await, 1);
    let many = (0..SearchTerms::MAX - 1)
        .map(|_| "abcdef")
        .collect::<Vec<_>>()
        .join(" ");
    assert_eq!(found(h, user, &many).await, 2);
    assert_eq!(found(h, user, &format!("{many} missing")).await, 0);
}

/// Each page of a search says how many there are on all, the one past the end too.
pub async fn a_search_is_paged(h: &Harness) {
    let user = h.user().await;
    let text = |n: u64| {
        if n.is_multiple_of(2) {
            "found here"
        } else {
            "not this"
        }
    };
    let edits: Vec<_> = (1..=9).map(|n| put(memo_key(n), memo(text(n)))).collect();
    h.write(user, edits).await;
    let mut seen = Vec::new();
    for number in 1..=3 {
        let query = RecordQuery {
            search: SearchTerms::parse("found").unwrap(),
            page: PageNumber::new(number, 3).unwrap(),
            ..memos()
        };
        let listing = h.list(user, &query).await;
        assert_eq!(listing.total, 4);
        seen.push(listing.items.len());
    }
    assert_eq!(seen, [3, 1, 0]);
}

/// Texts to search through, in the order of their numbers.
const TEXTS: [&str; 6] = [
    "今天天气很好，我们去公园",
    "毎日日記を書く。ﾆｯｷ",
    "Über Straßen und o\u{308}l: ÀÉÎ",
    "He said \"stop*\" AND then NEAR(by) 100% a_b c\\d it's -x ^y {z} col:umn",
    "plain text; stop, and then by 100 axb",
    "🙂 x 👩‍👧",
];

async fn library(h: &Harness) -> UserId {
    let user = h.user().await;
    let edits = (1..)
        .zip(TEXTS)
        .map(|(n, text)| put(memo_key(n), memo(text)).created(100 - i64::try_from(n).unwrap()));
    h.write(user, edits.collect::<Vec<_>>()).await;
    user
}

/// The numbers of the memos that a search finds.
async fn search(h: &Harness, user: UserId, text: &str) -> String {
    let query = RecordQuery {
        search: SearchTerms::parse(text).unwrap(),
        ..memos()
    };
    listed(h, user, &query).await.concat()
}

async fn assert_finds(h: &Harness, user: UserId, expected: &[(&str, &str)]) {
    for (text, numbers) in expected {
        assert_eq!(search(h, user, text).await, *numbers, "{text:?}");
    }
}

/// Languages that write no spaces are found by their parts, also by one character.
pub async fn search_finds_parts_of_chinese_and_japanese(h: &Harness) {
    let user = library(h).await;
    let expected = [
        ("天气", "1"),
        ("天", "1"),
        ("今天天气很好", "1"),
        ("日記を", "2"),
        ("日", "2"),
        ("天気", ""),
        ("公园 今天", "1"),
    ];
    assert_finds(h, user, &expected).await;
}

/// Letter case, compatibility forms and the way an umlaut is encoded play no part; accents do.
pub async fn search_knows_no_letter_case_and_no_compatibility_forms(h: &Harness) {
    let user = library(h).await;
    let expected = [
        ("über", "3"),
        ("ÜBER", "3"),
        ("u\u{308}ber", "3"),
        ("uber", ""),
        ("straßen", "3"),
        ("STRASSEN", "3"),
        ("ÖL", "3"),
        ("àéî", "3"),
        ("ニッキ", "2"),
        ("ＰＬＡＩＮ", "5"),
    ];
    assert_finds(h, user, &expected).await;
}

/// What means something to a query language means nothing here.
pub async fn search_takes_operators_and_quotes_as_text(h: &Harness) {
    let user = library(h).await;
    let expected = [
        ("\"", "4"),
        ("\"stop*\"", "4"),
        ("*", "4"),
        ("stop*", "4"),
        ("AND", "45"),
        ("stop AND then", "45"),
        ("stop OR nothing", ""),
        ("NOT stop", ""),
        ("NEAR(", "4"),
        ("NEAR(by)", "4"),
        ("100%", "4"),
        ("a_b", "4"),
        ("%", "4"),
        ("_", "4"),
        ("c\\d", "4"),
        ("it's", "4"),
        ("'", "4"),
        ("-x", "4"),
        ("^y", "4"),
        ("{z}", "4"),
        ("col:umn", "4"),
        ("body:plain", ""),
        ("(", "4"),
        (";", "5"),
        ("'; DROP TABLE records; --", ""),
    ];
    assert_finds(h, user, &expected).await;
}

/// All terms must be there, in any order, short ones and long ones alike.
pub async fn search_wants_every_term(h: &Harness) {
    let user = library(h).await;
    let expected = [
        ("stop by", "45"),
        ("by stop", "45"),
        ("stop by plain", "5"),
        ("x", "456"),
        ("x 🙂", "6"),
        ("👩‍👧", "6"),
        ("🙂", "6"),
        ("then  \t text", "5"),
        ("stop stop", "45"),
        ("text stop", "5"),
        ("   ", "123456"),
    ];
    assert_finds(h, user, &expected).await;
}

/// Search follows edits and deletes, finds tags and summaries, and never crosses users or types.
pub async fn search_follows_every_edit(h: &Harness) {
    let user = library(h).await;
    let other = h.user().await;
    assert_eq!(search(h, other, "stop").await, "");
    h.write(user, [patch_memo(5, "nothing to see")]).await;
    assert_finds(h, user, &[("stop", "4"), ("see", "5"), ("plain", "")]).await;
    h.write(user, [delete(memo_key(5)).at(h.clock.ms() + 10)]).await;
    assert_finds(h, user, &[("see", "")]).await;
    h.write(user, [patch_memo(5, "back again").at(h.clock.ms() + 20)])
        .await;
    assert_finds(h, user, &[("again", "5"), ("see", "")]).await;
    let summed = Memo {
        ai_summary: Some(Text::new("in short".into()).unwrap()),
        ..tagged("", &["holiday"])
    };
    h.write(
        user,
        [
            put(memo_key(7), summed).created(1),
            put(bot_key(1), bot("holiday")),
        ],
    )
    .await;
    assert_finds(h, user, &[("holiday", "7"), ("short holi", "7")]).await;
    let among_bots = RecordQuery {
        search: SearchTerms::parse("holiday").unwrap(),
        ..everything(EntityType::Bot, Order::Siblings)
    };
    assert_eq!(listed(h, user, &among_bots).await, Vec::<String>::new());
}

/// Conditions add up, and pages cut what they leave.
pub async fn search_goes_with_every_other_condition(h: &Harness) {
    let user = h.user().await;
    let edits: Vec<_> = (1..=6)
        .map(|n| {
            let content = Memo {
                is_archived: n % 2 == 0,
                ..tagged("needle in hay", if n > 2 { &["t"] } else { &[] })
            };
            put(memo_key(n), content).created(i64::try_from(n).unwrap())
        })
        .collect();
    h.write(user, edits).await;
    let query = RecordQuery {
        archived: Some(false),
        tags: vec![Label::new("t".into()).unwrap()],
        search: SearchTerms::parse("NEEDLE hay").unwrap(),
        page: PageNumber::new(2, 1).unwrap(),
        ..memos()
    };
    let listing = h.list(user, &query).await;
    assert_eq!((listing.total, listing.items[0].key), (2, memo_key(3)));
}

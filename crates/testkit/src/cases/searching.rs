//! Searches that are meant to cost much: many tags, long terms, texts that look like what is looked for.

use mosaic_domain::query::{Order, PageNumber, RecordQuery};
use mosaic_domain::search::SearchTerms;
use mosaic_domain::text::{Label, Tag, Tags};
use mosaic_domain::{EntityType, UserId};

use crate::{Harness, memo, memo_key, put, tagged};

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

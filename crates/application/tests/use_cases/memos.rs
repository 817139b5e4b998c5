//! Memos with their resources, by day and by tag, over the embedded store.

use mosaic_application::AppError;
use mosaic_application::days::Days;
use mosaic_application::diaries::Diaries;
use mosaic_application::memos::{MemoView, Memos};
use mosaic_application::records::Records;
use mosaic_domain::entity::Memo;
use mosaic_domain::query::PageNumber;
use mosaic_domain::write::CHILDREN_MAX;
use mosaic_domain::{TimeZone, UserId};
use mosaic_testkit::{
    EditExt as _, Harness, delete, diary, diary_key, memo, memo_id, memo_key, put, resource_id, resource_key,
    resource_of, tagged,
};

use crate::support::harness;

const DAY: &str = "2026-05-16";

struct World {
    h: Harness,
    user: UserId,
    memos: Memos,
    diaries: Diaries,
}

/// A user with a memo on that day, a memo that was put away on it, one of another day, and one that is deleted.
async fn world() -> World {
    let h = harness().await;
    let user = h.user().await;
    let filed = |day: &str, is_archived| Memo {
        diary_date: Some(day.parse().unwrap()),
        is_archived,
        ..tagged("x", &["tag"])
    };
    let memos = [
        put(memo_key(1), filed(DAY, false)),
        put(memo_key(2), filed(DAY, true)),
        put(memo_key(3), memo("of no day")),
        put(memo_key(4), filed(DAY, false)),
    ];
    h.write(user, memos).await;
    let resources = [2, 1].map(|n| put(resource_key(n), resource_of(memo_id(1), "a.png")).append_to_end());
    h.write(user, resources).await;
    h.write(user, [delete(memo_key(4))]).await;
    let (write, reader) = (h.stores.write.clone(), h.stores.reader.clone());
    let records = Records::new(write, reader, h.ids.clone());
    let memos = Memos::new(
        records.clone(),
        Days::new(h.stores.accounts.clone(), TimeZone::UTC),
    );
    let diaries = Diaries::new(records, memos.clone());
    World {
        h,
        user,
        memos,
        diaries,
    }
}

#[tokio::test]
async fn memos_are_shown_with_their_resources_in_the_order_asked_for() {
    let World { user, memos, .. } = world().await;
    let keys = [3, 4, 1].map(memo_key);
    let views = memos.views(user, &keys).await.unwrap();
    let shown = |view: &MemoView| {
        let resources = view.resources.iter().map(|resource| resource.key);
        (view.memo.key, resources.collect::<Vec<_>>())
    };
    let with_two = (memo_id(1), vec![resource_id(2), resource_id(1)]);
    let expected = [(memo_id(3), vec![]), with_two.clone()];
    assert_eq!(views.iter().map(shown).collect::<Vec<_>>(), expected);
    assert_eq!(shown(&memos.get(user, memo_id(1)).await.unwrap()), with_two);
    assert_eq!(memos.views(user, &[]).await.unwrap(), []);
    let gone = memos.get(user, memo_id(4)).await;
    assert!(matches!(gone, Err(AppError::Gone(_))), "{gone:?}");
}

/// More than a page of a pull has.
#[tokio::test]
async fn all_resources_that_a_memo_may_have_are_shown() {
    let World { h, user, memos, .. } = world().await;
    let all =
        (10..10 + u64::from(CHILDREN_MAX)).map(|n| put(resource_key(n), resource_of(memo_id(3), "a.png")));
    h.write(user, all.collect::<Vec<_>>()).await;
    let shown = memos.get(user, memo_id(3)).await.unwrap().resources;
    assert_eq!(shown.len(), 1_000);
}

#[tokio::test]
async fn tags_are_those_of_live_memos() {
    let World { user, memos, .. } = world().await;
    let tags = memos.tags(user).await.unwrap();
    let tags: Vec<_> = tags.iter().map(|tag| (tag.tag.as_str(), tag.count)).collect();
    assert_eq!(tags, [("tag", 2)]);
}

#[tokio::test]
async fn a_day_has_the_memos_that_are_filed_under_it_and_its_diary() {
    let w = world().await;
    let day = DAY.parse().unwrap();
    for (archived, expected) in [(None, vec![1, 2]), (Some(false), vec![1]), (Some(true), vec![2])] {
        let page = w.memos.on_day(w.user, day, archived, PageNumber::first(10)).await;
        let mut keys = page.unwrap().batches.concat();
        keys.sort();
        let expected: Vec<_> = expected.into_iter().map(memo_key).collect();
        assert_eq!(keys, expected, "{archived:?}");
    }
    assert_eq!(w.diaries.get(w.user, day).await.unwrap(), None);
    w.h.write(w.user, [put(diary_key(DAY), diary("a day"))]).await;
    let shown = w.diaries.get(w.user, day).await.unwrap().unwrap();
    assert_eq!(shown.diary.content, diary("a day"));
    assert_eq!((shown.memos.total, shown.memos.number.size()), (2, 200));
}

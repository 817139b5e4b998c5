//! Lists without their documents: how long these are, and reading them afterwards.

use mosaic_domain::entity::Resource;
use mosaic_domain::pull::PageLimits;
use mosaic_domain::query::{Order, PageNumber, RecordQuery};
use mosaic_domain::{Entity as _, EntityType, Record, RecordKey};

use crate::{
    EditExt, Harness, bot, bot_key, delete, memo, memo_id, memo_key, put, resource, resource_key, resource_of,
};

fn document_bytes(record: &Record) -> usize {
    record
        .live_content()
        .map_or(0, |content| content.to_document().len())
}

fn keys(records: &[Record]) -> Vec<RecordKey> {
    records.iter().map(|record| record.key).collect()
}

fn at_place(memo: u64, place: i64) -> Resource {
    Resource {
        sort_order: place,
        ..resource_of(memo_id(memo), "x.png")
    }
}

/// A list says how long each document is, with those of the children that are shown with it.
pub async fn a_list_says_how_long_its_documents_are(h: &Harness) {
    let user = h.user().await;
    let edits = [
        put(memo_key(1), memo(&"Feige 無花果 ".repeat(5_000))).at(1),
        put(memo_key(2), memo("\u{1}")).at(2),
        put(resource_key(1), at_place(2, 1)).at(3),
        put(resource_key(2), at_place(2, 2)).at(4),
        put(resource_key(3), at_place(2, 3)).at(5),
        put(resource_key(4), resource("alone.png")).at(6),
        put(bot_key(1), bot("b")).at(7),
    ];
    h.write(user, edits).await;
    h.write(user, [delete(resource_key(3))]).await;
    for entity in EntityType::ALL {
        let query = RecordQuery::all(entity, Order::NewestFirst, PageNumber::EVERYTHING);
        let (listed, records) = (h.listed(user, &query).await, h.list(user, &query).await);
        for (listed, record) in listed.items.iter().zip(records.items) {
            let mut bytes = document_bytes(&record);
            if record.key == memo_key(2) {
                for n in [1, 2] {
                    let read = h.stores.reader.record(user, resource_key(n)).await.unwrap();
                    bytes += document_bytes(&read.unwrap());
                }
            }
            assert_eq!(listed.bytes, bytes as u64, "{:?}", record.key);
        }
    }
}

/// The rest of a page begins after the records that are left out; the number of all stays.
pub async fn a_page_goes_on_where_an_answer_ended(h: &Harness) {
    let user = h.user().await;
    let edits = (1..=5)
        .map(|n| put(memo_key(n), memo("x")).at(100))
        .collect::<Vec<_>>();
    h.write(user, edits).await;
    for (page, expected) in [
        (PageNumber::of(1, 3, 1), &[2, 3][..]),
        (PageNumber::of(2, 3, 1), &[5]),
        (PageNumber::of(1, 3, 3), &[]),
        (PageNumber::of(1, 3, 9), &[]),
    ] {
        let query = RecordQuery::all(EntityType::Memo, Order::NewestFirst, page);
        let listed = h.list(user, &query).await;
        let expected: Vec<_> = expected.iter().map(|n| memo_key(*n)).collect();
        assert_eq!((keys(&listed.items), listed.total), (expected, 5), "{page:?}");
    }
}

/// Records are read in the order of their keys, of whatever type, tombstones too; what does not exist is left out, and so is what
/// somebody else has.
pub async fn records_come_in_the_order_of_their_keys(h: &Harness) {
    let (user, other) = (h.user().await, h.user().await);
    let edits = [
        put(memo_key(1), memo("1")).at(1),
        put(memo_key(2), memo("2")).at(2),
        put(bot_key(1), bot("b")).at(3),
    ];
    h.write(user, edits).await;
    h.write(user, [delete(memo_key(2))]).await;
    h.write(other, [put(memo_key(3), memo("theirs")).at(1)]).await;
    let asked = [memo_key(2), bot_key(1), memo_key(3), memo_key(9), memo_key(1)];
    let records = h.stores.reader.records(user, &asked).await.unwrap();
    assert_eq!(keys(&records), [memo_key(2), bot_key(1), memo_key(1)]);
    assert!(records[0].is_deleted() && !records[2].is_deleted());
    assert_eq!(h.stores.reader.records(user, &[]).await.unwrap(), []);
}

/// Sizes are those of the documents, in the order of the keys; what does not exist has none, nor has what somebody else has.
pub async fn sizes_are_those_of_the_documents(h: &Harness) {
    let (user, other) = (h.user().await, h.user().await);
    let edits = [
        put(memo_key(1), memo(&"x".repeat(100_000))).at(1),
        put(bot_key(1), bot("ü")).at(3),
    ];
    h.write(user, edits).await;
    h.write(other, [put(memo_key(3), memo("theirs")).at(1)]).await;
    let asked = [bot_key(1), memo_key(3), memo_key(9), memo_key(1)];
    let sizes = async || h.stores.reader.sizes(user, &asked).await.unwrap();
    let bot = bot("ü").into_content().to_document().len() as u64;
    let memo = memo(&"x".repeat(100_000)).into_content().to_document().len() as u64;
    assert_eq!(sizes().await, [bot, 0, 0, memo]);
    // What a deleted record held is kept, and read by what brings it back.
    h.write(user, [delete(memo_key(1))]).await;
    assert_eq!(sizes().await, [bot, 0, 0, memo]);
    assert_eq!(h.stores.reader.sizes(user, &[]).await.unwrap(), [0; 0]);
}

/// Children come memo by memo, in their order, of each memo as many as the limits allow, by number and by bytes; and at least one.
pub async fn children_come_in_their_order_as_many_as_fit(h: &Harness) {
    let user = h.user().await;
    let mut edits = vec![
        put(memo_key(1), memo("1")).at(1),
        put(memo_key(2), memo("2")).at(2),
    ];
    // Placed against the order of their keys, but for two with one place.
    for (n, place) in [(1, 3), (2, 2), (3, 1), (4, 1)] {
        edits.push(put(resource_key(n), at_place(1, place)).at(10));
    }
    edits.push(put(resource_key(5), at_place(2, 1)).at(11));
    edits.push(put(resource_key(6), at_place(2, 2)).at(12));
    h.write(user, edits).await;
    h.write(user, [delete(resource_key(6))]).await;
    let read = async |memos: &[u64], records, bytes| {
        let parents: Vec<_> = memos.iter().map(|n| memo_id(*n)).collect();
        let limits = PageLimits { records, bytes };
        let children = h.stores.reader.children(user, &parents, limits).await.unwrap();
        keys(&children)
    };
    let resources = |numbers: &[u64]| numbers.iter().map(|n| resource_key(*n)).collect::<Vec<_>>();
    assert_eq!(read(&[2, 1], 10, 1 << 20).await, resources(&[5, 3, 4, 2, 1]));
    assert_eq!(read(&[1, 9, 2], 2, 1 << 20).await, resources(&[3, 4, 5]));
    assert_eq!(read(&[1, 2], 10, 1).await, resources(&[3, 5]));
    let one = h
        .stores
        .reader
        .record(user, resource_key(3))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(read(&[1], 10, document_bytes(&one) + 1).await, resources(&[3, 4]));
    assert_eq!(read(&[], 10, 10).await, []);
}

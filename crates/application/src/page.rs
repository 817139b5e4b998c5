//! Pages of lists: which records are on one, and how many bytes that comes to, before any of them is read.

use mosaic_domain::RecordKey;
use mosaic_domain::query::{Listed, Listing, PageNumber};

/// An answer ends after the record with which its documents reach so many bytes.
pub const ANSWER_BYTES: u64 = 32 * 1024 * 1024;

/// So many bytes of documents are read at once; one that is longer comes alone.
pub const BATCH_BYTES: u64 = 1024 * 1024;

/// The records of one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Their keys, in the order of the list, as they are read: so many at once. Never an empty batch.
    pub batches: Vec<Vec<RecordKey>>,
    /// How many bytes the largest batch had when they were listed.
    pub batch_bytes: u64,
    /// How many records there are on all pages.
    pub total: u64,
    /// Which page it is.
    pub number: PageNumber,
    /// Where the list goes on: in the rest of this page, where the answer ended by its bytes, or on the next one.
    pub next: Option<PageNumber>,
}

impl Page {
    /// Cuts a page so that it makes one answer, and into batches.
    pub(crate) fn of(listing: Listing<Listed>, number: PageNumber) -> Self {
        let (listed, total) = (listing.items.len(), listing.total);
        let mut page = Self {
            batches: Vec::new(),
            batch_bytes: 0,
            total,
            number,
            next: None,
        };
        let (mut taken, mut bytes, mut batch, mut batch_bytes) = (0, 0, Vec::new(), 0);
        for Listed { key, bytes: more } in listing.items {
            if bytes >= ANSWER_BYTES {
                break;
            }
            if batch_bytes + more > BATCH_BYTES && !batch.is_empty() {
                page.batches.push(std::mem::take(&mut batch));
                batch_bytes = 0;
            }
            batch.push(key);
            batch_bytes += more;
            bytes += more;
            taken += 1;
            page.batch_bytes = page.batch_bytes.max(batch_bytes);
        }
        if !batch.is_empty() {
            page.batches.push(batch);
        }
        let end = number.offset().saturating_add(taken as u64);
        page.next = if taken < listed {
            let taken = u32::try_from(taken).unwrap_or(u32::MAX);
            Some(number.after(number.skipped().saturating_add(taken)))
        } else {
            (listed > 0 && end < total).then(|| number.next())
        };
        page
    }
}

#[cfg(test)]
mod tests {
    use mosaic_domain::MemoId;
    use uuid::Uuid;

    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn page(sizes: &[u64], total: u64, number: PageNumber) -> Page {
        let items = sizes.iter().zip(0..).map(|(bytes, n)| Listed {
            key: RecordKey::Memo(MemoId::new(Uuid::from_u128(n))),
            bytes: *bytes,
        });
        let items = items.collect();
        Page::of(Listing { items, total }, number)
    }

    fn lengths(page: &Page) -> Vec<usize> {
        page.batches.iter().map(Vec::len).collect()
    }

    #[test]
    fn documents_are_read_in_batches_and_a_long_one_alone() {
        let first = PageNumber::first(200);
        let of = page(&[MIB / 2, MIB / 2, 1, 6 * MIB, 10, 10], 6, first);
        assert_eq!(lengths(&of), [2, 1, 1, 2]);
        assert_eq!((of.batch_bytes, of.next), (6 * MIB, None));
        assert_eq!(lengths(&page(&[], 0, first)), [0; 0]);
    }

    #[test]
    fn an_answer_ends_by_its_bytes_and_the_page_goes_on_there() {
        let of = page(&[7 * MIB; 20], 100, PageNumber::first(20));
        assert_eq!(of.batches.concat().len(), 5);
        let rest = of.next.unwrap();
        assert_eq!(
            (rest.number(), rest.skipped(), rest.limit(), rest.offset()),
            (1, 5, 15, 5)
        );
        let of = page(&[7 * MIB; 15], 100, rest);
        assert_eq!(of.next.unwrap().skipped(), 10);
        let of = page(&[7 * MIB; 5], 100, rest.after(15));
        assert_eq!(of.next, Some(PageNumber::first(20).next()));
    }

    #[test]
    fn the_last_page_has_no_next_one() {
        let second = PageNumber::first(3).next();
        assert_eq!(page(&[1; 3], 7, second).next, Some(second.next()));
        assert_eq!(page(&[1; 3], 6, second).next, None);
        assert_eq!(page(&[], 2, second).next, None);
        assert_eq!(
            page(&[], 2, PageNumber::first(3)).next,
            None,
            "they went meanwhile"
        );
    }
}

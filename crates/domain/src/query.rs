//! Lists: which records of one type, in which order, and which page of them.

use crate::entity::{EntityType, RecordKey};
use crate::id::{DiaryDate, MemoId};
use crate::search::SearchTerms;
use crate::text::Tag;
use crate::time::UnixMillis;
use crate::violation::Violation;
use crate::zone::Day;

/// Which live records of one type are listed. Every condition that is set must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordQuery {
    /// The type.
    pub entity_type: EntityType,
    /// Only those that are archived, or only those that are not.
    pub archived: Option<bool>,
    /// Only those filed under this day.
    pub day: Option<DiaryDate>,
    /// Only those filed under the date of this day, or made on it.
    pub on_day: Option<Day>,
    /// Only those made from this moment on.
    pub created_from: Option<UnixMillis>,
    /// Only those made before this moment.
    pub created_before: Option<UnixMillis>,
    /// Only diaries from this day on.
    pub date_from: Option<DiaryDate>,
    /// Only diaries until this day, itself included.
    pub date_to: Option<DiaryDate>,
    /// Only those that belong to one of these memos.
    pub parents: Option<Vec<MemoId>>,
    /// Only those that carry each of these tags.
    pub tags: Vec<Tag>,
    /// Only those that the search finds.
    pub search: SearchTerms,
    /// In which order.
    pub order: Order,
    /// Which page.
    pub page: PageNumber,
}

impl RecordQuery {
    /// All live records of a type.
    pub fn all(entity_type: EntityType, order: Order, page: PageNumber) -> Self {
        Self {
            entity_type,
            archived: None,
            day: None,
            on_day: None,
            created_from: None,
            created_before: None,
            date_from: None,
            date_to: None,
            parents: None,
            tags: Vec::new(),
            search: SearchTerms::default(),
            order,
            page,
        }
    }
}

/// The order of a list. All are total: records that are alike otherwise are ordered by key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By creation time, the latest first.
    NewestFirst,
    /// By key, the greatest first: diaries, the latest day first.
    KeyDescending,
    /// By parent, then by place among the siblings.
    Siblings,
}

/// Which page of a list: from 1 on, with 1 to 200 records; and where on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageNumber {
    number: u32,
    size: u32,
    /// So many of its records are left out: those that came with an answer that ended by its bytes.
    skip: u32,
}

impl PageNumber {
    /// The most records a page may have.
    pub const MAX_SIZE: u32 = 200;
    /// How many records a page has where the request does not say.
    pub const DEFAULT_SIZE: u32 = 20;
    /// The one page that holds everything, for lists that are not paged.
    pub const EVERYTHING: Self = Self {
        number: 1,
        size: u32::MAX,
        skip: 0,
    };

    /// The page with this number, from 1, of pages of that size, after so many of its records.
    pub const fn of(number: u32, size: u32, skip: u32) -> Self {
        Self { number, size, skip }
    }

    /// The first page of pages of that size.
    pub const fn first(size: u32) -> Self {
        Self::of(1, size, 0)
    }

    /// Reads a page's number.
    ///
    /// # Errors
    /// `out_of_range` unless it is at least 1.
    pub fn check_number(number: i64) -> Result<u32, Violation> {
        u32::try_from(number)
            .ok()
            .filter(|number| *number >= 1)
            .ok_or_else(|| Violation::new("out_of_range", "must be a whole number from 1"))
    }

    /// Reads a page's size.
    ///
    /// # Errors
    /// `out_of_range` unless it is 1 to 200.
    pub fn check_size(size: i64) -> Result<u32, Violation> {
        u32::try_from(size)
            .ok()
            .filter(|size| (1..=Self::MAX_SIZE).contains(size))
            .ok_or_else(|| Violation::new("out_of_range", "must be a whole number from 1 to 200"))
    }

    /// A page.
    ///
    /// # Errors
    /// `out_of_range`, with `page` or `pageSize` as its path.
    pub fn new(number: i64, size: i64) -> Result<Self, Violation> {
        Ok(Self {
            number: Self::check_number(number).map_err(|v| v.at("page"))?,
            size: Self::check_size(size).map_err(|v| v.at("pageSize"))?,
            skip: 0,
        })
    }

    /// The rest of the page, after so many of its records.
    #[must_use]
    pub const fn after(self, skip: u32) -> Self {
        Self { skip, ..self }
    }

    /// The page after this one, from its beginning.
    #[must_use]
    pub const fn next(self) -> Self {
        Self {
            number: self.number.saturating_add(1),
            skip: 0,
            ..self
        }
    }

    /// How many of its records are left out.
    pub const fn skipped(self) -> u32 {
        self.skip
    }

    /// How many of its records are asked for.
    pub const fn limit(self) -> u32 {
        self.size.saturating_sub(self.skip)
    }

    /// The page's number, from 1.
    pub const fn number(self) -> u32 {
        self.number
    }

    /// How many records it may have.
    pub const fn size(self) -> u32 {
        self.size
    }

    /// How many records come before the first that is asked for.
    pub const fn offset(self) -> u64 {
        (self.number as u64 - 1) * self.size as u64 + self.skip as u64
    }

    /// How many pages `total` records make.
    pub const fn pages(self, total: u64) -> u64 {
        total.div_ceil(self.size as u64)
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing<T> {
    /// The records on this page.
    pub items: Vec<T>,
    /// How many there are on all pages.
    pub total: u64,
}

/// A record of a list, without its document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// Which record.
    pub key: RecordKey,
    /// How many bytes its document has, and those of its first [`CHILDREN_SHOWN`] children, which are shown with it.
    pub bytes: u64,
}

/// So many children are shown with their memo, at most: the first in their order. As many as one may have; some have more,
/// from before that was so.
pub const CHILDREN_SHOWN: usize = crate::write::CHILDREN_MAX as usize;

/// So many tags are counted, at most: the most frequent ones.
pub const TAGS_COUNTED: usize = 10_000;

/// A tag and how many live records carry it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagCount {
    /// The tag.
    pub tag: String,
    /// How many.
    pub count: u64,
}

//! Pages of lists.

use mosaic_application::page::Page;
use mosaic_domain::query::{Listing, PageNumber};
use serde::Serialize;
use utoipa::ToSchema;

use super::listing::Frame;
use crate::problem::Problem;
use crate::query::{FromQuery, QueryReader};
use crate::routes::Endpoint;
use crate::schema::{self, MOST_SKIPPED, OrEmpty};
use crate::turns::Load;

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageOf<T> {
    items: Vec<T>,
    /// How many there are on all pages.
    #[schema(value_type = schema::Count)]
    total: u64,
    #[schema(value_type = schema::Page)]
    page: u32,
    #[schema(value_type = schema::PageSize)]
    page_size: u32,
    #[schema(value_type = schema::Count)]
    total_pages: u64,
}

impl<T> PageOf<T> {
    pub(super) fn of<S: Into<T>>(listing: Listing<S>, page: PageNumber) -> Self {
        Self {
            items: listing.items.into_iter().map(Into::into).collect(),
            total: listing.total,
            page: page.number(),
            page_size: page.size(),
            total_pages: page.pages(listing.total),
        }
    }
}

/// Adds the parameters with which a page is asked for.
pub(super) fn paged(endpoint: Endpoint) -> Endpoint {
    paged_by::<schema::PageSize>(endpoint)
}

/// The same for a list whose pages have sizes of their own.
pub(super) fn paged_by<Size: ToSchema>(endpoint: Endpoint) -> Endpoint {
    endpoint
        // Whatever a list asks for, it may have to walk through all records of its user.
        .takes(Load::Heavy)
        .query::<OrEmpty<schema::Page>>("page", "From 1")
        .query::<OrEmpty<Size>>("pageSize", "How many records a page has")
        .query::<OrEmpty<schema::Skip>>(
            "skip",
            "Leaves out so many records of the page: those that came with an answer that ended by its bytes. What `Link` says",
        )
}

impl FromQuery for PageNumber {
    fn from_query(query: &mut QueryReader) -> Option<Self> {
        read(query, Self::DEFAULT_SIZE, Self::MAX_SIZE)
    }
}

/// Reads which page, of a list whose pages have that many records where the query does not say, and that many at most.
pub(super) fn read(query: &mut QueryReader, default: u32, most: u32) -> Option<PageNumber> {
    let number = query.int("page", 1, 1..=i64::from(u32::MAX));
    let size = query.int("pageSize", i64::from(default), 1..=i64::from(most));
    let skip = query.int("skip", 0, 0..=i64::from(MOST_SKIPPED));
    let of = |number, size, skip| {
        let part = |part: i64| u32::try_from(part).ok();
        Some(PageNumber::of(part(number)?, part(size)?, part(skip)?))
    };
    of(number, size, skip)
}

/// What stands around the records of a page.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Around {
    total: u64,
    page: u32,
    page_size: u32,
    total_pages: u64,
}

/// A page, as a frame for its records.
pub(super) fn frame(page: &Page) -> Result<Frame, Problem> {
    let around = Around {
        total: page.total,
        page: page.number.number(),
        page_size: page.number.size(),
        total_pages: page.number.pages(page.total),
    };
    Frame::member("items", &around)
}

//! Pages of lists.

use std::borrow::Cow;
use std::marker::PhantomData;

use mosaic_application::page::Page;
use mosaic_domain::query::{Listing, PageNumber};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

use super::listing::Frame;
use crate::problem::Problem;
use crate::query::{Within, query};
use crate::schema;

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageOf<T> {
    /// How many there are on all pages.
    #[schema(value_type = schema::Count)]
    total: u64,
    #[schema(value_type = schema::Page)]
    page: u32,
    #[schema(value_type = schema::PageSize)]
    page_size: u32,
    #[schema(value_type = schema::Count)]
    total_pages: u64,
    // The last, where a list is written batch by batch.
    items: Vec<T>,
}

/// The same as the document names it, after what is listed.
#[derive(Debug)]
pub(super) struct NamedPage<T>(PhantomData<T>);

impl<T: ToSchema> utoipa::PartialSchema for NamedPage<T> {
    fn schema() -> RefOr<Schema> {
        <PageOf<T> as utoipa::PartialSchema>::schema()
    }
}

impl<T: ToSchema> ToSchema for NamedPage<T> {
    fn name() -> Cow<'static, str> {
        Cow::Owned(format!("{}Page", T::name()))
    }

    fn schemas(schemas: &mut schema::Named) {
        schema::add::<T>(schemas);
        PageOf::<T>::schemas(schemas);
    }
}

impl<T> PageOf<T> {
    pub(super) fn of<S: Into<T>>(listing: Listing<S>, page: PageNumber) -> Self {
        Self {
            total: listing.total,
            page: page.number(),
            page_size: page.size(),
            total_pages: page.pages(listing.total),
            items: listing.items.into_iter().map(Into::into).collect(),
        }
    }
}

/// How many records of a page may have come already: no page has more.
const MOST_SKIPPED: u32 = 1_000;

query! {
    /// Which page, of a list whose pages have `SIZE` records where the query does not say, and `MOST` at most.
    #[derive(Clone, Copy)]
    pub(super) struct PageQuery<const SIZE: u32, const MOST: u32> {
        /// From 1
        number: Within<1, { u32::MAX }, 1> = "page",
        /// How many records a page has
        size: Within<1, MOST, SIZE> = "pageSize",
        /// Leaves out so many records of the page: those that came with an answer that ended by its bytes. What `Link` says
        skip: Within<0, MOST_SKIPPED, 0> = "skip",
    }
}

/// A page of the usual size.
pub(super) type UsualPage = PageQuery<{ PageNumber::DEFAULT_SIZE }, { PageNumber::MAX_SIZE }>;

impl<const SIZE: u32, const MOST: u32> PageQuery<SIZE, MOST> {
    pub(super) fn number(self) -> PageNumber {
        PageNumber::of(self.number.0, self.size.0, self.skip.0)
    }
}

/// A page, as a frame for its records.
pub(super) fn frame<T: Serialize>(page: &Page) -> Result<Frame, Problem> {
    let listing = Listing::<T> {
        items: Vec::new(),
        total: page.total,
    };
    Frame::of(&PageOf::<T>::of(listing, page.number))
}

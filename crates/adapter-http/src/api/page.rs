//! Pages of lists.

use mosaic_domain::query::{Listing, PageNumber};
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::FieldError;
use crate::query::{FromQuery, QueryReader};
use crate::routes::Endpoint;
use crate::schema::{self, OrEmpty};

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
    endpoint
        .query::<OrEmpty<schema::Page>>("page", "From 1")
        .query::<OrEmpty<schema::PageSize>>("pageSize", "How many records a page has")
}

impl FromQuery for PageNumber {
    fn from_query(query: &mut QueryReader) -> Option<Self> {
        let number = query.int("page", 1, 1..=i64::from(u32::MAX));
        let size = query.int(
            "pageSize",
            i64::from(Self::DEFAULT_SIZE),
            1..=i64::from(Self::MAX_SIZE),
        );
        Self::new(number, size)
            .map_err(|violation| query.reject(FieldError::from(violation)))
            .ok()
    }
}

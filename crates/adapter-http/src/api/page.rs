//! Pages of lists.

use mosaic_domain::query::{Listing, PageNumber};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::problem::FieldError;
use crate::query::{FromQuery, QueryReader};

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageOf<T> {
    items: Vec<T>,
    /// How many there are on all pages.
    total: u64,
    page: u32,
    page_size: u32,
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

/// Which page.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(
    dead_code,
    reason = "describes the query for the OpenAPI document; PageNumber holds the values"
)]
pub(super) struct PageQuery {
    /// From 1.
    #[param(minimum = 1, maximum = 4_294_967_295_i64, default = 1)]
    page: Option<i64>,
    #[param(minimum = 1, maximum = 200, default = 20)]
    page_size: Option<i64>,
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

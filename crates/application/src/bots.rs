//! What bots have besides the common road: their order.

use mosaic_domain::entity::{Bot, BotPatch};
use mosaic_domain::query::{Order, PageNumber, RecordQuery};
use mosaic_domain::{BotId, EntityType, UserId};

use crate::error::AppError;
use crate::page::Page;
use crate::records::{EditBy, Records};

/// Orders and lists bots.
#[derive(Debug, Clone)]
pub struct Bots {
    records: Records,
}

impl Bots {
    /// Bots over the common road.
    pub fn new(records: Records) -> Self {
        Self { records }
    }

    /// Which bots are on a page, in their order.
    ///
    /// # Errors
    /// A store's error.
    pub async fn page(&self, user: UserId, page: PageNumber) -> Result<Page, AppError> {
        let query = RecordQuery::all(EntityType::Bot, Order::Siblings, page);
        self.records.page(user, &query).await
    }

    /// Puts the bots that are named into the order given, as one write. Each one that moves is an edit that syncs; those
    /// that are not named keep their places.
    ///
    /// # Errors
    /// [`AppError::UnknownReference`] with the place of the first bot that does not exist; nothing moves then.
    pub async fn reorder(&self, by: &EditBy, order: &[BotId]) -> Result<(), AppError> {
        let place = |(id, place): (&BotId, i64)| {
            (
                *id,
                BotPatch {
                    sort_order: Some(place),
                    ..BotPatch::default()
                },
            )
        };
        let patches = order.iter().zip(0..).map(place).collect();
        self.records.patch_all::<Bot>(by, patches, "order").await
    }
}

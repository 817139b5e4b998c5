//! What memos have besides the common road: their resources, archiving, search.

use std::collections::HashMap;

use mosaic_domain::entity::{Memo, Resource};
use mosaic_domain::query::{Order, PageNumber, RecordQuery, TagCount};
use mosaic_domain::{DiaryDate, EntityType, Live, MemoId, RecordKey, RevisionId, UserId};

use crate::days::Days;
use crate::error::AppError;
use crate::page::Page;
use crate::records::{EditBy, Records, Upsert};

/// A memo with its resources, in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct MemoView {
    /// The memo.
    pub memo: Live<Memo>,
    /// Its live resources, as many as are shown with a memo.
    pub resources: Vec<Live<Resource>>,
}

/// Reads and writes memos.
#[derive(Debug, Clone)]
pub struct Memos {
    records: Records,
    days: Days,
}

impl Memos {
    /// Memos over the common road, made on these days.
    pub fn new(records: Records, days: Days) -> Self {
        Self { records, days }
    }

    /// Writes some fields of a memo (W3, W7), and with `attachments` the whole set of its resources.
    ///
    /// # Errors
    /// As [`Records::write`].
    pub async fn write(&self, by: &EditBy, id: MemoId, upsert: Upsert<Memo>) -> Result<MemoView, AppError> {
        let memo = self.records.write(by, id, upsert).await?;
        self.with_resources(by.user, memo).await
    }

    /// Restores a revision of a memo; its resources stay as they are.
    ///
    /// # Errors
    /// As [`Records::restore`].
    pub async fn restore(&self, by: &EditBy, id: MemoId, revision: RevisionId) -> Result<MemoView, AppError> {
        let memo = self.records.restore::<Memo>(by, id, revision).await?;
        self.with_resources(by.user, memo).await
    }

    /// A live memo.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    pub async fn get(&self, user: UserId, id: MemoId) -> Result<MemoView, AppError> {
        let memo = self.records.get(user, id).await?;
        self.with_resources(user, memo).await
    }

    /// Which memos are on a page.
    ///
    /// # Errors
    /// A store's error.
    pub async fn page(&self, user: UserId, query: &RecordQuery) -> Result<Page, AppError> {
        self.records.page(user, query).await
    }

    /// Which memos of a page were made from one day of the user to another, both included.
    ///
    /// # Errors
    /// A store's error.
    pub async fn made_within(
        &self,
        user: UserId,
        start: Option<DiaryDate>,
        end: Option<DiaryDate>,
        mut query: RecordQuery,
    ) -> Result<Page, AppError> {
        if start.or(end).is_some() {
            let zone = self.days.zone(user).await?;
            query.created_from = start.map(|date| zone.day(date).begin);
            query.created_before = end.map(|date| zone.day(date).end);
        }
        self.page(user, &query).await
    }

    /// Which memos were made on a day of the user or filed under it, the newest first.
    ///
    /// # Errors
    /// A store's error.
    pub async fn on_day(
        &self,
        user: UserId,
        date: DiaryDate,
        archived: Option<bool>,
        page: PageNumber,
    ) -> Result<Page, AppError> {
        let query = RecordQuery {
            on_day: Some(self.days.zone(user).await?.day(date)),
            archived,
            ..RecordQuery::all(EntityType::Memo, Order::NewestFirst, page)
        };
        self.page(user, &query).await
    }

    /// These memos as they are now, with their resources, in this order. Those that were deleted meanwhile are left out.
    ///
    /// # Errors
    /// A store's error.
    pub async fn views(&self, user: UserId, keys: &[RecordKey]) -> Result<Vec<MemoView>, AppError> {
        let memos = self.records.live::<Memo>(user, keys).await?;
        self.with_all_resources(user, memos).await
    }

    /// The tags of all live memos.
    ///
    /// # Errors
    /// A store's error.
    pub async fn tags(&self, user: UserId) -> Result<Vec<TagCount>, AppError> {
        self.records.tags::<Memo>(user).await
    }

    async fn with_resources(&self, user: UserId, memo: Live<Memo>) -> Result<MemoView, AppError> {
        let mut views = self.with_all_resources(user, vec![memo]).await?;
        views.pop().ok_or(AppError::NotFound)
    }

    /// The memos with their resources, which are read in one go.
    async fn with_all_resources(
        &self,
        user: UserId,
        memos: Vec<Live<Memo>>,
    ) -> Result<Vec<MemoView>, AppError> {
        if memos.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<MemoId> = memos.iter().map(|memo| memo.key).collect();
        let mut by_memo: HashMap<MemoId, Vec<Live<Resource>>> = HashMap::new();
        for resource in self.records.shown_with(user, &keys).await? {
            if let Some(memo) = resource.content.memo_id {
                by_memo.entry(memo).or_default().push(resource);
            }
        }
        let view = |memo: Live<Memo>| {
            let resources = by_memo.remove(&memo.key).unwrap_or_default();
            MemoView { memo, resources }
        };
        Ok(memos.into_iter().map(view).collect())
    }
}

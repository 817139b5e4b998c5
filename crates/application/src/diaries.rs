//! What diaries have besides the common road: the memos of their day.

use mosaic_domain::entity::Diary;
use mosaic_domain::query::PageNumber;
use mosaic_domain::{DiaryDate, Live, UserId};

use crate::error::AppError;
use crate::memos::Memos;
use crate::page::Page;
use crate::records::Records;

/// A diary with the memos of its day.
#[derive(Debug, Clone, PartialEq)]
pub struct DiaryView {
    /// The diary.
    pub diary: Live<Diary>,
    /// Which memos were made on that day of the user or filed under it, the newest first: the first page of them.
    pub memos: Page,
}

/// Reads diaries.
#[derive(Debug, Clone)]
pub struct Diaries {
    records: Records,
    memos: Memos,
}

impl Diaries {
    /// Diaries over the common road.
    pub fn new(records: Records, memos: Memos) -> Self {
        Self { records, memos }
    }

    /// The diary of a day, if there ever was one.
    ///
    /// # Errors
    /// As [`Records::find`].
    pub async fn get(&self, user: UserId, day: DiaryDate) -> Result<Option<DiaryView>, AppError> {
        let Some(diary) = self.records.find::<Diary>(user, day).await? else {
            return Ok(None);
        };
        let memos = self
            .memos
            .on_day(user, day, None, PageNumber::first(PageNumber::MAX_SIZE))
            .await?;
        Ok(Some(DiaryView { diary, memos }))
    }
}

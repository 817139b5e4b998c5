//! Memos on the wire.

use std::borrow::Cow;

use mosaic_application::memos::MemoView;
use mosaic_domain::entity::{Memo, MemoPatch};
use mosaic_domain::text::{LongText, ShortText, Tags};
use mosaic_domain::{DiaryDate, Violations};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::declare::fields;
use super::entity::{ApiEntity, PatchRequest};
use super::record::RecordDto;
use super::resource::ResourceDto;
use crate::field::{Check, Field, Int};
use crate::schema::{self, UnixMs};

fields! {
    /// A memo.
    Memo, edited by MemoPatch, sent as MemoBody {
        /// What a person wrote, up to 1 MiB of UTF-8; may be empty.
        content: LongText = "content",
        /// Each 1 to 100 characters, none twice.
        tags: Tags = "tags",
        is_archived: bool = "isArchived",
        /// The diary day that the memo is filed under; `null` takes it out of its day.
        diary_date: Option<DiaryDate> = "diaryDate",
        /// A summary that an app had made, up to 64 KiB of UTF-8.
        ai_summary: Option<ShortText> = "aiSummary",
    }
}

/// What the server says of a memo besides.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OfMemo {
    #[schema(value_type = schema::NotDeleted, inline)]
    is_deleted: bool,
    /// How many versions the memo has had, this one included.
    #[schema(value_type = schema::Count)]
    revision_count: u32,
}

impl ApiEntity for Memo {
    const FOREIGN_KEY: &'static str = "memoId";
    const BODY_BYTES: usize = 8 * 1024 * 1024;
    type Derived = OfMemo;

    fn derived<'a, X>(
        _: Self::Key,
        revision_count: u32,
        _: impl FnOnce() -> Result<Cow<'a, Self>, X>,
    ) -> Result<OfMemo, X> {
        Ok(OfMemo {
            is_deleted: false,
            revision_count,
        })
    }
}

/// A [`Memo`] in a response.
type MemoDto = RecordDto<Memo>;

/// A memo with its resources.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MemoWithResources {
    #[serde(flatten)]
    memo: MemoDto,
    /// In their order.
    resources: Vec<ResourceDto>,
}

impl From<MemoView> for MemoWithResources {
    fn from(view: MemoView) -> Self {
        Self {
            memo: view.memo.into(),
            resources: view.resources.into_iter().map(ResourceDto::from).collect(),
        }
    }
}

/// What archiving a memo may change besides.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ArchiveBody {
    /// The day that the memo is filed under.
    #[schema(value_type = Option<schema::Day>)]
    #[serde(default)]
    diary_date: Field<String>,
    #[schema(value_type = UnixMs, required = false)]
    #[serde(default)]
    updated_at: Field<Int>,
}

impl ArchiveBody {
    /// The edit that this makes.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(crate) fn parse(self, is_archived: bool) -> Result<PatchRequest<Memo>, Violations> {
        let edit = MemoBody {
            is_archived: Field::Given(is_archived),
            diary_date: self.diary_date,
            updated_at: self.updated_at,
            ..MemoBody::default()
        };
        Memo::parse_edit(edit, Check::default())
    }
}

//! Memos on the wire.

use mosaic_application::AppError;
use mosaic_application::memos::MemoView;
use mosaic_application::records::{Draft, EditBy};
use mosaic_domain::entity::{Memo, MemoPatch};
use mosaic_domain::text::{Tags, Text};
use mosaic_domain::{Live, MemoId, RevisionId, UserId, Violations};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{PatchRequest, ResourceDto, Times, Wire, describes_new};
use crate::field::{Check, Field, Int, from_text, ids};
use crate::schema::{self, UnixMs};
use crate::state::AppState;

/// A memo.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Memo)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MemoDto {
    #[schema(value_type = schema::Id)]
    id: String,
    /// What a person wrote; may be empty.
    #[schema(value_type = schema::LongText)]
    content: String,
    #[schema(value_type = schema::Tags)]
    tags: Vec<String>,
    is_archived: bool,
    /// Always false: deleted memos are sent as ids.
    is_deleted: bool,
    /// The diary day that the memo is filed under.
    #[schema(value_type = Option<schema::Day>, required)]
    diary_date: Option<String>,
    /// A summary that an app had made.
    #[schema(value_type = Option<schema::ShortText>, required)]
    ai_summary: Option<String>,
    #[schema(value_type = UnixMs)]
    created_at: i64,
    /// The edit time, in Unix milliseconds: the newest edit wins.
    #[schema(value_type = UnixMs)]
    updated_at: i64,
    /// How many versions the memo has had, this one included.
    #[schema(value_type = schema::Count)]
    revision_count: u32,
}

impl From<Live<Memo>> for MemoDto {
    fn from(live: Live<Memo>) -> Self {
        Self {
            id: live.key.to_string(),
            content: live.content.content.into(),
            tags: live.content.tags.into(),
            is_archived: live.content.is_archived,
            is_deleted: false,
            diary_date: live.content.diary_date.map(String::from),
            ai_summary: live.content.ai_summary.map(String::from),
            created_at: live.created_at.get(),
            updated_at: live.version.time.get(),
            revision_count: live.revision_count,
        }
    }
}

/// A memo with its resources.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
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

/// Some fields of a memo, or all of them.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[schema(as = EditMemo)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MemoBody {
    #[schema(ignore)]
    #[serde(default)]
    id: Field<String>,
    /// Up to 1 MiB of UTF-8; may be empty.
    #[schema(value_type = schema::LongText, required = false)]
    #[serde(default)]
    content: Field<String>,
    /// Each 1 to 100 characters, none twice.
    #[schema(value_type = schema::Tags, required = false)]
    #[serde(default)]
    tags: Field<Vec<String>>,
    #[schema(value_type = bool, required = false)]
    #[serde(default)]
    is_archived: Field<bool>,
    /// `null` takes the memo out of its day.
    #[schema(value_type = Option<schema::Day>)]
    #[serde(default)]
    diary_date: Field<String>,
    /// Up to 64 KiB of UTF-8.
    #[schema(value_type = Option<schema::ShortText>)]
    #[serde(default)]
    ai_summary: Field<String>,
    /// The memo's resources from now on, in order: others are detached.
    #[schema(value_type = schema::Ids, required = false)]
    #[serde(default)]
    resource_ids: Field<Vec<String>>,
    #[schema(value_type = UnixMs, required = false)]
    #[serde(default)]
    created_at: Field<Int>,
    #[schema(value_type = UnixMs, required = false)]
    #[serde(default)]
    updated_at: Field<Int>,
}

describes_new!(NewMemo: MemoBody with "content");

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
        Memo::parse_edit(edit)
    }
}

impl Wire for Memo {
    const PATH: &'static str = "memos";
    const KEY: &'static str = "id";
    const FOREIGN_KEY: &'static str = "memoId";
    const BODY_BYTES: usize = 8 * 1024 * 1024;
    type Shown = MemoDto;
    type Answer = MemoWithResources;
    type Body = MemoBody;
    type New = NewMemo;
    type Edit = MemoBody;

    fn own_key(body: &MemoBody) -> Field<String> {
        body.id.clone()
    }

    /// The resources of a push tell their memos themselves.
    fn pushed(body: MemoBody) -> MemoBody {
        MemoBody {
            resource_ids: Field::Absent,
            ..body
        }
    }

    fn read_fields(body: MemoBody, check: &mut Check) -> PatchRequest<Self> {
        let patch = MemoPatch {
            content: check.essential("content", body.content, Text::new),
            tags: check.optional("tags", body.tags, Tags::new),
            is_archived: check.optional("isArchived", body.is_archived, Ok),
            diary_date: check.nullable("diaryDate", body.diary_date, from_text),
            ai_summary: check.nullable("aiSummary", body.ai_summary, Text::new),
        };
        let attachments = check.optional("resourceIds", body.resource_ids, |texts| ids(&texts));
        PatchRequest {
            times: Times::read(body.created_at, body.updated_at, check),
            patch,
            attachments,
        }
    }

    async fn write(
        state: &AppState,
        by: &EditBy,
        key: MemoId,
        draft: Draft<Self>,
    ) -> Result<Self::Answer, AppError> {
        state.memos.write(by, key, draft).await.map(Into::into)
    }

    async fn restore(
        state: &AppState,
        by: &EditBy,
        key: MemoId,
        revision: RevisionId,
    ) -> Result<Self::Answer, AppError> {
        state.memos.restore(by, key, revision).await.map(Into::into)
    }

    async fn read(state: &AppState, user: UserId, key: MemoId) -> Result<Self::Answer, AppError> {
        state.memos.get(user, key).await.map(Into::into)
    }
}

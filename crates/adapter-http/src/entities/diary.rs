//! Diaries on the wire.

use mosaic_application::AppError;
use mosaic_application::records::{Draft, EditBy};
use mosaic_domain::entity::{Diary, DiaryPatch, MoodScore};
use mosaic_domain::text::Text;
use mosaic_domain::{Live, RevisionId, UnixMillis, UserId, Violations};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{MemoWithResources, PatchRequest, Times, Wire, answers_the_record};
use crate::field::{Check, Field, Int, from_text};
use crate::names::{MoodName, SourceName};
use crate::schema::{self, UnixMs};
use crate::state::AppState;

/// A diary: one per calendar day.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Diary)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DiaryDto {
    /// The key.
    #[schema(value_type = schema::Day)]
    date: String,
    #[schema(value_type = schema::LongText)]
    summary: String,
    #[schema(value_type = MoodName)]
    mood_key: &'static str,
    #[schema(value_type = schema::MoodScore)]
    mood_score: u8,
    #[schema(value_type = SourceName)]
    generation_source: &'static str,
    auto_generation_locked: bool,
    #[schema(value_type = schema::SourceIds)]
    generated_from_memo_ids: Vec<String>,
    #[schema(value_type = Option<UnixMs>, required)]
    last_auto_generated_at: Option<i64>,
    #[schema(value_type = UnixMs)]
    created_at: i64,
    /// The edit time, in Unix milliseconds: the newest edit wins.
    #[schema(value_type = UnixMs)]
    updated_at: i64,
}

impl From<Live<Diary>> for DiaryDto {
    fn from(live: Live<Diary>) -> Self {
        let diary = live.content;
        Self {
            date: live.key.to_string(),
            summary: diary.summary.into(),
            mood_key: diary.mood_key.name(),
            mood_score: diary.mood_score.get(),
            generation_source: diary.generation_source.name(),
            auto_generation_locked: diary.auto_generation_locked,
            generated_from_memo_ids: diary
                .generated_from_memo_ids
                .iter()
                .map(ToString::to_string)
                .collect(),
            last_auto_generated_at: diary.last_auto_generated_at.map(UnixMillis::get),
            created_at: live.created_at.get(),
            updated_at: live.version.time.get(),
        }
    }
}

/// A diary with the memos of its day.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DiaryWithMemos {
    #[serde(flatten)]
    diary: DiaryDto,
    /// The memos that were made on that day (in UTC) or filed under it, the newest first.
    memos: Vec<MemoWithResources>,
}

/// Some fields of a diary, or all of them: the day itself is in the path.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[schema(as = EditDiary)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DiaryBody {
    /// Up to 1 MiB of UTF-8; may be empty.
    #[schema(value_type = schema::LongText, required = false)]
    #[serde(default)]
    summary: Field<String>,
    #[schema(value_type = MoodName, required = false)]
    #[serde(default)]
    mood_key: Field<String>,
    #[schema(value_type = schema::MoodScore, required = false)]
    #[serde(default)]
    mood_score: Field<Int>,
    #[schema(value_type = SourceName, required = false)]
    #[serde(default)]
    generation_source: Field<String>,
    #[schema(value_type = bool, required = false)]
    #[serde(default)]
    auto_generation_locked: Field<bool>,
    #[schema(value_type = schema::SourceIds, required = false)]
    #[serde(default)]
    generated_from_memo_ids: Field<Vec<String>>,
    /// Unix milliseconds.
    #[schema(value_type = Option<UnixMs>)]
    #[serde(default)]
    last_auto_generated_at: Field<Int>,
    #[schema(value_type = UnixMs, required = false)]
    #[serde(default)]
    created_at: Field<Int>,
    #[schema(value_type = UnixMs, required = false)]
    #[serde(default)]
    updated_at: Field<Int>,
}

/// The text of a day.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SummaryBody {
    /// Up to 1 MiB of UTF-8; may be empty.
    #[schema(value_type = schema::LongText, required)]
    #[serde(default)]
    summary: Field<String>,
    #[schema(value_type = UnixMs, required = false)]
    #[serde(default)]
    updated_at: Field<Int>,
}

impl SummaryBody {
    /// The edit that this makes.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(crate) fn parse(self) -> Result<PatchRequest<Diary>, Violations> {
        let mut check = Check::default();
        let summary = check.required("summary", self.summary, Text::new);
        let updated_at = check.updated_at(self.updated_at);
        let patch = summary.map(|summary| DiaryPatch {
            summary: Some(summary),
            ..DiaryPatch::default()
        });
        check.finish(patch.map(|patch| amended(patch, updated_at)))
    }
}

/// The mood of a day.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MoodBody {
    #[schema(value_type = MoodName, required)]
    #[serde(default)]
    mood_key: Field<String>,
    /// Stays where it is not given.
    #[schema(value_type = schema::MoodScore, required = false)]
    #[serde(default)]
    mood_score: Field<Int>,
    #[schema(value_type = UnixMs, required = false)]
    #[serde(default)]
    updated_at: Field<Int>,
}

impl MoodBody {
    /// The edit that this makes.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(crate) fn parse(self) -> Result<PatchRequest<Diary>, Violations> {
        let mut check = Check::default();
        let mood_key = check.required("moodKey", self.mood_key, from_text);
        let mood_score = check.optional("moodScore", self.mood_score, |Int(score)| MoodScore::new(score));
        let updated_at = check.updated_at(self.updated_at);
        let patch = mood_key.map(|key| DiaryPatch {
            mood_key: Some(key),
            mood_score,
            ..DiaryPatch::default()
        });
        check.finish(patch.map(|patch| amended(patch, updated_at)))
    }
}

fn amended(patch: DiaryPatch, updated_at: Option<mosaic_domain::EditTime>) -> PatchRequest<Diary> {
    PatchRequest {
        times: Times {
            created_at: None,
            updated_at,
        },
        patch,
        attachments: None,
    }
}

impl Wire for Diary {
    const PATH: &'static str = "diaries";
    const KEY: &'static str = "date";
    const FOREIGN_KEY: &'static str = "date";
    const BODY_BYTES: usize = 8 * 1024 * 1024;
    type Shown = DiaryDto;
    type Body = DiaryBody;
    type New = DiaryBody;
    type Edit = DiaryBody;

    fn read_fields(body: DiaryBody, check: &mut Check) -> PatchRequest<Self> {
        let patch = DiaryPatch {
            summary: check.optional("summary", body.summary, Text::new),
            mood_key: check.optional("moodKey", body.mood_key, from_text),
            mood_score: check.optional("moodScore", body.mood_score, |Int(score)| MoodScore::new(score)),
            generation_source: check.optional("generationSource", body.generation_source, from_text),
            auto_generation_locked: check.optional("autoGenerationLocked", body.auto_generation_locked, Ok),
            generated_from_memo_ids: check.optional(
                "generatedFromMemoIds",
                body.generated_from_memo_ids,
                |ids| Self::parse_sources(&ids),
            ),
            last_auto_generated_at: check.nullable(
                "lastAutoGeneratedAt",
                body.last_auto_generated_at,
                |Int(ms)| UnixMillis::new(ms),
            ),
        };
        PatchRequest {
            times: Times::read(body.created_at, body.updated_at, check),
            patch,
            attachments: None,
        }
    }

    answers_the_record!();
}

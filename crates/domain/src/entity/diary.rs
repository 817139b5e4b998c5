//! Diaries: one per user and calendar day.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{FEW_BYTES, Fields, Missing, Patched as _, fields, names};
use crate::id::MemoId;
use crate::text::LongText;
use crate::time::UnixMillis;
use crate::violation::Violation;

names! {
    /// The mood of a day.
    MoodKey {
        /// joy
        Joy = "joy",
        /// calm
        Calm = "calm",
        /// neutral
        Neutral = "neutral",
        /// sadness
        Sadness = "sadness",
        /// anxiety
        Anxiety = "anxiety",
        /// anger
        Anger = "anger",
        /// focus
        Focus = "focus",
        /// tired
        Tired = "tired",
    }
}

names! {
    /// Who wrote the summary.
    GenerationSource {
        /// A person.
        Manual = "manual",
        /// A model, from memos.
        Ai = "ai",
    }
}

/// How strong the mood was: 1 to 10.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct MoodScore(u8);

impl MoodScore {
    /// The score of a diary that names none.
    pub const DEFAULT: Self = Self(5);
    /// The least there is.
    pub const MIN: u8 = 1;
    /// The greatest there is.
    pub const MAX: u8 = 10;

    /// Reads a score that came from outside.
    ///
    /// # Errors
    /// `out_of_range` unless it is 1 to 10.
    pub fn new(score: i64) -> Result<Self, Violation> {
        u8::try_from(score)
            .ok()
            .filter(|score| (Self::MIN..=Self::MAX).contains(score))
            .map(Self)
            .ok_or_else(|| Violation::new("out_of_range", "must be from 1 to 10"))
    }

    /// The plain number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<i64> for MoodScore {
    type Error = Violation;
    fn try_from(score: i64) -> Result<Self, Violation> {
        Self::new(score)
    }
}

impl From<MoodScore> for i64 {
    fn from(score: MoodScore) -> i64 {
        i64::from(score.0)
    }
}

fields! {
    /// The fields of a diary.
    #[derive(Eq)]
    Diary, edited by DiaryPatch {
        /// The text of the day, up to 1 MiB; may be empty.
        summary: LongText,
        /// The mood.
        mood_key: MoodKey,
        /// How strong it was.
        mood_score: MoodScore,
        /// Who wrote the summary.
        generation_source: GenerationSource,
        /// Whether apps must not write the summary by themselves.
        auto_generation_locked: bool,
        /// The memos that the summary was made from, at most [`Diary::MAX_SOURCES`].
        generated_from_memo_ids: Vec<MemoId>,
        /// When an app last made the summary.
        last_auto_generated_at: Option<UnixMillis>,
    }
}

impl Diary {
    /// How many memos a summary may name as its sources.
    pub const MAX_SOURCES: usize = 1_000;

    /// Reads the list of source memos.
    ///
    /// # Errors
    /// `too_many`, or `invalid_uuid` with its place in the path.
    pub fn parse_sources(ids: &[String]) -> Result<Vec<MemoId>, Violation> {
        if ids.len() > Self::MAX_SOURCES {
            return Err(Violation::new(
                "too_many",
                format!("must be at most {} ids", Self::MAX_SOURCES),
            ));
        }
        let parse = |(i, id): (usize, &String)| MemoId::from_str(id).map_err(|v| v.at(&format!("[{i}]")));
        ids.iter().enumerate().map(parse).collect()
    }
}

impl Default for Diary {
    fn default() -> Self {
        Self {
            summary: LongText::default(),
            mood_key: MoodKey::Neutral,
            mood_score: MoodScore::DEFAULT,
            generation_source: GenerationSource::Manual,
            auto_generation_locked: false,
            generated_from_memo_ids: Vec::new(),
            last_auto_generated_at: None,
        }
    }
}

impl Fields for Diary {
    fn bytes(&self) -> usize {
        FEW_BYTES + self.summary.as_str().len()
    }

    fn bytes_of(patch: &DiaryPatch) -> usize {
        FEW_BYTES + patch.summary.as_ref().map_or(0, |text| text.as_str().len())
    }

    fn from_patch(patch: &DiaryPatch) -> Result<Self, Missing> {
        Ok(Self::default().patched(patch))
    }
}

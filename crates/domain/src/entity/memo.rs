//! Memos: what people write.

use serde::{Deserialize, Serialize};

use super::{FEW_BYTES, Facets, Fields, Missing, pick};
use crate::id::DiaryDate;
use crate::text::{LongText, ShortText, Tags};

/// The fields of a memo.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Memo {
    /// The text, up to 1 MiB; may be empty.
    pub content: LongText,
    /// The tags, in the order given.
    pub tags: Tags,
    /// Whether it is put away.
    pub is_archived: bool,
    /// The diary day that it is filed under.
    pub diary_date: Option<DiaryDate>,
    /// A summary that an app had made, up to 64 KiB.
    pub ai_summary: Option<ShortText>,
}

/// A partial edit of a memo; on a nullable field, `Some(None)` clears it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the fields are those of Memo")]
pub struct MemoPatch {
    pub content: Option<LongText>,
    pub tags: Option<Tags>,
    pub is_archived: Option<bool>,
    pub diary_date: Option<Option<DiaryDate>>,
    pub ai_summary: Option<Option<ShortText>>,
}

impl Fields for Memo {
    type Changes = MemoPatch;

    fn patched(&self, patch: &MemoPatch) -> Self {
        Self {
            content: pick(patch.content.as_ref(), &self.content),
            tags: pick(patch.tags.as_ref(), &self.tags),
            is_archived: pick(patch.is_archived.as_ref(), &self.is_archived),
            diary_date: pick(patch.diary_date.as_ref(), &self.diary_date),
            ai_summary: pick(patch.ai_summary.as_ref(), &self.ai_summary),
        }
    }

    fn from_patch(patch: &MemoPatch) -> Result<Self, Missing> {
        match patch.content {
            Some(_) => Ok(Self::default().patched(patch)),
            None => Err(Missing::of(&[("content", false)])),
        }
    }

    fn bytes(&self) -> usize {
        let summary = self.ai_summary.as_ref().map_or(0, |text| text.as_str().len());
        FEW_BYTES + self.content.as_str().len() + summary
    }

    fn bytes_of(patch: &MemoPatch) -> usize {
        let content = patch.content.as_ref().map_or(0, |text| text.as_str().len());
        let summary = patch.ai_summary.as_ref().and_then(Option::as_ref);
        FEW_BYTES + content + summary.map_or(0, |text| text.as_str().len())
    }

    fn facets(&self) -> Facets {
        let mut searched = self.content.as_str().to_owned();
        for more in self
            .tags
            .iter()
            .chain(self.ai_summary.as_ref().map(ShortText::as_str))
        {
            searched.push('\n');
            searched.push_str(more);
        }
        Facets {
            day: self.diary_date,
            archived: self.is_archived,
            tags: self.tags.clone(),
            search_text: Some(searched),
            ..Facets::default()
        }
    }
}

//! Memos: what people write.

use serde::{Deserialize, Serialize};

use super::{FEW_BYTES, Facets, Fields, Missing, Patched as _, fields};
use crate::id::DiaryDate;
use crate::text::{LongText, ShortText, Tags};

fields! {
    /// The fields of a memo.
    #[derive(Eq, Default)]
    Memo, edited by MemoPatch {
        /// The text, up to 1 MiB; may be empty.
        content: LongText,
        /// The tags, in the order given.
        tags: Tags,
        /// Whether it is put away.
        is_archived: bool,
        /// The diary day that it is filed under.
        diary_date: Option<DiaryDate>,
        /// A summary that an app had made, up to 64 KiB.
        ai_summary: Option<ShortText>,
    }
}

impl Fields for Memo {
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

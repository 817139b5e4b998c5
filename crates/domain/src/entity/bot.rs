//! Bots: assistants that a person has set up in the app.

use serde::{Deserialize, Serialize};

use super::{Facets, Fields, KeptObject, Missing, pick};
use crate::text::{DisplayName, ModelName, PictureAddress, ShortText, Tags};

/// The fields of a bot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bot {
    /// The name, 1 to 100 characters.
    pub name: DisplayName,
    /// A picture, up to 2,048 characters.
    pub avatar_url: Option<PictureAddress>,
    /// What the bot is, up to 64 KiB; may be empty.
    pub description: ShortText,
    /// The tags, in the order given.
    pub tags: Tags,
    /// Whether it answers by itself.
    pub auto_reply: bool,
    /// Its place among the user's bots.
    pub sort_order: i64,
    /// The model that it speaks through, up to 255 characters.
    pub model: Option<ModelName>,
    /// What the app needs to run it, up to 16 KiB.
    pub ai_config: Option<KeptObject>,
}

/// A partial edit of a bot; on a nullable field, `Some(None)` clears it.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(missing_docs, reason = "the fields are those of Bot")]
pub struct BotPatch {
    pub name: Option<DisplayName>,
    pub avatar_url: Option<Option<PictureAddress>>,
    pub description: Option<ShortText>,
    pub tags: Option<Tags>,
    pub auto_reply: Option<bool>,
    pub sort_order: Option<i64>,
    pub model: Option<Option<ModelName>>,
    pub ai_config: Option<Option<KeptObject>>,
}

impl Fields for Bot {
    type Changes = BotPatch;

    const NAMES_AVATARS: bool = true;

    fn patched(&self, patch: &BotPatch) -> Self {
        Self {
            name: pick(patch.name.as_ref(), &self.name),
            avatar_url: pick(patch.avatar_url.as_ref(), &self.avatar_url),
            description: pick(patch.description.as_ref(), &self.description),
            tags: pick(patch.tags.as_ref(), &self.tags),
            auto_reply: pick(patch.auto_reply.as_ref(), &self.auto_reply),
            sort_order: pick(patch.sort_order.as_ref(), &self.sort_order),
            model: pick(patch.model.as_ref(), &self.model),
            ai_config: pick(patch.ai_config.as_ref(), &self.ai_config),
        }
    }

    fn from_patch(patch: &BotPatch) -> Result<Self, Missing> {
        let Some(name) = patch.name.clone() else {
            return Err(Missing::of(&[("name", false)]));
        };
        let new = Self {
            name,
            avatar_url: None,
            description: ShortText::default(),
            tags: Tags::default(),
            auto_reply: true,
            sort_order: 0,
            model: None,
            ai_config: None,
        };
        Ok(new.patched(patch))
    }

    fn names_place(patch: &BotPatch) -> bool {
        patch.sort_order.is_some()
    }

    fn facets(&self) -> Facets {
        Facets {
            sort_order: Some(self.sort_order),
            tags: self.tags.clone(),
            ..Facets::default()
        }
    }

    fn with_sort_order(self, sort_order: i64) -> Self {
        Self { sort_order, ..self }
    }
}

//! Bots: assistants that a person has set up in the app.

use serde::{Deserialize, Serialize};

use super::{Facets, Fields, KeptObject, Missing, Patched as _, fields};
use crate::text::{DisplayName, ModelName, PictureAddress, ShortText, Tags};

fields! {
    /// The fields of a bot.
    Bot, edited by BotPatch {
        /// The name, 1 to 100 characters.
        name: DisplayName,
        /// A picture, up to 2,048 characters.
        avatar_url: Option<PictureAddress>,
        /// What the bot is, up to 64 KiB; may be empty.
        description: ShortText,
        /// The tags, in the order given.
        tags: Tags,
        /// Whether it answers by itself.
        auto_reply: bool,
        /// Its place among the user's bots.
        sort_order: i64,
        /// The model that it speaks through, up to 255 characters.
        model: Option<ModelName>,
        /// What the app needs to run it, up to 16 KiB.
        ai_config: Option<KeptObject>,
    }
}

impl Fields for Bot {
    const NAMES_AVATARS: bool = true;

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

//! Bots on the wire.

use std::borrow::Cow;

use mosaic_domain::entity::{Bot, BotPatch, KeptObject};
use mosaic_domain::text::{DisplayName, ModelName, PictureAddress, ShortText, Tags};

use super::declare::fields;
use super::entity::ApiEntity;
use super::record::RecordDto;

fields! {
    /// A bot: an assistant that a person has set up in the app.
    Bot, edited by BotPatch, sent as BotBody {
        name: DisplayName = "name",
        avatar_url: Option<PictureAddress> = "avatarUrl",
        /// Up to 64 KiB of UTF-8.
        description: ShortText = "description",
        /// Each 1 to 100 characters, none twice.
        tags: Tags = "tags",
        /// True for a new bot that does not say.
        auto_reply: bool = "autoReply",
        /// Its place in the list. A new bot that does not say comes last.
        sort_order: i64 = "sortOrder",
        model: Option<ModelName> = "model",
        /// Kept as given: up to 16 KiB of JSON, 16 levels deep.
        ai_config: Option<KeptObject> = "aiConfig",
    }
}

impl ApiEntity for Bot {
    const FOREIGN_KEY: &'static str = "botId";
    const BODY_BYTES: usize = 1024 * 1024;
    type Derived = ();

    fn derived<'a, X>(_: Self::Key, _: u32, _: impl FnOnce() -> Result<Cow<'a, Self>, X>) -> Result<(), X> {
        Ok(())
    }
}

/// A [`Bot`] in a response.
pub(crate) type BotDto = RecordDto<Bot>;

//! Bots on the wire.

use mosaic_application::AppError;
use mosaic_application::records::{Draft, EditBy};
use mosaic_domain::entity::{Bot, BotPatch, KeptObject};
use mosaic_domain::text::{Label, Tags, Text};
use mosaic_domain::{Live, RevisionId, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{PatchRequest, Times, Wire, answers_the_record, describes_new};
use crate::field::{Check, Field, Int, sort_order};
use crate::schema::{self, UnixMs};
use crate::state::AppState;

/// A bot: an assistant that a person has set up in the app.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Bot)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BotDto {
    #[schema(value_type = schema::Id)]
    id: String,
    #[schema(value_type = schema::DisplayName)]
    name: String,
    #[schema(value_type = Option<schema::PictureAddress>, required)]
    avatar_url: Option<String>,
    #[schema(value_type = schema::ShortText)]
    description: String,
    #[schema(value_type = schema::Tags)]
    tags: Vec<String>,
    auto_reply: bool,
    /// Its place in the list.
    #[schema(value_type = schema::SortOrder)]
    sort_order: i64,
    #[schema(value_type = Option<schema::ModelName>, required)]
    model: Option<String>,
    /// Kept as given.
    #[schema(value_type = Option<schema::KeptObject>, required)]
    ai_config: Option<KeptObject>,
    #[schema(value_type = UnixMs)]
    created_at: i64,
    /// The edit time, in Unix milliseconds: the newest edit wins.
    #[schema(value_type = UnixMs)]
    updated_at: i64,
}

impl From<Live<Bot>> for BotDto {
    fn from(live: Live<Bot>) -> Self {
        let bot = live.content;
        Self {
            id: live.key.to_string(),
            name: bot.name.into(),
            avatar_url: bot.avatar_url.map(String::from),
            description: bot.description.into(),
            tags: bot.tags.into(),
            auto_reply: bot.auto_reply,
            sort_order: bot.sort_order,
            model: bot.model.map(String::from),
            ai_config: bot.ai_config,
            created_at: live.created_at.get(),
            updated_at: live.version.time.get(),
        }
    }
}

/// Some fields of a bot, or all of them.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[schema(as = EditBot)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BotBody {
    #[schema(ignore)]
    #[serde(default)]
    id: Field<String>,
    #[schema(value_type = schema::DisplayName, required = false)]
    #[serde(default)]
    name: Field<String>,
    #[schema(value_type = Option<schema::PictureAddress>)]
    #[serde(default)]
    avatar_url: Field<String>,
    /// Up to 64 KiB of UTF-8.
    #[schema(value_type = schema::ShortText, required = false)]
    #[serde(default)]
    description: Field<String>,
    /// Each 1 to 100 characters, none twice.
    #[schema(value_type = schema::Tags, required = false)]
    #[serde(default)]
    tags: Field<Vec<String>>,
    /// True for a new bot that does not say.
    #[schema(value_type = bool, required = false)]
    #[serde(default)]
    auto_reply: Field<bool>,
    /// A new bot that does not say comes last.
    #[schema(value_type = schema::SortOrder, required = false)]
    #[serde(default)]
    sort_order: Field<Int>,
    #[schema(value_type = Option<schema::ModelName>)]
    #[serde(default)]
    model: Field<String>,
    /// Up to 16 KiB of JSON, 16 levels deep.
    #[schema(value_type = Option<schema::KeptObject>)]
    #[serde(default)]
    ai_config: Field<KeptObject>,
    #[schema(value_type = UnixMs, required = false)]
    #[serde(default)]
    created_at: Field<Int>,
    #[schema(value_type = UnixMs, required = false)]
    #[serde(default)]
    updated_at: Field<Int>,
}

describes_new!(NewBot: BotBody with "name");

impl Wire for Bot {
    const PATH: &'static str = "bots";
    const KEY: &'static str = "id";
    const FOREIGN_KEY: &'static str = "botId";
    const BODY_BYTES: usize = 1024 * 1024;
    type Shown = BotDto;
    type Body = BotBody;
    type New = NewBot;
    type Edit = BotBody;

    fn own_key(body: &BotBody) -> Field<String> {
        body.id.clone()
    }

    fn read_fields(body: BotBody, check: &mut Check) -> PatchRequest<Self> {
        let patch = BotPatch {
            name: check.essential("name", body.name, Label::new),
            avatar_url: check.nullable("avatarUrl", body.avatar_url, Label::new),
            description: check.optional("description", body.description, Text::new),
            tags: check.optional("tags", body.tags, Tags::new),
            auto_reply: check.optional("autoReply", body.auto_reply, Ok),
            sort_order: check.optional("sortOrder", body.sort_order, sort_order),
            model: check.nullable("model", body.model, Label::new),
            ai_config: check.nullable("aiConfig", body.ai_config, Ok),
        };
        PatchRequest {
            times: Times::read(body.created_at, body.updated_at, check),
            patch,
            attachments: None,
        }
    }

    answers_the_record!();
}

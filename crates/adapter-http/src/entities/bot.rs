//! Bots on the wire.

use mosaic_application::AppError;
use mosaic_application::records::{Draft, EditBy};
use mosaic_domain::entity::{Bot, BotPatch, KeptObject};
use mosaic_domain::text::{Label, Tags, Text};
use mosaic_domain::{Live, RevisionId, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Amendment, Times, Wire, answers_the_record, describes_new};
use crate::field::{Check, Field, Int, UnixMs, sort_order};
use crate::state::AppState;

/// A bot: an assistant that a person has set up in the app.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Bot)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BotDto {
    #[schema(format = Uuid)]
    id: String,
    name: String,
    #[schema(required)]
    avatar_url: Option<String>,
    description: String,
    tags: Vec<String>,
    auto_reply: bool,
    /// Its place in the list.
    sort_order: i64,
    #[schema(required)]
    model: Option<String>,
    /// Kept as given.
    #[schema(value_type = Option<Object>, required)]
    ai_config: Option<KeptObject>,
    /// Unix milliseconds.
    created_at: i64,
    /// The edit time, in Unix milliseconds: the newest edit wins.
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
    #[schema(value_type = String, min_length = 1, max_length = 100, required = false)]
    #[serde(default)]
    name: Field<String>,
    #[schema(value_type = Option<String>, max_length = 2048)]
    #[serde(default)]
    avatar_url: Field<String>,
    /// Up to 64 KiB of UTF-8.
    #[schema(value_type = String, max_length = 65_536, required = false)]
    #[serde(default)]
    description: Field<String>,
    /// Each 1 to 100 characters, none twice.
    #[schema(value_type = Vec<String>, max_items = 100, required = false)]
    #[serde(default)]
    tags: Field<Vec<String>>,
    /// True for a new bot that does not say.
    #[schema(value_type = bool, required = false)]
    #[serde(default)]
    auto_reply: Field<bool>,
    /// A new bot that does not say comes last.
    #[schema(value_type = i32, required = false)]
    #[serde(default)]
    sort_order: Field<Int>,
    #[schema(value_type = Option<String>, max_length = 255)]
    #[serde(default)]
    model: Field<String>,
    /// Up to 16 KiB of JSON, 16 levels deep.
    #[schema(value_type = Option<Object>)]
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

    fn read_fields(body: BotBody, check: &mut Check) -> Amendment<Self> {
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
        Amendment {
            times: Times::read(body.created_at, body.updated_at, check),
            patch,
            attachments: None,
        }
    }

    answers_the_record!();
}

//! Bots on the wire.

use mosaic_application::AppError;
use mosaic_application::records::{Draft, EditBy};
use mosaic_domain::entity::{Bot, BotPatch};
use mosaic_domain::text::{JsonObject, Label, Tags, Text};
use mosaic_domain::{Entity, Live, ResourceId, RevisionId, UserId, Violations};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{Amendment, Submitted, Times, Wire, answers_the_record};
use crate::field::{Check, Field, Int, UnixMs, from_text, sort_order};
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
    ai_config: Option<Map<String, Value>>,
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
            ai_config: bot.ai_config.map(Map::from),
            created_at: live.created_at.get(),
            updated_at: live.version.time.get(),
        }
    }
}

/// A bot to store.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewBot {
    /// A UUID that the client made, so that a retry makes no twin.
    #[schema(value_type = String, format = Uuid, required = false)]
    #[serde(default)]
    id: Field<String>,
    #[schema(value_type = String, min_length = 1, max_length = 100, required)]
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
    #[schema(value_type = bool, required = false, default = true)]
    #[serde(default)]
    auto_reply: Field<bool>,
    /// After the last where it is not given.
    #[schema(value_type = i32, required = false)]
    #[serde(default)]
    sort_order: Field<Int>,
    #[schema(value_type = Option<String>, max_length = 255)]
    #[serde(default)]
    model: Field<String>,
    /// Up to 16 KiB of JSON, 16 levels deep.
    #[schema(value_type = Option<Object>)]
    #[serde(default)]
    ai_config: Field<Map<String, Value>>,
    #[schema(value_type = UnixMs, required = false)]
    #[serde(default)]
    created_at: Field<Int>,
    #[schema(value_type = UnixMs, required = false)]
    #[serde(default)]
    updated_at: Field<Int>,
}

/// Some fields of a bot.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EditBot {
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
    #[schema(value_type = bool, required = false)]
    #[serde(default)]
    auto_reply: Field<bool>,
    #[schema(value_type = i32, required = false)]
    #[serde(default)]
    sort_order: Field<Int>,
    #[schema(value_type = Option<String>, max_length = 255)]
    #[serde(default)]
    model: Field<String>,
    /// Up to 16 KiB of JSON, 16 levels deep.
    #[schema(value_type = Option<Object>)]
    #[serde(default)]
    ai_config: Field<Map<String, Value>>,
    #[schema(value_type = UnixMs, required = false)]
    #[serde(default)]
    created_at: Field<Int>,
    #[schema(value_type = UnixMs, required = false)]
    #[serde(default)]
    updated_at: Field<Int>,
}

impl Wire for Bot {
    const PATH: &'static str = "bots";
    const KEY: &'static str = "id";
    const FOREIGN_KEY: &'static str = "botId";
    type Shown = BotDto;
    type New = NewBot;
    type Edit = EditBot;

    fn parse_new(body: NewBot) -> Result<Submitted<Self>, Violations> {
        let mut check = Check::default();
        let key = check.optional("id", body.id, from_text);
        let name = check.required("name", body.name, Label::new);
        let avatar_url = check.nullable("avatarUrl", body.avatar_url, Label::new).flatten();
        let description = check
            .optional("description", body.description, Text::new)
            .unwrap_or_default();
        let tags = check.optional("tags", body.tags, Tags::new).unwrap_or_default();
        let auto_reply = check.optional("autoReply", body.auto_reply, Ok).unwrap_or(true);
        let place = check.optional("sortOrder", body.sort_order, sort_order);
        let model = check.nullable("model", body.model, Label::new).flatten();
        let ai_config = check
            .nullable("aiConfig", body.ai_config, JsonObject::new)
            .flatten();
        let times = Times {
            created_at: check.created_at(body.created_at),
            updated_at: check.updated_at(body.updated_at),
        };
        let content = name.map(|name| Self {
            name,
            avatar_url,
            description,
            tags,
            auto_reply,
            sort_order: place.unwrap_or_default(),
            model,
            ai_config,
        });
        let draft = content.map(|content| Draft {
            content,
            unplaced: place.is_none(),
            attachments: None,
        });
        check.finish(draft.map(|draft| Submitted { key, times, draft }))
    }

    fn parse_edit(body: EditBot) -> Result<Amendment<Self>, Violations> {
        let mut check = Check::default();
        let patch = BotPatch {
            name: check.optional("name", body.name, Label::new),
            avatar_url: check.nullable("avatarUrl", body.avatar_url, Label::new),
            description: check.optional("description", body.description, Text::new),
            tags: check.optional("tags", body.tags, Tags::new),
            auto_reply: check.optional("autoReply", body.auto_reply, Ok),
            sort_order: check.optional("sortOrder", body.sort_order, sort_order),
            model: check.nullable("model", body.model, Label::new),
            ai_config: check.nullable("aiConfig", body.ai_config, JsonObject::new),
        };
        let times = Times {
            created_at: check.created_at(body.created_at),
            updated_at: check.updated_at(body.updated_at),
        };
        check.finish(Some(Amendment {
            times,
            patch,
            attachments: None,
        }))
    }

    answers_the_record!();
}

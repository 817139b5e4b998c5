//! `POST /sync/pull`: what changed since a device's cursors (P1 to P7, R1, R2).

use std::collections::BTreeMap;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use mosaic_application::pull::Pulled;
use mosaic_domain::pull::{PullPage, PullRequest, PulledRecord, PulledState};
use mosaic_domain::{Cursor, EntitySet, EntityType, PerEntity, Violation, Violations};
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::ArrayBuilder;
use utoipa::{PartialSchema, ToSchema};

use crate::access_log;
use crate::body::JsonBody;
use crate::caller::Puller;
use crate::entities::{Changes, Cursors, PullChanges, Skipped, per_type};
use crate::field::{Check, Field, Int, Numbers, from_text};
use crate::names::EntityName;
use crate::problem::Problem;
use crate::response;
use crate::routes::Endpoint;
use crate::schema::{self, Key, Named, UnixMs, add};
use crate::state::AppState;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::post("/sync/pull", "pull", pull)
            .about("sync", "What changed since a device's cursors")
            .details(
                "At most 200 records per entity type, updated and deleted ones counted together. Pull again while \
                 `hasMore` holds a true; the same cursors give the same records again, or their newer states.",
            )
            .body::<PullBody>()
            .returns::<PullResponse>("One page per entity type"),
    ]
}

/// What a device asks for.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = PullRequest, example = json!({"clientId": "docs"}))]
#[serde(rename_all = "camelCase")]
struct PullBody {
    /// The device.
    #[schema(value_type = schema::ClientId, required)]
    #[serde(default)]
    client_id: Field<String>,
    /// Up to where the device was served, per entity type: what the last answer said. A missing one means from the
    /// beginning.
    #[schema(value_type = Option<Cursors>)]
    #[serde(default)]
    cursors: Field<Numbers>,
    /// The entity types to pull; all of them where it is not given.
    #[schema(value_type = Option<schema::EntityNames>)]
    #[serde(default)]
    entities: Field<Vec<String>>,
    /// The history that the cursors come from: what the last answer said.
    #[schema(value_type = Option<schema::Id>)]
    #[serde(default)]
    epoch: Field<String>,
}

impl PullBody {
    fn parse(self) -> Result<PullRequest, Violations> {
        let mut check = Check::default();
        let client = check.required("clientId", self.client_id, from_text);
        let Numbers(pairs) = check
            .nullable("cursors", self.cursors, Ok)
            .flatten()
            .unwrap_or_default();
        let mut cursors = PerEntity::from_fn(|_| Cursor::ZERO);
        for (name, value) in pairs {
            match cursor(&name, &value) {
                Ok((entity, cursor)) => cursors[entity] = cursor,
                Err(violation) => check.push(violation.at(&name).at("cursors")),
            }
        }
        let entities = check
            .nullable("entities", self.entities, |names| entity_set(&names))
            .flatten()
            .unwrap_or_else(EntitySet::all);
        let epoch = check.nullable("epoch", self.epoch, from_text).flatten();
        check.finish(client.map(|client| PullRequest {
            client,
            login: None,
            cursors,
            entities,
            epoch,
        }))
    }
}

fn cursor(name: &str, value: &Field<Int>) -> Result<(EntityType, Cursor), Violation> {
    let entity = name.parse()?;
    let Field::Given(Int(stamp)) = value else {
        return Err(Violation::new("invalid_type", "must be a whole number"));
    };
    Ok((entity, Cursor::new(*stamp)?))
}

fn entity_set(names: &[String]) -> Result<EntitySet, Violation> {
    if names.is_empty() {
        return Err(Violation::new("empty", "must name at least one entity type"));
    }
    if names.len() > EntityType::ALL.len() {
        return Err(Violation::new("too_many", "must name each entity type once"));
    }
    let parse = |(i, name): (usize, &String)| {
        name.parse::<EntityType>()
            .map_err(|violation| violation.at(&format!("[{i}]")))
    };
    names.iter().enumerate().map(parse).collect()
}

/// What a device is served.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PullResponse)]
#[serde(rename_all = "camelCase")]
struct PullResponse {
    /// What the device sends next time. Taken as they come, never the greater of two.
    #[schema(value_type = Cursors)]
    cursors: BTreeMap<&'static str, i64>,
    #[schema(value_type = PullChanges)]
    changes: Changes,
    /// Whether there is more to come, per entity type.
    #[schema(value_type = HasMore)]
    has_more: BTreeMap<&'static str, bool>,
    /// The server's clock, in Unix milliseconds. Plays no part in sync.
    #[schema(value_type = UnixMs)]
    server_time: i64,
    /// Names the history of the database.
    #[schema(value_type = schema::Id)]
    epoch: String,
    /// The entity types that are served from the beginning, because the cursor comes from another history.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<EntityName>, required = false)]
    reset: Vec<&'static str>,
    /// The keys of records that are stored and can't be read, per entity type: they are left out, and the cursors pass over
    /// them. The device keeps what it has of them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = SkippedKeys, required = false)]
    skipped: Skipped,
}

per_type! {
    /// Whether there is more to come, for each entity type that was asked for.
    HasMore = |_: &mut Named| bool::schema();
    /// The keys of records that can't be read, for each entity type that has any.
    SkippedKeys = |schemas: &mut Named| ArrayBuilder::new().items(add::<Key>(schemas));
}

impl From<Pulled> for PullResponse {
    fn from(Pulled { page, server_time }: Pulled) -> Self {
        let asked = || {
            page.types
                .iter()
                .filter_map(|(entity, page)| Some((entity.name(), page.as_ref()?)))
        };
        let cursors = asked().map(|(name, page)| (name, page.cursor.get())).collect();
        let has_more = asked().map(|(name, page)| (name, page.more)).collect();
        let (changes, skipped) = Changes::of(page.types);
        Self {
            cursors,
            has_more,
            server_time: server_time.get(),
            epoch: page.epoch.to_string(),
            reset: page.reset.iter().map(EntityType::name).collect(),
            changes,
            skipped,
        }
    }
}

/// Up to so many bytes are written on the spot: going to another thread takes longer than that.
const FEW_BYTES: usize = 256 * 1024;

/// About how many bytes the answer has.
fn bytes(page: &PullPage) -> usize {
    let of_record = |record: &PulledRecord| match &record.state {
        PulledState::Live(document) => document.as_str().len() + 160,
        PulledState::Unreadable | PulledState::Deleted => 40,
    };
    500 + page.records().map(of_record).sum::<usize>()
}

async fn pull(
    login: Puller,
    request: HttpRequest,
    state: Data<AppState>,
    body: Result<JsonBody<PullBody>, Problem>,
) -> Result<HttpResponse, Problem> {
    let pull = match body.and_then(|body| Ok(body.0.parse()?)) {
        Ok(pull) => pull,
        Err(problem) => {
            // What is wrong with a request is said only to who may make it.
            state.sessions.check(&login.0).await?;
            return Err(problem);
        }
    };
    access_log::note_client(&request, &pull.client);
    let pulled = state.pull.run(login.0.user, login.0.family, pull).await?;
    state.figures.pulled(&pulled.page);
    let bytes = bytes(&pulled.page);
    if bytes <= FEW_BYTES {
        return response::small(&request, HttpResponse::Ok(), &PullResponse::from(pulled), bytes);
    }
    response::large(&request, HttpResponse::Ok(), || Ok(PullResponse::from(pulled))).await
}

#[cfg(test)]
mod tests {
    use mosaic_domain::pull::TypePage;
    use mosaic_domain::{EditTime, Epoch, MemoId, RecordKey, Stamp, UnixMillis};
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn parse(json: &str) -> Result<PullRequest, Vec<(String, &'static str)>> {
        let body: PullBody = serde_json::from_str(json).unwrap();
        body.parse()
            .map_err(|violations| violations.iter().map(|v| (v.path.clone(), v.code)).collect())
    }

    #[test]
    fn p8_what_can_not_be_read_is_left_out_and_named() {
        let record = PulledRecord {
            key: RecordKey::Memo(MemoId::new(Uuid::from_u128(7))),
            edit_time: EditTime::clamped(1),
            stamp: Stamp::clamped(5),
            created_at: UnixMillis::ZERO,
            revision_count: 1,
            state: PulledState::Unreadable,
        };
        let mut types = PerEntity::default();
        types[EntityType::Memo] = Some(TypePage {
            records: vec![record],
            cursor: Cursor::clamped(5),
            more: false,
        });
        let page = PullPage {
            types,
            reset: EntitySet::NONE,
            epoch: Epoch::new(Uuid::nil()),
        };
        let server_time = UnixMillis::ZERO;
        let answer = serde_json::to_value(PullResponse::from(Pulled { page, server_time })).unwrap();
        assert_eq!(
            answer["skipped"],
            json!({"memo": ["00000000-0000-0000-0000-000000000007"]})
        );
        assert_eq!(
            (&answer["changes"]["memo"], &answer["cursors"]["memo"]),
            (&json!({"updated": [], "deletedIds": []}), &json!(5))
        );
    }

    #[test]
    fn a_missing_cursor_means_from_the_beginning() {
        let request = parse(r#"{"clientId": "a", "cursors": {"memo": 17}}"#).unwrap();
        assert_eq!(request.cursors[EntityType::Memo].get(), 17);
        assert_eq!(request.cursors[EntityType::Bot], Cursor::ZERO);
        assert_eq!((request.entities, request.epoch), (EntitySet::all(), None));
    }

    #[test]
    fn types_and_epoch_may_be_named() {
        let request = format!(
            r#"{{"clientId": "a", "entities": ["bot"], "epoch": "{}"}}"#,
            Uuid::nil()
        );
        let request = parse(&request).unwrap();
        assert_eq!(request.entities.iter().collect::<Vec<_>>(), [EntityType::Bot]);
        assert_eq!(request.epoch, Some(Epoch::new(Uuid::nil())));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_path() {
        let long = "x".repeat(65);
        for (json, path, code) in [
            ("{}", "clientId", "required"),
            (r#"{"clientId": ""}"#, "clientId", "empty"),
            (&format!(r#"{{"clientId": "{long}"}}"#), "clientId", "too_long"),
            (
                r#"{"clientId": "a", "cursors": {"foo": 1}}"#,
                "cursors.foo",
                "unknown_entity",
            ),
            (
                r#"{"clientId": "a", "cursors": {"memo": -1}}"#,
                "cursors.memo",
                "out_of_range",
            ),
            (
                r#"{"clientId": "a", "cursors": {"memo": 1.5}}"#,
                "cursors.memo",
                "invalid_type",
            ),
            (
                r#"{"clientId": "a", "cursors": {"memo": "1"}}"#,
                "cursors.memo",
                "invalid_type",
            ),
            (
                r#"{"clientId": "a", "cursors": {"memo": 9007199254740992}}"#,
                "cursors.memo",
                "out_of_range",
            ),
            (r#"{"clientId": "a", "cursors": []}"#, "cursors", "invalid_type"),
            (
                r#"{"clientId": "a", "entities": ["memo", "foo"]}"#,
                "entities[1]",
                "unknown_entity",
            ),
            (r#"{"clientId": "a", "entities": []}"#, "entities", "empty"),
            (r#"{"clientId": "a", "epoch": "x"}"#, "epoch", "invalid_uuid"),
        ] {
            assert_eq!(parse(json), Err(vec![(path.to_owned(), code)]), "{json}");
        }
    }
}

//! `POST /sync/push`: many edits in one request (B1 to B3).

mod raw;

use std::collections::BTreeMap;
use std::mem;

use actix_web::web::{self, Data};
use actix_web::{HttpRequest, HttpResponse};
use mosaic_application::push::{PushEdit, PushOutcome};
use mosaic_domain::header::CLIENT_TIME;
use mosaic_domain::pull::PageLimits;
use mosaic_domain::write::EDITS_PER_TYPE;
use mosaic_domain::{ClientId, EntityType, PerEntity, Record, Stamp, UnixMillis, Violation};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa::openapi::schema::ArrayBuilder;

use self::raw::{RawChanges, RawEdits, Sent};
use crate::access_log;
use crate::admission::Admission;
use crate::body::{FromBody, JsonBody};
use crate::budget::{Lease, MemoryBudget};
use crate::caller::Editor;
use crate::entities::{self, ApiEntity, Entry, PushChanges, Stored, StoredRecord, described, per_type};
use crate::field::{Check, Field, Int, from_text};
use crate::figures::RecordOutcome;
use crate::json::parse_object;
use crate::problem::{FieldError, Problem};
use crate::response;
use crate::routes::Endpoint;
use crate::schema::{self, Named, UnixMs, add};
use crate::state::AppState;

/// What is stored is shown in so many bytes, however full the response is: some numbers.
const FEW_BYTES: usize = 1024;
/// How many errors the response to a push has at most, besides the first of each record.
const MOST_ERRORS: usize = 1_000;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::post("/sync/push", "push", push)
            .about("sync", "Many edits in one request")
            .details(
                "The mirror image of a pull: records and deletes, at most 200 per entity type. All that can be \
                 applied is applied as one write, parents first, each edit judged as one that came alone. A record that \
                 is not acceptable is rejected alone, with the code that a single write would have answered and the path \
                 to the field as seen from the body; where it may succeed later it says `retryable`. The same push again \
                 changes nothing. A body is at most 16 MiB (else 413 `body_too_large`): send fewer records at a time.",
            )
            .header::<UnixMs>(
                CLIENT_TIME,
                "The device's own clock, where the body has no `clientTime`",
            )
            .body_limit(usize::MAX)
            .body::<PushBody>()
            .returns::<PushResponse>("What became of each record"),
    ]
}

/// What a device pushes.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = PushRequest, example = json!({
    "clientId": "docs",
    "changes": {"memo": {"updated": [{"id": "0198f3a2-7b1c-7def-8000-1234567890ab", "content": "Hello"}]}},
}))]
#[serde(rename_all = "camelCase")]
struct PushBody {
    /// The device that made the edits.
    #[schema(value_type = schema::ClientId, required)]
    #[serde(default)]
    client_id: Field<String>,
    /// The device's own clock: edit times are shifted by the difference.
    #[schema(value_type = Option<UnixMs>)]
    #[serde(default)]
    client_time: Field<Int>,
    /// The edits, per entity type.
    #[schema(value_type = PushChanges, required)]
    #[serde(default)]
    changes: Option<IgnoredAny>,
}

/// A push, as far as it could be read.
struct Push {
    client: ClientId,
    client_time: Option<UnixMillis>,
    edits: Vec<PushEdit>,
    results: Results,
}

impl FromBody for Push {
    fn from_body(text: &str) -> Result<Self, Problem> {
        let body: PushBody = parse_object(text)?;
        let mut check = Check::default();
        let client = check.required("clientId", body.client_id, from_text);
        let client_time = check.nullable("clientTime", body.client_time, |Int(ms)| UnixMillis::new(ms));
        let given = body.changes.map_or(Field::Absent, Field::Given);
        let changes = match check.required("changes", given, Ok) {
            Some(_) => RawChanges::find(text)?,
            None => RawChanges::default(),
        };
        for violation in changes.unknown {
            check.push(violation.at("changes"));
        }
        for (entity, edits) in changes.types.iter() {
            if edits.as_ref().is_some_and(RawEdits::too_many) {
                let message = format!("must be at most {EDITS_PER_TYPE} records, deleted ones included");
                check.push(
                    Violation::new("too_many", message)
                        .at(entity.name())
                        .at("changes"),
                );
            }
        }
        let client = check.finish(client)?;
        let (edits, results) = read(changes.types);
        Ok(Self {
            client,
            client_time: client_time.flatten(),
            edits,
            results,
        })
    }
}

/// What became of a push.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PushResponse)]
#[serde(rename_all = "camelCase")]
struct PushResponse {
    /// For each entity type that the push named: what became of its records, first of the updated ones in their order, then
    /// of the deleted ones.
    #[schema(value_type = PushResults)]
    results: BTreeMap<&'static str, Vec<PushResult>>,
    /// The user's clock afterwards: the greatest stamp that has been given.
    #[schema(value_type = UnixMs)]
    clock: i64,
    /// The user's clock before, where nothing but what the results tell of has happened since. A device whose cursors all stand
    /// there takes `clock` for all of them: it is not sent again what it pushed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = UnixMs, required = false)]
    clock_before: Option<i64>,
    /// The server's clock, in Unix milliseconds.
    #[schema(value_type = UnixMs)]
    server_time: i64,
}

/// What became of one record of a push.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PushResult {
    /// The record's key; a diary's is its date. Where no key can be read: what stands in its place, or null.
    #[schema(value_type = Option<schema::Key>, required)]
    id: Option<String>,
    outcome: OutcomeName,
    /// The record's place in the user's history: with `applied` and `unchanged`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = UnixMs, required = false)]
    stamp: Option<i64>,
    /// The members of the stored record that are not as they were sent, or were not sent: with `applied` and `unchanged`, where
    /// there are any; of a deleted record `updatedAt` alone. Null where they are long, once an answer holds 4 MiB of these and of
    /// `current`: read the record with `GET`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::SomeMembers>, required = false)]
    stored: Option<Value>,
    /// The record that won: with `superseded`. Left out once an answer holds 4 MiB of these and of `stored`, unless it is deleted: read
    /// it with `GET`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<StoredRecord>, nullable = false)]
    current: Option<Value>,
    /// Why: with `rejected`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<PushError>,
    /// Whether the same record may be accepted later: with `rejected`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    retryable: Option<bool>,
}

described! {
    /// What became of a record of one type.
    ResultOf ("{}PushResult", register_result::<E>) = entities::of_type::<E>(PushResult::schema());
}

fn register_result<E: ApiEntity>(schemas: &mut Named) {
    PushResult::schemas(schemas);
    add::<Stored<E>>(schemas);
}

per_type! {
    /// What became of the records, for each entity type that the push named.
    PushResults = |schemas: &mut Named| ArrayBuilder::new().items(add::<ResultOf<E>>(schemas));
}

/// What can become of a record of a push.
#[derive(Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PushOutcome)]
#[serde(rename_all = "snake_case")]
enum OutcomeName {
    /// The record is now as the push says.
    Applied,
    /// The record was so already.
    Unchanged,
    /// A newer version is stored; what was pushed is kept as a revision.
    Superseded,
    /// Nothing was done with it.
    #[default]
    Rejected,
}

/// Why a record is rejected.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PushError {
    /// The code that a single write would have been answered with.
    #[schema(example = "validation_failed")]
    code: &'static str,
    /// For people, in English.
    message: String,
    /// What is wrong with which field, as seen from the body: `changes.memo.updated[3].content`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldError>,
    /// When the record was deleted, in Unix milliseconds: with `deleted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = UnixMs, required = false)]
    updated_at: Option<i64>,
}

/// The records of a push, and what became of those that were tried so far, or could not be read.
#[derive(Debug, Default)]
struct Results {
    /// The types that it names.
    named: Vec<EntityType>,
    records: Vec<Tried>,
    /// Of each edit, which of the records it is.
    places: Vec<usize>,
    writer: ResultWriter,
}

#[derive(Debug)]
struct Tried {
    entity: EntityType,
    id: Option<String>,
    path: String,
    sent: Sent,
    result: Option<PushResult>,
}

/// The edits that could be read, and the records of a push.
fn read(types: PerEntity<Option<RawEdits<'_>>>) -> (Vec<PushEdit>, Results) {
    let (mut edits, mut results) = (Vec::new(), Results::default());
    for (entity, raw) in types.into_pairs() {
        let Some(raw) = raw else { continue };
        results.named.push(entity);
        for (path, Entry { id, edit }, sent) in raw.into_entries(entity) {
            let result = match edit {
                Ok(edit) => {
                    edits.push(edit);
                    results.places.push(results.records.len());
                    None
                }
                Err(problem) => Some(results.writer.rejected(&problem, false)),
            };
            results.records.push(Tried {
                entity,
                id,
                path,
                sent,
                result,
            });
        }
    }
    (edits, results)
}

impl Results {
    /// The types of the records that could not be read.
    fn unreadable(&self) -> impl Iterator<Item = EntityType> {
        let unreadable = self.records.iter().filter(|record| record.result.is_some());
        unreadable.map(|record| record.entity)
    }

    /// The type of an edit.
    fn entity(&self, place: usize) -> Option<EntityType> {
        let record = self.places.get(place)?;
        self.records.get(*record).map(|record| record.entity)
    }

    /// Notes what became of some edits, each with its place among them.
    fn add(&mut self, outcomes: Vec<(usize, PushOutcome)>) -> Result<(), Problem> {
        for (place, outcome) in outcomes {
            let record = self
                .places
                .get(place)
                .and_then(|place| self.records.get_mut(*place));
            let record = record.ok_or_else(|| Problem::internal("an outcome of no edit"))?;
            record.result = Some(self.writer.outcome(outcome, &record.path, &record.sent)?);
        }
        Ok(())
    }

    /// What became of everything that was sent, in its order.
    fn into_shown(self) -> Result<BTreeMap<&'static str, Vec<PushResult>>, Problem> {
        let named = self.named.into_iter().map(|entity| (entity.name(), Vec::new()));
        let mut shown: BTreeMap<_, _> = named.collect();
        for Tried {
            entity, id, result, ..
        } in self.records
        {
            let result = result.ok_or_else(|| Problem::internal("an edit of a push has no outcome"))?;
            shown
                .entry(entity.name())
                .or_default()
                .push(PushResult { id, ..result });
        }
        Ok(shown)
    }
}

impl From<&PushOutcome> for RecordOutcome {
    fn from(outcome: &PushOutcome) -> Self {
        match outcome {
            PushOutcome::Applied { .. } => Self::Applied,
            PushOutcome::Unchanged { .. } => Self::Unchanged,
            PushOutcome::Superseded { .. } => Self::Superseded,
            PushOutcome::Rejected { .. } => Self::Rejected,
        }
    }
}

/// Shows outcomes, and the records that won as long as there is room for them.
#[derive(Debug, Default)]
struct ResultWriter {
    shown_bytes: usize,
    shown_errors: usize,
}

impl ResultWriter {
    /// A record that is rejected, with its errors; once the response has many, with the first of them.
    fn rejected(&mut self, problem: &Problem, retryable: bool) -> PushResult {
        let errors = problem.errors();
        let room = MOST_ERRORS.saturating_sub(self.shown_errors).max(1);
        let errors = errors[..errors.len().min(room)].to_vec();
        self.shown_errors += errors.len();
        PushResult {
            outcome: OutcomeName::Rejected,
            error: Some(PushError {
                code: problem.code().code(),
                message: problem.detail().to_owned(),
                errors,
                updated_at: problem.updated_at(),
            }),
            retryable: Some(retryable),
            ..PushResult::default()
        }
    }

    fn outcome(&mut self, outcome: PushOutcome, path: &str, sent: &Sent) -> Result<PushResult, Problem> {
        Ok(match outcome {
            PushOutcome::Applied { stored } => self.stored(OutcomeName::Applied, *stored, sent)?,
            PushOutcome::Unchanged { stored } => self.stored(OutcomeName::Unchanged, *stored, sent)?,
            PushOutcome::Superseded { current } => PushResult {
                outcome: OutcomeName::Superseded,
                current: self.current(*current)?,
                ..PushResult::default()
            },
            PushOutcome::Rejected { error, retryable } => {
                self.rejected(&Problem::from(error).below(path), retryable)
            }
        })
    }

    /// A record that is stored now, with what was not sent so.
    fn stored(&mut self, outcome: OutcomeName, record: Record, sent: &Sent) -> Result<PushResult, Problem> {
        let (stamp, is_deleted) = (record.stamp.get(), record.is_deleted());
        let key = record.key.entity_type().key_name();
        let mut shown = entities::record_json(record);
        if let Value::Object(members) = &mut shown {
            // The key is told anyway, and of a deleted record there is nothing else.
            members.retain(|name, value| {
                name != key && (name == "updatedAt" || !is_deleted) && !sent.says(name, value)
            });
        }
        let mut result = PushResult {
            outcome,
            stamp: Some(stamp),
            ..PushResult::default()
        };
        if !shown.as_object().is_none_or(Map::is_empty) {
            result.stored = Some(self.fits(shown, FEW_BYTES)?.unwrap_or(Value::Null));
        }
        Ok(result)
    }

    /// A tombstone is never left out: `GET` would not answer it.
    fn current(&mut self, record: Record) -> Result<Option<Value>, Problem> {
        let free = if record.is_deleted() { usize::MAX } else { 0 };
        self.fits(entities::record_json(record), free)
    }

    /// What is shown, unless there is no room left for it. So few bytes are always shown.
    fn fits(&mut self, shown: Value, free: usize) -> Result<Option<Value>, Problem> {
        let bytes = serde_json::to_vec(&shown).map_err(Problem::internal)?.len();
        if self.shown_bytes >= PageLimits::PROTOCOL.bytes && bytes > free {
            return Ok(None);
        }
        self.shown_bytes += bytes;
        Ok(Some(shown))
    }
}

async fn push(
    editor: Editor,
    request: HttpRequest,
    state: Data<AppState>,
    body: JsonBody<Push>,
) -> Result<HttpResponse, Problem> {
    let Push {
        client,
        client_time,
        edits,
        mut results,
    } = body.0;
    access_log::note_client(&request, &client);
    let body_bytes = Lease::of_body(&request) / MemoryBudget::BODY_FACTOR;
    let _turn = Admission::push(&request, editor.user(), body_bytes).await?;
    let mut last = Vec::new();
    let figures = &state.figures;
    let unreadable: Vec<_> = results.unreadable().collect();
    let told = async |outcomes: Vec<(usize, PushOutcome)>| {
        for (place, outcome) in &outcomes {
            if let Some(entity) = results.entity(*place) {
                figures.pushed_record(entity, outcome.into());
            }
        }
        // Off the worker; what the last slice has to tell is written together with the answer.
        let outcomes = mem::replace(&mut last, outcomes);
        if !outcomes.is_empty() {
            let mut so_far = mem::take(&mut results);
            let written = web::block(move || so_far.add(outcomes).map(|()| so_far));
            results = written.await.map_err(Problem::internal)??;
        }
        Ok::<_, Problem>(())
    };
    let pushed = state
        .push
        .run(&editor.push(client, client_time), edits, told)
        .await?;
    figures.pushed();
    for entity in unreadable {
        figures.pushed_record(entity, RecordOutcome::Rejected);
    }
    let server_time = state.clock.now().get();
    let shown = move || {
        results.add(last)?;
        Ok(PushResponse {
            results: results.into_shown()?,
            clock: pushed.clock.get(),
            clock_before: pushed.clock_before.map(Stamp::get),
            server_time,
        })
    };
    response::large(&request, HttpResponse::Ok(), shown).await
}

#[cfg(test)]
mod tests;

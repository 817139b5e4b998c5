//! The devices of a user (D1, D2), and what they should hold.

use std::collections::BTreeMap;

use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse};
use mosaic_application::devices::Device;
use mosaic_domain::header::CLIENT_ID;
use mosaic_domain::{ClientId, UnixMillis};
use mosaic_ports::SyncDigest;
use serde::Serialize;
use utoipa::ToSchema;

use super::records::JsonResult;
use crate::admission::Load;
use crate::caller::{self, SignedIn};
use crate::client_addr;
use crate::entities::{Cursors, per_type};
use crate::problem::{Problem, ProblemCode};
use crate::query::Key;
use crate::routes::Endpoint;
use crate::schema::{self, UnixMs, add};
use crate::state::AppState;

pub(super) fn endpoints() -> Vec<Endpoint> {
    const TAG: &str = "devices";
    vec![
        Endpoint::get("/devices", "listDevices", list)
            .about(TAG, "The devices of the caller, the one that was there last first")
            .details(
                "Every device that has pulled or is logged in. A pull that brings nothing writes nothing, so \
                 `lastPulledAt` is the last one that moved a cursor.",
            )
            .header::<schema::ClientIdHeader>(
                CLIENT_ID,
                "The device that asks, where its login named none: it is marked as `current`",
            )
            .returns_list::<DeviceDto>("The devices")
            .problems(&[ProblemCode::ValidationFailed]),
        Endpoint::delete("/devices/{clientId}", "forgetDevice", forget)
            .about(TAG, "Forgets a device and ends its logins")
            .details(
                "Its refresh tokens stop working at once, its access tokens when they expire at the latest. Nothing that \
                 it pushed is lost. A device that still has a login elsewhere and pulls again is listed anew.",
            )
            .returns_nothing("It is forgotten")
            .problems(&[ProblemCode::NotFound]),
        Endpoint::get("/sync/digest", "digest", digest)
            .takes(Load::Heavy)
            .about(
                "sync",
                "What the caller's records come to, to compare with what a device holds",
            )
            .details(
                "The hash of an entity type is the sum, modulo 2^64, of one number per live record: the first eight bytes, \
                 big-endian, of the SHA-256 of the record's key as it is on the wire, one space, and its `updatedAt` in \
                 decimal digits (`0198f3a2-7b1c-7def-8000-1234567890ab 1715000000000`); written as 16 lower-case \
                 hexadecimal digits. It does not depend on the order of the records, and is all zeros where there are none. \
                 A device whose four cursors equal `clock`, and that has nothing left to push, holds the same records \
                 exactly if counts and hashes agree with what it computes from its own.",
            )
            .returns::<DigestDto>("Counts and hashes, of one snapshot"),
    ]
}

/// A device.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Device)]
#[serde(rename_all = "camelCase")]
struct DeviceDto {
    /// Its name for itself.
    #[schema(value_type = schema::ClientId)]
    client_id: String,
    /// What its user calls it.
    #[schema(value_type = Option<schema::DisplayName>, required)]
    name: Option<String>,
    /// Up to where it was served, for each entity type that it pulled.
    #[schema(value_type = Cursors)]
    cursors: BTreeMap<&'static str, i64>,
    /// Its last pull that brought something, in Unix milliseconds.
    #[schema(value_type = Option<UnixMs>, required)]
    last_pulled_at: Option<i64>,
    /// When it was there last, as far as is known: that pull, or the last time its login was renewed. Unix milliseconds.
    #[schema(value_type = Option<UnixMs>, required)]
    last_seen_at: Option<i64>,
    /// Whether it has a login that works.
    signed_in: bool,
    /// How far it is behind, in milliseconds of the user's history: 0 at rest, null where it never pulled every type.
    #[schema(value_type = Option<schema::Count>, required)]
    behind_ms: Option<i64>,
    /// Whether it is the device that asks.
    current: bool,
}

impl DeviceDto {
    fn of(device: Device, asks: Option<&ClientId>) -> Self {
        Self {
            current: asks == Some(&device.client),
            client_id: device.client.into(),
            name: device.name.map(String::from),
            cursors: device
                .cursors
                .into_iter()
                .map(|(entity, cursor)| (entity.name(), cursor.get()))
                .collect(),
            last_pulled_at: device.last_pulled_at.map(UnixMillis::get),
            last_seen_at: device.last_seen_at.map(UnixMillis::get),
            signed_in: device.signed_in,
            behind_ms: device.behind_ms,
        }
    }
}

async fn list(caller: SignedIn, request: HttpRequest, state: Data<AppState>) -> JsonResult<Vec<DeviceDto>> {
    let named = caller::named_device(&request)?;
    let asks = caller.0.client.as_ref().or(named.as_ref());
    let devices = state.devices.list(caller.user()).await?.into_iter();
    Ok(Json(devices.map(|device| DeviceDto::of(device, asks)).collect()))
}

async fn forget(
    caller: SignedIn,
    client: Key<ClientId>,
    request: HttpRequest,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let origin = client_addr::origin(&request, caller.0.client.as_ref());
    let devices = state.devices.asked_from(origin);
    devices.forget(caller.user(), &client.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// What the records of a user come to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Digest)]
struct DigestDto {
    /// The user's clock.
    clock: i64,
    /// Names the history of the database.
    #[schema(format = Uuid)]
    epoch: String,
    /// Each entity type.
    #[schema(value_type = TypeDigests)]
    entities: BTreeMap<&'static str, TypeDigest>,
}

/// What the live records of one entity type come to.
#[derive(Debug, Serialize, ToSchema)]
struct TypeDigest {
    /// How many there are.
    #[schema(value_type = schema::Count)]
    count: u64,
    /// 16 lower-case hexadecimal digits.
    #[schema(pattern = "^[0-9a-f]{16}$")]
    hash: String,
}

per_type! {
    /// What the records of each entity type come to.
    TypeDigests = add::<TypeDigest>;
}

impl From<SyncDigest> for DigestDto {
    fn from(digest: SyncDigest) -> Self {
        let of_type = |digest: &mosaic_domain::digest::Digest| TypeDigest {
            count: digest.count(),
            hash: digest.hash(),
        };
        Self {
            clock: digest.clock.get(),
            epoch: digest.epoch.to_string(),
            entities: digest
                .types
                .iter()
                .map(|(entity, digest)| (entity.name(), of_type(digest)))
                .collect(),
        }
    }
}

async fn digest(caller: SignedIn, state: Data<AppState>) -> JsonResult<DigestDto> {
    Ok(Json(state.devices.digest(caller.user()).await?.into()))
}

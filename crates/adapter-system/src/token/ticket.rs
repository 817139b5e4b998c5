//! What a ticket says, in JSON.

use mosaic_domain::{AvatarId, FamilyId, ResourceId, UnixMillis, UserId};
use mosaic_ports::{Opens, TicketClaims};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The claims. Unknown ones are refused, as those of access tokens are.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TicketPayload {
    id: Uuid,
    user: UserId,
    family: FamilyId,
    #[serde(with = "OpensPayload")]
    opens: Opens,
    until: UnixMillis,
    pub(super) expires_at: UnixMillis,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Opens", rename_all = "snake_case")]
enum OpensPayload {
    Events,
    Resource(ResourceId),
    Avatar(AvatarId),
}

impl From<TicketClaims> for TicketPayload {
    fn from(claims: TicketClaims) -> Self {
        Self {
            id: claims.id,
            user: claims.user,
            family: claims.family,
            opens: claims.opens,
            until: claims.until,
            expires_at: claims.expires_at,
        }
    }
}

impl From<TicketPayload> for TicketClaims {
    fn from(payload: TicketPayload) -> Self {
        Self {
            id: payload.id,
            user: payload.user,
            family: payload.family,
            opens: payload.opens,
            until: payload.until,
            expires_at: payload.expires_at,
        }
    }
}

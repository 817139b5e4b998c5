//! Invites: made, listed and taken back by administrators (I2, I3).

use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse};
use mosaic_application::accounts::{InviteRequest, NewInvite};
use mosaic_domain::account::Role;
use mosaic_domain::invite::{FoundInvite, InviteEnd, InviteLifetime};
use mosaic_domain::query::Listing;
use mosaic_domain::{InviteId, UnixMillis, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::accounts::accounts_for;
use super::page::{NamedPage, PageOf, UsualPage};
use super::records::JsonResult;
use crate::admission::Load;
use crate::body::JsonBody;
use crate::caller::Administrator;
use crate::field::{Check, Field, Int, from_text};
use crate::names::{InviteState, RoleName};
use crate::problem::{Problem, ProblemCode};
use crate::query::{Key, Query};
use crate::routes::Endpoint;
use crate::schema::{self, UnixMs};
use crate::state::AppState;

pub(super) fn endpoints() -> Vec<Endpoint> {
    const TAG: &str = "admin";
    vec![
        Endpoint::get("/admin/invites", "listInvites", list)
            .takes(Load::Heavy)
            .about(TAG, "The invites of all administrators, the newest first")
            .details("Those that are over are listed for a while: up to 30 days after they expired.")
            .returns::<NamedPage<InviteDto>>("One page"),
        Endpoint::post("/admin/invites", "createInvite", create)
            .about(TAG, "Makes an invite: a link by which somebody makes one account")
            .details(
                "The secret is answered once and kept nowhere. The invite works until it is used, taken back or expired, and as \
                 long as whoever made it is an administrator.",
            )
            .body::<NewInviteBody>()
            .returns::<NewInviteDto>("The invite, with its secret")
            .problems(&[ProblemCode::TooManyInvites, ProblemCode::StorageFull]),
        Endpoint::delete("/admin/invites/{id}", "revokeInvite", revoke)
            .about(TAG, "Takes an invite back, whoever made it")
            .returns_nothing("It makes no account, now or ever")
            .problems(&[
                ProblemCode::NotFound,
                ProblemCode::InviteUsed,
                ProblemCode::StorageFull,
            ]),
    ]
}

/// An invite.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Invite)]
#[serde(rename_all = "camelCase")]
struct InviteDto {
    #[schema(value_type = schema::Id)]
    id: String,
    /// Whether it works, or why not. `revoked` also where whoever made it is no administrator any more.
    #[schema(value_type = InviteState)]
    state: &'static str,
    /// What the new user may do.
    #[schema(value_type = RoleName)]
    role: &'static str,
    /// What the new user may store, as in `User`.
    #[schema(value_type = schema::Quota)]
    quota: String,
    /// The administrator who made it; `null`: somebody at the command line of the server.
    #[schema(value_type = Option<schema::Id>, required)]
    made_by: Option<String>,
    #[schema(value_type = UnixMs)]
    created_at: i64,
    #[schema(value_type = UnixMs)]
    expires_at: i64,
    /// The account that was made by it.
    #[schema(value_type = Option<schema::Id>, required)]
    used_by: Option<String>,
    /// When it was used or taken back.
    #[schema(value_type = Option<UnixMs>, required)]
    ended_at: Option<i64>,
}

impl InviteDto {
    fn at(now: UnixMillis, found: FoundInvite) -> Self {
        let state = found.state(now);
        let FoundInvite { invite, .. } = found;
        let (used_by, ended_at) = match invite.end {
            None => (None, None),
            Some(InviteEnd::Used { by, at }) => (Some(by), Some(at)),
            Some(InviteEnd::Revoked { at }) => (None, Some(at)),
        };
        let shown = |user: Option<UserId>| user.map(|user| user.to_string());
        Self {
            id: invite.id.to_string(),
            state,
            role: invite.role.name(),
            quota: invite.quota.to_string(),
            made_by: shown(invite.made_by),
            created_at: invite.made_at.get(),
            expires_at: invite.expires_at.get(),
            used_by: shown(used_by),
            ended_at: ended_at.map(UnixMillis::get),
        }
    }
}

/// An invite that was made just now.
#[derive(Serialize, ToSchema)]
#[schema(as = NewInvite)]
#[serde(rename_all = "camelCase")]
struct NewInviteDto {
    invite: InviteDto,
    /// What makes the account. Whoever has it, has the invite.
    #[schema(value_type = schema::InviteSecret)]
    secret: String,
    /// The page that makes the account, relative to the server, with the secret in its fragment.
    address: String,
    /// The same as a link, where the server's configuration says its address (`http.public_url`).
    #[schema(required)]
    link: Option<String>,
}

async fn list(
    _: Administrator,
    page: Query<UsualPage>,
    state: Data<AppState>,
) -> JsonResult<PageOf<InviteDto>> {
    let page = page.0.number();
    let Listing { items, total } = state.accounts.invites(page).await?;
    let now = state.clock.now();
    let items = items.into_iter().map(|found| InviteDto::at(now, found)).collect();
    Ok(Json(PageOf::of(Listing { items, total }, page)))
}

/// An invite to make.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct NewInviteBody {
    #[schema(value_type = RoleName, required = false, default = "user")]
    #[serde(default)]
    role: Field<String>,
    /// A number of bytes like `50GiB`, `default` or `none`.
    #[schema(value_type = schema::Quota, required = false, default = "default")]
    #[serde(default)]
    quota: Field<String>,
    /// How long it works, in milliseconds: a minute to 90 days.
    #[schema(value_type = schema::InviteLifetimeMs, required = false)]
    #[serde(default)]
    lifetime_ms: Field<Int>,
}

async fn create(
    admin: Administrator,
    http: HttpRequest,
    state: Data<AppState>,
    body: JsonBody<NewInviteBody>,
) -> JsonResult<NewInviteDto> {
    let body = body.0;
    let mut check = Check::default();
    let lifetime = |Int(ms)| InviteLifetime::of_ms(ms);
    let request = InviteRequest {
        role: check.optional("role", body.role, from_text).unwrap_or(Role::User),
        quota: check.optional("quota", body.quota, from_text).unwrap_or_default(),
        lifetime: check
            .optional("lifetimeMs", body.lifetime_ms, lifetime)
            .unwrap_or(InviteLifetime::DEFAULT),
    };
    let request = check.finish(Some(request))?;
    let made = accounts_for(&state, &http, &admin.0)
        .invite(request, Some(admin.0.acting()))
        .await?;
    let address = made.address();
    let NewInvite { invite, secret } = made;
    Ok(Json(NewInviteDto {
        invite: InviteDto::at(state.clock.now(), invite),
        link: state.public_url.as_ref().map(|url| format!("{url}{address}")),
        secret,
        address,
    }))
}

async fn revoke(
    admin: Administrator,
    id: Key<InviteId>,
    request: HttpRequest,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let accounts = accounts_for(&state, &request, &admin.0);
    accounts.revoke_invite(id.0, Some(admin.0.acting())).await?;
    Ok(HttpResponse::NoContent().finish())
}

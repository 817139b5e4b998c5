//! Accounts that people make of their own: where the server takes registrations, or by an invite (I1).

use actix_web::HttpRequest;
use actix_web::web::{Data, Json};
use mosaic_application::AppError;
use mosaic_application::accounts::Newcomer;
use mosaic_domain::account::{Password, Username};
use mosaic_domain::invite::InviteRefusal;
use serde::Deserialize;
use utoipa::ToSchema;

use super::accounts::{LoginAnswer, SMALL_BODY, device, short_enough, whoever_hangs_up};
use super::records::JsonResult;
use crate::body::JsonBody;
use crate::field::{Check, Field};
use crate::limits::LoginLimiter;
use crate::problem::{Problem, ProblemCode};
use crate::routes::Endpoint;
use crate::schema;
use crate::state::AppState;
use crate::{access_log, client_addr};

pub(super) fn endpoints() -> Vec<Endpoint> {
    const TAG: &str = "auth";
    vec![
        Endpoint::post("/auth/register", "register", register)
            .public()
            .body_limit(SMALL_BODY)
            .about(
                TAG,
                "Makes an account and logs in, where the server takes registrations",
            )
            .body::<RegisterBody>()
            .returns::<LoginAnswer>("The tokens and the account")
            .problems(&[
                ProblemCode::RegistrationClosed,
                ProblemCode::UsernameTaken,
                ProblemCode::RateLimited,
                ProblemCode::StorageFull,
            ]),
        Endpoint::post("/auth/invite", "acceptInvite", accept)
            .public()
            .body_limit(SMALL_BODY)
            .about(TAG, "Makes an account by an invite, and logs in")
            .details(
                "The account is as whoever invites has chosen; name and password are one's own. Where the name is taken, the \
                 invite is good for another one.",
            )
            .body::<AcceptBody>()
            .returns::<LoginAnswer>("The tokens and the account")
            .problems(&[
                ProblemCode::UnknownInvite,
                ProblemCode::UsernameTaken,
                ProblemCode::InviteUsed,
                ProblemCode::InviteRevoked,
                ProblemCode::InviteExpired,
                ProblemCode::BadCredentials,
                ProblemCode::AccountDisabled,
                ProblemCode::RateLimited,
                ProblemCode::StorageFull,
            ]),
    ]
}

/// An account to make.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RegisterBody {
    #[schema(value_type = schema::NewUsername, required)]
    #[serde(default)]
    username: Field<String>,
    #[schema(value_type = schema::NewPassword, required)]
    #[serde(default)]
    password: Field<String>,
    /// The device.
    #[schema(value_type = Option<schema::ClientId>)]
    #[serde(default)]
    client_id: Field<String>,
    /// What its user calls the device.
    #[schema(value_type = Option<schema::DisplayName>)]
    #[serde(default)]
    device_name: Field<String>,
}

/// Who makes an account of their own, where the name and the password are what they may be.
fn newcomer(
    check: &mut Check,
    (username, password): (Field<String>, Field<String>),
    (client_id, device_name): (Field<String>, Field<String>),
) -> Option<Newcomer> {
    let username = check.required("username", username, |name| Username::chosen(&name));
    let password = check.required("password", password, Password::chosen);
    let (client, device_name) = device(check, client_id, device_name);
    let (username, password) = username.zip(password)?;
    Some(Newcomer {
        username,
        password,
        client,
        device_name,
    })
}

async fn register(
    request: HttpRequest,
    state: Data<AppState>,
    limiter: Data<LoginLimiter>,
    body: JsonBody<RegisterBody>,
) -> JsonResult<LoginAnswer> {
    let mut check = Check::default();
    let body = body.0;
    let (named, on) = ((body.username, body.password), (body.client_id, body.device_name));
    let newcomer = newcomer(&mut check, named, on);
    let newcomer = check.finish(newcomer)?;
    let registration = limiter.begin_registration(client_addr::of(&request))?;
    let origin = client_addr::origin(&request, newcomer.client.as_ref());
    let login = state.accounts.asked_from(origin).register(newcomer).await?;
    registration.succeeded();
    Ok(Json(login.into()))
}

/// An account to make by an invite.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AcceptBody {
    /// What stands behind `#` in the link.
    #[schema(value_type = schema::InviteSecret, required)]
    #[serde(default)]
    secret: Field<String>,
    #[schema(value_type = schema::NewUsername, required)]
    #[serde(default)]
    username: Field<String>,
    #[schema(value_type = schema::NewPassword, required)]
    #[serde(default)]
    password: Field<String>,
    /// The device.
    #[schema(value_type = Option<schema::ClientId>)]
    #[serde(default)]
    client_id: Field<String>,
    /// What its user calls the device.
    #[schema(value_type = Option<schema::DisplayName>)]
    #[serde(default)]
    device_name: Field<String>,
}

async fn accept(
    request: HttpRequest,
    state: Data<AppState>,
    limiter: Data<LoginLimiter>,
    body: JsonBody<AcceptBody>,
) -> JsonResult<LoginAnswer> {
    let body = body.0;
    let mut check = Check::default();
    let secret = check.required("secret", body.secret, short_enough);
    let (named, on) = ((body.username, body.password), (body.client_id, body.device_name));
    let newcomer = newcomer(&mut check, named, on);
    let (secret, newcomer) = check.finish(secret.zip(newcomer))?;
    let typed = newcomer.username.to_string();
    let address = client_addr::of(&request);
    let origin = client_addr::origin(&request, newcomer.client.as_ref());
    let done = whoever_hangs_up(async move {
        let attempt = limiter.begin_invite(address)?;
        let accounts = state.accounts.asked_from(origin);
        let outcome = accounts.accept_invite(&secret, newcomer).await;
        // Whoever has an invite may ask for names, but not for many.
        if let Err(AppError::Invite(InviteRefusal::Unknown) | AppError::NameTaken) = outcome {
            attempt.failed();
        }
        Ok(outcome?)
    });
    let done = done.await;
    let code = done.as_ref().err().map(Problem::code);
    if let Some(ProblemCode::UnknownInvite | ProblemCode::RateLimited) = code {
        access_log::note_refused_login(&request, &typed);
    }
    Ok(Json(done?.into()))
}

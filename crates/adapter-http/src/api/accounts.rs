//! Logging in and out, one's own account, registration.

use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse, rt};
use mosaic_application::AppError;
use mosaic_application::accounts::{Accounts, Login, LoginRequest, LoginTokens, ProfilePatch, refresh_key};
use mosaic_application::error::Unauthenticated;
use mosaic_application::sessions::Caller;
use mosaic_domain::account::{Password, User, Username};
use mosaic_domain::activity::Origin;
use mosaic_domain::text::{DisplayName, Label};
use mosaic_domain::{ClientId, Violation, Violations};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::records::JsonResult;
use crate::access_log;
use crate::body::JsonBody;
use crate::caller::{MayOwePassword, SignedIn};
use crate::client_addr;
use crate::field::{Check, Field, from_text};
use crate::limits::{Attempt, Candidate, LoginLimiter};
use crate::names::RoleName;
use crate::problem::{Problem, ProblemCode};
use crate::routes::Endpoint;
use crate::schema::{self, REFRESH_TOKEN_CHARS, UnixMs};
use crate::state::AppState;

/// How many bytes somebody who is not signed in may send: names, passwords and tokens are short.
pub(super) const SMALL_BODY: usize = 64 * 1024;

pub(super) fn endpoints() -> Vec<Endpoint> {
    const TAG: &str = "auth";
    vec![
        Endpoint::post("/auth/login", "login", login)
            .public()
            .body_limit(SMALL_BODY)
            .about(TAG, "Logs in")
            .body::<LoginBody>()
            .returns::<LoginAnswer>("The tokens and the account")
            .problems(&[
                ProblemCode::BadCredentials,
                ProblemCode::AccountDisabled,
                ProblemCode::RateLimited,
                ProblemCode::StorageFull,
            ]),
        Endpoint::post("/auth/refresh", "refresh", refresh)
            .public()
            .body_limit(SMALL_BODY)
            .about(TAG, "Spends a refresh token for new tokens")
            .details(
                "Each refresh token is spent by its use. Sent again within a minute, because an answer was lost or two parts of an \
                 app refresh at once, it answers the same new refresh token, as long as that is unused. One that is used \
                 later than that ends its login: somebody has a copy.",
            )
            .body::<RefreshBody>()
            .returns::<TokensDto>("The new tokens")
            .problems(&[
                ProblemCode::InvalidRefreshToken,
                ProblemCode::RateLimited,
                ProblemCode::StorageFull,
            ]),
        Endpoint::post("/auth/logout", "logout", logout)
            .public()
            .body_limit(SMALL_BODY)
            .about(TAG, "Ends a login")
            .body::<RefreshBody>()
            .returns_nothing("The login has ended, now or before"),
        Endpoint::get("/auth/me", "me", me)
            .about(TAG, "The account of the caller")
            .returns::<UserDto>("The account"),
        Endpoint::post("/auth/change-password", "changePassword", change_password)
            .about(TAG, "Sets a new password; all other logins end")
            .body::<ChangePasswordBody>()
            .returns::<LoginAnswer>("New tokens, and the account")
            .problems(&[
                ProblemCode::WrongPassword,
                ProblemCode::RateLimited,
                ProblemCode::StorageFull,
            ]),
        Endpoint::put("/auth/update-user", "updateUser", update_user)
            .about(TAG, "Changes the name, the picture or the time zone of the caller")
            .body::<UpdateUserBody>()
            .returns::<UserDto>("The account")
            .problems(&[ProblemCode::UsernameTaken, ProblemCode::StorageFull]),
    ]
}

/// An account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = User)]
#[serde(rename_all = "camelCase")]
pub(super) struct UserDto {
    #[schema(value_type = schema::Id)]
    id: String,
    #[schema(value_type = schema::Username)]
    username: String,
    #[schema(value_type = Option<schema::PictureAddress>, required)]
    avatar_url: Option<String>,
    #[schema(value_type = RoleName)]
    role: &'static str,
    /// Whether the password was set by somebody else and should be changed.
    must_change_password: bool,
    /// What the user's days go by; `null`: the time zone of the server.
    #[schema(value_type = Option<schema::TimeZone>, required)]
    time_zone: Option<String>,
    /// What the attachments of the user may come to, and the records no more than that: a number of bytes like `50GiB`;
    /// `default`: what the settings of the server say; `none`: any number.
    #[schema(value_type = schema::Quota)]
    quota: String,
    #[schema(value_type = UnixMs)]
    created_at: i64,
    #[schema(value_type = UnixMs)]
    updated_at: i64,
}

impl From<User> for UserDto {
    fn from(user: User) -> Self {
        Self {
            id: user.id.to_string(),
            username: user.username.to_string(),
            avatar_url: user.avatar_url.map(String::from),
            role: user.role.name(),
            must_change_password: user.must_change_password,
            time_zone: user.time_zone.map(|zone| zone.name().to_owned()),
            quota: user.quota.to_string(),
            created_at: user.created_at.get(),
            updated_at: user.updated_at.get(),
        }
    }
}

/// The tokens of a login.
#[derive(Serialize, ToSchema)]
#[schema(as = Tokens)]
#[serde(rename_all = "camelCase")]
struct TokensDto {
    /// For every request: `Authorization: Bearer`.
    access_token: String,
    /// For the next pair of tokens, once.
    #[schema(value_type = schema::RefreshToken)]
    refresh_token: String,
}

impl From<LoginTokens> for TokensDto {
    fn from(tokens: LoginTokens) -> Self {
        Self {
            access_token: tokens.access,
            refresh_token: tokens.refresh,
        }
    }
}

/// A login.
#[derive(Serialize, ToSchema)]
#[schema(as = Login)]
#[serde(rename_all = "camelCase")]
pub(super) struct LoginAnswer {
    #[serde(flatten)]
    tokens: TokensDto,
    must_change_password: bool,
    user: UserDto,
}

impl From<Login> for LoginAnswer {
    fn from(login: Login) -> Self {
        Self {
            tokens: login.tokens.into(),
            must_change_password: login.user.must_change_password,
            user: login.user.into(),
        }
    }
}

/// What somebody logs in with.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LoginBody {
    #[schema(value_type = schema::Username, required)]
    #[serde(default)]
    username: Field<String>,
    #[schema(value_type = schema::GivenPassword, required)]
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

impl LoginBody {
    fn parse(self) -> Result<LoginRequest, Violations> {
        let mut check = Check::default();
        let username = check.required("username", self.username, Ok);
        let password = check.required("password", self.password, Password::given);
        let (client, device_name) = device(&mut check, self.client_id, self.device_name);
        let named = username.zip(password);
        check.finish(named.map(|(username, password)| LoginRequest {
            username,
            password,
            client,
            device_name,
        }))
    }
}

pub(super) fn device(
    check: &mut Check,
    client_id: Field<String>,
    device_name: Field<String>,
) -> (Option<ClientId>, Option<DisplayName>) {
    let client = check.nullable("clientId", client_id, from_text).flatten();
    let name = check.nullable("deviceName", device_name, Label::new).flatten();
    (client, name)
}

async fn login(
    request: HttpRequest,
    state: Data<AppState>,
    limiter: Data<LoginLimiter>,
    body: JsonBody<LoginBody>,
) -> JsonResult<LoginAnswer> {
    let login = body.0.parse()?;
    let username = login.username.clone();
    let client = login.client.clone();
    if let Some(client) = &client {
        access_log::note_client(&request, client);
    }
    let (address, account) = (client_addr::of(&request), username.clone());
    let origin = client_addr::origin(&request, client.as_ref());
    let done = whoever_hangs_up(async move {
        let candidate = Candidate {
            account: &account,
            address,
            client: client.as_ref(),
        };
        let done = attempt(&state, &limiter, &candidate, login, origin).await;
        if let Some(code) = refused(&done) {
            state.figures.login_refused(code);
        }
        done
    })
    .await;
    if refused(&done).is_some() {
        access_log::note_refused_login(&request, &username);
    }
    Ok(Json(done?.into()))
}

/// How a log-in was refused, where it was.
fn refused(done: &Result<Login, Problem>) -> Option<ProblemCode> {
    let code = done.as_ref().err()?.code();
    (400..500).contains(&code.status()).then_some(code)
}

/// Compares a password, and counts and notes what came of it, also where whoever sent it does not wait for the answer: a guess
/// would cost nothing otherwise.
pub(super) async fn whoever_hangs_up<T: 'static>(
    work: impl Future<Output = Result<T, Problem>> + 'static,
) -> Result<T, Problem> {
    rt::spawn(work).await.map_err(Problem::internal)?
}

async fn attempt(
    state: &AppState,
    limiter: &LoginLimiter,
    candidate: &Candidate<'_>,
    login: LoginRequest,
    origin: Origin,
) -> Result<Login, Problem> {
    let attempt = begin(state, limiter, candidate).await?;
    let outcome = state.accounts.asked_from(origin).login(login).await;
    count(attempt, &outcome);
    Ok(outcome?)
}

/// Begins an attempt to log in. Who would be refused, and names a device that has a login of the account, is known: also
/// after a restart, and on an instance that the device comes to for the first time.
async fn begin<'a>(
    state: &AppState,
    limiter: &'a LoginLimiter,
    candidate: &Candidate<'_>,
) -> Result<Attempt<'a>, Problem> {
    let refusal = match limiter.begin(candidate) {
        Err(refusal) if refusal.code() == ProblemCode::RateLimited => refusal,
        begun => return begun,
    };
    let Some(client) = candidate.client else {
        return Err(refusal);
    };
    if !state.accounts.has_login(candidate.account, client).await? {
        return Err(refusal);
    }
    limiter.vouch(candidate.account, client);
    limiter.begin(candidate)
}

/// Counts what came of a password. Anything but a wrong one says nothing against whoever sent it.
fn count<T>(attempt: Attempt<'_>, outcome: &Result<T, AppError>) {
    match outcome {
        Err(AppError::WrongPassword | AppError::Unauthenticated(Unauthenticated::BadCredentials)) => {
            attempt.failed();
        }
        Ok(_) | Err(AppError::Unauthenticated(Unauthenticated::AccountDisabled)) => attempt.succeeded(),
        Err(_) => {}
    }
}

/// A refresh token.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RefreshBody {
    #[schema(value_type = schema::RefreshToken, required)]
    #[serde(default)]
    refresh_token: Field<String>,
}

/// A text that may be a token of the server.
pub(super) fn short_enough(token: String) -> Result<String, Violation> {
    if token.chars().nth(REFRESH_TOKEN_CHARS).is_some() {
        let message = format!("must be at most {REFRESH_TOKEN_CHARS} characters");
        return Err(Violation::new("too_long", message));
    }
    Ok(token)
}

impl RefreshBody {
    fn parse(self) -> Result<String, Violations> {
        let mut check = Check::default();
        let token = check.required("refreshToken", self.refresh_token, short_enough);
        check.finish(token)
    }
}

async fn refresh(
    request: HttpRequest,
    state: Data<AppState>,
    limiter: Data<LoginLimiter>,
    body: JsonBody<RefreshBody>,
) -> JsonResult<TokensDto> {
    let token = body.0.parse()?;
    if let Some(key) = refresh_key(&token) {
        limiter.refresh(key)?;
    }
    let accounts = state.accounts.asked_from(client_addr::origin(&request, None));
    Ok(Json(accounts.refresh(&token).await?.into()))
}

async fn logout(
    request: HttpRequest,
    state: Data<AppState>,
    body: JsonBody<RefreshBody>,
) -> Result<HttpResponse, Problem> {
    let token = body.0.parse()?;
    let accounts = state.accounts.asked_from(client_addr::origin(&request, None));
    accounts.logout(&token).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The accounts, for a request of somebody who is signed in.
pub(super) fn accounts_for(state: &AppState, request: &HttpRequest, caller: &Caller) -> Accounts {
    let origin = client_addr::origin(request, caller.client.as_ref());
    state.accounts.asked_from(origin)
}

async fn me(caller: MayOwePassword, state: Data<AppState>) -> JsonResult<UserDto> {
    Ok(Json(state.accounts.me(&caller.0).await?.into()))
}

/// A change of password.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ChangePasswordBody {
    #[schema(value_type = schema::GivenPassword, required)]
    #[serde(default)]
    old_password: Field<String>,
    #[schema(value_type = schema::NewPassword, required)]
    #[serde(default)]
    new_password: Field<String>,
}

async fn change_password(
    caller: MayOwePassword,
    request: HttpRequest,
    state: Data<AppState>,
    limiter: Data<LoginLimiter>,
    body: JsonBody<ChangePasswordBody>,
) -> JsonResult<LoginAnswer> {
    let mut check = Check::default();
    let old = check.required("oldPassword", body.0.old_password, Password::given);
    let new = check.required("newPassword", body.0.new_password, Password::chosen);
    let (old, new) = check.finish(old.zip(new))?;
    let address = client_addr::of(&request);
    let accounts = accounts_for(&state, &request, &caller.0);
    let done = whoever_hangs_up(async move {
        let attempt = limiter.begin_change(caller.0.user, address)?;
        let outcome = accounts.change_password(&caller.0, old, new).await;
        count(attempt, &outcome);
        Ok(outcome?)
    });
    Ok(Json(done.await?.into()))
}

/// A change of one's own account.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct UpdateUserBody {
    #[schema(value_type = schema::NewUsername, required = false)]
    #[serde(default)]
    username: Field<String>,
    /// `null` removes it.
    #[schema(value_type = Option<schema::PictureAddress>)]
    #[serde(default)]
    avatar_url: Field<String>,
    /// `null`: that of the server.
    #[schema(value_type = Option<schema::TimeZone>)]
    #[serde(default)]
    time_zone: Field<String>,
}

async fn update_user(
    caller: SignedIn,
    request: HttpRequest,
    state: Data<AppState>,
    body: JsonBody<UpdateUserBody>,
) -> JsonResult<UserDto> {
    let mut check = Check::default();
    let patch = ProfilePatch {
        username: check.optional("username", body.0.username, |name| Username::chosen(&name)),
        avatar_url: check.nullable("avatarUrl", body.0.avatar_url, Label::new),
        time_zone: check.nullable("timeZone", body.0.time_zone, from_text),
    };
    let patch = check.finish(Some(patch))?;
    let accounts = accounts_for(&state, &request, &caller.0);
    Ok(Json(accounts.update_me(&caller.0, patch).await?.into()))
}

//! Managing accounts: for administrators only.

use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse};
use mosaic_application::accounts::{AccountPatch, AccountRequest};
use mosaic_domain::UserId;
use mosaic_domain::account::{Password, Role, User, Username};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::accounts::{UserDto, accounts_for};
use super::page::{self, PageOf, UsualPage};
use super::records::JsonResult;
use crate::admission::Load;
use crate::body::JsonBody;
use crate::caller::Administrator;
use crate::field::{Check, Field, from_text};
use crate::names::RoleName;
use crate::problem::{Problem, ProblemCode};
use crate::query::{Key, Query};
use crate::routes::Endpoint;
use crate::schema;
use crate::state::AppState;

pub(super) fn endpoints() -> Vec<Endpoint> {
    const TAG: &str = "admin";
    vec![
        Endpoint::get("/admin/users", "listUsers", list)
            .takes(Load::Heavy)
            .about(TAG, "The accounts, by name")
            .returns::<page::NamedPage<ManagedUser>>("One page"),
        Endpoint::post("/admin/users", "createUser", create)
            .about(TAG, "Makes an account")
            .body::<NewUserBody>()
            .returns::<ManagedUser>("The account")
            .problems(&[ProblemCode::UsernameTaken, ProblemCode::StorageFull]),
        Endpoint::patch("/admin/users/{id}", "changeUser", change)
            .about(
                TAG,
                "Changes an account; a new password, another role and a closed account end its logins",
            )
            .body::<ChangeUserBody>()
            .returns::<ManagedUser>("The account")
            .problems(&[
                ProblemCode::NotFound,
                ProblemCode::UsernameTaken,
                ProblemCode::LastAdmin,
                ProblemCode::StorageFull,
            ]),
        Endpoint::delete("/admin/users/{id}", "removeUser", remove)
            .about(TAG, "Removes an account and everything of it, for good")
            .details(
                "Nothing can be written any more from the first moment on. A large account takes a while: a request that is \
                 given up leaves the account closed and half removed, and the same request again goes on.",
            )
            .returns_nothing("It is gone")
            .problems(&[ProblemCode::NotFound, ProblemCode::LastAdmin]),
    ]
}

/// An account, as administrators see it.
#[derive(Debug, Serialize, ToSchema)]
struct ManagedUser {
    #[serde(flatten)]
    user: UserDto,
    /// Whether the account is closed.
    disabled: bool,
}

impl From<User> for ManagedUser {
    fn from(user: User) -> Self {
        Self {
            disabled: user.disabled,
            user: user.into(),
        }
    }
}

async fn list(
    _: Administrator,
    page: Query<UsualPage>,
    state: Data<AppState>,
) -> JsonResult<PageOf<ManagedUser>> {
    let page = page.0.number();
    Ok(Json(PageOf::of(state.accounts.list(page).await?, page)))
}

/// An account to make.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct NewUserBody {
    #[schema(value_type = schema::NewUsername, required)]
    #[serde(default)]
    username: Field<String>,
    #[schema(value_type = schema::NewPassword, required)]
    #[serde(default)]
    password: Field<String>,
    #[schema(value_type = RoleName, required = false, default = "user")]
    #[serde(default)]
    role: Field<String>,
    /// Whether nothing goes but a change of password before the user has changed it.
    #[schema(value_type = bool, required = false, default = false)]
    #[serde(default)]
    must_change_password: Field<bool>,
}

async fn create(
    admin: Administrator,
    http: HttpRequest,
    state: Data<AppState>,
    body: JsonBody<NewUserBody>,
) -> JsonResult<ManagedUser> {
    let body = body.0;
    let mut check = Check::default();
    let username = check.required("username", body.username, |name| Username::chosen(&name));
    let password = check.required("password", body.password, Password::chosen);
    let role = check.optional("role", body.role, from_text).unwrap_or(Role::User);
    let must_change_password = check
        .optional("mustChangePassword", body.must_change_password, Ok)
        .unwrap_or(false);
    let (username, password) = check.finish(username.zip(password))?;
    let request = AccountRequest {
        username,
        password,
        role,
        must_change_password,
    };
    Ok(Json(
        accounts_for(&state, &http, &admin.0)
            .create(request, Some(admin.0.acting()))
            .await?
            .into(),
    ))
}

/// A change of an account.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ChangeUserBody {
    #[schema(value_type = schema::NewUsername, required = false)]
    #[serde(default)]
    username: Field<String>,
    #[schema(value_type = RoleName, required = false)]
    #[serde(default)]
    role: Field<String>,
    /// Closes the account, or opens it again.
    #[schema(value_type = bool, required = false)]
    #[serde(default)]
    disabled: Field<bool>,
    #[schema(value_type = schema::NewPassword, required = false)]
    #[serde(default)]
    password: Field<String>,
    #[schema(value_type = bool, required = false)]
    #[serde(default)]
    must_change_password: Field<bool>,
    /// A number of bytes like `50GiB`, `default` or `none`.
    #[schema(value_type = schema::Quota, required = false)]
    #[serde(default)]
    quota: Field<String>,
    /// `null`: that of the server.
    #[schema(value_type = Option<schema::TimeZone>)]
    #[serde(default)]
    time_zone: Field<String>,
}

async fn change(
    admin: Administrator,
    id: Key<UserId>,
    request: HttpRequest,
    state: Data<AppState>,
    body: JsonBody<ChangeUserBody>,
) -> JsonResult<ManagedUser> {
    let body = body.0;
    let mut check = Check::default();
    let patch = AccountPatch {
        username: check.optional("username", body.username, from_text),
        role: check.optional("role", body.role, from_text),
        disabled: check.optional("disabled", body.disabled, Ok),
        password: check.optional("password", body.password, Password::chosen),
        must_change_password: check.optional("mustChangePassword", body.must_change_password, Ok),
        quota: check.optional("quota", body.quota, from_text),
        time_zone: check.nullable("timeZone", body.time_zone, from_text),
    };
    let patch = check.finish(Some(patch))?;
    Ok(Json(
        accounts_for(&state, &request, &admin.0)
            .update(id.0, patch, Some(admin.0.acting()))
            .await?
            .into(),
    ))
}

async fn remove(
    admin: Administrator,
    id: Key<UserId>,
    request: HttpRequest,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let accounts = accounts_for(&state, &request, &admin.0);
    accounts.remove(id.0, Some(admin.0.acting()), || ()).await?;
    Ok(HttpResponse::NoContent().finish())
}

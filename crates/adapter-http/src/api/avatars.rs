//! Pictures of accounts and of bots.

use actix_web::web::{Data, Json, Payload};
use actix_web::{HttpRequest, HttpResponse};
use mosaic_application::accounts::ProfilePatch;
use mosaic_domain::entity::Filename;
use mosaic_domain::text::Label;
use mosaic_domain::{AvatarId, Violation, Violations};
use serde::Serialize;
use utoipa::ToSchema;

use super::accounts::UserDto;
use super::attachments::DOWNLOAD_PROBLEMS;
use super::form::Form;
use super::records::JsonResult;
use crate::admission::Load;
use crate::caller::{self, SignedIn};
use crate::disposition::renamed;
use crate::field::Check;
use crate::file;
use crate::problem::{Problem, ProblemCode};
use crate::query::Key;
use crate::routes::Endpoint;
use crate::schema;
use crate::state::AppState;
use crate::ticket;

pub(super) fn endpoints() -> Vec<Endpoint> {
    const TAG: &str = "avatars";
    vec![
        Endpoint::post("/resources/upload-avatar", "uploadAvatar", upload)
            .takes(Load::Transfer)
            .about(TAG, "Stores a picture of the caller, or of a bot")
            .details(
                "It is kept for as long as the account or a bot names its address; that of a bot is put into its \
                 `avatarUrl` by an edit of the bot.",
            )
            .form::<AvatarForm>()
            .returns::<AvatarDto>("Its address, and the account as it is now")
            .problems(&[
                ProblemCode::TooManyAvatars,
                ProblemCode::FileTooLarge,
                ProblemCode::QuotaExceeded,
                ProblemCode::NotAPicture,
                ProblemCode::StorageUnavailable,
                ProblemCode::StorageFull,
            ]),
        Endpoint::get("/avatars/{id}/download", "downloadAvatar", download)
            .takes(Load::Transfer)
            .or_ticket(ticket::AVATAR)
            .about(TAG, "A picture of the caller, or of a bot")
            .returns_file("The picture")
            .problems(&DOWNLOAD_PROBLEMS),
    ]
}

/// A picture.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "describes the form for the OpenAPI document; its parts are read as they come"
)]
struct AvatarForm {
    /// A JPEG, PNG, WebP or GIF picture of at most 10 MiB, with its name.
    #[schema(value_type = String, format = Binary)]
    file: String,
    /// `user` (also where it is not given): the picture becomes that of the caller. `bot`: it only gets an address.
    #[schema(value_type = schema::FilledPurpose, required = false)]
    purpose: Option<String>,
}

/// A picture that was stored.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Avatar)]
#[serde(rename_all = "camelCase")]
struct AvatarDto {
    #[schema(value_type = schema::Id)]
    id: String,
    #[schema(value_type = schema::PictureAddress)]
    avatar_url: String,
    user: UserDto,
}

/// Whose picture it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    User,
    Bot,
}

const PURPOSE: &str = "purpose";

/// What a form says so far. The name of a file is only looked at to tell what it is.
fn read(form: &Form) -> Result<(Filename, Purpose), Violations> {
    let mut check = Check::default();
    let filename = form.filename(&mut check);
    let purpose = check.optional(PURPOSE, form.fields.get(PURPOSE), |text| match text.as_str() {
        "user" => Ok(Purpose::User),
        "bot" => Ok(Purpose::Bot),
        _ => Err(Violation::new("unknown_value", "must be user or bot")),
    });
    check.finish(filename.map(|filename| (filename, purpose.unwrap_or(Purpose::User))))
}

async fn upload(
    caller: SignedIn,
    request: HttpRequest,
    payload: Payload,
    state: Data<AppState>,
) -> JsonResult<AvatarDto> {
    let attachments = &state.attachments;
    let (idle, limit) = (state.downloads.upload_idle, attachments.limits().avatar_bytes);
    let mut form = Form::open(&request, payload, idle, limit).await?;
    read(&form)?;
    let mut ingest = attachments.receive_avatar(caller.user()).await?;
    form.receive(&mut ingest).await?;
    // Fields may stand behind the file.
    let (filename, purpose) = read(&form)?;
    // Pictures are no records, whose login the store would look at.
    caller::check_again(&request).await?;
    let id = attachments.add_avatar(form.declared(), filename, ingest).await?;
    let avatar_url = format!("/api/avatars/{id}/download");
    let user = match purpose {
        Purpose::User => {
            let address = Label::new(avatar_url.clone()).map_err(Problem::internal)?;
            let patch = ProfilePatch {
                avatar_url: Some(Some(address)),
                ..ProfilePatch::default()
            };
            state.accounts.update_me(&caller.0, patch).await?
        }
        Purpose::Bot => state.accounts.me(&caller.0).await?,
    };
    Ok(Json(AvatarDto {
        id: id.to_string(),
        avatar_url,
        user: user.into(),
    }))
}

async fn download(
    caller: SignedIn,
    id: Key<AvatarId>,
    request: HttpRequest,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let found = state.attachments.avatar(caller.user(), id.0).await?;
    let name = renamed("avatar", &found.mime_type);
    file::send(&request, &state, found, &name).await
}

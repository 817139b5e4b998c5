//! Diaries: the common road, with the day as the key; a `PUT` creates, too (W7).

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use mosaic_application::diaries::DiaryView;
use mosaic_domain::entity::{Diary, Entity as _};
use mosaic_domain::query::{Order, RecordQuery};
use mosaic_domain::{DiaryDate, EntityType};

use super::listing::{self, ENDS_BY_BYTES, Frame};
use super::memos;
use super::page::{self, UsualPage};
use super::records::{self, JsonResult};
use super::revisions;
use crate::admission::Load;
use crate::body::JsonBody;
use crate::caller::{Editor, SignedIn};
use crate::entities::{ApiEntity, DiaryDto, DiaryWithMemos, MoodBody, SummaryBody};
use crate::problem::{Problem, ProblemCode};
use crate::query::{Key, Query, query};
use crate::routes::Endpoint;
use crate::state::AppState;

records::responds_with_the_record!(Diary);

pub(super) fn endpoints() -> Vec<Endpoint> {
    let mut endpoints = vec![
        records::create_at_endpoint::<Diary>("Diary"),
        Endpoint::get("/diaries", "listDiaries", list)
            .takes(Load::Heavy)
            .about(Diary::TYPE.path(), "Lists diaries, the latest day first")
            .details(ENDS_BY_BYTES)
            .returns::<page::NamedPage<DiaryDto>>("One page"),
        Endpoint::get("/diaries/{date}", "getDiary", get)
            .takes(Load::Heavy)
            .about(
                Diary::TYPE.path(),
                "Reads the diary of a day, with the memos of that day",
            )
            .details(
                "With the first 200 memos, and of these so many as come to 32 MiB. Where there are more, the header `Link` names \
                 the next page of `GET /memos/date/{date}`.",
            )
            .returns_nullable::<DiaryWithMemos>("The diary, or null where there never was one")
            .problems(&[ProblemCode::Deleted, ProblemCode::CorruptRecord]),
        records::by_device(
            Endpoint::put("/diaries/{date}/summary", "setDiarySummary", summary)
                .about(Diary::TYPE.path(), "Sets the text of a day")
                .body_limit(Diary::BODY_BYTES)
                .body::<SummaryBody>()
                .returns::<DiaryDto>("The diary"),
        ),
        records::by_device(
            Endpoint::put("/diaries/{date}/mood", "setDiaryMood", mood)
                .about(Diary::TYPE.path(), "Sets the mood of a day")
                .body::<MoodBody>()
                .returns::<DiaryDto>("The diary"),
        ),
    ];
    endpoints.extend(records::endpoints::<Diary>("Diary"));
    endpoints.extend(revisions::endpoints::<Diary>("Diary"));
    endpoints
}

query! {
    /// Which diaries are listed.
    struct ListQuery {
        /// This day or later
        date_from: Option<DiaryDate> = "startDate",
        /// This day or earlier
        date_to: Option<DiaryDate> = "endDate",
        ..page: UsualPage,
    }
}

async fn list(
    caller: SignedIn,
    query: Query<ListQuery>,
    request: HttpRequest,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let asked = query.0;
    let query = RecordQuery {
        date_from: asked.date_from,
        date_to: asked.date_to,
        ..RecordQuery::all(EntityType::Diary, Order::KeyDescending, asked.page.number())
    };
    let page = state.records.page(caller.user(), &query).await?;
    let read = records::views::<Diary>(&state, caller.user());
    listing::respond(&request, page::frame::<DiaryDto>(&page)?, page, read).await
}

async fn get(
    caller: SignedIn,
    day: Key<DiaryDate>,
    request: HttpRequest,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let Some(DiaryView { diary, memos }) = state.diaries.get(caller.user(), day.0).await? else {
        return Ok(HttpResponse::Ok().json(()));
    };
    let frame = Frame::of(&DiaryWithMemos {
        diary: diary.into(),
        memos: Vec::new(),
    })?;
    // Where there are more memos, they are those of the day: the list that goes on is that one.
    let base = request.path().replacen("/diaries/", "/memos/date/", 1);
    listing::respond_at(&request, &base, frame, memos, memos::views(&state, caller.user())).await
}

async fn summary(
    editor: Editor,
    day: Key<DiaryDate>,
    state: Data<AppState>,
    body: JsonBody<SummaryBody>,
) -> JsonResult<DiaryDto> {
    records::amend::<Diary>(&editor, day.0, &state, body.0.parse()).await
}

async fn mood(
    editor: Editor,
    day: Key<DiaryDate>,
    state: Data<AppState>,
    body: JsonBody<MoodBody>,
) -> JsonResult<DiaryDto> {
    records::amend::<Diary>(&editor, day.0, &state, body.0.parse()).await
}

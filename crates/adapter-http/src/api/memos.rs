//! Memos: the common road, and what they have besides: archiving, days, search, tags.

use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::future::LocalBoxFuture;
use mosaic_application::AppError;
use mosaic_application::records::{EditBy, Upsert};
use mosaic_domain::entity::{Entity as _, Memo};
use mosaic_domain::query::{Order, PageNumber, RecordQuery, TagCount};
use mosaic_domain::search::SearchTerms;
use mosaic_domain::text::{Tag, Tags};
use mosaic_domain::{DiaryDate, EntityType, MemoId, RecordKey, RevisionId, UserId, Violation};
use serde::Serialize;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use super::listing::{self, ENDS_BY_BYTES, Frame};
use super::page::{self, PageQuery, UsualPage};
use super::records::{self, JsonResult, Routed};
use super::revisions;
use crate::admission::Load;
use crate::body::OptionalJsonBody;
use crate::caller::{Editor, SignedIn};
use crate::entities::{ArchiveBody, MemoWithResources};
use crate::problem::Problem;
use crate::query::{Key, Query, QueryReader, QueryValue, query};
use crate::routes::Endpoint;
use crate::schema;
use crate::state::AppState;

const WORDS: &str = "Words that the memo must contain, in its text, its tags or its summary: at most 32";
const ARCHIVED: &str = "Only those that are put away, or only the others";

impl Routed for Memo {
    type Response = MemoWithResources;

    async fn write(
        state: &AppState,
        by: &EditBy,
        key: MemoId,
        upsert: Upsert<Self>,
    ) -> Result<MemoWithResources, AppError> {
        state.memos.write(by, key, upsert).await.map(Into::into)
    }

    async fn restore(
        state: &AppState,
        by: &EditBy,
        key: MemoId,
        revision: RevisionId,
    ) -> Result<MemoWithResources, AppError> {
        state.memos.restore(by, key, revision).await.map(Into::into)
    }

    async fn read(state: &AppState, user: UserId, key: MemoId) -> Result<MemoWithResources, AppError> {
        state.memos.get(user, key).await.map(Into::into)
    }
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    let mut endpoints = vec![
        records::create_endpoint::<Memo>("Memo", MemoId::new),
        records::get_endpoint::<Memo>("Memo"),
        Endpoint::get("/memos", "listMemos", list)
            .takes(Load::Heavy)
            .about(Memo::TYPE.path(), "Lists memos, the newest first")
            .details(ENDS_BY_BYTES)
            .returns::<page::NamedPage<MemoWithResources>>("One page"),
        Endpoint::get("/memos/search", "searchMemos", search)
            .takes(Load::Heavy)
            .about(Memo::TYPE.path(), "Searches memos, the newest first")
            .details(ENDS_BY_BYTES)
            .returns::<FoundMemos>("One page"),
        Endpoint::get("/memos/tags", "listMemoTags", tags)
            .takes(Load::Heavy)
            .about(
                Memo::TYPE.path(),
                "The tags of all memos, the most frequent first, at most 10,000",
            )
            .returns_list::<TagDto>("The tags"),
        Endpoint::get("/memos/date/{date}", "listMemosOfDay", of_day)
            .takes(Load::Heavy)
            .about(
                Memo::TYPE.path(),
                "The memos that were made on a day of the user or filed under it, the newest first",
            )
            .details(ENDS_BY_BYTES)
            .returns_list::<MemoWithResources>("The memos"),
    ];
    endpoints.extend(
        [("archive", true), ("unarchive", false)].map(|(verb, archived)| archive_endpoint(verb, archived)),
    );
    endpoints.extend(records::endpoints::<Memo>("Memo"));
    endpoints.extend(revisions::endpoints::<Memo>("Memo"));
    endpoints
}

fn archive_endpoint(verb: &str, archived: bool) -> Endpoint {
    let handler = move |editor: Editor,
                        key: Key<MemoId>,
                        state: Data<AppState>,
                        body: OptionalJsonBody<ArchiveBody>| {
        let amendment = body.0.unwrap_or_default().parse(archived);
        async move { records::amend::<Memo>(&editor, key.0, &state, amendment).await }
    };
    let endpoint = Endpoint::put(format!("/memos/{{id}}/{verb}"), &format!("{verb}Memo"), handler)
        .about(Memo::TYPE.path(), "Puts a memo away, or takes it back")
        .optional_body::<ArchiveBody>()
        .returns::<MemoWithResources>("The memo");
    records::by_device(endpoint)
}

query! {
    /// Which memos are listed.
    struct ListQuery {
        #[doc = ARCHIVED]
        archived: Option<bool> = "archived",
        /// Only those that are filed under this day
        day: Option<DiaryDate> = "diaryDate",
        #[doc = WORDS]
        search: SearchTerms = "search",
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
        archived: asked.archived,
        day: asked.day,
        search: asked.search,
        ..RecordQuery::all(EntityType::Memo, Order::NewestFirst, asked.page.number())
    };
    let page = state.memos.page(caller.user(), &query).await?;
    listing::respond(
        &request,
        page::frame::<MemoWithResources>(&page)?,
        page,
        views(&state, caller.user()),
    )
    .await
}

/// Reads memos as lists show them.
pub(super) fn views(
    state: &AppState,
    user: UserId,
) -> impl Fn(Vec<RecordKey>) -> LocalBoxFuture<'static, Result<Vec<MemoWithResources>, AppError>> + use<> {
    let memos = state.memos.clone();
    move |keys| {
        let memos = memos.clone();
        Box::pin(async move {
            let views = memos.views(user, &keys).await?;
            Ok(views.into_iter().map(Into::into).collect())
        })
    }
}

query! {
    /// Which memos are searched for.
    struct SearchQuery {
        #[doc = WORDS]
        search: SearchTerms = "query",
        /// Tags that the memo must have, all of them; repeatable, also as `tags[]`
        tags: Vec<Tag> = "tags",
        /// Made on this day of the user or later
        start: Option<DiaryDate> = "startDate",
        /// Made on this day of the user or earlier
        end: Option<DiaryDate> = "endDate",
        #[doc = ARCHIVED]
        archived: Option<bool> = "isArchived",
        ..page: UsualPage,
    }
}

impl QueryValue for SearchTerms {
    fn schema() -> RefOr<Schema> {
        schema::Search::schema()
    }

    fn read(name: &str, query: &mut QueryReader) -> Option<Self> {
        let text = query.text(name).unwrap_or_default();
        query.check(name, Self::parse(&text))
    }
}

/// No memo has more tags than it may have.
impl QueryValue for Vec<Tag> {
    fn schema() -> RefOr<Schema> {
        schema::SearchedTags::schema()
    }

    fn read(name: &str, query: &mut QueryReader) -> Option<Self> {
        let texts = query.list(name);
        if texts.len() > Tags::MAX {
            let most = format!("must be at most {} tags", Tags::MAX);
            return query.check(name, Err(Violation::new("too_many", most)));
        }
        let texts = texts.into_iter().enumerate();
        let tags: Self = texts
            .filter_map(|(i, text)| query.check(&format!("{name}[{i}]"), Tag::new(text)))
            .collect();
        Some(tags)
    }
}

/// What a search found.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct FoundMemos {
    /// How many there are on all pages.
    #[schema(value_type = schema::Count)]
    total: u64,
    #[schema(value_type = schema::Page)]
    page: u32,
    #[schema(value_type = schema::PageSize)]
    page_size: u32,
    /// Whether the search understands meaning: it does not.
    semantic_enabled: bool,
    // The last, since they are written batch by batch.
    memos: Vec<MemoWithResources>,
}

async fn search(
    caller: SignedIn,
    query: Query<SearchQuery>,
    request: HttpRequest,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let asked = query.0;
    let query = RecordQuery {
        search: asked.search,
        tags: asked.tags,
        archived: asked.archived,
        ..RecordQuery::all(EntityType::Memo, Order::NewestFirst, asked.page.number())
    };
    let page = state
        .memos
        .made_within(caller.user(), asked.start, asked.end, query)
        .await?;
    let frame = Frame::of(&FoundMemos {
        total: page.total,
        page: page.number.number(),
        page_size: page.number.size(),
        semantic_enabled: false,
        memos: Vec::new(),
    })?;
    listing::respond(&request, frame, page, views(&state, caller.user())).await
}

/// A tag, and how many memos carry it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TagCount)]
struct TagDto {
    #[schema(value_type = schema::Tag)]
    tag: String,
    #[schema(value_type = schema::Count)]
    count: u64,
}

impl From<TagCount> for TagDto {
    fn from(TagCount { tag, count }: TagCount) -> Self {
        Self { tag, count }
    }
}

async fn tags(caller: SignedIn, state: Data<AppState>) -> JsonResult<Vec<TagDto>> {
    let tags = state.memos.tags(caller.user()).await?;
    Ok(Json(tags.into_iter().map(Into::into).collect()))
}

query! {
    /// Which memos of a day.
    struct DayQuery {
        #[doc = ARCHIVED]
        archived: Option<bool> = "archived",
        ..page: PageQuery<{ PageNumber::MAX_SIZE }, { PageNumber::MAX_SIZE }>,
    }
}

async fn of_day(
    caller: SignedIn,
    day: Key<DiaryDate>,
    query: Query<DayQuery>,
    request: HttpRequest,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let DayQuery { archived, page } = query.0;
    let page = state
        .memos
        .on_day(caller.user(), day.0, archived, page.number())
        .await?;
    listing::respond(&request, Frame::list(), page, views(&state, caller.user())).await
}

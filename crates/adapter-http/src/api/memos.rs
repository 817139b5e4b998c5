//! Memos: the common road, and what they have besides: archiving, days, search, tags.

use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::future::LocalBoxFuture;
use mosaic_application::AppError;
use mosaic_application::records::{Draft, EditBy};
use mosaic_domain::entity::Memo;
use mosaic_domain::query::{Order, PageNumber, RecordQuery, TagCount};
use mosaic_domain::search::SearchTerms;
use mosaic_domain::text::{Tag, Tags};
use mosaic_domain::{DiaryDate, EntityType, MemoId, RecordKey, RevisionId, UserId};
use serde::Serialize;
use utoipa::ToSchema;

use super::listing::{self, ENDS_BY_BYTES, Frame};
use super::page::{self, PageOf, paged, paged_by};
use super::records::{self, Answered, Routed};
use crate::body::OptionalJsonBody;
use crate::caller::{Editor, SignedIn};
use crate::entities::{ArchiveBody, MemoWithResources, Wire};
use crate::problem::{FieldError, Problem};
use crate::query::{FromQuery, Key, Query, QueryReader};
use crate::routes::Endpoint;
use crate::schema::{self, OrEmpty};
use crate::state::AppState;
use crate::turns::Load;

const WORDS: &str = "Words that the memo must contain, in its text, its tags or its summary: at most 32";
const ARCHIVED: &str = "Only those that are put away, or only the others";

impl Routed for Memo {
    type Answer = MemoWithResources;

    async fn write(
        state: &AppState,
        by: &EditBy,
        key: MemoId,
        draft: Draft<Self>,
    ) -> Result<MemoWithResources, AppError> {
        state.memos.write(by, key, draft).await.map(Into::into)
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
        paged(Endpoint::get("/memos", "listMemos", list))
            .about(Memo::PATH, "Lists memos, the newest first")
            .details(ENDS_BY_BYTES)
            .query::<OrEmpty<schema::Flag>>("archived", ARCHIVED)
            .query::<OrEmpty<schema::Day>>("diaryDate", "Only those that are filed under this day")
            .query::<schema::Search>("search", WORDS)
            .returns::<PageOf<MemoWithResources>>("One page"),
        paged(Endpoint::get("/memos/search", "searchMemos", search))
            .about(Memo::PATH, "Searches memos, the newest first")
            .details(ENDS_BY_BYTES)
            .query::<schema::Search>("query", WORDS)
            .query::<schema::SearchedTags>(
                "tags",
                "Tags that the memo must have, all of them; repeatable, also as `tags[]`",
            )
            .query::<OrEmpty<schema::Day>>("startDate", "Made on this day (in UTC) or later")
            .query::<OrEmpty<schema::Day>>("endDate", "Made on this day (in UTC) or earlier")
            .query::<OrEmpty<schema::Flag>>("isArchived", ARCHIVED)
            .returns::<FoundMemos>("One page"),
        Endpoint::get("/memos/tags", "listMemoTags", tags)
            .takes(Load::Heavy)
            .about(
                Memo::PATH,
                "The tags of all memos, the most frequent first, at most 10,000",
            )
            .returns_list::<TagDto>("The tags"),
        paged_by::<schema::WholePageSize>(Endpoint::get("/memos/date/{date}", "listMemosOfDay", of_day))
            .about(
                Memo::PATH,
                "The memos that were made on a day (in UTC) or filed under it, the newest first",
            )
            .details(ENDS_BY_BYTES)
            .query::<OrEmpty<schema::Flag>>("archived", ARCHIVED)
            .returns_list::<MemoWithResources>("The memos"),
    ];
    endpoints.extend(
        [("archive", true), ("unarchive", false)].map(|(verb, archived)| archive_endpoint(verb, archived)),
    );
    endpoints.extend(records::endpoints::<Memo>("Memo"));
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
        .about(Memo::PATH, "Puts a memo away, or takes it back")
        .optional_body::<ArchiveBody>()
        .returns::<MemoWithResources>("The memo");
    records::by_device(endpoint)
}

/// Which memos are listed.
#[derive(Debug)]
struct ListQuery(RecordQuery);

impl FromQuery for ListQuery {
    fn from_query(query: &mut QueryReader) -> Option<Self> {
        let archived = query.flag("archived");
        let day = query.parse("diaryDate");
        let search = terms(query, "search");
        let page = PageNumber::from_query(query)?;
        let all = RecordQuery::all(EntityType::Memo, Order::NewestFirst, page);
        Some(Self(RecordQuery {
            archived,
            day,
            search,
            ..all
        }))
    }
}

async fn list(
    caller: SignedIn,
    query: Query<ListQuery>,
    request: HttpRequest,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let page = state.memos.page(caller.user(), &query.0.0).await?;
    listing::answer(&request, page::frame(&page)?, page, views(&state, caller.user())).await
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

/// Which memos are found.
#[derive(Debug)]
struct SearchQuery(RecordQuery);

impl FromQuery for SearchQuery {
    fn from_query(query: &mut QueryReader) -> Option<Self> {
        let search = terms(query, "query");
        let tags = tag_list(query);
        let start: Option<DiaryDate> = query.parse("startDate");
        let end: Option<DiaryDate> = query.parse("endDate");
        let archived = query.flag("isArchived");
        let page = PageNumber::from_query(query)?;
        Some(Self(RecordQuery {
            search,
            tags,
            created_from: start.map(|day| day.utc_range().0),
            created_to: end.map(|day| day.utc_range().1),
            archived,
            ..RecordQuery::all(EntityType::Memo, Order::NewestFirst, page)
        }))
    }
}

/// No memo has more tags than it may have.
fn tag_list(query: &mut QueryReader) -> Vec<Tag> {
    let texts = query.list("tags");
    if texts.len() > Tags::MAX {
        let most = format!("must be at most {} tags", Tags::MAX);
        query.reject(FieldError::new("tags", "too_many", most));
        return Vec::new();
    }
    let mut tags = Vec::new();
    for (i, text) in texts.into_iter().enumerate() {
        match Tag::new(text) {
            Ok(tag) => tags.push(tag),
            Err(violation) => query.reject(FieldError::from(violation.at(&format!("[{i}]")).at("tags"))),
        }
    }
    tags
}

fn terms(query: &mut QueryReader, key: &str) -> SearchTerms {
    let text = query.text(key).unwrap_or_default();
    SearchTerms::parse(&text).unwrap_or_else(|violation| {
        query.reject(FieldError::from(violation.at(key)));
        SearchTerms::default()
    })
}

/// What a search found.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(
    dead_code,
    reason = "describes the answer for the OpenAPI document; AroundFound holds the values"
)]
struct FoundMemos {
    memos: Vec<MemoWithResources>,
    /// How many there are on all pages.
    #[schema(value_type = schema::Count)]
    total: u64,
    #[schema(value_type = schema::Page)]
    page: u32,
    #[schema(value_type = schema::PageSize)]
    page_size: u32,
    /// Whether the search understands meaning: it does not.
    semantic_enabled: bool,
}

/// What stands around the memos that a search found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AroundFound {
    total: u64,
    page: u32,
    page_size: u32,
    semantic_enabled: bool,
}

async fn search(
    caller: SignedIn,
    query: Query<SearchQuery>,
    request: HttpRequest,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let page = state.memos.page(caller.user(), &query.0.0).await?;
    let around = AroundFound {
        total: page.total,
        page: page.number.number(),
        page_size: page.number.size(),
        semantic_enabled: false,
    };
    let frame = Frame::member("memos", &around)?;
    listing::answer(&request, frame, page, views(&state, caller.user())).await
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

async fn tags(caller: SignedIn, state: Data<AppState>) -> Answered<Vec<TagDto>> {
    let tags = state.memos.tags(caller.user()).await?;
    Ok(Json(tags.into_iter().map(Into::into).collect()))
}

/// Which memos of a day.
#[derive(Debug)]
struct DayQuery {
    archived: Option<bool>,
    page: PageNumber,
}

impl FromQuery for DayQuery {
    fn from_query(query: &mut QueryReader) -> Option<Self> {
        Some(Self {
            archived: query.flag("archived"),
            page: page::read(query, PageNumber::MAX_SIZE, PageNumber::MAX_SIZE)?,
        })
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
    let page = state.memos.on_day(caller.user(), day.0, archived, page).await?;
    listing::answer(&request, Frame::list(), page, views(&state, caller.user())).await
}

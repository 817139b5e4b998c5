//! Lists: the keys of a page are known before the first record is read, and the records are read, written and sent batch by
//! batch, as the client takes them. However long a page is, one batch of it is in memory.

use std::future::Future;

use actix_web::http::header;
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::{Stream, StreamExt, stream};
use mosaic_application::AppError;
use mosaic_application::page::Page;
use mosaic_domain::RecordKey;
use mosaic_domain::query::PageNumber;
use serde::Serialize;

use crate::budget::Lease;
use crate::problem::{Problem, causes};
use crate::request_id::RequestId;
use crate::response::{self, JSON};

/// What the document says of every list.
pub(super) const ENDS_BY_BYTES: &str = "An answer ends after the record with which it reaches 32 MiB. Where there are more records, \
    the header `Link` names where the list goes on: `<...>; rel=\"next\"`.";
/// Batches of fewer bytes are written on the spot: going to another thread takes longer.
const SMALL: u64 = 64 * 1024;
/// A record is in memory twice: as it was read, and as it is written.
const COPIES: u64 = 2;

/// What stands around the records in the answer.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) before: String,
    pub(super) after: String,
}

impl Frame {
    /// A plain list.
    pub(super) fn list() -> Self {
        Self {
            before: "[".to_owned(),
            after: "]".to_owned(),
        }
    }

    /// An object whose last member is the list, which is empty there.
    pub(super) fn of(object: &impl Serialize) -> Result<Self, Problem> {
        let after = "]}";
        let object = serde_json::to_string(object).map_err(Problem::internal)?;
        let before = object.strip_suffix(after);
        let before = before.ok_or_else(|| Problem::internal("an object does not end with a list"))?;
        Ok(Self {
            before: before.to_owned(),
            after: after.to_owned(),
        })
    }
}

/// Answers with the records of a page. Those that were deleted meanwhile are left out.
///
/// # Errors
/// What the store fails with before the first record is sent, or 503 `busy`. Where it fails later the connection is cut: a client
/// never takes a part for the whole.
pub(super) async fn respond<T, R, F>(
    request: &HttpRequest,
    frame: Frame,
    page: Page,
    read: R,
) -> Result<HttpResponse, Problem>
where
    T: Serialize + Send + 'static,
    R: Fn(Vec<RecordKey>) -> F + 'static,
    F: Future<Output = Result<Vec<T>, AppError>> + 'static,
{
    respond_at(request, request.path(), frame, page, read).await
}

/// As [`respond`], of a list whose next page is at another path.
///
/// # Errors
/// As [`respond`].
pub(super) async fn respond_at<T, R, F>(
    request: &HttpRequest,
    path: &str,
    frame: Frame,
    page: Page,
    read: R,
) -> Result<HttpResponse, Problem>
where
    T: Serialize + Send + 'static,
    R: Fn(Vec<RecordKey>) -> F + 'static,
    F: Future<Output = Result<Vec<T>, AppError>> + 'static,
{
    let mut response = HttpResponse::Ok();
    if let Some(next) = page.next {
        response.insert_header((
            header::LINK,
            format!("<{}>; rel=\"next\"", address(path, request.query_string(), next)),
        ));
    }
    let mut lease = Lease::of(request);
    lease.grow(usize::try_from(page.batch_bytes * COPIES).unwrap_or(usize::MAX))?;
    let mut reading = Reading {
        read,
        small: page.batch_bytes < SMALL,
        batches: page.batches.into_iter(),
        any: false,
        lease,
    };
    let first = reading.next().await?.unwrap_or_default();
    let before = [frame.before.as_bytes(), &first].concat();
    if reading.batches.len() == 0 {
        let whole = [before, frame.after.into_bytes()].concat();
        return Ok(response::answer(response, vec![whole.into()], reading.lease));
    }
    let request_id = RequestId::of(request).unwrap_or_default();
    let rest = rest(reading).map(move |batch| {
        batch.inspect_err(|error| {
            tracing::error!(request_id, cause = causes(error), "a list was cut short");
        })
    });
    let body = stream::once(async { Ok(before.into()) })
        .chain(rest)
        .chain(stream::once(async { Ok(frame.after.into()) }));
    Ok(response.content_type(JSON).streaming(Box::pin(body)))
}

/// The records of a page that were not read yet.
struct Reading<R> {
    read: R,
    small: bool,
    batches: std::vec::IntoIter<Vec<RecordKey>>,
    /// Whether a record was written before.
    any: bool,
    /// What a batch takes.
    lease: Lease,
}

impl<T, R, F> Reading<R>
where
    T: Serialize + Send + 'static,
    R: Fn(Vec<RecordKey>) -> F,
    F: Future<Output = Result<Vec<T>, AppError>>,
{
    /// The next batch as it stands in the answer; `None`: there is none.
    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let Some(keys) = self.batches.next() else {
            return Ok(None);
        };
        let records = (self.read)(keys).await?;
        let any = self.any;
        self.any |= !records.is_empty();
        let written = if self.small {
            write(&records, any)
        } else {
            web::block(move || write(&records, any))
                .await
                .map_err(Problem::internal)?
        };
        written.map(Some).map_err(Problem::internal)
    }
}

fn rest<T, R, F>(reading: Reading<R>) -> impl Stream<Item = Result<Bytes, Problem>>
where
    T: Serialize + Send + 'static,
    R: Fn(Vec<RecordKey>) -> F,
    F: Future<Output = Result<Vec<T>, AppError>>,
{
    stream::unfold(Some(reading), |reading| async {
        let mut reading = reading?;
        match reading.next().await {
            Ok(batch) => batch.map(|batch| (Ok(batch), Some(reading))),
            Err(problem) => Some((Err(problem), None)),
        }
    })
}

/// Records with commas between them, and before them where there are others.
fn write<T: Serialize>(records: &[T], any: bool) -> serde_json::Result<Bytes> {
    let mut text = Vec::new();
    for (place, record) in records.iter().enumerate() {
        if any || place > 0 {
            text.push(b',');
        }
        serde_json::to_writer(&mut text, record)?;
    }
    Ok(text.into())
}

/// Where the list goes on: the same address, below `/` or below `/api`, with another page.
fn address(path: &str, query: &str, next: PageNumber) -> String {
    let named = |pair: &str, name: &str| pair.split('=').next() == Some(name);
    let mut pairs: Vec<String> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .filter(|pair| !["page", "pageSize", "skip"].iter().any(|name| named(pair, name)))
        .map(str::to_owned)
        .collect();
    pairs.push(format!("page={}&pageSize={}", next.number(), next.size()));
    if next.skipped() > 0 {
        pairs.push(format!("skip={}", next.skipped()));
    }
    format!("{path}?{}", pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;
    use actix_web::test::TestRequest;
    use mosaic_domain::MemoId;
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;

    #[derive(Serialize)]
    struct Total {
        total: u8,
        items: [u8; 0],
    }

    fn key(n: u128) -> RecordKey {
        RecordKey::Memo(MemoId::new(Uuid::from_u128(n)))
    }

    fn page(batches: &[&[u128]]) -> Page {
        Page {
            batches: batches
                .iter()
                .map(|batch| batch.iter().map(|n| key(*n)).collect())
                .collect(),
            batch_bytes: SMALL,
            total: 9,
            number: PageNumber::first(20),
            next: None,
        }
    }

    async fn body(page: Page, frame: Frame) -> Result<Value, Box<dyn std::error::Error>> {
        let request = TestRequest::get().to_http_request();
        // What is deleted meanwhile is not found: here, the key 0.
        let read = |keys: Vec<RecordKey>| async move {
            let there = keys.into_iter().filter(|found| *found != key(0));
            if keys_of(there.clone()).contains(&key(13)) {
                return Err(AppError::Internal("the store is gone".into()));
            }
            Ok(there.map(|key| key.to_string()).collect::<Vec<_>>())
        };
        let response = respond(&request, frame, page, read).await?;
        Ok(serde_json::from_slice(&to_bytes(response.into_body()).await?)?)
    }

    fn keys_of(keys: impl Iterator<Item = RecordKey>) -> Vec<RecordKey> {
        keys.collect()
    }

    fn texts(keys: &[u128]) -> Value {
        keys.iter().map(|n| key(*n).to_string()).collect()
    }

    #[actix_web::test]
    async fn batches_make_one_list_whatever_is_deleted_meanwhile() {
        for (batches, expected) in [
            (&[][..], &[][..]),
            (&[&[1, 2][..]], &[1, 2]),
            (&[&[1], &[2, 3], &[4]], &[1, 2, 3, 4]),
            (&[&[0], &[1], &[0, 0], &[2]], &[1, 2]),
            (&[&[0], &[0]], &[]),
        ] {
            let list = body(page(batches), Frame::list()).await.unwrap();
            assert_eq!(list, texts(expected), "{batches:?}");
        }
        let frame = Frame::of(&Total { total: 9, items: [] }).unwrap();
        let object = body(page(&[&[1], &[2]]), frame).await.unwrap();
        assert_eq!(object, json!({"total": 9, "items": texts(&[1, 2])}));
    }

    #[actix_web::test]
    async fn a_store_that_fails_on_the_way_cuts_the_answer_and_at_first_is_told() {
        assert!(body(page(&[&[13], &[1]]), Frame::list()).await.is_err());
        let cut = body(page(&[&[1], &[13], &[2]]), Frame::list()).await;
        assert!(
            cut.unwrap_err().to_string().contains("internal"),
            "the body ends in an error"
        );
    }

    /// Also where the page itself goes on, because the answer ended by its bytes.
    #[actix_web::test]
    async fn a_list_that_goes_on_says_where() {
        for (next, link) in [
            (None, None),
            (
                Some(PageNumber::of(2, 20, 0)),
                Some("</?page=2&pageSize=20>; rel=\"next\""),
            ),
            (
                Some(PageNumber::of(1, 20, 5)),
                Some("</?page=1&pageSize=20&skip=5>; rel=\"next\""),
            ),
        ] {
            let page = Page {
                next,
                ..page(&[&[1]])
            };
            let read = async |_: Vec<RecordKey>| Ok(vec![1]);
            let request = TestRequest::get().to_http_request();
            let answered = respond(&request, Frame::list(), page, read).await.unwrap();
            let told = answered
                .headers()
                .get(header::LINK)
                .map(|link| link.to_str().unwrap());
            assert_eq!(told, link);
        }
    }

    #[test]
    fn the_next_page_keeps_what_was_asked_for() {
        let query = "search=a%20b&page=3&pageSize=50&skip=2&archived=true";
        let next = address("/api/memos", query, PageNumber::of(3, 50, 7));
        assert_eq!(
            next,
            "/api/memos?search=a%20b&archived=true&page=3&pageSize=50&skip=7"
        );
        assert_eq!(
            address("/bots", "", PageNumber::of(2, 50, 0)),
            "/bots?page=2&pageSize=50"
        );
    }
}

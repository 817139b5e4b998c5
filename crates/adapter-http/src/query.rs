//! Query strings and path parameters: declared once each (`query!`), for how they are read and for what the document says. Read
//! strictly, with the same errors as bodies, all violations at once.
//!
//! Keys may repeat (`tags=a&tags=b`), and lists may be written the way today's apps do (`tags[]=a`).

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use mosaic_domain::{Violation, Violations};
use percent_encoding::percent_decode_str;
use utoipa::PartialSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::path::Parameter;
use utoipa::openapi::schema::Schema;

use crate::extractor::{Extractor, in_path};
use crate::field::{Int, in_range};
use crate::problem::{Problem, ProblemCode};
use crate::schema::{integer, or_empty, or_one_of};
use crate::value::Value;

/// The query of a request, parsed into `T`.
#[derive(Debug, Clone, Copy)]
pub struct Query<T>(pub T);

/// A type that can be read from a query string. Implemented by `query!`.
pub trait FromQuery: Sized {
    /// The parameters, as the document describes them.
    fn parameters() -> Vec<Parameter>;

    /// Reads the parameters. What is wrong is noted in the reader; `None` only when something was.
    fn read(query: &mut QueryReader) -> Option<Self>;
}

impl<T: FromQuery> FromRequest for Query<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let query = QueryReader::new(request.query_string()).and_then(QueryReader::read);
        ready(query.map(Self))
    }
}

impl<T: FromQuery> Extractor for Query<T> {
    fn parameters(_path: &str) -> Vec<Parameter> {
        T::parameters()
    }

    fn problems() -> Vec<ProblemCode> {
        vec![ProblemCode::MalformedQuery, ProblemCode::ValidationFailed]
    }
}

/// Declares the parameters of a query, each with its value, its name and its description, and after them those of another query
/// that it has as well. A description that several have is a constant: `#[doc = ARCHIVED]`. Makes the struct, and what reads and
/// describes it.
macro_rules! query {
    (
        $(#[$about:meta])*
        $vis:vis struct $query:ident $(<$(const $limit:ident: $number:ty),*>)? {
            $($(#[doc = $doc:expr])+ $field:ident: $value:ty = $name:literal,)*
            $(..$other:ident: $others:ty,)?
        }
    ) => {
        $(#[$about])*
        #[derive(Debug)]
        $vis struct $query $(<$(const $limit: $number),*>)? {
            $($field: $value,)*
            $($other: $others,)?
        }

        impl $(<$(const $limit: $number),*>)? $crate::query::FromQuery for $query $(<$($limit),*>)? {
            fn parameters() -> Vec<utoipa::openapi::path::Parameter> {
                [
                    vec![$($crate::extractor::in_query(
                        $name,
                        &[$($doc),+].concat(),
                        <$value as $crate::query::QueryValue>::schema(),
                    ),)*],
                    $(<$others as $crate::query::FromQuery>::parameters(),)?
                ]
                .concat()
            }

            fn read(query: &mut $crate::query::QueryReader) -> Option<Self> {
                // All of them, before the first that is wrong ends it.
                $(let $field = $crate::query::QueryValue::read($name, query);)*
                $(let $other = $crate::query::FromQuery::read(query);)?
                Some(Self {
                    $($field: $field?,)*
                    $($other: $other?,)?
                })
            }
        }
    };
}
pub(crate) use query;

/// A value that a parameter of a query may have.
pub(crate) trait QueryValue: Sized {
    /// What it looks like.
    fn schema() -> RefOr<Schema>;

    /// Reads what the parameter of that name is given as. What is wrong is noted in the reader; `None` only when something was.
    fn read(name: &str, query: &mut QueryReader) -> Option<Self>;
}

/// A value of the domain, or none.
impl<T: Value<Sent: InText>> QueryValue for Option<T> {
    fn schema() -> RefOr<Schema> {
        or_empty(T::Sent::schema(T::Schema::schema()))
    }

    fn read(name: &str, query: &mut QueryReader) -> Option<Self> {
        match query.text(name) {
            Some(text) => query
                .check(name, T::Sent::from_text(text).and_then(T::read))
                .map(Some),
            None => Some(None),
        }
    }
}

/// What a value is sent as, in a query: as a text.
pub(crate) trait InText: Sized {
    /// Reads the text.
    ///
    /// # Errors
    /// `invalid_type`.
    fn from_text(text: String) -> Result<Self, Violation>;

    /// What a value of that schema looks like as a text.
    fn schema(of: RefOr<Schema>) -> RefOr<Schema> {
        of
    }
}

impl InText for String {
    fn from_text(text: String) -> Result<Self, Violation> {
        Ok(text)
    }
}

impl InText for Int {
    fn from_text(text: String) -> Result<Self, Violation> {
        text.parse()
    }
}

/// `true` or `false`, also `1` or `0`.
impl InText for bool {
    fn from_text(text: String) -> Result<Self, Violation> {
        match text.as_str() {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(Violation::new("invalid_type", "must be true or false")),
        }
    }

    fn schema(of: RefOr<Schema>) -> RefOr<Schema> {
        or_one_of(["0", "1"], of)
    }
}

/// A whole number from `MIN` to `MAX`; `DEFAULT` where it is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Within<const MIN: u32, const MAX: u32, const DEFAULT: u32>(pub(crate) u32);

impl<const MIN: u32, const MAX: u32, const DEFAULT: u32> QueryValue for Within<MIN, MAX, DEFAULT> {
    fn schema() -> RefOr<Schema> {
        or_empty(integer(MIN.into(), MAX.into()).default(Some(DEFAULT.into())))
    }

    fn read(name: &str, query: &mut QueryReader) -> Option<Self> {
        let Some(text) = query.text(name) else {
            return Some(Self(DEFAULT));
        };
        let number = text.parse().and_then(|number| in_range(number, MIN, MAX));
        query.check(name, number).map(Self)
    }
}

/// The value of one parameter of the query, where it is given.
///
/// # Errors
/// 400 `malformed_query`, or 422 `validation_failed` where it is given twice.
pub(crate) fn parameter(request: &HttpRequest, name: &str) -> Result<Option<String>, Problem> {
    let mut query = QueryReader::new(request.query_string())?;
    let text = query.text(name);
    query.violations.into_result()?;
    Ok(text)
}

/// Takes a query string apart and collects what is wrong with it. An empty value counts as a missing one.
#[derive(Debug)]
pub struct QueryReader {
    pairs: Vec<(String, String)>,
    violations: Violations,
}

impl QueryReader {
    /// Splits a query string.
    ///
    /// # Errors
    /// 400 `malformed_query` when it is no percent-encoded UTF-8.
    fn new(query: &str) -> Result<Self, Problem> {
        let pairs = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                Ok((decode(key)?.trim_end_matches("[]").to_owned(), decode(value)?))
            })
            .collect::<Result<_, Problem>>()?;
        Ok(Self {
            pairs,
            violations: Violations::none(),
        })
    }

    fn read<T: FromQuery>(mut self) -> Result<T, Problem> {
        let value = T::read(&mut self);
        self.violations.into_result()?;
        value.ok_or_else(|| Problem::internal("a query has an error that nobody noted"))
    }

    /// The value, unless it is wrong, which is noted.
    pub(crate) fn check<T>(&mut self, name: &str, value: Result<T, Violation>) -> Option<T> {
        self.violations.check(name, value)
    }

    /// The value of a key that may stand there once.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        let mut values = self.list(name).into_iter();
        let first = values.next();
        if values.next().is_some() {
            self.violations
                .push(Violation::new("repeated", "must be given once").at(name));
        }
        first
    }

    /// All values of a key, in order.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        self.pairs
            .iter()
            .filter(|(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.clone())
            .collect()
    }
}

fn decode(text: &str) -> Result<String, Problem> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| {
            Problem::new(
                ProblemCode::MalformedQuery,
                "the query string is not percent-encoded UTF-8",
            )
        })
}

/// The first parameter of the route's path, parsed into `T`: `/memos/{id}`.
#[derive(Debug, Clone, Copy)]
pub struct Key<T>(pub T);

impl<T: Value<Sent = String>> FromRequest for Key<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(path_parameter(request, 0).map(Self))
    }
}

impl<T: Value<Sent = String>> Extractor for Key<T> {
    fn parameters(path: &str) -> Vec<Parameter> {
        in_path(path, [T::Schema::schema()])
    }

    fn problems() -> Vec<ProblemCode> {
        vec![ProblemCode::ValidationFailed]
    }
}

/// The first two parameters of the route's path: `/memos/{id}/revisions/{revision}`.
#[derive(Debug, Clone, Copy)]
pub struct Keys<T, U>(pub T, pub U);

impl<T: Value<Sent = String>, U: Value<Sent = String>> FromRequest for Keys<T, U> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let first = path_parameter(request, 0);
        let both = first.and_then(|first| Ok(Self(first, path_parameter(request, 1)?)));
        ready(both)
    }
}

impl<T: Value<Sent = String>, U: Value<Sent = String>> Extractor for Keys<T, U> {
    fn parameters(path: &str) -> Vec<Parameter> {
        in_path(path, [T::Schema::schema(), U::Schema::schema()])
    }

    fn problems() -> Vec<ProblemCode> {
        Key::<T>::problems()
    }
}

/// One parameter of the route's path, parsed.
///
/// # Errors
/// 422 `validation_failed` with the parameter's name as path.
pub(crate) fn path_parameter<T: Value<Sent = String>>(
    request: &HttpRequest,
    place: usize,
) -> Result<T, Problem> {
    let (name, raw) = request.match_info().iter().nth(place).unwrap_or_default();
    let value = match percent_decode_str(raw).decode_utf8() {
        Ok(text) => T::read(text.into_owned()),
        Err(_) => Err(Violation::new("invalid_value", "must be percent-encoded UTF-8")),
    };
    value.map_err(|violation| Violations::from(violation.at(name)).into())
}

#[cfg(test)]
mod tests {
    use mosaic_domain::text::{ShortText, Tag};
    use mosaic_domain::{DiaryDate, EditTime};

    use super::*;

    query! {
        /// What is searched for.
        #[derive(PartialEq)]
        struct Search {
            /// From 1
            page: Within<1, 1000, 1> = "page",
            /// Anything
            text: Option<ShortText> = "query",
            /// All of them
            tags: Vec<Tag> = "tags",
            /// Only those
            archived: Option<bool> = "isArchived",
            /// From this day on
            day: Option<DiaryDate> = "startDate",
        }
    }

    fn read(query: &str) -> Result<Search, Problem> {
        QueryReader::new(query).and_then(QueryReader::read)
    }

    #[test]
    fn lists_come_in_both_spellings_and_text_is_decoded() {
        let search =
            read("tags=a&tags[]=b%20c&tags%5B%5D=d+e&query=%E6%97%A5&page=2&isArchived=true").unwrap();
        let tags = ["a", "b c", "d e"].map(|tag| Tag::new(tag.to_owned()).unwrap());
        assert_eq!(search.tags, tags);
        assert_eq!(search.text, Some(ShortText::new("日".to_owned()).unwrap()));
        assert_eq!((search.page, search.archived), (Within(2), Some(true)));
    }

    #[test]
    fn missing_and_empty_values_are_defaults() {
        let nothing = Search {
            page: Within(1),
            text: None,
            tags: vec![],
            archived: None,
            day: None,
        };
        assert_eq!(read("").unwrap(), nothing);
        assert_eq!(
            read("page=&query=&tags=&isArchived=&startDate=&&unknown=1").unwrap(),
            nothing
        );
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let problem = read("page=0&isArchived=maybe&startDate=today&query=a&query=b").unwrap_err();
        let found: Vec<_> = problem
            .errors()
            .iter()
            .map(|error| (error.path.as_str(), &*error.code))
            .collect();
        assert_eq!(
            found,
            [
                ("page", "out_of_range"),
                ("query", "repeated"),
                ("isArchived", "invalid_type"),
                ("startDate", "invalid_date")
            ]
        );
        assert_eq!(read("page=1.5").unwrap_err().errors()[0].code, "invalid_type");
    }

    #[test]
    fn an_edit_time_in_a_query_is_a_safe_integer() {
        let read = |text: &str| {
            let mut query = QueryReader::new(&format!("updatedAt={text}")).unwrap();
            let time: Option<Option<EditTime>> = QueryValue::read("updatedAt", &mut query);
            query.violations.into_result().map(|()| time)
        };
        assert_eq!(read("17").unwrap().flatten().map(EditTime::get), Some(17));
        for (text, code) in [
            ("1.5", "invalid_type"),
            ("1e3", "invalid_type"),
            ("-", "invalid_type"),
            ("soon", "invalid_type"),
            ("-1", "out_of_range"),
            ("9007199254740992", "out_of_range"),
            ("99999999999999999999999", "out_of_range"),
        ] {
            let violations = read(text).unwrap_err();
            let codes: Vec<_> = violations.iter().map(|violation| violation.code).collect();
            assert_eq!(codes, [code], "{text}");
        }
    }

    #[test]
    fn bytes_that_are_no_utf8_are_malformed() {
        assert_eq!(read("query=%ff").unwrap_err().code(), ProblemCode::MalformedQuery);
    }

    #[test]
    fn a_path_parameter_that_does_not_parse_is_named() {
        let request = actix_web::test::TestRequest::get()
            .param("date", "2026-1-1")
            .to_http_request();
        let problem = path_parameter::<DiaryDate>(&request, 0).unwrap_err();
        assert_eq!(problem.errors()[0].path, "date");
        let request = actix_web::test::TestRequest::get()
            .param("date", "2026-01-01")
            .to_http_request();
        assert_eq!(
            path_parameter(&request, 0).ok(),
            "2026-01-01".parse::<DiaryDate>().ok()
        );
    }
}

//! Query strings and path parameters: read strictly, with the same errors as bodies, all violations at once.
//!
//! Keys may repeat (`tags=a&tags=b`), and lists may be written the way today's apps do (`tags[]=a`).

use std::future::{Ready, ready};
use std::ops::RangeInclusive;
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use percent_encoding::percent_decode_str;

use crate::field::Int;
use crate::problem::{FieldError, Problem, ProblemCode};

/// The query of a request, parsed into `T`.
#[derive(Debug, Clone, Copy)]
pub struct Query<T>(pub T);

/// A type that can be read from a query string.
pub trait FromQuery: Sized {
    /// Reads the fields. What is wrong is noted in the reader; `None` only when something was.
    fn from_query(query: &mut QueryReader) -> Option<Self>;
}

impl<T: FromQuery> FromRequest for Query<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(
            QueryReader::new(request.query_string())
                .and_then(QueryReader::read)
                .map(Self),
        )
    }
}

/// Takes a query string apart and collects what is wrong with it. An empty value counts as a missing one.
#[derive(Debug)]
pub struct QueryReader {
    pairs: Vec<(String, String)>,
    errors: Vec<FieldError>,
}

impl QueryReader {
    /// Splits a query string.
    ///
    /// # Errors
    /// 400 `malformed_query` when it is no percent-encoded UTF-8.
    pub fn new(query: &str) -> Result<Self, Problem> {
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
            errors: Vec::new(),
        })
    }

    fn read<T: FromQuery>(mut self) -> Result<T, Problem> {
        let value = T::from_query(&mut self);
        match value {
            Some(value) if self.errors.is_empty() => Ok(value),
            _ => Err(Problem::validation(self.errors)),
        }
    }

    /// Notes something that is wrong.
    pub fn reject(&mut self, error: FieldError) {
        self.errors.push(error);
    }

    /// The value of a key that may stand there once.
    pub fn text(&mut self, key: &str) -> Option<String> {
        let mut values = self
            .pairs
            .iter()
            .filter(|(name, value)| name == key && !value.is_empty());
        let first = values.next().map(|(_, value)| value.clone());
        if values.next().is_some() {
            self.reject(FieldError::new(key, "repeated", "must be given once"));
        }
        first
    }

    /// All values of a key, in order.
    pub fn list(&mut self, key: &str) -> Vec<String> {
        self.pairs
            .iter()
            .filter(|(name, value)| name == key && !value.is_empty())
            .map(|(_, value)| value.clone())
            .collect()
    }

    /// A value of a type that knows how to read itself.
    pub fn parse<T>(&mut self, key: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: Into<FieldError>,
    {
        let text = self.text(key)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                let error: FieldError = error.into();
                self.reject(FieldError {
                    path: key.to_owned(),
                    ..error
                });
                None
            }
        }
    }

    /// A whole number within a range, or the default.
    pub fn int(&mut self, key: &str, default: i64, range: RangeInclusive<i64>) -> i64 {
        let Some(text) = self.text(key) else {
            return default;
        };
        match text.parse::<Int>() {
            Ok(Int(number)) if range.contains(&number) => number,
            Ok(_) => {
                let message = format!("must be {} to {}", range.start(), range.end());
                self.reject(FieldError::new(key, "out_of_range", message));
                default
            }
            Err(_) => {
                self.reject(FieldError::new(key, "invalid_type", "must be a whole number"));
                default
            }
        }
    }

    /// `true` or `false` (also `1` or `0`).
    pub fn flag(&mut self, key: &str) -> Option<bool> {
        match self.text(key)?.as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => {
                self.reject(FieldError::new(key, "invalid_type", "must be true or false"));
                None
            }
        }
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

impl<T> FromRequest for Key<T>
where
    T: FromStr,
    T::Err: Into<FieldError>,
{
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let name = request
            .match_info()
            .iter()
            .next()
            .map(|(name, _)| name.to_owned())
            .unwrap_or_default();
        ready(path_param(request, &name).map(Self))
    }
}

/// One parameter of the route's path, parsed.
///
/// # Errors
/// 422 `validation_failed` with the parameter's name as path.
pub fn path_param<T>(request: &HttpRequest, name: &str) -> Result<T, Problem>
where
    T: FromStr,
    T::Err: Into<FieldError>,
{
    let raw = request.match_info().get(name).unwrap_or_default();
    let invalid = |error: FieldError| {
        Problem::validation(vec![FieldError {
            path: name.to_owned(),
            ..error
        }])
    };
    let text = percent_decode_str(raw).decode_utf8().map_err(|_| {
        invalid(FieldError::new(
            "",
            "invalid_value",
            "must be percent-encoded UTF-8",
        ))
    })?;
    text.parse().map_err(|error: T::Err| invalid(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Day(String);

    impl FromStr for Day {
        type Err = FieldError;
        fn from_str(text: &str) -> Result<Self, FieldError> {
            if text.len() == 10 {
                Ok(Self(text.to_owned()))
            } else {
                Err(FieldError::new("", "invalid_date", "must be a calendar date"))
            }
        }
    }

    #[derive(Debug, PartialEq)]
    struct Search {
        page: i64,
        text: Option<String>,
        tags: Vec<String>,
        archived: Option<bool>,
        day: Option<Day>,
    }

    impl FromQuery for Search {
        fn from_query(query: &mut QueryReader) -> Option<Self> {
            Some(Self {
                page: query.int("page", 1, 1..=1000),
                text: query.text("query"),
                tags: query.list("tags"),
                archived: query.flag("isArchived"),
                day: query.parse("startDate"),
            })
        }
    }

    fn read(query: &str) -> Result<Search, Problem> {
        QueryReader::new(query).and_then(QueryReader::read)
    }

    #[test]
    fn lists_come_in_both_spellings_and_text_is_decoded() {
        let search =
            read("tags=a&tags[]=b%20c&tags%5B%5D=d+e&query=%E6%97%A5&page=2&isArchived=true").unwrap();
        assert_eq!(search.tags, ["a", "b c", "d e"]);
        assert_eq!(
            (search.text.as_deref(), search.page, search.archived),
            (Some("日"), 2, Some(true))
        );
    }

    #[test]
    fn missing_and_empty_values_are_defaults() {
        let nothing = Search {
            page: 1,
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
    fn bytes_that_are_no_utf8_are_malformed() {
        assert_eq!(read("query=%ff").unwrap_err().code(), ProblemCode::MalformedQuery);
    }

    #[test]
    fn a_path_parameter_that_does_not_parse_is_named() {
        let request = actix_web::test::TestRequest::get()
            .param("date", "2026-1-1")
            .to_http_request();
        let problem = path_param::<Day>(&request, "date").unwrap_err();
        assert_eq!(problem.errors()[0].path, "date");
        let request = actix_web::test::TestRequest::get()
            .param("date", "2026-01-01")
            .to_http_request();
        assert_eq!(
            path_param::<Day>(&request, "date").unwrap(),
            Day("2026-01-01".into())
        );
    }
}

//! The fields of request bodies: absent, `null`, of the wrong type, or given; told apart so that everything that is wrong
//! with a body is said at once, each with its path.
//!
//! A body is a struct of [`Field`]s with `#[serde(default)]`; [`Check`] turns them into domain types.

use std::str::FromStr;

use mosaic_domain::{EditTime, MAX_SAFE_INTEGER, UnixMillis, Violation, Violations};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error, Visitor};
use serde_json::Value;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

/// One field of a body, as it was sent.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum Field<T> {
    /// It is not there.
    #[default]
    Absent,
    /// It is `null`.
    Null,
    /// It is something else than it should be.
    Wrong(Violation),
    /// It is there.
    Given(T),
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if value.is_null() {
            return Ok(Self::Null);
        }
        Ok(match serde_path_to_error::deserialize(value) {
            Ok(value) => Self::Given(value),
            Err(error) => {
                let path = error.path().to_string();
                let violation = Violation::new("invalid_type", error.into_inner().to_string());
                Self::Wrong(if path == "." {
                    violation
                } else {
                    violation.at(&path)
                })
            }
        })
    }
}

/// A whole number. One that is too large for 64 bits becomes the greatest there is, which every range refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Int(pub(crate) i64);

impl<'de> Deserialize<'de> for Int {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IntVisitor;
        impl Visitor<'_> for IntVisitor {
            type Value = Int;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a whole number")
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Int, E> {
                Ok(Int(value))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Int, E> {
                Ok(Int(i64::try_from(value).unwrap_or(i64::MAX)))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Int, E> {
                // Digits beyond 64 bits arrive as a float.
                const BEYOND: f64 = 9_007_199_254_740_992.0;
                match value {
                    _ if value >= BEYOND => Ok(Int(i64::MAX)),
                    _ if value <= -BEYOND => Ok(Int(i64::MIN)),
                    _ => Err(E::invalid_type(serde::de::Unexpected::Float(value), &self)),
                }
            }
        }
        deserializer.deserialize_any(IntVisitor)
    }
}

/// How the OpenAPI document describes a time: Unix milliseconds that every JSON reader keeps exactly (S5).
#[derive(Debug)]
pub(crate) struct UnixMs;

impl PartialSchema for UnixMs {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
            .description(Some("Unix milliseconds"))
            .minimum(Some(0))
            .maximum(Some(MAX_SAFE_INTEGER))
            .into()
    }
}

impl ToSchema for UnixMs {}

/// The same from the text of a header or a query.
impl FromStr for Int {
    type Err = Violation;
    fn from_str(text: &str) -> Result<Self, Violation> {
        let (digits, beyond) = match text.strip_prefix('-') {
            Some(digits) => (digits, i64::MIN),
            None => (text, i64::MAX),
        };
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Violation::new("invalid_type", "must be a whole number"));
        }
        Ok(Self(text.parse().unwrap_or(beyond)))
    }
}

/// Turns fields into domain types and collects what is wrong with them.
#[derive(Debug, Default)]
pub(crate) struct Check {
    violations: Violations,
    /// Whether the fields are those of a whole record, not of a partial edit.
    whole: bool,
}

impl Check {
    /// Checks the fields of a whole record.
    pub(crate) fn of_whole() -> Self {
        Self {
            whole: true,
            ..Self::default()
        }
    }

    /// A field that a whole record must have, and that a partial edit may leave out.
    pub(crate) fn essential<R, T>(
        &mut self,
        path: &str,
        field: Field<R>,
        parse: impl FnOnce(R) -> Result<T, Violation>,
    ) -> Option<T> {
        if self.whole {
            self.required(path, field, parse)
        } else {
            self.optional(path, field, parse)
        }
    }

    /// A field that must be there.
    pub(crate) fn required<R, T>(
        &mut self,
        path: &str,
        field: Field<R>,
        parse: impl FnOnce(R) -> Result<T, Violation>,
    ) -> Option<T> {
        if matches!(field, Field::Absent) {
            self.violations
                .push(Violation::new("required", "must be given").at(path));
            return None;
        }
        self.optional(path, field, parse)
    }

    /// A field that may be left out, and is never `null`.
    pub(crate) fn optional<R, T>(
        &mut self,
        path: &str,
        field: Field<R>,
        parse: impl FnOnce(R) -> Result<T, Violation>,
    ) -> Option<T> {
        if matches!(field, Field::Null) {
            self.violations
                .push(Violation::new("null", "must not be null").at(path));
            return None;
        }
        self.nullable(path, field, parse).flatten()
    }

    /// A field that may be left out, and that `null` clears: `Some(None)`.
    #[expect(
        clippy::option_option,
        reason = "the domain's patches tell absent from cleared in this way (W7)"
    )]
    pub(crate) fn nullable<R, T>(
        &mut self,
        path: &str,
        field: Field<R>,
        parse: impl FnOnce(R) -> Result<T, Violation>,
    ) -> Option<Option<T>> {
        match field {
            Field::Absent => None,
            Field::Null => Some(None),
            Field::Wrong(violation) => {
                self.violations.push(violation.at(path));
                None
            }
            Field::Given(raw) => self.violations.check(path, parse(raw)).map(Some),
        }
    }

    /// `createdAt`.
    pub(crate) fn created_at(&mut self, field: Field<Int>) -> Option<UnixMillis> {
        self.optional("createdAt", field, |Int(ms)| UnixMillis::new(ms))
    }

    /// `updatedAt`.
    pub(crate) fn updated_at(&mut self, field: Field<Int>) -> Option<EditTime> {
        self.optional("updatedAt", field, |Int(ms)| EditTime::new(ms))
    }

    /// Notes something that no single field tells.
    pub(crate) fn push(&mut self, violation: Violation) {
        self.violations.push(violation);
    }

    /// The value, unless anything was wrong. It is `None` only where a required field was.
    pub(crate) fn finish<T>(self, value: Option<T>) -> Result<T, Violations> {
        self.violations.into_result()?;
        value.ok_or_else(|| Violation::new("required", "a required field is missing").into())
    }
}

/// A text that knows how to become something.
pub(crate) fn from_text<T: FromStr<Err = Violation>>(text: impl AsRef<str>) -> Result<T, Violation> {
    text.as_ref().parse()
}

/// A place among siblings: fits 32 bits, so that every store and every app can hold it.
pub(crate) fn sort_order(Int(place): Int) -> Result<i64, Violation> {
    i32::try_from(place).map(i64::from).map_err(|_| {
        Violation::new(
            "out_of_range",
            format!("must be from {} to {}", i32::MIN, i32::MAX),
        )
    })
}

/// Up to `max` ids, none twice.
pub(crate) fn ids<T>(texts: &[String], max: usize) -> Result<Vec<T>, Violation>
where
    T: FromStr<Err = Violation> + Ord + Copy,
{
    if texts.len() > max {
        return Err(Violation::new("too_many", format!("must be at most {max} ids")));
    }
    let mut seen = std::collections::BTreeSet::new();
    let mut ids = Vec::with_capacity(texts.len());
    for (i, text) in texts.iter().enumerate() {
        let id: T = text
            .parse()
            .map_err(|violation: Violation| violation.at(&format!("[{i}]")))?;
        if !seen.insert(id) {
            return Err(Violation::new("repeated", "must not name an id twice").at(&format!("[{i}]")));
        }
        ids.push(id);
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use mosaic_domain::MemoId;

    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        #[serde(default)]
        name: Field<String>,
        #[serde(default)]
        note: Field<String>,
        #[serde(default)]
        tags: Field<Vec<String>>,
        #[serde(default)]
        updated_at: Field<Int>,
    }

    fn found(json: &str) -> Vec<(String, &'static str)> {
        let body: Body = serde_json::from_str(json).unwrap();
        let mut check = Check::default();
        let name = check.required("name", body.name, Ok);
        check.nullable("note", body.note, Ok);
        check.optional("tags", body.tags, Ok);
        check.updated_at(body.updated_at);
        let Err(violations) = check.finish(name) else {
            return Vec::new();
        };
        violations
            .iter()
            .map(|violation| (violation.path.clone(), violation.code))
            .collect()
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        assert_eq!(found(r#"{"name": "a", "note": null, "unknown": []}"#), []);
        assert_eq!(
            found(r#"{"note": 1, "tags": ["a", 2], "updatedAt": null}"#),
            [
                ("name".to_owned(), "required"),
                ("note".to_owned(), "invalid_type"),
                ("tags[1]".to_owned(), "invalid_type"),
                ("updatedAt".to_owned(), "null"),
            ]
        );
        assert_eq!(found(r#"{"name": null}"#), [("name".to_owned(), "null")]);
    }

    #[test]
    fn s5_integers_are_whole_and_below_two_to_the_fifty_third() {
        for (number, code) in [
            ("1.0", "invalid_type"),
            ("1.5", "invalid_type"),
            ("\"1\"", "invalid_type"),
            ("true", "invalid_type"),
            ("-1", "out_of_range"),
            ("9007199254740992", "out_of_range"),
            ("18446744073709551615", "out_of_range"),
            ("99999999999999999999999", "out_of_range"),
            ("-99999999999999999999999", "out_of_range"),
        ] {
            let json = format!(r#"{{"name": "a", "updatedAt": {number}}}"#);
            assert_eq!(found(&json), [("updatedAt".to_owned(), code)], "{number}");
        }
        assert_eq!(found(r#"{"name": "a", "updatedAt": 9007199254740991}"#), []);
    }

    #[test]
    fn integers_in_text_are_digits_and_saturate() {
        for (text, number) in [
            ("17", 17),
            ("-17", -17),
            ("99999999999999999999", i64::MAX),
            ("-99999999999999999999", i64::MIN),
        ] {
            assert_eq!(text.parse(), Ok(Int(number)));
        }
        for text in ["", "-", "+1", "1.5", "1e3", " 1", "soon"] {
            assert_eq!(text.parse::<Int>().unwrap_err().code, "invalid_type", "{text}");
        }
    }

    #[test]
    fn ids_are_bounded_and_not_repeated() {
        let id = "0198f3a2-7b1c-7def-8000-1234567890ab".to_owned();
        let code = |texts: Vec<String>| ids::<MemoId>(&texts, 2).map_err(|v| (v.path, v.code));
        assert!(code(vec![id.clone()]).is_ok());
        assert_eq!(
            code(vec![id.clone(), id.to_uppercase()]),
            Err(("[1]".into(), "repeated"))
        );
        assert_eq!(code(vec!["x".into()]), Err(("[0]".into(), "invalid_uuid")));
        assert_eq!(
            code(vec![id.clone(), id.clone(), id]),
            Err((String::new(), "too_many"))
        );
    }

    #[test]
    fn places_fit_thirty_two_bits() {
        assert_eq!(sort_order(Int(i64::from(i32::MAX))), Ok(i64::from(i32::MAX)));
        assert_eq!(
            sort_order(Int(i64::from(i32::MAX) + 1)).unwrap_err().code,
            "out_of_range"
        );
    }
}

//! The fields of request bodies: absent, `null`, of the wrong type, or given; told apart so that everything that is wrong
//! with a body is said at once, each with its path.
//!
//! A body is a struct of [`Field`]s with `#[serde(default)]`; [`Check`] turns them into domain types.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use mosaic_domain::json::{AnyObject, JsonObject, Skipped};
use mosaic_domain::{EditTime, UnixMillis, Violation, Violations};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

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

/// The most items of any list, and the most names of any object that is looked into.
pub(crate) const MOST_ITEMS: usize = 1_000;

/// What a field may hold. It is read straight from the body, in one pass and with its limits, never by way of a value of any shape:
/// where something else stands, that is read to its end and dropped.
pub(crate) trait FieldValue: Sized {
    /// What it must be, for people.
    const EXPECTED: &'static str;

    /// The value that a text is.
    fn of_text(_text: &str) -> Option<Self> {
        None
    }

    /// The value that a truth value is.
    fn of_bool(_value: bool) -> Option<Self> {
        None
    }

    /// The value that a whole number is.
    fn of_integer(_value: i64) -> Option<Self> {
        None
    }

    /// The value that a list is.
    fn of_list<'de, A: SeqAccess<'de>>(items: A) -> Result<Field<Self>, A::Error> {
        rest_of_list(items)?;
        Ok(Field::wrong())
    }

    /// The value that an object is.
    fn of_object<'de, A: MapAccess<'de>>(mut members: A) -> Result<Field<Self>, A::Error> {
        while members.next_entry::<Skipped, Skipped>()?.is_some() {}
        Ok(Field::wrong())
    }
}

fn rest_of_list<'de, A: SeqAccess<'de>>(mut items: A) -> Result<(), A::Error> {
    while items.next_element::<Skipped>()?.is_some() {}
    Ok(())
}

impl FieldValue for String {
    const EXPECTED: &'static str = "a text";

    fn of_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl FieldValue for bool {
    const EXPECTED: &'static str = "true or false";

    fn of_bool(value: bool) -> Option<Self> {
        Some(value)
    }
}

/// A whole number, however it is spelled: `7`, `7.0` and `0.7e1` are one number in JSON, and an integer to JSON Schema. One that is
/// too large for 64 bits becomes the greatest there is, which every range refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Int(pub(crate) i64);

impl FieldValue for Int {
    const EXPECTED: &'static str = "a whole number";

    fn of_integer(value: i64) -> Option<Self> {
        Some(Self(value))
    }
}

impl FieldValue for Vec<String> {
    const EXPECTED: &'static str = "a list of texts";

    fn of_list<'de, A: SeqAccess<'de>>(mut items: A) -> Result<Field<Self>, A::Error> {
        let mut list = Self::new();
        while let Some(item) = items.next_element::<Field<String>>()? {
            let violation = match item {
                Field::Given(text) if list.len() < MOST_ITEMS => {
                    list.push(text);
                    continue;
                }
                Field::Given(_) => too_many(),
                _ => Field::<String>::violation().at(&format!("[{}]", list.len())),
            };
            rest_of_list(items)?;
            return Ok(Field::Wrong(violation));
        }
        Ok(Field::Given(list))
    }
}

fn too_many() -> Violation {
    Violation::new("too_many", format!("must be at most {MOST_ITEMS}"))
}

/// An object of numbers, in the order in which they stand there.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Numbers(pub(crate) Vec<(String, Field<Int>)>);

impl FieldValue for Numbers {
    const EXPECTED: &'static str = "an object";

    fn of_object<'de, A: MapAccess<'de>>(mut members: A) -> Result<Field<Self>, A::Error> {
        let mut numbers = Vec::new();
        while let Some(member) = members.next_entry()? {
            if numbers.len() == MOST_ITEMS {
                while members.next_entry::<Skipped, Skipped>()?.is_some() {}
                return Ok(Field::Wrong(too_many()));
            }
            numbers.push(member);
        }
        Ok(Field::Given(Self(numbers)))
    }
}

impl<const MAX_BYTES: usize> FieldValue for JsonObject<MAX_BYTES> {
    const EXPECTED: &'static str = "a JSON object";

    fn of_object<'de, A: MapAccess<'de>>(members: A) -> Result<Field<Self>, A::Error> {
        let AnyObject(object) = AnyObject::deserialize(MapAccessDeserializer::new(members))?;
        Ok(object.map_or_else(Field::Wrong, Field::Given))
    }
}

impl<T: FieldValue> Field<T> {
    fn violation() -> Violation {
        Violation::new("invalid_type", format!("must be {}", T::EXPECTED))
    }

    fn wrong() -> Self {
        Self::Wrong(Self::violation())
    }

    fn or_wrong(value: Option<T>) -> Self {
        value.map_or_else(Self::wrong, Self::Given)
    }
}

impl<'de, T: FieldValue> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor(PhantomData))
    }
}

struct FieldVisitor<T>(PhantomData<T>);

impl<'de, T: FieldValue> Visitor<'de> for FieldVisitor<T> {
    type Value = Field<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_unit<E: Error>(self) -> Result<Field<T>, E> {
        Ok(Field::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Field<T>, E> {
        Ok(Field::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Field<T>, E> {
        Ok(Field::or_wrong(T::of_bool(value)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Field<T>, E> {
        Ok(Field::or_wrong(T::of_integer(value)))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Field<T>, E> {
        self.visit_i64(i64::try_from(value).unwrap_or(i64::MAX))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Field<T>, E> {
        // Digits beyond 64 bits arrive as a float, and so does what is spelled as one: `7.0` and `1e3` are whole.
        const BEYOND: f64 = 9_007_199_254_740_992.0;
        Ok(match value {
            _ if value >= BEYOND => Field::or_wrong(T::of_integer(i64::MAX)),
            _ if value <= -BEYOND => Field::or_wrong(T::of_integer(i64::MIN)),
            #[expect(clippy::cast_possible_truncation, reason = "it is whole, and less than 2^53")]
            _ if value.fract() == 0.0 => Field::or_wrong(T::of_integer(value as i64)),
            _ => Field::wrong(),
        })
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Field<T>, E> {
        Ok(Field::or_wrong(T::of_text(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Field<T>, A::Error> {
        T::of_list(items)
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Field<T>, A::Error> {
        T::of_object(members)
    }
}

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
    needed: Vec<&'static str>,
}

impl Check {
    /// Checks fields of which these must be there, though others of the kind may leave them out.
    pub(crate) fn needing(needed: Vec<&'static str>) -> Self {
        Self {
            needed,
            ..Self::default()
        }
    }

    /// The same check, of which this field must be there, too.
    pub(crate) fn also_needing(mut self, needed: &'static str) -> Self {
        self.needed.push(needed);
        self
    }

    /// A field that must be there.
    pub(crate) fn required<R, T>(
        &mut self,
        path: &'static str,
        field: Field<R>,
        parse: impl FnOnce(R) -> Result<T, Violation>,
    ) -> Option<T> {
        self.needed.push(path);
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
            Field::Absent => {
                if self.needed.contains(&path) {
                    self.push(Violation::new("required", "must be given").at(path));
                }
                None
            }
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

/// A whole number within limits.
pub(crate) fn in_range(Int(number): Int, min: u32, max: u32) -> Result<u32, Violation> {
    u32::try_from(number)
        .ok()
        .filter(|number| (min..=max).contains(number))
        .ok_or_else(|| Violation::new("out_of_range", format!("must be {min} to {max}")))
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

/// Up to [`MOST_ITEMS`] ids, none twice.
pub(crate) fn ids<T>(texts: &[String]) -> Result<Vec<T>, Violation>
where
    T: FromStr<Err = Violation> + Ord + Copy,
{
    if texts.len() > MOST_ITEMS {
        return Err(Violation::new(
            "too_many",
            format!("must be at most {MOST_ITEMS} ids"),
        ));
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
mod tests;

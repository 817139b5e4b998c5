//! JSON of unknown shape that came from outside: parsed by hand, because nothing in it may mean anything to the parser, and
//! bounded while it is parsed.
//!
//! `serde_json::Value` is no type for it: it is built whole before any limit can apply, and under some features of serde_json it
//! obeys private names that anybody can write ([ADR 19](../../../docs/adr/0019-kept-json-is-parsed-by-hand.md)).

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text::check_nul;
use crate::violation::Violation;

/// How deep a [`JsonObject`] may be nested, unless its type says otherwise.
pub const MAX_JSON_DEPTH: usize = 16;

/// A JSON object that the server keeps without understanding it: up to `MAX_BYTES` bytes of compact JSON, at most `MAX_DEPTH`
/// levels deep, no NUL. The order of its names has no meaning and is not kept: they are sorted, so that equal objects have
/// equal bytes. Of names that are there twice the last one counts. What was read is written so that it is read again as the
/// same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonObject<const MAX_BYTES: usize, const MAX_DEPTH: usize = MAX_JSON_DEPTH>(Box<str>);

/// An object as it came from outside: read to its end in any case, whatever is wrong with it. So what stands after it can be
/// read as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnyObject<T>(pub Result<T, Violation>);

impl<const MAX_BYTES: usize, const MAX_DEPTH: usize> JsonObject<MAX_BYTES, MAX_DEPTH> {
    /// The object as compact JSON, its names sorted.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The object with one more text in it, which takes the place of what has its name.
    ///
    /// # Errors
    /// `too_long` or `nul`.
    pub fn with_text(&self, name: &str, text: &str) -> Result<Self, Violation> {
        let unreadable = |_| Violation::new("invalid", "is no JSON");
        let mut node = self.node().map_err(unreadable)?;
        if let Node::Object(members) = &mut node {
            members.insert(name.to_owned(), Node::Text(text.to_owned()));
        }
        let compact = serde_json::to_string(&node).map_err(unreadable)?;
        serde_json::from_str::<AnyObject<Self>>(&compact)
            .map_err(unreadable)?
            .0
    }

    /// Whether it has this text at this name.
    pub fn says(&self, name: &str, text: &str) -> bool {
        // Few do, and it need not be parsed to see that.
        self.0.contains(name)
            && matches!(self.node(), Ok(Node::Object(members))
                if matches!(members.get(name), Some(Node::Text(said)) if said == text))
    }

    fn node(&self) -> Result<Node, serde_json::Error> {
        let mut reading = Reading::new(usize::MAX, MAX_DEPTH);
        let mut deserializer = serde_json::Deserializer::from_str(&self.0);
        reading.piece(1).deserialize(&mut deserializer)
    }
}

impl<const MAX_BYTES: usize, const MAX_DEPTH: usize> Default for JsonObject<MAX_BYTES, MAX_DEPTH> {
    fn default() -> Self {
        Self("{}".into())
    }
}

impl<const MAX_BYTES: usize, const MAX_DEPTH: usize> Serialize for JsonObject<MAX_BYTES, MAX_DEPTH> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.node().map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl<'de, const MAX_BYTES: usize, const MAX_DEPTH: usize> Deserialize<'de>
    for JsonObject<MAX_BYTES, MAX_DEPTH>
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        AnyObject::deserialize(deserializer)?.0.map_err(D::Error::custom)
    }
}

impl<'de, const MAX_BYTES: usize, const MAX_DEPTH: usize> Deserialize<'de>
    for AnyObject<JsonObject<MAX_BYTES, MAX_DEPTH>>
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut reading = Reading::new(MAX_BYTES, MAX_DEPTH);
        let node = reading.piece(1).deserialize(deserializer)?;
        Ok(Self(match (reading.wrong, node) {
            (Some(violation), _) => Err(violation),
            (None, node @ Node::Object(_)) => {
                let compact = serde_json::to_string(&node).map_err(D::Error::custom)?;
                Ok(JsonObject(compact.into()))
            }
            (None, _) => Err(Violation::new("invalid_type", "must be a JSON object")),
        }))
    }
}

/// Any value: read to its end and dropped. Unlike serde's `IgnoredAny` it refuses what no reader of JSON could read: a text
/// that ends within a character, and nesting without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skipped;

impl<'de> Deserialize<'de> for Skipped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

/// Says for the scalars of JSON what becomes of them.
macro_rules! visit_scalars {
    ($($method:ident($type:ty): $into:expr;)*) => {
        $(fn $method<E: serde::de::Error>(self, value: $type) -> Result<Self::Value, E> {
            let into: fn(Self, $type) -> Self::Value = $into;
            Ok(into(self, value))
        })*

        fn visit_none<E: serde::de::Error>(self) -> Result<Self::Value, E> {
            self.visit_unit()
        }
    };
}

impl<'de> Visitor<'de> for Skipped {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    visit_scalars! {
        visit_bool(bool): |this, _| this;
        visit_i64(i64): |this, _| this;
        visit_u64(u64): |this, _| this;
        visit_f64(f64): |this, _| this;
        visit_str(&str): |this, _| this;
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        while members.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

/// A value while it is read or written. It lives no longer: at rest an object is its text.
enum Node {
    Null,
    Bool(bool),
    Natural(u64),
    Negative(i64),
    Float(f64),
    Text(String),
    List(Vec<Self>),
    Object(BTreeMap<String, Self>),
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Natural(value) => serializer.serialize_u64(*value),
            Self::Negative(value) => serializer.serialize_i64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(items) => serializer.collect_seq(items),
            Self::Object(members) => serializer.collect_map(members),
        }
    }
}

/// What is left of the limits, and the first thing that is wrong: from there on nothing more is built.
struct Reading {
    left: usize,
    bytes: usize,
    depth: usize,
    wrong: Option<Violation>,
}

impl Reading {
    fn new(bytes: usize, depth: usize) -> Self {
        Self {
            left: bytes,
            bytes,
            depth,
            wrong: None,
        }
    }

    fn piece(&mut self, depth: usize) -> Piece<'_> {
        Piece { reading: self, depth }
    }

    /// Takes so many bytes of compact JSON.
    fn spend(&mut self, bytes: usize) {
        if let Some(left) = self.left.checked_sub(bytes) {
            self.left = left;
        } else {
            let message = format!("must be at most {} bytes of JSON", self.bytes);
            self.refuse(Violation::new("too_long", message));
        }
    }

    fn refuse(&mut self, violation: Violation) {
        self.wrong.get_or_insert(violation);
    }

    /// Takes a text, with its quotes and escapes.
    fn text(&mut self, text: &str) {
        if let Err(violation) = check_nul(text) {
            self.refuse(violation);
        }
        let escapes: usize = text.bytes().map(escape_bytes).sum();
        self.spend(text.len() + escapes + 2);
    }

    fn scalar(&mut self, node: Node) -> Node {
        let bytes = serde_json::to_string(&node).map_or(0, |text| text.len());
        self.spend(bytes);
        node
    }
}

/// How many bytes more than one serde_json writes for a byte of a text.
const fn escape_bytes(byte: u8) -> usize {
    match byte {
        b'"' | b'\\' | 0x08 | 0x09 | 0x0a | 0x0c | 0x0d => 1,
        0x00..=0x1f => 5,
        _ => 0,
    }
}

/// One value, so deep within the object.
struct Piece<'r> {
    reading: &'r mut Reading,
    depth: usize,
}

impl Piece<'_> {
    /// Begins a list or an object: its brackets.
    fn open(&mut self) {
        let most = self.reading.depth;
        if self.depth > most {
            let message = format!("must be nested at most {most} levels deep");
            self.reading.refuse(Violation::new("too_deep", message));
        }
        self.reading.spend(2);
    }
}

impl<'de> DeserializeSeed<'de> for Piece<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Piece<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    visit_scalars! {
        visit_bool(bool): |this, value| this.reading.scalar(Node::Bool(value));
        visit_i64(i64): |this, value| this.reading.scalar(Node::Negative(value));
        visit_u64(u64): |this, value| this.reading.scalar(Node::Natural(value));
        visit_f64(f64): |this, value| this.reading.scalar(Node::Float(value));
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Node, E> {
        Ok(self.reading.scalar(Node::Null))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Node, E> {
        self.reading.text(text);
        Ok(match self.reading.wrong {
            Some(_) => Node::Null,
            None => Node::Text(text.to_owned()),
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Node, A::Error> {
        self.open();
        let (reading, depth) = (self.reading, self.depth + 1);
        let mut list = Vec::new();
        while reading.wrong.is_none() {
            let Some(item) = items.next_element_seed(reading.piece(depth))? else {
                return Ok(Node::List(list));
            };
            // The comma between this one and the one before.
            reading.spend(usize::from(!list.is_empty()));
            list.push(item);
        }
        while items.next_element::<Skipped>()?.is_some() {}
        Ok(Node::Null)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Node, A::Error> {
        self.open();
        let (reading, depth) = (self.reading, self.depth + 1);
        let mut object = BTreeMap::new();
        while reading.wrong.is_none() {
            let Some(name) = members.next_key::<String>()? else {
                return Ok(Node::Object(object));
            };
            reading.text(&name);
            // The colon, and the comma between this one and the one before.
            reading.spend(1 + usize::from(!object.is_empty()));
            let value = members.next_value_seed(reading.piece(depth))?;
            object.insert(name, value);
        }
        while members.next_entry::<Skipped, Skipped>()?.is_some() {}
        Ok(Node::Null)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(json: &str) -> Result<String, &'static str> {
        let read: AnyObject<JsonObject<64>> = serde_json::from_str(json).unwrap();
        read.0
            .map(|object| object.as_str().to_owned())
            .map_err(|violation| violation.code)
    }

    #[test]
    fn objects_with_equal_members_are_equal_to_the_byte() {
        let json = r#"{"a":0.1,"b":{"x":2,"y":1}}"#;
        let sorted = object(json);
        assert_eq!(sorted.as_deref(), Ok(json));
        assert_eq!(object(r#" {"b": {"y": 1, "x": 2}, "a": 0.10} "#), sorted);
        assert_eq!(object(r#"{"a": 1, "a": 2}"#).unwrap(), r#"{"a":2}"#);
    }

    #[test]
    fn objects_are_bounded_in_bytes_depth_and_characters() {
        let long = |letters| format!(r#"{{"a": "{}"}}"#, "x".repeat(letters));
        assert!(object(&long(56)).is_ok());
        assert_eq!(object(&long(57)), Err("too_long"));
        assert_eq!(object(r#"{"a\u0000": 1}"#), Err("nul"));
        assert_eq!(object(r#"{"a": ["\u0000"]}"#), Err("nul"));
        let nested = |lists| format!(r#"{{"a": {}{}}}"#, "[".repeat(lists), "]".repeat(lists));
        assert!(object(&nested(MAX_JSON_DEPTH - 1)).is_ok());
        assert_eq!(object(&nested(MAX_JSON_DEPTH)), Err("too_deep"));
        assert_eq!(object(r#"[{"a": 1}]"#), Err("invalid_type"));
    }

    #[test]
    fn the_limit_counts_the_bytes_that_are_written() {
        for text in [
            r#""\"\\/\n\u0001\u001f\u007f\u00e9\ud83d\ude00""#,
            "-0",
            "1e2",
            "[1,[],{}]",
            "null",
        ] {
            let json = format!(r#"{{"a": {text}, "b": [true, 1.5, -7]}}"#);
            let exact: JsonObject<1_000> = serde_json::from_str(&json).unwrap();
            let node = |bytes| {
                let mut reading = Reading::new(bytes, MAX_JSON_DEPTH);
                let mut deserializer = serde_json::Deserializer::from_str(&json);
                reading.piece(1).deserialize(&mut deserializer).unwrap();
                reading.wrong.is_none()
            };
            let bytes = exact.as_str().len();
            assert!(node(bytes) && !node(bytes - 1), "{json}");
        }
    }

    #[test]
    fn an_object_says_what_stands_at_a_name_as_a_text() {
        let object: JsonObject<64> = serde_json::from_str(r#"{"a": "x", "b": ["a", "x"], "c": 1}"#).unwrap();
        assert!(object.says("a", "x"));
        for (name, text) in [("a", "y"), ("b", "x"), ("c", "1"), ("d", "x"), ("x", "a")] {
            assert!(!object.says(name, text), "{name}: {text}");
        }
    }

    #[test]
    fn a_text_takes_the_place_of_what_has_its_name() {
        let object: JsonObject<24> = serde_json::from_str(r#"{"b": [1], "a": 7}"#).unwrap();
        let with = |text: &str| {
            object
                .with_text("a", text)
                .map(|object| object.as_str().to_owned())
        };
        assert_eq!(with("x").unwrap(), r#"{"a":"x","b":[1]}"#);
        assert_eq!(with(&"x".repeat(9)).unwrap_err().code, "too_long");
    }

    #[test]
    fn what_is_wrong_stops_the_building_and_not_the_reading() {
        let mut json = serde_json::Deserializer::from_str(r#"[{"a": [[[[1]]], {"b": "c"}], "d": 2}, 7]"#);
        let both: (AnyObject<JsonObject<64, 2>>, i64) = Deserialize::deserialize(&mut json).unwrap();
        assert_eq!((both.0.0.unwrap_err().code, both.1), ("too_deep", 7));
    }
}

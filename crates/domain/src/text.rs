//! Text that came from outside: bounded, and free of what a store or a screen can't hold.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::violation::Violation;

/// PostgreSQL can't store NUL in text, so no store takes it.
pub(crate) fn check_nul(value: &str) -> Result<(), Violation> {
    if value.contains('\0') {
        return Err(Violation::new("nul", "must not contain the character U+0000"));
    }
    Ok(())
}

/// Checks a one-line text: 1 to `max_chars` characters, no control characters.
pub(crate) fn check_label(value: &str, max_chars: usize) -> Result<(), Violation> {
    if value.is_empty() {
        return Err(Violation::new("empty", "must not be empty"));
    }
    check_nul(value)?;
    if value.chars().any(char::is_control) {
        return Err(Violation::new(
            "control_character",
            "must not contain control characters",
        ));
    }
    if value.chars().nth(max_chars).is_some() {
        return Err(Violation::new(
            "too_long",
            format!("must be at most {max_chars} characters"),
        ));
    }
    Ok(())
}

/// Whether a letter is invisible and changes how the others are shown, or makes two texts that look the same differ: what
/// turns the direction around, widthless spaces, line separators, deprecated format controls. Joiners and variation selectors
/// are none of them, nor marks of direction: emoji and scripts need them.
pub(crate) fn misleads(letter: char) -> bool {
    matches!(
        letter,
        '\u{ad}' | '\u{180e}' | '\u{200b}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0001}'
    )
}

/// Defines what the bounded texts have in common.
macro_rules! bounded_text {
    ($name:ident, $max:ident) => {
        impl<const $max: usize> $name<$max> {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl<const $max: usize> TryFrom<String> for $name<$max> {
            type Error = Violation;
            fn try_from(value: String) -> Result<Self, Violation> {
                Self::new(value)
            }
        }

        impl<const $max: usize> From<$name<$max>> for String {
            fn from(text: $name<$max>) -> String {
                text.0
            }
        }

        impl<const $max: usize> fmt::Debug for $name<$max> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

/// What a person wrote: up to `MAX_BYTES` bytes of UTF-8, any characters but NUL. May be empty.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Text<const MAX_BYTES: usize>(String);

impl<const MAX_BYTES: usize> Text<MAX_BYTES> {
    /// Reads a text that came from outside.
    ///
    /// # Errors
    /// `nul` or `too_long`.
    pub fn new(value: String) -> Result<Self, Violation> {
        check_nul(&value)?;
        if value.len() > MAX_BYTES {
            return Err(Violation::new(
                "too_long",
                format!("must be at most {MAX_BYTES} bytes"),
            ));
        }
        Ok(Self(value))
    }
}

bounded_text!(Text, MAX_BYTES);

/// A name on one line: 1 to `MAX_CHARS` characters, no control characters.
///
/// ```
/// use mosaic_domain::text::Label;
/// assert!(Label::<100>::new("work".into()).is_ok());
/// assert_eq!(Label::<100>::new("".into()).unwrap_err().code, "empty");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label<const MAX_CHARS: usize>(String);

impl<const MAX_CHARS: usize> Label<MAX_CHARS> {
    /// Reads a name that came from outside.
    ///
    /// # Errors
    /// `empty`, `nul`, `control_character` or `too_long`.
    pub fn new(value: String) -> Result<Self, Violation> {
        check_label(&value, MAX_CHARS)?;
        Ok(Self(value))
    }
}

bounded_text!(Label, MAX_CHARS);

/// What a person writes at length: a memo, the text of a day.
pub type LongText = Text<{ 1024 * 1024 }>;
/// What is shorter than that: a summary, a description.
pub type ShortText = Text<{ 64 * 1024 }>;
/// One tag.
pub type Tag = Label<100>;
/// What a person calls a bot or a device.
pub type DisplayName = Label<100>;
/// Where a picture is.
pub type PictureAddress = Label<2048>;
/// What a model is called by those who run it.
pub type ModelName = Label<255>;

/// Up to 100 tags in the order given, none twice.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Tags(Vec<Tag>);

impl Tags {
    /// The most tags one record may have.
    pub const MAX: usize = 100;

    /// Reads tags that came from outside.
    ///
    /// # Errors
    /// `too_many`, `repeated`, or what is wrong with one of them, with its place in the path.
    pub fn new(values: Vec<String>) -> Result<Self, Violation> {
        if values.len() > Self::MAX {
            return Err(Violation::new(
                "too_many",
                format!("must be at most {} tags", Self::MAX),
            ));
        }
        let mut tags: Vec<Tag> = Vec::with_capacity(values.len());
        for (i, value) in values.into_iter().enumerate() {
            let tag = Tag::new(value).map_err(|violation| violation.at(&format!("[{i}]")))?;
            if tags.contains(&tag) {
                return Err(Violation::new("repeated", "must not repeat a tag").at(&format!("[{i}]")));
            }
            tags.push(tag);
        }
        Ok(Self(tags))
    }

    /// The tags, in the order given.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(Label::as_str)
    }
}

impl TryFrom<Vec<String>> for Tags {
    type Error = Violation;
    fn try_from(values: Vec<String>) -> Result<Self, Violation> {
        Self::new(values)
    }
}

impl From<Tags> for Vec<String> {
    fn from(tags: Tags) -> Vec<String> {
        tags.0.into_iter().map(String::from).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_bounded_in_bytes_and_may_be_empty() {
        assert!(Text::<4>::new(String::new()).is_ok());
        assert!(Text::<4>::new("日\n".into()).is_ok());
        assert_eq!(Text::<4>::new("日本".into()).unwrap_err().code, "too_long");
        assert_eq!(Text::<4>::new("\0".into()).unwrap_err().code, "nul");
        assert!(LongText::new("x".repeat(1_048_576)).is_ok());
        assert!(LongText::new("x".repeat(1_048_577)).is_err());
        assert!(ShortText::new("x".repeat(65_536)).is_ok());
        assert!(ShortText::new("x".repeat(65_537)).is_err());
    }

    #[test]
    fn tags_keep_their_order_and_refuse_repeats() {
        let tags = Tags::new(vec!["b".into(), "a".into()]).unwrap();
        assert_eq!(tags.iter().collect::<Vec<_>>(), ["b", "a"]);
        let repeated = Tags::new(vec!["a".into(), "b".into(), "a".into()]).unwrap_err();
        assert_eq!((repeated.code, repeated.path.as_str()), ("repeated", "[2]"));
        assert_eq!(
            Tags::new((0..101).map(|i| i.to_string()).collect())
                .unwrap_err()
                .code,
            "too_many"
        );
        let long = Tags::new(vec!["x".repeat(101)]).unwrap_err();
        assert_eq!((long.code, long.path.as_str()), ("too_long", "[0]"));
    }
}

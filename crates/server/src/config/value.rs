//! What keys can hold: how a text becomes a value, and which texts do.

use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

/// Which values a key accepts.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A text that the key's own parser judges; this describes what it accepts.
    Text(&'static str),
    /// A whole number within bounds, both included.
    Integer(u64, u64),
    /// `true` or `false`.
    Bool,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list in `mosaic.toml`, separated by commas elsewhere; this describes its items.
    List(&'static str),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(what) => f.write_str(what),
            Self::Integer(least, most) => write!(f, "a whole number from {least} to {most}"),
            Self::Bool => f.write_str("true or false"),
            Self::Choice(words) => f.write_str(&words.join(" or ")),
            Self::List(items) => write!(f, "a list of {items}"),
        }
    }
}

impl Kind {
    /// Whether a text is within the bounds, where there are any. Everything else is for the type to judge.
    pub(super) fn bounds_admit(self, text: &str) -> bool {
        match self {
            Self::Integer(least, most) => text.parse().is_ok_and(|number| (least..=most).contains(&number)),
            _ => true,
        }
    }
}

/// A type that a key can have.
pub(super) trait Value: Sized {
    /// Which texts become one, as messages and the documentation say it. Of numbers a key gives the bounds.
    const KIND: Kind;

    /// Whether it must not be shown.
    const SECRET: bool = false;

    /// Whether an empty text counts as not set, also where an empty variable would not have reached us.
    const EMPTY_IS_UNSET: bool = false;

    /// Reads one; none where the text is wrong.
    fn parse(text: &str) -> Option<Self>;

    /// What is expected in the place of a wrong text, where [`Value::KIND`] would mislead.
    fn expected_instead_of(_wrong: &str) -> Option<&'static str> {
        None
    }

    /// What stands for a key that nobody sets and that has no default; only an `Option` has it.
    fn unset() -> Option<Self> {
        None
    }

    /// The text that it was read from, without what must not be shown.
    fn shown(&self, text: String) -> String {
        text
    }
}

/// One that may be absent.
impl<V: Value> Value for Option<V> {
    const KIND: Kind = V::KIND;
    const SECRET: bool = V::SECRET;
    const EMPTY_IS_UNSET: bool = V::EMPTY_IS_UNSET;

    fn parse(text: &str) -> Option<Self> {
        V::parse(text).map(Some)
    }

    fn expected_instead_of(wrong: &str) -> Option<&'static str> {
        V::expected_instead_of(wrong)
    }

    fn unset() -> Option<Self> {
        Some(None)
    }

    fn shown(&self, text: String) -> String {
        match self {
            Some(value) => value.shown(text),
            None => text,
        }
    }
}

/// Types that the standard library reads.
macro_rules! read_by_std {
    ($($Type:ty: $kind:expr,)+) => {
        $(
            impl Value for $Type {
                const KIND: Kind = $kind;

                fn parse(text: &str) -> Option<Self> {
                    text.parse().ok()
                }
            }
        )+
    };
}

read_by_std! {
    SocketAddr: Kind::Text("an IP address and a port, like 127.0.0.1:8080 or [::]:8080"),
    bool: Kind::Bool,
    u32: ANY_NUMBER,
    u64: ANY_NUMBER,
    usize: ANY_NUMBER,
    NonZeroU32: ANY_NUMBER,
    NonZeroUsize: ANY_NUMBER,
}

/// Of numbers whose key gives no bounds.
const ANY_NUMBER: Kind = Kind::Integer(0, u64::MAX);

/// In milliseconds.
impl Value for Duration {
    const KIND: Kind = ANY_NUMBER;

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self::from_millis)
    }
}

/// One that names something.
impl Value for PathBuf {
    const KIND: Kind = Kind::Text("a path");

    fn parse(text: &str) -> Option<Self> {
        (!text.is_empty() && !text.contains('\0')).then(|| Self::from(text))
    }
}

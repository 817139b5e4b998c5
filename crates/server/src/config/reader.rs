//! Reads one key after the other, and remembers what is in force.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::time::Duration;

use super::error::Problem;
use super::keys::{KeySpec, Kind};
use super::origin::Origin;
use super::source::{Found, Layers};
use super::types;

/// The effective value of one key, for showing.
#[derive(Debug, Clone)]
pub(super) struct Effective {
    pub(super) spec: &'static KeySpec,
    pub(super) shown: Shown,
    pub(super) origin: Origin,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shown {
    Unset,
    Hidden,
    Value(String),
}

/// Something is wrong, and is already among the problems.
#[derive(Debug)]
pub(super) struct Reported;

/// Reads one key after the other, remembering values to show and problems to report.
pub(super) struct Reader<'a> {
    pub(super) layers: Layers<'a>,
    pub(super) values: BTreeMap<&'static str, Effective>,
    pub(super) problems: Vec<Problem>,
}

impl Reader<'_> {
    pub(super) fn milliseconds(&mut self, spec: &'static KeySpec) -> Result<Duration, Reported> {
        self.integer(spec).map(Duration::from_millis)
    }

    pub(super) fn integer<T: TryFrom<u64>>(&mut self, spec: &'static KeySpec) -> Result<T, Reported> {
        self.text(spec, |text| T::try_from(number(spec, text)?).ok())
    }

    pub(super) fn positive<T: TryFrom<NonZeroU64>>(&mut self, spec: &'static KeySpec) -> Result<T, Reported> {
        self.text(spec, |text| {
            T::try_from(NonZeroU64::new(number(spec, text)?)?).ok()
        })
    }

    /// A key that has a default.
    pub(super) fn text<T>(
        &mut self,
        spec: &'static KeySpec,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, Reported> {
        self.optional(spec, parse)?.ok_or(Reported)
    }

    /// A key that may be absent.
    pub(super) fn optional<T>(
        &mut self,
        spec: &'static KeySpec,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Reported> {
        self.read(spec, |text| parse(text).ok_or(None))
    }

    /// Reads a key. The parser's error may say more than the table about what is expected.
    pub(super) fn read<T>(
        &mut self,
        spec: &'static KeySpec,
        parse: impl Fn(&str) -> Result<T, Option<String>>,
    ) -> Result<Option<T>, Reported> {
        let Found { text, origin } = match self.layers.find(spec) {
            Ok(Some(found)) => found,
            Ok(None) => {
                self.remember(spec, Shown::Unset, Origin::Default);
                return Ok(None);
            }
            Err(problem) => {
                self.problems.push(problem);
                return Err(Reported);
            }
        };
        match parse(&text) {
            Ok(value) => {
                let shown = if spec.secret {
                    Shown::Hidden
                } else {
                    Shown::Value(text)
                };
                self.remember(spec, shown, origin);
                Ok(Some(value))
            }
            Err(expected) => {
                self.problems.push(Problem::wrong(
                    spec,
                    format_args!("{:?}", types::without_password(&text)),
                    origin,
                    expected,
                ));
                Err(Reported)
            }
        }
    }

    /// Where the value of a key that was read came from.
    pub(super) fn origin_of(&self, spec: &KeySpec) -> Origin {
        self.values
            .get(spec.key)
            .map_or(Origin::Default, |value| value.origin.clone())
    }

    pub(super) fn remember(&mut self, spec: &'static KeySpec, shown: Shown, origin: Origin) {
        self.values.insert(spec.key, Effective { spec, shown, origin });
    }
}

/// A whole number within the bounds that the table gives.
fn number(spec: &KeySpec, text: &str) -> Option<u64> {
    let Kind::Integer(least, most) = spec.kind else {
        return None;
    };
    text.parse().ok().filter(|number| (least..=most).contains(number))
}

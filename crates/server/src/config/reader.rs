//! Reads one key after the other, and remembers what is in force and what is wrong.

use super::database_url::without_password;
use super::effective::{Effective, Shown, Values};
use super::error::{ConfigError, Problem};
use super::origin::Origin;
use super::source::{Layers, RawValue};
use super::spec::{DefaultValue, KeySpec};
use super::value::{Kind, Value};

/// Reads one key after the other. A wrong value is noted, and reading goes on, so that all problems are reported.
pub(super) struct Reader<'a> {
    layers: &'a Layers<'a>,
    /// Of the keys that were read and are right.
    values: Vec<Effective>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(layers: &'a Layers<'a>, problems: Vec<Problem>) -> Self {
        Self {
            layers,
            values: Vec::new(),
            problems,
        }
    }

    /// Reads a key. Where its value is wrong the default takes its place, which nobody gets to see.
    pub(super) fn read<V: Value>(&mut self, spec: &'static KeySpec) -> V {
        match self.find(spec) {
            Ok((value, shown, origin)) => {
                self.values.push(Effective { spec, shown, origin });
                value
            }
            Err(problem) => {
                self.problems.push(problem);
                default_of(spec)
            }
        }
    }

    fn find<V: Value>(&self, spec: &'static KeySpec) -> Result<(V, Shown, Origin), Problem> {
        let found = self.layers.find(spec)?;
        let is_unset = |found: &RawValue| V::EMPTY_IS_UNSET && found.text.is_empty();
        let Some(RawValue { text, origin }) = found.filter(|found| !is_unset(found)) else {
            return Ok((default_of(spec), Shown::Unset, Origin::Default));
        };
        let admitted = Some(&text).filter(|text| spec.kind.bounds_admit(text));
        match admitted.and_then(|text| V::parse(text)) {
            Some(value) if spec.secret => Ok((value, Shown::Hidden, origin)),
            Some(value) => {
                let shown = Shown::Value(value.shown(text));
                Ok((value, shown, origin))
            }
            None => {
                let expected = V::expected_instead_of(&text).map(str::to_owned);
                let text = without_password(&text);
                Err(Problem::wrong(spec, format_args!("{text:?}"), origin, expected))
            }
        }
    }

    /// Says of a key that nobody set what holds instead, as it would be written.
    pub(super) fn show_instead(&mut self, spec: &KeySpec, text: String) {
        if let Some(value) = self.values.iter_mut().find(|value| value.spec.key == spec.key) {
            value.shown = Shown::Value(text);
        }
    }

    /// Reports a value that is fine by itself, but not beside that of the other key. Nothing where one of them was reported
    /// already.
    pub(super) fn refuse(&mut self, spec: &KeySpec, other: &KeySpec, expected: String) {
        let (Some(value), Some(_)) = (self.right(spec), self.right(other)) else {
            return;
        };
        let shown = match (&value.shown, spec.kind) {
            (Shown::Value(number), Kind::Integer(..)) => number.clone(),
            (Shown::Value(text), _) => format!("{text:?}"),
            (Shown::Hidden | Shown::Unset, _) => "set".to_owned(),
        };
        let problem = Problem::wrong(spec, shown, value.origin.clone(), Some(expected));
        self.problems.push(problem);
    }

    /// Reports a key that needs a value because of another. Nothing where one of them was reported already.
    pub(super) fn missing(&mut self, spec: &KeySpec, because: &KeySpec) {
        if self.right(spec).is_some() && self.right(because).is_some() {
            self.problems.push(Problem::missing(spec, because));
        }
    }

    fn right(&self, spec: &KeySpec) -> Option<&Effective> {
        self.values.iter().find(|value| value.spec.key == spec.key)
    }

    /// # Errors
    /// Everything that is wrong.
    pub(super) fn finish(self) -> Result<Values, ConfigError> {
        if self.problems.is_empty() {
            Ok(Values(self.values))
        } else {
            Err(ConfigError::Problems(self.problems))
        }
    }
}

fn default_of<V: Value>(spec: &KeySpec) -> V {
    let default = match spec.default {
        DefaultValue::Is(text) => V::parse(text),
        DefaultValue::Otherwise(_) => V::unset(),
    };
    default.expect("defaults are accepted, and a key without one is an Option")
}

//! What is in force, as `mosaic config` shows it.

use std::fmt;

use super::origin::Origin;
use super::spec::{DefaultValue, KeySpec};
use super::value::Kind;

/// The effective value of one key, for showing.
#[derive(Debug, Clone)]
pub(super) struct Effective {
    pub(super) spec: &'static KeySpec,
    pub(super) shown: Shown,
    pub(super) origin: Origin,
}

/// What is shown of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shown {
    Unset,
    Hidden,
    Value(String),
}

/// The values of all keys. Displayed as a `mosaic.toml` that would bring them about, with the origin of each as a comment.
/// Secrets are not in it.
#[derive(Debug)]
pub struct Values(pub(super) Vec<Effective>);

impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut current = "";
        for value in &self.0 {
            let (section, name) = value.spec.key.split_once('.').unwrap_or(("", value.spec.key));
            if section != current {
                write!(f, "\n[{section}]\n")?;
                current = section;
            }
            value.line(name, f)?;
        }
        Ok(())
    }
}

impl Effective {
    fn line(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = &self.origin;
        match &self.shown {
            Shown::Hidden => writeln!(f, "# {name} is set, and hidden  # {origin}"),
            Shown::Unset => match self.spec.default {
                DefaultValue::Otherwise(instead) => writeln!(f, "# {name} is not set: {instead}"),
                DefaultValue::Is(_) => writeln!(f, "# {name} is not set"),
            },
            Shown::Value(text) => writeln!(f, "{name} = {}  # {origin}", as_toml(text, self.spec.kind)),
        }
    }
}

/// A value as it stands in `mosaic.toml`.
pub(super) fn as_toml(text: &str, kind: Kind) -> String {
    match kind {
        Kind::Integer(..) | Kind::Bool => text.to_owned(),
        Kind::Text(_) | Kind::Choice(_) => quoted(text),
        Kind::List(_) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            let items: Vec<_> = items.map(quoted).collect();
            match &items[..] {
                [item] => item.clone(),
                items => format!("[{}]", items.join(", ")),
            }
        }
    }
}

/// `"text"`, escaped as TOML wants it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

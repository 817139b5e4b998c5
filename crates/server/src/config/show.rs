//! Showing the configuration: what is in force (`mosaic config`), and the keys of docs/configuration.md.

use std::fmt::{self, Write as _};

use toml::Value;

use super::Loaded;
use super::keys::{DefaultValue, KEYS, Kind};
use super::reader::{Effective, Shown};

/// What is in force, as a `mosaic.toml` that would bring it about, with the origin of each value as a comment. Secrets
/// are not in it.
impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut current = "";
        for value in &self.values {
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

fn as_toml(text: &str, kind: Kind) -> String {
    match kind {
        Kind::Integer(..) | Kind::Bool => text.to_owned(),
        Kind::Text(_) | Kind::Choice(_) => quoted(text),
        Kind::List(_) => {
            let items = text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(quoted);
            format!("[{}]", items.collect::<Vec<_>>().join(", "))
        }
    }
}

/// `"text"`, escaped as TOML wants it.
fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

/// The keys in docs/configuration.md: what each one does, its names, its default and what it accepts.
pub fn markdown_reference() -> String {
    let mut keys = String::new();
    for spec in KEYS {
        let flag = spec.flag().map_or_else(
            || "No flag: it is a secret".to_owned(),
            |flag| format!("`--{flag}`"),
        );
        let default = match spec.default {
            DefaultValue::Is("") => "empty".to_owned(),
            DefaultValue::Is(value) => format!("`{value}`"),
            DefaultValue::Otherwise(instead) => instead.to_owned(),
        };
        let names = format!(
            "{flag}, `{}`. Default: {default}. Accepts: {}.",
            spec.env(),
            spec.kind
        );
        // Writing to a String does not fail.
        let _ = write!(
            keys,
            "### `{}`\n\n{}\n\n{}\n\n",
            spec.key,
            wrapped(spec.help),
            wrapped(&names)
        );
    }
    keys.trim_end().to_owned()
}

/// A text in lines of at most 120 characters.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= 120 => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

//! The keys in docs/configuration.md.

use std::fmt::Write as _;

use super::keys::KEYS;
use super::spec::DefaultValue;

/// What each key does, its names, its default and what it accepts, in Markdown.
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

//! The keys in docs/configuration.md, and in `mosaic config --list`.

use super::effective::as_toml;
use super::keys::KEYS;
use super::spec::{DefaultValue, KeySpec};

/// What each key does, its names, its default and what it accepts, in Markdown.
pub fn markdown_reference() -> String {
    let section = |spec: &KeySpec| {
        let (help, names) = (wrapped(spec.help, 120), wrapped(&names(spec), 120));
        format!("### `{}`\n\n{help}\n\n{names}\n\n", spec.key)
    };
    let keys: String = KEYS.iter().map(|spec| section(spec)).collect();
    keys.trim_end().to_owned()
}

/// The same, for a terminal.
pub fn plain_reference() -> String {
    let section = |spec: &KeySpec| {
        let about = format!("{}\n{}", wrapped(spec.help, 96), wrapped(&names(spec), 96));
        let about = about.replace('`', "").replace('\n', "\n    ");
        format!("{}\n    {about}\n", spec.key)
    };
    KEYS.iter().map(|spec| section(spec)).collect()
}

/// A configuration file that changes nothing: each key, what it does, and its default, as a comment.
pub fn commented_file() -> String {
    let mut file =
        "# Settings of the server, each with its default. To change one, take away the # before it.\n\
                    # As variables they win over this file, as flags over both: mosaic config --list.\n"
            .to_owned();
    let mut current = "";
    for spec in KEYS {
        let (section, name) = spec.key.split_once('.').unwrap_or(("", spec.key));
        if section != current {
            file.extend(["\n[", section, "]\n"]);
            current = section;
        }
        let about = format!("{} {}", spec.help, default_and_kind(spec));
        let value = match spec.default {
            DefaultValue::Is(text) => as_toml(text, spec.kind),
            DefaultValue::Otherwise(_) => String::new(),
        };
        let about = wrapped(&about, 98).replace('`', "").replace('\n', "\n# ");
        file.push_str(format!("\n# {about}\n#{name} = {value}").trim_end());
        file.push('\n');
    }
    file
}

/// The flag and the variable of a key, its default and what it accepts.
fn names(spec: &KeySpec) -> String {
    let flag = spec.flag().map_or_else(
        || "No flag: it is a secret".to_owned(),
        |flag| format!("`--{flag}`"),
    );
    format!("{flag}, `{}`. {}", spec.env(), default_and_kind(spec))
}

fn default_and_kind(spec: &KeySpec) -> String {
    let default = match spec.default {
        DefaultValue::Is("") => "empty".to_owned(),
        DefaultValue::Is(value) => format!("`{value}`"),
        DefaultValue::Otherwise(instead) => instead.to_owned(),
    };
    format!("Default: {default}. Accepts: {}.", spec.kind)
}

/// A text in lines of at most so many characters.
fn wrapped(text: &str, width: usize) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

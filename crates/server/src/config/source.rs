//! Where values come from, which of them wins, and which names nobody knows.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::error::{ConfigError, Problem};
use super::origin::Origin;
use super::spec::{CONFIG_ENV, DEFAULT_FILE, DefaultValue, ENV_PREFIX, INSTALLED_FILE, KeySpec};
use super::value::Kind;

/// Everything that a configuration is made of, as values: loading reads no file and no environment itself.
#[derive(Debug, Default)]
pub struct Sources {
    /// Flags that were given, by key.
    pub flags: BTreeMap<&'static str, String>,
    /// The environment; only names that begin with `MOSAIC_` matter.
    pub env: BTreeMap<String, String>,
    /// The configuration file, if there is one.
    pub file: Option<ConfigFile>,
}

/// A configuration file that was read.
#[derive(Clone)]
pub struct ConfigFile {
    /// Where it is, for messages.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

impl fmt::Debug for ConfigFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigFile")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Sources {
    /// The sources of this process: its environment, and the file that `--config`, else `MOSAIC_CONFIG`, names, else
    /// `mosaic.toml` in the working folder if that is there, else the one that was installed with the program.
    ///
    /// # Errors
    /// A file that is named and can't be read; a variable of ours that is no UTF-8.
    pub fn of_process(
        flags: BTreeMap<&'static str, String>,
        config_file: Option<&Path>,
    ) -> Result<Self, ConfigError> {
        let mut env = BTreeMap::new();
        for (name, value) in std::env::vars_os() {
            let Some(name) = name.to_str().filter(|name| name.starts_with(ENV_PREFIX)) else {
                continue;
            };
            let value = value
                .into_string()
                .map_err(|_| ConfigError::NotUnicode(name.to_owned()))?;
            env.insert(name.to_owned(), value);
        }
        let named = config_file.map(Path::to_owned).or_else(|| {
            env.get(CONFIG_ENV)
                .filter(|path| !path.is_empty())
                .map(PathBuf::from)
        });
        let program = std::env::current_exe().ok();
        let mut unnamed = [
            Some(PathBuf::from(DEFAULT_FILE)),
            program.as_deref().and_then(installed_file),
        ]
        .into_iter()
        .flatten();
        let file = named.or_else(|| unnamed.find(|path| path.exists()));
        let file = file.map(ConfigFile::read).transpose()?;
        Ok(Self { flags, env, file })
    }
}

/// The file that belongs to a program in `/usr/bin`, or in the same place below another root.
fn installed_file(program: &Path) -> Option<PathBuf> {
    let folder = program.parent().filter(|folder| folder.ends_with("usr/bin"))?;
    Some(folder.parent()?.parent()?.join(INSTALLED_FILE))
}

impl ConfigFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError::Unreadable`].
    pub fn read(path: PathBuf) -> Result<Self, ConfigError> {
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Self { path, text }),
            Err(source) => Err(ConfigError::Unreadable { path, source }),
        }
    }
}

/// A value as text, the form in which flags and variables have it anyway.
#[derive(Debug, Clone)]
pub(super) struct RawValue {
    pub(super) text: String,
    pub(super) origin: Origin,
}

/// Flags over environment over file.
pub(super) struct Layers<'a> {
    sources: &'a Sources,
    file: Table,
}

impl<'a> Layers<'a> {
    pub(super) fn read(sources: &'a Sources) -> Result<Self, ConfigError> {
        let file = match &sources.file {
            None => Table::new(),
            Some(file) => file
                .text
                .parse()
                .map_err(|error: toml::de::Error| ConfigError::Syntax {
                    path: file.path.clone(),
                    line: line_of(&file.text, error.span().map_or(0, |span| span.start)),
                    message: error.message().to_owned(),
                })?,
        };
        Ok(Self { sources, file })
    }

    /// The value of the topmost layer that has one. An empty environment variable counts as not set: that is how
    /// compose files and shell scripts write "nothing".
    pub(super) fn find(&self, spec: &'static KeySpec) -> Result<Option<RawValue>, Problem> {
        if let (Some(text), Some(flag)) = (self.sources.flags.get(spec.key), spec.flag()) {
            return Ok(Some(RawValue {
                text: text.clone(),
                origin: Origin::Flag(flag),
            }));
        }
        if let Some(text) = self.sources.env.get(&spec.env()).filter(|text| !text.is_empty()) {
            return Ok(Some(RawValue {
                text: text.clone(),
                origin: Origin::Env(spec.env()),
            }));
        }
        let Some(value) = lookup(&self.file, spec.key) else {
            return Ok(match spec.default {
                DefaultValue::Is(text) => Some(RawValue {
                    text: text.to_owned(),
                    origin: Origin::Default,
                }),
                DefaultValue::Otherwise(_) => None,
            });
        };
        let origin = self.file_origin();
        match as_text(value, spec.kind) {
            Some(text) => Ok(Some(RawValue { text, origin })),
            None => Err(Problem::wrong(spec, value, origin, Some(toml_form(spec.kind)))),
        }
    }

    /// Keys of the file that are not among the known ones: each is refused, for it is a key that somebody believes to be in force.
    pub(super) fn unknown_in_file(&self, known: &[&KeySpec]) -> Vec<Problem> {
        let mut names = Vec::new();
        leaves(&self.file, "", known, &mut names);
        names
            .into_iter()
            .filter(|name| known.iter().all(|spec| spec.key != name))
            .map(|key| {
                let suggestion = nearest(&key, known.iter().map(|spec| spec.key.to_owned()));
                Problem::Unknown {
                    key,
                    origin: self.file_origin(),
                    suggestion,
                }
            })
            .collect()
    }

    /// Variables that look like ours and are not. They are warned about, not refused: a service named `mosaic` in a
    /// Kubernetes namespace puts `MOSAIC_PORT` and its like into every pod.
    pub(super) fn unknown_in_env(&self, known: &[&KeySpec]) -> Vec<String> {
        let known: Vec<String> = known.iter().map(|spec| spec.env()).collect();
        self.sources
            .env
            .keys()
            .filter(|name| name.starts_with(ENV_PREFIX) && *name != CONFIG_ENV && !known.contains(name))
            .map(|name| {
                let hint = nearest(name, known.iter().cloned());
                let hint = hint.map_or_else(String::new, |near| format!(". Did you mean {near}?"));
                format!("the environment variable {name} is not a known one, and is ignored{hint}")
            })
            .collect()
    }

    fn file_origin(&self) -> Origin {
        let path = self
            .sources
            .file
            .as_ref()
            .map_or_else(|| PathBuf::from(DEFAULT_FILE), |file| file.path.clone());
        Origin::File(path)
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

fn lookup<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        None => table.get(key),
        Some((section, rest)) => lookup(table.get(section)?.as_table()?, rest),
    }
}

/// A TOML value of the right type as text; none if it has another type.
fn as_text(value: &Value, kind: Kind) -> Option<String> {
    match (kind, value) {
        (Kind::Text(_) | Kind::Choice(_), Value::String(text)) => Some(text.clone()),
        // A list of one.
        (Kind::List(_), Value::String(item)) if !item.contains(',') => Some(item.clone()),
        (Kind::Integer(..), Value::Integer(number)) => Some(number.to_string()),
        (Kind::Bool, Value::Boolean(yes)) => Some(yes.to_string()),
        (Kind::List(_), Value::Array(items)) => {
            let items: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            // An item with a comma would become two.
            items
                .filter(|items| items.iter().all(|item| !item.contains(',')))
                .map(|items| items.join(","))
        }
        _ => None,
    }
}

fn toml_form(kind: Kind) -> String {
    match kind {
        Kind::Text(_) | Kind::Choice(_) => format!("{kind}, in quotes"),
        Kind::Integer(..) | Kind::Bool => format!("{kind}, without quotes"),
        Kind::List(_) => format!("{kind}, each in quotes, between [ and ]"),
    }
}

fn leaves(table: &Table, prefix: &str, known: &[&KeySpec], names: &mut Vec<String>) {
    for (name, value) in table {
        let name = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}.{name}")
        };
        match value {
            Value::Table(inner) if !inner.is_empty() => leaves(inner, &name, known, names),
            // An empty section sets nothing; one that nobody knows is still a mistake.
            Value::Table(_) if known.iter().any(|spec| spec.key.starts_with(&format!("{name}."))) => {}
            _ => names.push(name),
        }
    }
}

/// The known name that was probably meant: the same name in another section, else one that is a few letters away.
fn nearest(name: &str, known: impl Iterator<Item = String>) -> Option<String> {
    let last = |name: &str| name.rsplit('.').next().map(str::to_owned);
    let known: Vec<String> = known.collect();
    if let Some(same) = known.iter().find(|candidate| last(candidate) == last(name)) {
        return Some(same.clone());
    }
    let lowercase = name.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (distance(&lowercase, &candidate.to_lowercase()), candidate))
        .min()
        .filter(|(distance, _)| *distance <= 2.max(name.len() / 5))
        .map(|(_, candidate)| candidate)
}

/// How many letters have to be inserted, removed or replaced to turn one word into the other (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, letter) in from.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_letters() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("listen", "listen"), 0);
        assert_eq!(distance("lisen", "listen"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn a_far_name_is_no_suggestion() {
        assert_eq!(nearest("zzzzzzzz", ["listen".to_owned()].into_iter()), None);
        assert_eq!(
            nearest("workers", ["http.workers".to_owned()].into_iter()).as_deref(),
            Some("http.workers")
        );
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let file = |program: &str| installed_file(Path::new(program));
        assert_eq!(
            file("/usr/bin/mosaic"),
            Some(PathBuf::from("/etc/mosaic/mosaic.toml"))
        );
        assert_eq!(
            file("/root/usr/bin/mosaic"),
            Some(PathBuf::from("/root/etc/mosaic/mosaic.toml"))
        );
        assert_eq!(file("/home/anna/target/release/mosaic"), None);
        let error = ConfigFile::read(PathBuf::from("/no/such/mosaic.toml")).unwrap_err();
        assert!(error.to_string().starts_with("/no/such/mosaic.toml: "), "{error}");
    }

    #[test]
    fn debug_does_not_show_the_file() {
        let file = ConfigFile {
            path: PathBuf::from("x.toml"),
            text: "admin_password = 'hunter2hunter2'".to_owned(),
        };
        assert!(!format!("{file:?}").contains("hunter2"));
    }
}

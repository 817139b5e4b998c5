//! What is known of a key: its names, which values it accepts, its default.

use super::value::{Kind, Value};

/// One configuration key.
#[derive(Debug)]
pub struct KeySpec {
    /// The name in `mosaic.toml`, its section before a dot: `http.max_body_bytes`.
    pub key: &'static str,
    /// Which values are accepted.
    pub kind: Kind,
    /// What holds when nobody sets it.
    pub default: DefaultValue,
    /// Never shown, and without a flag: arguments can be read by every process of the machine.
    pub secret: bool,
    /// What it does, in one or two sentences.
    pub help: &'static str,
}

/// What holds when nobody sets a key.
#[derive(Debug, Clone, Copy)]
pub enum DefaultValue {
    /// This value, as it would be written in the environment.
    Is(&'static str),
    /// No value; this describes what happens instead.
    Otherwise(&'static str),
}

impl KeySpec {
    /// The key of a field of that type. `help` is the field's documentation, joined, with the space that `///` leaves.
    pub(super) const fn new<V: Value>(key: &'static str, default: DefaultValue, help: &'static str) -> Self {
        Self {
            key,
            kind: V::KIND,
            default,
            secret: V::SECRET,
            help: help.trim_ascii(),
        }
    }

    /// The same key with bounds, or a description, of its own.
    pub(super) const fn accepting(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    /// The environment variable: the key in capitals, `MOSAIC_` before it, `_` for the dot.
    pub fn env(&self) -> String {
        format!("{ENV_PREFIX}{}", self.key.replace('.', "_").to_uppercase())
    }

    /// The flag without its dashes: the key with `-` for dots and underscores. None for a secret.
    pub fn flag(&self) -> Option<String> {
        (!self.secret).then(|| self.key.replace(['.', '_'], "-"))
    }
}

/// What the names of all our environment variables begin with.
pub(super) const ENV_PREFIX: &str = "MOSAIC_";

/// The environment variable that names the configuration file.
pub const CONFIG_ENV: &str = "MOSAIC_CONFIG";

/// The configuration file that is read when it is there and no other is named.
pub const DEFAULT_FILE: &str = "mosaic.toml";

/// The one that is read where that is not there, of a program that was installed: below the root that it is installed in.
pub const INSTALLED_FILE: &str = "etc/mosaic/mosaic.toml";

//! The values that have a form of their own.

use std::fmt;
use std::str::FromStr;

use mosaic_adapter_blobs::Secret;
use mosaic_domain::account::Password;
use mosaic_domain::{TimeOfDay, TimeZone};
use tracing_subscriber::filter::{LevelFilter, Targets};

use super::value::{Kind, Value};
use crate::listen::Listen;
use crate::secrets::SecretKey;

/// Something without white space and control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word(String);

impl Word {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for Word {
    const KIND: Kind = Kind::Text("a word");

    fn parse(text: &str) -> Option<Self> {
        let is_plain = |c: char| !c.is_whitespace() && !c.is_control();
        (!text.is_empty() && text.chars().all(is_plain)).then(|| Self(text.to_owned()))
    }
}

/// The address of a server, without login, parameters and fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(Word);

impl Endpoint {
    /// The address.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Reads one that is an argument.
    ///
    /// # Errors
    /// What it should be.
    pub(crate) fn of_argument(text: &str) -> Result<Self, &'static str> {
        Self::parse(text).ok_or("must be an address like https://sync.example.org")
    }

    /// The address of something there, from its path on.
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.as_str().trim_end_matches('/'))
    }

    /// Whether what is sent there can be read on the way.
    pub(super) fn is_plain_http(&self) -> bool {
        self.as_str().starts_with("http://")
    }
}

impl Value for Endpoint {
    const KIND: Kind = Kind::Text("an address like https://minio.example.org");

    fn parse(text: &str) -> Option<Self> {
        let host = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"))?;
        let is_address = !host.trim_end_matches('/').is_empty() && !host.contains(['@', '?', '#']);
        Word::parse(text).filter(|_| is_address).map(Self)
    }
}

/// What keys begin with: nothing, or names with slashes between them and perhaps one after them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPrefix(String);

impl KeyPrefix {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for KeyPrefix {
    const KIND: Kind = Kind::Text("what keys may begin with, like mosaic/");

    fn parse(text: &str) -> Option<Self> {
        let is_name = |name: &str| Word::parse(name).is_some() && !matches!(name, "." | "..");
        let names = text.strip_suffix('/').unwrap_or(text);
        (text.is_empty() || names.split('/').all(is_name)).then(|| Self(text.to_owned()))
    }
}

impl Value for Secret {
    const KIND: Kind = Kind::Text("a secret access key");
    const SECRET: bool = true;

    fn parse(text: &str) -> Option<Self> {
        Word::parse(text).map(|Word(secret)| Self::new(secret))
    }
}

impl Value for Password {
    const KIND: Kind = Kind::Text("a password of at least 8 characters and at most 1024 bytes");
    const SECRET: bool = true;

    fn parse(text: &str) -> Option<Self> {
        Self::chosen(text.to_owned()).ok()
    }
}

impl Value for TimeZone {
    const KIND: Kind = Kind::Text("an IANA time zone, like Asia/Shanghai");

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Value for SecretKey {
    const KIND: Kind = Kind::Text("64 hexadecimal digits (32 bytes), as from `openssl rand -hex 32`");
    const SECRET: bool = true;

    fn parse(text: &str) -> Option<Self> {
        Self::from_hex(text)
    }
}

impl Value for Listen {
    const KIND: Kind = Kind::List(
        "addresses like 127.0.0.1:8080, localhost:8080, :8080 or unix:/run/mosaic/mosaic.sock, or systemd",
    );

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

/// Who may make accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// Only administrators, for others.
    Closed,
    /// Anybody, for themselves.
    Open,
}

impl Value for Registration {
    const KIND: Kind = Kind::Choice(&["closed", "open"]);

    fn parse(text: &str) -> Option<Self> {
        match text {
            "closed" => Some(Self::Closed),
            "open" => Some(Self::Open),
            _ => None,
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object per line.
    Json,
}

impl Value for LogFormat {
    const KIND: Kind = Kind::Choice(&["pretty", "json"]);

    fn parse(text: &str) -> Option<Self> {
        match text {
            "pretty" => Some(Self::Pretty),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// How much is logged: a level, or levels per module, as `tracing-subscriber` writes them.
#[derive(Clone, PartialEq)]
pub struct LogFilter(Box<Targets>);

impl fmt::Debug for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogFilter({})", self.0)
    }
}

impl LogFilter {
    /// The filter to install.
    pub fn targets(&self) -> Targets {
        Targets::clone(&self.0)
    }
}

impl FromStr for LogFilter {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text).ok_or_else(|| format!("must be {}", Self::KIND))
    }
}

impl Value for LogFilter {
    const KIND: Kind =
        Kind::Text("off, error, warn, info, debug or trace, or several like info,mosaic_server=debug");

    fn parse(text: &str) -> Option<Self> {
        // The filter's own parser takes a bare word that is no level for the name of a module, so that `log.level =
        // "verbose"` would silence everything else. Here a module needs its level.
        // And it takes a span in brackets for one, too, and filters by fields, of which nothing is said here.
        let complete = |directive: &str| {
            !directive.contains('[') && (directive.contains('=') || directive.parse::<LevelFilter>().is_ok())
        };
        let directives: Vec<_> = text.split(',').map(str::trim).collect();
        let has_level = directives
            .iter()
            .all(|directive| !directive.is_empty() && complete(directive));
        has_level
            .then(|| directives.join(",").parse().ok().map(Box::new).map(Self))
            .flatten()
    }
}

impl Value for TimeOfDay {
    const KIND: Kind = Kind::Text("a time of day from 00:00 to 23:59");

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// Web pages of which origins may call this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// Of every origin.
    Any,
    /// Of these, written as browsers send them: `https://app.example.org`. Empty: of none.
    Listed(Vec<String>),
}

impl Value for AllowedOrigins {
    const KIND: Kind = Kind::List("origins like https://app.example.org, or * alone for every origin");

    fn parse(text: &str) -> Option<Self> {
        if text.trim() == "*" {
            return Some(Self::Any);
        }
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        items
            .map(|item| is_origin(item).then(|| item.to_owned()))
            .collect::<Option<_>>()
            .map(Self::Listed)
    }
}

/// `scheme://host` or `scheme://host:port`, in lower case and without a path, as browsers send it. Any scheme: apps in
/// a web view have schemes of their own.
fn is_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else {
        return false;
    };
    let plain = |text: &str, also: &str| {
        !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || also.contains(c))
    };
    let host_and_port = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => plain(host, "-._[]:") && port.parse::<u16>().is_ok(),
        _ => plain(authority, "-._[]:"),
    };
    plain(scheme, "+-.") && host_and_port
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        for right in [
            "https://minio.example.org",
            "http://127.0.0.1:9000/",
            "https://host/under/a/path",
        ] {
            assert_eq!(Endpoint::parse(right).unwrap().as_str(), right);
        }
        for wrong in [
            "",
            "minio:9000",
            "ftp://minio",
            "https://",
            "https://a@b",
            "https://a b",
            "https://a?b",
        ] {
            assert_eq!(Endpoint::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn prefixes_of_keys() {
        for right in ["", "mosaic", "mosaic/", "a/b"] {
            assert_eq!(KeyPrefix::parse(right).unwrap().as_str(), right);
        }
        for wrong in ["/", "/a", "a//b", "a//", "../a", "a b", "a\u{1}"] {
            assert_eq!(KeyPrefix::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn log_filters() {
        for right in [
            "off",
            "info",
            "WARN",
            "info,mosaic_server=debug",
            "mosaic_adapter_http=trace, warn",
        ] {
            assert!(LogFilter::parse(right).is_some(), "{right}");
        }
        for wrong in [
            "",
            "verbose",
            "info,",
            "mosaic_server",
            "info,mosaic_server=loud",
            "info,[request]=debug",
            "mosaic_server[{user}]=debug",
        ] {
            assert!(LogFilter::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn origins() {
        let listed = |items: &[&str]| {
            Some(AllowedOrigins::Listed(
                items.iter().map(|item| (*item).to_owned()).collect(),
            ))
        };
        assert_eq!(AllowedOrigins::parse(""), listed(&[]));
        assert_eq!(AllowedOrigins::parse("*"), Some(AllowedOrigins::Any));
        assert_eq!(
            AllowedOrigins::parse(
                "https://app.example.org, http://localhost:3000,tauri://localhost,http://[::1]:80"
            ),
            listed(&[
                "https://app.example.org",
                "http://localhost:3000",
                "tauri://localhost",
                "http://[::1]:80"
            ])
        );
        for wrong in [
            "app.example.org",
            "https://app.example.org/",
            "https://app.example.org/path",
            "https://App.example.org",
            "https://app.example.org:port",
            "https://app.example.org:99999",
            "https://*.example.org",
            "*,https://app.example.org",
            "https://",
            "://host",
        ] {
            assert_eq!(AllowedOrigins::parse(wrong), None, "{wrong}");
        }
    }
}

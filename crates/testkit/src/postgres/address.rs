//! Where the server of a database URL listens, and the same URL by another way.

use std::path::PathBuf;

use tokio_postgres::Config;
use tokio_postgres::config::Host;

use super::server::chain;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp(String, u16),
    /// The socket file.
    Unix(PathBuf),
}

/// A database URL, taken apart.
pub(crate) fn parse(url: &str) -> Config {
    url.parse()
        .unwrap_or_else(|error| panic!("not a database URL: {}", chain(&error)))
}

impl Address {
    /// Where the server of `config` listens: the first, if there are several.
    pub(crate) fn of(config: &Config) -> Self {
        let port = config.get_ports().first().copied().unwrap_or(5432);
        match config.get_hosts().first() {
            Some(Host::Unix(folder)) => Self::Unix(folder.join(format!(".s.PGSQL.{port}"))),
            Some(Host::Tcp(host)) => Self::Tcp(host.clone(), port),
            None => Self::Tcp("127.0.0.1".to_owned(), port),
        }
    }
}

/// The URL of the same database, role and password at a port of 127.0.0.1.
pub(crate) fn at_port(config: &Config, port: u16) -> String {
    at_host(config, "127.0.0.1", port)
}

/// The URL of the same database, role and password by the unix socket of `config`.
pub(crate) fn at_socket(config: &Config) -> String {
    let folder = match config.get_hosts().first() {
        Some(Host::Unix(folder)) => encode(folder.as_os_str().as_encoded_bytes()),
        other => panic!("no socket: {other:?}"),
    };
    at_host(
        config,
        &folder,
        config.get_ports().first().copied().unwrap_or(5432),
    )
}

fn at_host(config: &Config, host: &str, port: u16) -> String {
    let user = encode(config.get_user().unwrap_or("postgres").as_bytes());
    let password = config
        .get_password()
        .map(|password| format!(":{}", encode(password)));
    let database = encode(config.get_dbname().unwrap_or_default().as_bytes());
    format!(
        "postgres://{user}{}@{host}:{port}/{database}",
        password.unwrap_or_default()
    )
}

/// Percent-encodes all but the bytes that mean nothing in a URL.
fn encode(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            text.push(char::from(*byte));
        } else {
            write!(text, "%{byte:02X}").unwrap();
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_by_another_way_is_of_the_same_database() {
        let config = parse("postgres://me:p%40ss@db.example:7000/notes?connect_timeout=3");
        assert_eq!(Address::of(&config), Address::Tcp("db.example".to_owned(), 7000));
        assert_eq!(at_port(&config, 9), "postgres://me:p%40ss@127.0.0.1:9/notes");
    }

    #[test]
    fn a_socket_is_an_address() {
        let config = parse("postgres://me@%2Fvar%2Frun:5432/notes");
        assert_eq!(at_socket(&config), "postgres://me@%2Fvar%2Frun:5432/notes");
        assert_eq!(
            Address::of(&config),
            Address::Unix("/var/run/.s.PGSQL.5432".into())
        );
        assert_eq!(at_port(&config, 9), "postgres://me@127.0.0.1:9/notes");
    }
}

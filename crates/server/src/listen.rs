//! Where a server listens: the forms of `listen`, and the sockets that come of them.

mod handed_over;
mod socket_file;

use std::collections::HashSet;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use mosaic_adapter_http::Listener;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, listen, socket_with, sockopt};

pub(crate) use self::socket_file::SocketFile;

/// So many clients may wait to be taken; of what is more the system makes less.
const BACKLOG: i32 = 4096;
/// The owner and the group may connect: a proxy that is in the group.
const SOCKET_MODE: u32 = 0o660;
/// How long the name of a host may take to be looked up.
const LOOK_UP: Duration = Duration::from_secs(10);

/// The places at which a server listens, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen(Vec<Place>);

/// A place to listen at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// This address: `127.0.0.1:8080`.
    Address(SocketAddr),
    /// All addresses of a host: `localhost:8080`.
    Host(String, u16),
    /// Every interface, by IPv6 and by IPv4: `:8080`.
    Everywhere(u16),
    /// A socket in the file system: `unix:/run/mosaic/mosaic.sock`.
    Unix(PathBuf),
    /// The sockets that systemd hands over: `systemd`.
    Systemd,
}

/// Why there is nothing to listen on.
#[derive(Debug, thiserror::Error)]
#[error("can not listen on {place} (listen, --listen, MOSAIC_LISTEN): {source}")]
pub(crate) struct ListenError {
    place: Place,
    source: io::Error,
}

/// What a server listens on. Socket files that were made for it go with it.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    /// The sockets, once: whoever takes them leaves none.
    pub(crate) listeners: Vec<Listener>,
    /// Where clients reach them, as addresses begin: `http://127.0.0.1:8080`.
    pub(crate) addresses: Vec<String>,
    /// Whether somebody keeps one open when this process ends, for the next to take over.
    pub(crate) are_kept_open: bool,
    scheme: &'static str,
    files: Vec<SocketFile>,
}

impl Listen {
    /// Reads places with commas between them.
    pub fn parse(text: &str) -> Option<Self> {
        let places: Option<Vec<_>> = text.split(',').map(|place| Place::parse(place.trim())).collect();
        places.map(Self)
    }

    /// The places.
    pub fn places(&self) -> &[Place] {
        &self.0
    }

    /// Binds the sockets of all places. Addresses of the network begin with this scheme.
    ///
    /// # Errors
    /// [`ListenError`], about the first place that can't be listened at.
    pub(crate) async fn bind(&self, scheme: &'static str) -> Result<Sockets, ListenError> {
        let mut sockets = Sockets {
            scheme,
            ..Sockets::default()
        };
        for place in &self.0 {
            place.bind(&mut sockets).await.map_err(|source| ListenError {
                place: place.clone(),
                source,
            })?;
        }
        Ok(sockets)
    }
}

impl Place {
    fn parse(text: &str) -> Option<Self> {
        if text == "systemd" {
            return Some(Self::Systemd);
        }
        if let Some(path) = text.strip_prefix("unix:") {
            let is_path = !path.is_empty() && !path.contains('\0') && !path.ends_with('/');
            return is_path.then(|| Self::Unix(path.into()));
        }
        if let Ok(address) = text.parse() {
            return Some(Self::Address(address));
        }
        let (host, port) = text.rsplit_once(':')?;
        // `parse` would take a sign.
        let port = Some(port).filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
        let port = port?.parse().ok()?;
        match host {
            "" => Some(Self::Everywhere(port)),
            host => is_host(host).then(|| Self::Host(host.to_owned(), port)),
        }
    }

    async fn bind(&self, sockets: &mut Sockets) -> io::Result<()> {
        match self {
            Self::Address(address) => sockets.add(Listener::Tcp(TcpListener::bind(address)?)),
            Self::Everywhere(port) => sockets.add(Listener::Tcp(everywhere(*port)?)),
            Self::Host(host, port) => {
                for listener in of_host(host, *port).await? {
                    sockets.add(Listener::Tcp(listener))?;
                }
                Ok(())
            }
            Self::Unix(path) => {
                let (listener, file) = SocketFile::bind(path, SOCKET_MODE)?;
                sockets.files.push(file);
                sockets.add(Listener::Unix(listener))
            }
            Self::Systemd => {
                sockets.are_kept_open = true;
                handed_over::take()?
                    .into_iter()
                    .try_for_each(|listener| sockets.add(listener))
            }
        }
    }
}

/// As it is written.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Host(host, port) => write!(f, "{host}:{port}"),
            Self::Everywhere(port) => write!(f, ":{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Systemd => f.write_str("systemd"),
        }
    }
}

/// A name, and no address that is written wrong.
fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    text.len() <= 253 && text.split('.').all(is_label) && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

impl Sockets {
    fn add(&mut self, listener: Listener) -> io::Result<()> {
        self.addresses.push(match &listener {
            Listener::Tcp(listener) => format!("{}://{}", self.scheme, listener.local_addr()?),
            Listener::Unix(listener) => match listener.local_addr()?.as_pathname() {
                Some(path) => format!("unix:{}", path.display()),
                None => "a socket without a name".to_owned(),
            },
        });
        self.listeners.push(listener);
        Ok(())
    }

    /// Whether clients come by one that tells nothing of their addresses.
    pub(crate) fn hide_addresses(&self) -> bool {
        self.listeners
            .iter()
            .any(|listener| matches!(listener, Listener::Unix(_)))
    }
}

/// One socket for IPv6 and IPv4, whatever the system's default is; where it has no IPv6, one for IPv4.
fn everywhere(port: u16) -> io::Result<TcpListener> {
    let both = || -> rustix::io::Result<TcpListener> {
        let socket = socket_with(
            AddressFamily::INET6,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            Some(ipproto::TCP),
        )?;
        // As the standard library has it: a port is free at once when a server ended.
        sockopt::set_socket_reuseaddr(&socket, true)?;
        sockopt::set_ipv6_v6only(&socket, false)?;
        bind(&socket, &SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0))?;
        listen(&socket, BACKLOG)?;
        Ok(socket.into())
    };
    match both() {
        Err(rustix::io::Errno::AFNOSUPPORT | rustix::io::Errno::ADDRNOTAVAIL) => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))
        }
        bound => Ok(bound?),
    }
}

/// A socket for each address that the host has and this machine can listen at; all have the same port.
async fn of_host(host: &str, port: u16) -> io::Result<Vec<TcpListener>> {
    let found = tokio::time::timeout(LOOK_UP, tokio::net::lookup_host((host, port)));
    let found = found
        .await
        .map_err(|_| io::Error::other("looking up the host takes too long"))??;
    let (mut seen, mut port) = (HashSet::new(), port);
    let (mut bound, mut missing) = (Vec::new(), None);
    for mut address in found.filter(|address| seen.insert(*address)) {
        address.set_port(port);
        match TcpListener::bind(address) {
            Ok(listener) => {
                port = listener.local_addr()?.port();
                bound.push(listener);
            }
            // A name of both kinds, on a machine that has one.
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable => missing = Some(error),
            Err(error) => return Err(io::Error::new(error.kind(), format!("{address}: {error}"))),
        }
    }
    if bound.is_empty() {
        return Err(missing.unwrap_or_else(|| io::Error::other("the host has no address")));
    }
    Ok(bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_written() {
        for (text, place) in [
            ("127.0.0.1:8080", Place::Address(([127, 0, 0, 1], 8080).into())),
            ("[::]:80", Place::Address((Ipv6Addr::UNSPECIFIED, 80).into())),
            ("localhost:8080", Place::Host("localhost".to_owned(), 8080)),
            (
                "sync.example.org:443",
                Place::Host("sync.example.org".to_owned(), 443),
            ),
            (":8080", Place::Everywhere(8080)),
            ("unix:/run/mosaic.sock", Place::Unix("/run/mosaic.sock".into())),
            ("systemd", Place::Systemd),
        ] {
            assert_eq!(Listen::parse(text), Some(Listen(vec![place.clone()])), "{text}");
            assert_eq!(place.to_string(), text);
        }
        let two = Listen::parse("127.0.0.1:1, unix:a").unwrap();
        assert_eq!(two.places().len(), 2);
        for wrong in [
            "",
            ",",
            "localhost",
            "8080",
            "127.0.0.1",
            "256.0.0.1:80",
            "1.2.3:80",
            "::1:80",
            "localhost:",
            ":x",
            ":+1",
            ":65536",
            "unix:",
            "unix:/run/",
            "two words:80",
            "-:80",
            "a..b:80",
            "http://localhost:80",
            "127.0.0.1:1,",
        ] {
            assert_eq!(Listen::parse(wrong), None, "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_host_has_one_port_and_each_address_once() {
        let sockets = Listen::parse("localhost:0").unwrap().bind("http").await.unwrap();
        let addresses: HashSet<_> = sockets.addresses.iter().collect();
        assert_eq!(addresses.len(), sockets.addresses.len());
        let ports: HashSet<_> = addresses
            .iter()
            .map(|address| address.rsplit_once(':').unwrap().1)
            .collect();
        assert_eq!(ports.len(), 1, "{addresses:?}");
        assert!(!sockets.hide_addresses());
    }
}

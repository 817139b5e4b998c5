//! TLS without a proxy before the server: the handshake, by a certificate that can be replaced while the server runs.
//!
//! HTTP/1.1 alone: what keeps a connection in bounds (`wire`) knows one request at a time
//! ([ADR 37](../../../docs/adr/0037-sockets-certificates-and-systemd.md)).

use std::fmt;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use actix_web::rt::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{Error, ServerConfig};

use crate::socket::Socket;

/// What TLS begins with: a record of a handshake.
const HANDSHAKE: u8 = 0x16;

/// What a server needs to speak TLS. A clone is the same.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    shown: Arc<Shown>,
}

/// The certificate that clients are shown, whatever name they ask for.
#[derive(Debug)]
struct Shown(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

/// How a client begins.
pub(crate) enum Greeting {
    /// It shook hands.
    Tls(Socket),
    /// It speaks no TLS, HTTP perhaps.
    Plain(Socket),
}

impl Tls {
    /// By this certificate, TLS 1.2 and 1.3.
    ///
    /// # Errors
    /// rustls can't be set up.
    pub fn new(certificate: CertifiedKey) -> Result<Self, Error> {
        let shown = Arc::new(Shown(RwLock::new(Arc::new(certificate))));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&shown) as _);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            shown,
        })
    }

    /// From now on handshakes are by this one. Connections go on as they are.
    pub fn replace(&self, certificate: CertifiedKey) {
        *self.shown.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certificate);
    }

    /// Shakes hands, for as long as it takes.
    ///
    /// # Errors
    /// The client hung up, or they do not understand each other.
    pub(crate) async fn greet(&self, io: TcpStream) -> io::Result<Greeting> {
        let mut first = [0];
        if io.peek(&mut first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if first != [HANDSHAKE] {
            return Ok(Greeting::Plain(Socket::Tcp(io)));
        }
        let stream = self.acceptor.accept(io).await?;
        Ok(Greeting::Tls(Socket::Tls(Box::new(stream))))
    }
}

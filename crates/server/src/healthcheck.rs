//! `mosaic healthcheck`: asks the server that this configuration is of whether it is ready. For containers.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::config::Config;
use crate::listen::Place;

/// A server says within two seconds whether it is ready.
const DEADLINE: Duration = Duration::from_secs(5);
const REQUEST: &[u8] = b"GET /health/ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
/// So much of an answer is read, in bytes: it is short.
const ANSWER: u64 = 16 * 1024;

/// Why it does not count as healthy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HealthError {
    /// It is known to systemd alone where the server listens.
    #[error("listen is `systemd`, which says not where that is: name a place with --listen")]
    Unknown,
    /// It does not listen, or breaks off.
    #[error("the server at {0} does not answer: {1}")]
    Unreachable(Place, io::Error),
    /// It takes too long.
    #[error("the server at {0} does not answer within {deadline} s", deadline = DEADLINE.as_secs())]
    Late(Place),
    /// It is there, and not ready, or no server of this kind.
    #[error("the server at {0} is not ready: {1}")]
    NotReady(Place, String),
}

/// Asks at the first place that is known.
///
/// # Errors
/// [`HealthError`].
pub(crate) async fn run(config: &Config) -> Result<String, HealthError> {
    let places = config.server.listen.places();
    let place = places.iter().find(|place| **place != Place::Systemd);
    let place = place.ok_or(HealthError::Unknown)?;
    let asked = timeout(DEADLINE, ask(place, config.tls.is_some())).await;
    let answer = asked.map_err(|_| HealthError::Late(place.clone()))?;
    let answer = answer.map_err(|error| HealthError::Unreachable(place.clone(), error))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if head.starts_with("HTTP/1.1 200 ") {
        return Ok(format!("{body}\n"));
    }
    let status = head.lines().next().unwrap_or_default();
    Err(HealthError::NotReady(place.clone(), format!("{status} {body}")))
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// The answer as it came.
async fn ask(place: &Place, is_secure: bool) -> io::Result<String> {
    let mut stream: Box<dyn Stream> = match place {
        Place::Unix(path) => Box::new(UnixStream::connect(path).await?),
        Place::Host(host, port) => secured(TcpStream::connect((&**host, *port)).await?, is_secure).await?,
        Place::Address(address) => {
            let address = SocketAddr::new(reached(address.ip()), address.port());
            secured(TcpStream::connect(address).await?, is_secure).await?
        }
        Place::Everywhere(port) => {
            secured(TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).await?, is_secure).await?
        }
        Place::Systemd => return Err(io::ErrorKind::Unsupported.into()),
    };
    stream.write_all(REQUEST).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    stream.take(ANSWER).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Where somebody is reached on this machine who listens there.
fn reached(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        address => address,
    }
}

async fn secured(stream: TcpStream, is_secure: bool) -> io::Result<Box<dyn Stream>> {
    if !is_secure {
        return Ok(Box::new(stream));
    }
    let provider = Arc::new(ring::default_provider());
    let any = Arc::new(AnyCertificate(provider.signature_verification_algorithms));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(any)
        .with_no_client_auth();
    let name = ServerName::IpAddress(Ipv4Addr::LOCALHOST.into());
    let connector = TlsConnector::from(Arc::new(config));
    Ok(Box::new(connector.connect(name, stream).await?))
}

/// Takes whatever certificate the server has: it is for the name by which phones know it, and nothing secret is said here.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

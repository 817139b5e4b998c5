//! Encryption of the connection, by rustls with ring, in the meanings that `sslmode` has for libpq.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::OpenError;
use crate::settings::{PostgresSettings, SslMode};

/// What the driver asks for an encrypted stream, and whether it does.
pub(crate) fn connector(
    settings: &PostgresSettings,
) -> Result<(MakeRustlsConnect, tokio_postgres::config::SslMode), OpenError> {
    use tokio_postgres::config::SslMode as Wire;
    let root = settings.url.root_certificate.as_deref();
    let root = root.or(settings.root_certificate.as_deref());
    let (wire, trust) = match (settings.url.ssl_mode, root) {
        (SslMode::Disable, _) => (Wire::Disable, Trust::Anybody),
        (SslMode::Prefer, _) => (Wire::Prefer, Trust::Anybody),
        (SslMode::Require, None) => (Wire::Require, Trust::Anybody),
        (SslMode::Require | SslMode::VerifyCa, root) => (Wire::Require, Trust::SignedBy(roots(root)?)),
        (SslMode::VerifyFull, root) => (Wire::Require, Trust::SignedForName(roots(root)?)),
    };
    let config = client_config(trust).map_err(|source| OpenError::tls(root, source))?;
    Ok((MakeRustlsConnect::new(config), wire))
}

/// Who the server has to be.
enum Trust {
    /// Whoever answers: protects from being read, not from being led to another server.
    Anybody,
    /// One with a certificate that these signed.
    SignedBy(RootCertStore),
    /// One with a certificate that these signed for the name in the URL.
    SignedForName(RootCertStore),
}

/// The certificates of that file, or the machine's own.
fn roots(file: Option<&Path>) -> Result<RootCertStore, OpenError> {
    let mut store = RootCertStore::empty();
    match file {
        Some(path) => {
            let unreadable = |source| OpenError::tls(Some(path), source);
            for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
                let certificate = certificate.map_err(unreadable)?;
                store
                    .add(certificate)
                    .map_err(|source| OpenError::tls(Some(path), source))?;
            }
        }
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if store.is_empty() {
        return Err(OpenError::tls(file, "there is no certificate to trust"));
    }
    Ok(store)
}

fn client_config(trust: Trust) -> Result<ClientConfig, BoxedTlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let config = match trust {
        Trust::SignedForName(roots) => builder.with_root_certificates(roots),
        Trust::Anybody => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier {
                provider,
                chain: None,
            })),
        Trust::SignedBy(roots) => {
            let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()?;
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Verifier {
                    provider,
                    chain: Some(chain),
                }))
        }
    };
    Ok(config.with_no_client_auth())
}

type BoxedTlsError = mosaic_ports::BoxError;

/// Takes any name, and any certificate where there is no chain to check. Signatures are checked all the same: the server
/// must hold the key of the certificate that it shows.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    chain: Option<Arc<WebPkiServerVerifier>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        match chain.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            // The name is looked at after the chain has been found good.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

//! The certificate of HTTPS: read from files, judged before it is used, and read again when the files change.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mosaic_adapter_http::Tls;
use mosaic_adapter_system::SystemClock;
use mosaic_ports::Clock as _;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError as Flaw, InconsistentKeys, RootCertStore};

use crate::config::TlsFiles;

/// How often the files are looked at. They are read when they were the same twice: both were written then.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The longest file, in bytes.
const LONGEST: u64 = 1 << 20;

/// Why there is no HTTPS by these files.
#[derive(Debug, thiserror::Error)]
#[error("{key} can not be used: {}: {why}", path.display())]
pub(crate) struct CertificateError {
    /// The key of the configuration, with its flag and its variable.
    key: &'static str,
    path: PathBuf,
    why: Why,
}

#[derive(Debug, thiserror::Error)]
enum Why {
    #[error("{0}")]
    Unreadable(#[from] io::Error),
    #[error("it has no {0} in PEM")]
    Without(&'static str),
    #[error("it is not right PEM: {0}")]
    Pem(pem::Error),
    #[error("it belongs to another certificate than the first one in tls.certificate")]
    OfAnother,
    #[error("the first certificate in it {0}")]
    OutOfTime(Flaw),
    #[error("{0}")]
    Wrong(rustls::Error),
}

const CERTIFICATE: &str = "tls.certificate (--tls-certificate, MOSAIC_TLS_CERTIFICATE)";
const KEY: &str = "tls.key (--tls-key, MOSAIC_TLS_KEY)";

/// Reads them, and sees that they fit together and that the time is right.
///
/// # Errors
/// [`CertificateError`].
pub(crate) fn read(files: &TlsFiles) -> Result<CertifiedKey, CertificateError> {
    let now = u64::try_from(SystemClock.now().get()).unwrap_or_default();
    let now = UnixTime::since_unix_epoch(Duration::from_millis(now));
    let chain = chain(&files.certificate, now).map_err(|why| CertificateError {
        key: CERTIFICATE,
        path: files.certificate.clone(),
        why,
    })?;
    key_of(chain, &files.key).map_err(|why| CertificateError {
        key: KEY,
        path: files.key.clone(),
        why,
    })
}

/// The certificate, and those that lead from it to an authority.
fn chain(path: &Path, now: UnixTime) -> Result<Vec<CertificateDer<'static>>, Why> {
    let text = contents(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(Why::Pem)?;
    let first = chain.first().ok_or(Why::Without("certificate"))?;
    let parsed = ParsedCertificate::try_from(first).map_err(Why::Wrong)?;
    // Nobody has signed it that is trusted here, which is said only where nothing is wrong with its time.
    let (nobody, algorithms) = (
        RootCertStore::empty(),
        ring::default_provider().signature_verification_algorithms,
    );
    match verify_server_cert_signed_by_trust_anchor(&parsed, &nobody, &[], now, algorithms.all) {
        Err(rustls::Error::InvalidCertificate(
            flaw @ (Flaw::Expired
            | Flaw::ExpiredContext { .. }
            | Flaw::NotValidYet
            | Flaw::NotValidYetContext { .. }),
        )) => Err(Why::OutOfTime(flaw)),
        _ => Ok(chain),
    }
}

fn key_of(chain: Vec<CertificateDer<'static>>, path: &Path) -> Result<CertifiedKey, Why> {
    let key = match PrivateKeyDer::from_pem_slice(&contents(path)?) {
        Ok(key) => key,
        Err(pem::Error::NoItemsFound) => return Err(Why::Without("private key")),
        Err(error) => return Err(Why::Pem(error)),
    };
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => Why::OfAnother,
        error => Why::Wrong(error),
    })
}

fn contents(path: &Path) -> io::Result<Vec<u8>> {
    let mut contents = Vec::new();
    File::open(path)?.take(LONGEST + 1).read_to_end(&mut contents)?;
    if contents.len() as u64 > LONGEST {
        return Err(io::Error::other("it is too long for PEM"));
    }
    Ok(contents)
}

/// Has the server show what the files hold, whenever they change. Ends never.
pub(crate) async fn follow(files: TlsFiles, tls: Tls) {
    let mut used = Seen::of(&files).await;
    let mut before = used;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = Seen::of(&files).await;
        let is_settled = now == before;
        before = now;
        if now == used || !is_settled {
            continue;
        }
        used = now;
        let looked = files.clone();
        let Ok(found) = tokio::task::spawn_blocking(move || read(&looked)).await else {
            continue;
        };
        match found {
            Ok(certificate) => {
                tls.replace(certificate);
                tracing::info!("the certificate was read again");
            }
            Err(error) => tracing::error!("HTTPS goes on with the certificate from before: {error}"),
        }
    }
}

/// What both files look like from outside; none where one is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen([Option<[u64; 4]>; 2]);

impl Seen {
    async fn of(files: &TlsFiles) -> Self {
        let look = async |path: &Path| tokio::fs::metadata(path).await.ok().map(|file| outside(&file));
        Self([look(&files.certificate).await, look(&files.key).await])
    }
}

fn outside(file: &Metadata) -> [u64; 4] {
    let time = (file.mtime().cast_unsigned(), file.mtime_nsec().cast_unsigned());
    [file.ino(), file.len(), time.0, time.1]
}

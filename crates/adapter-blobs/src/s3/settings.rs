//! Where the storage is, and how it is used.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use mosaic_ports::BoxError;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::HttpClient;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, RetryConfig};

use super::http::{Connections, Connector, cause};

/// The least that a part of a multipart upload may have, by the rules of S3.
const MIN_PART: usize = 5 * 1024 * 1024;

/// Something that must not be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// Where the storage is, and how it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Settings {
    /// The bucket. It must be there.
    pub bucket: String,
    /// Its region: with storage of one's own usually `us-east-1`.
    pub region: String,
    /// The address of storage that is not Amazon's: `https://minio.example.org`.
    pub endpoint: Option<String>,
    /// The address at which clients reach the same storage, for signed addresses; where it is not `endpoint`.
    pub public_endpoint: Option<String>,
    /// Whether `http://` will do.
    pub allow_http: bool,
    /// Whether the bucket stands in the path (`https://host/bucket/key`) rather than in the host (`https://bucket.host/key`).
    pub path_style: bool,
    /// Who is asking.
    pub access_key: String,
    /// What proves it.
    pub secret_key: Secret,
    /// Belongs to credentials that are good for a while.
    pub session_token: Option<Secret>,
    /// What all keys begin with: a folder, so to say. A slash is put after it where it has none.
    pub prefix: String,
    /// The size of a part.
    pub part_size: usize,
    /// How many parts of one writer are sent at the same time, or wait for their turn.
    pub parts_in_flight: usize,
    /// How many parts of all writers are in memory, and are sent, at the same time.
    pub parts_in_memory: usize,
    /// The folder in which parts wait to become whole, in files without names: not one that is kept in memory.
    pub spool: PathBuf,
    /// How long it may take to connect.
    pub connect_timeout: Duration,
    /// How long one attempt may take until an answer begins: a whole part is sent in this time.
    pub attempt_timeout: Duration,
    /// How long a request may take, with all attempts.
    pub timeout: Duration,
    /// How often a request is sent again.
    pub retries: usize,
}

/// Why there can be no such storage.
#[derive(Debug, thiserror::Error)]
pub enum S3SettingsError {
    /// The endpoint is no address.
    #[error("{0}: must begin with https:// or http://, and name a host")]
    Endpoint(String),
    /// The endpoint is not encrypted, and nobody said that it may be.
    #[error("{0}: http:// is not allowed")]
    Http(String),
    /// The prefix can't be part of a key.
    #[error("{0:?}: can't be what keys begin with")]
    Prefix(String),
    /// The part size is not possible.
    #[error("a part must have at least {MIN_PART} bytes, and at least one must be in flight")]
    Parts,
    /// Something is empty.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// TLS can't be set up.
    #[error("there is no way to connect to the storage")]
    Tls(#[source] BoxError),
    /// Anything else that the library does not take.
    #[error("the settings of the storage can't be used: {0}")]
    Other(String),
}

/// What the settings make.
pub(crate) struct Built {
    pub(crate) s3: AmazonS3,
    pub(crate) signer: AmazonS3,
    pub(crate) http: HttpClient,
    pub(crate) prefix: String,
}

impl S3Settings {
    /// Settings that suit a small server.
    pub fn new(
        bucket: impl Into<String>,
        region: impl Into<String>,
        access_key: impl Into<String>,
        secret_key: Secret,
    ) -> Self {
        Self {
            bucket: bucket.into(),
            region: region.into(),
            endpoint: None,
            public_endpoint: None,
            allow_http: false,
            path_style: false,
            access_key: access_key.into(),
            secret_key,
            session_token: None,
            prefix: String::new(),
            part_size: MIN_PART,
            parts_in_flight: 2,
            parts_in_memory: 4,
            spool: std::env::temp_dir(),
            connect_timeout: Duration::from_secs(5),
            attempt_timeout: Duration::from_mins(1),
            timeout: Duration::from_mins(3),
            retries: 2,
        }
    }

    /// The same with storage of one's own: at this address, the bucket in the path.
    pub fn at(self, endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: Some(endpoint.into()),
            path_style: true,
            ..self
        }
    }

    pub(crate) fn build(&self) -> Result<Built, S3SettingsError> {
        self.nothing_is_missing()?;
        if self.part_size < MIN_PART || self.parts_in_flight == 0 || self.parts_in_memory == 0 {
            return Err(S3SettingsError::Parts);
        }
        let prefix = self.normal_prefix()?;
        let endpoint = self.bucket_endpoint(self.endpoint.as_deref())?;
        let public = self.bucket_endpoint(self.public_endpoint.as_deref())?;
        let connections = Connections {
            allow_http: self.allow_http,
            uses_tls: endpoint.as_ref().is_none_or(|url| !is_http(url)),
            connect_timeout: self.connect_timeout,
            attempt_timeout: self.attempt_timeout,
        };
        let http = connections
            .client()
            .map_err(|error| S3SettingsError::Tls(error.into()))?;
        let s3 = self.store(&http, endpoint)?;
        let signer = match public {
            Some(public) => self.store(&http, Some(public))?,
            None => s3.clone(),
        };
        Ok(Built {
            s3,
            signer,
            http,
            prefix,
        })
    }

    fn nothing_is_missing(&self) -> Result<(), S3SettingsError> {
        let texts = [
            ("the bucket", &self.bucket),
            ("the region", &self.region),
            ("the access key", &self.access_key),
            ("the secret key", &self.secret_key.0),
        ];
        match texts.into_iter().find(|(_, text)| text.is_empty()) {
            Some((what, _)) => Err(S3SettingsError::Missing(what)),
            None => Ok(()),
        }
    }

    fn store(&self, http: &HttpClient, endpoint: Option<String>) -> Result<AmazonS3, S3SettingsError> {
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&self.bucket)
            .with_region(&self.region)
            .with_access_key_id(&self.access_key)
            .with_secret_access_key(&self.secret_key.0)
            .with_allow_http(self.allow_http)
            .with_virtual_hosted_style_request(!self.path_style)
            .with_disable_bulk_delete(true)
            .with_client_options(ClientOptions::new().with_allow_http(self.allow_http))
            .with_http_connector(Connector(http.clone()))
            .with_retry(RetryConfig {
                backoff: BackoffConfig::default(),
                max_retries: self.retries,
                retry_timeout: self.timeout,
            });
        if let Some(endpoint) = endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(token) = &self.session_token {
            builder = builder.with_token(&token.0);
        }
        builder
            .build()
            .map_err(|error| S3SettingsError::Other(cause(&error)))
    }

    /// An endpoint as the library takes it: without a slash at its end, and with the bucket where that stands in the host.
    fn bucket_endpoint(&self, endpoint: Option<&str>) -> Result<Option<String>, S3SettingsError> {
        let Some(endpoint) = endpoint else { return Ok(None) };
        let fails = || S3SettingsError::Endpoint(endpoint.to_owned());
        let (scheme, rest) = endpoint.split_once("://").ok_or_else(fails)?;
        let host = rest.trim_end_matches('/');
        if !matches!(scheme, "http" | "https") || host.is_empty() || host.contains(['@', '?', '#', ' ']) {
            return Err(fails());
        }
        if is_http(endpoint) && !self.allow_http {
            return Err(S3SettingsError::Http(endpoint.to_owned()));
        }
        Ok(Some(if self.path_style {
            format!("{scheme}://{host}")
        } else {
            format!("{scheme}://{}.{host}", self.bucket)
        }))
    }

    fn normal_prefix(&self) -> Result<String, S3SettingsError> {
        let trimmed = self.prefix.trim_end_matches('/');
        if trimmed.is_empty() && self.prefix.is_empty() {
            return Ok(String::new());
        }
        let fails = || S3SettingsError::Prefix(self.prefix.clone());
        let path = Path::parse(trimmed).map_err(|_| fails())?;
        if path.as_ref() != trimmed || trimmed.is_empty() || Path::from(trimmed) != path {
            return Err(fails());
        }
        Ok(format!("{trimmed}/"))
    }
}

fn is_http(url: &str) -> bool {
    url.starts_with("http://")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> S3Settings {
        S3Settings::new("notes", "us-east-1", "AKIA", Secret::new("very secret"))
    }

    #[test]
    fn secrets_are_not_shown() {
        let settings = S3Settings {
            session_token: Some(Secret::new("very secret too")),
            ..settings()
        };
        let shown = format!("{settings:?}");
        assert!(!shown.contains("very secret"), "{shown}");
        assert!(shown.contains("AKIA"), "{shown}");
    }

    #[test]
    fn an_endpoint_without_encryption_must_be_allowed() {
        let plain = settings().at("http://127.0.0.1:9000");
        assert!(matches!(plain.build(), Err(S3SettingsError::Http(_))));
        let allowed = S3Settings {
            allow_http: true,
            ..plain.clone()
        };
        assert!(allowed.build().is_ok());
        let public = S3Settings {
            endpoint: None,
            public_endpoint: Some("http://storage.example.org".into()),
            ..plain
        };
        assert!(matches!(public.build(), Err(S3SettingsError::Http(_))));
    }

    #[test]
    fn an_endpoint_is_an_address() {
        for endpoint in ["", "minio:9000", "ftp://minio", "https://", "https://user@minio"] {
            let built = settings().at(endpoint).build();
            assert!(matches!(built, Err(S3SettingsError::Endpoint(_))), "{endpoint}");
        }
    }

    #[test]
    fn the_bucket_stands_in_the_path_or_in_the_host() {
        let at = settings().at("https://minio.example.org/");
        let url = |settings: &S3Settings| settings.bucket_endpoint(settings.endpoint.as_deref()).unwrap();
        assert_eq!(url(&at).unwrap(), "https://minio.example.org");
        let hosted = S3Settings {
            path_style: false,
            ..at
        };
        assert_eq!(url(&hosted).unwrap(), "https://notes.minio.example.org");
        assert_eq!(url(&settings()), None);
    }

    #[test]
    fn a_prefix_is_a_folder() {
        let prefix = |prefix: &str| {
            let settings = S3Settings {
                prefix: prefix.into(),
                ..settings()
            };
            settings.normal_prefix().ok()
        };
        assert_eq!(prefix("").unwrap(), "");
        assert_eq!(prefix("mosaic").unwrap(), "mosaic/");
        assert_eq!(prefix("a/b/").unwrap(), "a/b/");
        for odd in ["/", "/a", "a//b", "../a", "a\n"] {
            assert_eq!(prefix(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        let no_secret = S3Settings {
            secret_key: Secret::new(""),
            ..settings()
        };
        let Err(error) = no_secret.build() else {
            panic!("taken")
        };
        assert_eq!(error.to_string(), "the secret key is missing");
        let small = S3Settings {
            part_size: 1_000,
            ..settings()
        };
        assert!(matches!(small.build(), Err(S3SettingsError::Parts)));
    }
}

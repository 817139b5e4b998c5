//! Where attachments are, and how much is taken.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use mosaic_adapter_blobs::Secret;

use super::error::Problem;
use super::keys::{self, KeySpec};
use super::origin::Origin;
use super::reader::{Reader, Reported, Shown};
use super::types::{self, DatabaseUrl};

/// The bytes behind resources.
#[derive(Debug, Clone)]
pub struct AttachmentsConfig {
    /// Where they are.
    pub storage: StorageConfig,
    /// The largest one.
    pub max_file_bytes: u64,
    /// The largest picture of an account or a bot.
    pub max_avatar_bytes: u64,
    /// What those of one user may come to.
    pub user_quota_bytes: u64,
    /// How long an upload that is not finished is kept after its last bytes.
    pub upload_lifetime: Duration,
    /// How long a request that brings a file may send nothing.
    pub idle_timeout: Duration,
    /// Whether downloads are sent to an address of the storage. Only with S3.
    pub redirect_downloads: bool,
    /// How long an address of the storage works.
    pub address_lifetime: Duration,
}

/// Where attachments are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageConfig {
    /// In this folder.
    Folder(PathBuf),
    /// In a folder that goes when the process ends, as the store in memory does.
    Temporary,
    /// In storage that speaks S3.
    S3(S3Config),
}

/// Where it is, for the log.
impl fmt::Display for StorageConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "{}", path.display()),
            Self::Temporary => f.write_str("a temporary folder"),
            Self::S3(s3) => write!(f, "s3://{}/{}", s3.bucket, s3.prefix),
        }
    }
}

/// Storage that speaks S3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Config {
    /// The bucket.
    pub bucket: String,
    /// Its region.
    pub region: String,
    /// Where the storage is; none: Amazon's.
    pub endpoint: Option<String>,
    /// Where clients reach it; none: at the same address.
    pub public_endpoint: Option<String>,
    /// Whether the bucket stands in the path of addresses.
    pub path_style: bool,
    /// Whether endpoints may be without encryption.
    pub allow_http: bool,
    /// What all keys begin with.
    pub prefix: String,
    /// How long one attempt at a request may take.
    pub timeout: Duration,
    /// Who is asking.
    pub access_key_id: String,
    /// What proves it.
    pub secret_access_key: Secret,
}

impl Reader<'_> {
    pub(super) fn attachments(
        &mut self,
        data_dir: Option<&PathBuf>,
        database: Option<&DatabaseUrl>,
    ) -> Result<AttachmentsConfig, Reported> {
        let storage = self.storage(data_dir, database);
        let max_file_bytes = self.integer(&keys::ATTACHMENTS_MAX_FILE_BYTES);
        let max_avatar_bytes = self.integer(&keys::ATTACHMENTS_MAX_AVATAR_BYTES);
        let user_quota_bytes = self.integer(&keys::ATTACHMENTS_USER_QUOTA_BYTES);
        let upload_lifetime = self.milliseconds(&keys::ATTACHMENTS_UPLOAD_LIFETIME_MS);
        let idle_timeout = self.milliseconds(&keys::ATTACHMENTS_IDLE_TIMEOUT_MS);
        let redirect_downloads = self.flag(&keys::ATTACHMENTS_REDIRECT_DOWNLOADS);
        let address_lifetime = self.milliseconds(&keys::ATTACHMENTS_ADDRESS_LIFETIME_MS);
        let config = AttachmentsConfig {
            storage: storage?,
            max_file_bytes: max_file_bytes?,
            max_avatar_bytes: max_avatar_bytes?,
            user_quota_bytes: user_quota_bytes?,
            upload_lifetime: upload_lifetime?,
            idle_timeout: idle_timeout?,
            redirect_downloads: redirect_downloads?,
            address_lifetime: address_lifetime?,
        };
        if config.redirect_downloads && !matches!(config.storage, StorageConfig::S3(_)) {
            let because = "false where attachments.s3_bucket is not set: a folder has no addresses";
            return Err(self.refuse(&keys::ATTACHMENTS_REDIRECT_DOWNLOADS, because));
        }
        Ok(config)
    }

    fn storage(
        &mut self,
        data_dir: Option<&PathBuf>,
        database: Option<&DatabaseUrl>,
    ) -> Result<StorageConfig, Reported> {
        let folder = self.optional(&keys::ATTACHMENTS_FOLDER, types::path);
        let s3 = self.s3();
        let folder = folder?;
        if let Some(s3) = s3? {
            if folder.is_some() {
                let because = "absent where attachments.s3_bucket is set: attachments are in one place";
                return Err(self.refuse(&keys::ATTACHMENTS_FOLDER, because));
            }
            return Ok(StorageConfig::S3(s3));
        }
        if let Some(folder) = folder {
            return Ok(StorageConfig::Folder(folder));
        }
        if *database.ok_or(Reported)? == DatabaseUrl::SqliteMemory {
            return Ok(StorageConfig::Temporary);
        }
        let folder = data_dir.ok_or(Reported)?.join("attachments");
        let shown = Shown::Value(folder.display().to_string());
        self.remember(&keys::ATTACHMENTS_FOLDER, shown, Origin::Default);
        Ok(StorageConfig::Folder(folder))
    }

    /// None where no key but such with a default is set.
    fn s3(&mut self) -> Result<Option<S3Config>, Reported> {
        let bucket = self.optional(&keys::ATTACHMENTS_S3_BUCKET, types::word);
        let region = self.text(&keys::ATTACHMENTS_S3_REGION, types::word);
        let endpoint = self.optional(&keys::ATTACHMENTS_S3_ENDPOINT, types::endpoint);
        let public_endpoint = self.optional(&keys::ATTACHMENTS_S3_PUBLIC_ENDPOINT, types::endpoint);
        let path_style = self.optional(&keys::ATTACHMENTS_S3_PATH_STYLE, |text| text.parse().ok());
        let allow_http = self.flag(&keys::ATTACHMENTS_S3_ALLOW_HTTP);
        let timeout = self.milliseconds(&keys::ATTACHMENTS_S3_TIMEOUT_MS);
        let prefix = self.text(&keys::ATTACHMENTS_S3_PREFIX, types::key_prefix);
        let access_key_id = self.optional(&keys::ATTACHMENTS_S3_ACCESS_KEY_ID, types::word);
        let secret = self.optional(&keys::ATTACHMENTS_S3_SECRET_ACCESS_KEY, types::word);
        let (bucket, endpoint, public_endpoint) = (bucket?, endpoint?, public_endpoint?);
        let (access_key_id, secret, allow_http) = (access_key_id?, secret?, allow_http?);
        let endpoints = [
            (&keys::ATTACHMENTS_S3_ENDPOINT, &endpoint),
            (&keys::ATTACHMENTS_S3_PUBLIC_ENDPOINT, &public_endpoint),
        ];
        let Some(bucket) = bucket else {
            let given = [
                (&keys::ATTACHMENTS_S3_ENDPOINT, endpoint.is_some()),
                (&keys::ATTACHMENTS_S3_ACCESS_KEY_ID, access_key_id.is_some()),
                (&keys::ATTACHMENTS_S3_SECRET_ACCESS_KEY, secret.is_some()),
            ];
            return match given.into_iter().find(|(_, is_given)| *is_given) {
                Some((because, _)) => Err(self.missing(&keys::ATTACHMENTS_S3_BUCKET, because)),
                None => Ok(None),
            };
        };
        for (spec, endpoint) in endpoints {
            let is_plain = endpoint.as_ref().is_some_and(|url| url.starts_with("http://"));
            if is_plain && !allow_http {
                return Err(self.refuse(spec, "one with https:// unless attachments.s3_allow_http is true"));
            }
        }
        let because = &keys::ATTACHMENTS_S3_BUCKET;
        let access_key_id =
            access_key_id.ok_or_else(|| self.missing(&keys::ATTACHMENTS_S3_ACCESS_KEY_ID, because));
        let secret = secret.ok_or_else(|| self.missing(&keys::ATTACHMENTS_S3_SECRET_ACCESS_KEY, because));
        Ok(Some(S3Config {
            bucket,
            region: region?,
            path_style: path_style?.unwrap_or(endpoint.is_some()),
            endpoint,
            public_endpoint,
            allow_http,
            prefix: prefix?,
            timeout: timeout?,
            access_key_id: access_key_id?,
            secret_access_key: Secret::new(secret?),
        }))
    }

    fn flag(&mut self, spec: &'static KeySpec) -> Result<bool, Reported> {
        self.text(spec, |text| text.parse().ok())
    }

    /// Reports a value that is fine by itself, but not beside the others.
    fn refuse(&mut self, spec: &'static KeySpec, expected: &str) -> Reported {
        let shown = self.values.get(spec.key).map(|value| value.shown.clone());
        let value = match shown {
            Some(Shown::Value(text)) => format!("{text:?}"),
            _ => "set".to_owned(),
        };
        let origin = self.origin_of(spec);
        self.problems
            .push(Problem::wrong(spec, value, origin, Some(expected.to_owned())));
        Reported
    }

    fn missing(&mut self, spec: &'static KeySpec, because: &'static KeySpec) -> Reported {
        self.problems.push(Problem::missing(spec, because));
        Reported
    }
}

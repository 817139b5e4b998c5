//! Where attachments are: in a folder, or in a bucket.

use std::fmt;
use std::path::{Path, PathBuf};

use mosaic_adapter_blobs::Secret;

use super::database_url::DatabaseUrl;
use super::keys::{AttachmentsConfig, S3Config};
use super::reader::Reader;
use super::types::{Endpoint, Word};

/// Where attachments are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageConfig {
    /// In this folder.
    Folder(PathBuf),
    /// In a folder that goes when the process ends, as the store in memory does.
    Temporary,
    /// In storage that speaks S3.
    S3(Box<BucketConfig>),
}

/// A bucket, and what it takes to use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketConfig {
    /// Its name.
    pub name: Word,
    /// Whether it stands in the path of addresses.
    pub path_style: bool,
    /// Who is asking.
    pub access_key_id: Word,
    /// What proves it.
    pub secret_access_key: Secret,
    /// The storage that it is in.
    pub s3: S3Config,
}

/// Where it is, for the log.
impl fmt::Display for StorageConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "{}", path.display()),
            Self::Temporary => f.write_str("a temporary folder"),
            Self::S3(bucket) => write!(f, "s3://{}/{}", bucket.name.as_str(), bucket.s3.prefix.as_str()),
        }
    }
}

impl StorageConfig {
    /// In the bucket that is named, else in the folder that is, else beside the database.
    pub(super) fn choose(
        reader: &mut Reader<'_>,
        attachments: &AttachmentsConfig,
        s3: S3Config,
        data_dir: &Path,
        database: &DatabaseUrl,
    ) -> Self {
        if let Some(bucket) = bucket(reader, attachments, s3) {
            return Self::S3(Box::new(bucket));
        }
        if let Some(folder) = &attachments.folder {
            return Self::Folder(folder.clone());
        }
        if *database == DatabaseUrl::SqliteMemory {
            return Self::Temporary;
        }
        let folder = data_dir.join("attachments");
        reader.show_instead(&AttachmentsConfig::folder, folder.display().to_string());
        Self::Folder(folder)
    }
}

/// None where none is named, or where what it takes is missing and was reported.
fn bucket(reader: &mut Reader<'_>, attachments: &AttachmentsConfig, s3: S3Config) -> Option<BucketConfig> {
    let Some(name) = s3.bucket.clone() else {
        refuse_without_bucket(reader, attachments, &s3);
        return None;
    };
    for (spec, endpoint) in [
        (&S3Config::endpoint, &s3.endpoint),
        (&S3Config::public_endpoint, &s3.public_endpoint),
    ] {
        if !s3.allow_http && endpoint.as_ref().is_some_and(Endpoint::is_plain_http) {
            let expected = "one with https:// unless attachments.s3_allow_http is true";
            reader.refuse(spec, &S3Config::allow_http, expected.to_owned());
        }
    }
    if s3.access_key_id.is_none() {
        reader.missing(&S3Config::access_key_id, &S3Config::bucket);
    }
    if s3.secret_access_key.is_none() {
        reader.missing(&S3Config::secret_access_key, &S3Config::bucket);
    }
    if attachments.folder.is_some() {
        let expected = "absent where attachments.s3_bucket is set: attachments are in one place";
        reader.refuse(&AttachmentsConfig::folder, &S3Config::bucket, expected.to_owned());
    }
    Some(BucketConfig {
        name,
        path_style: s3.path_style.unwrap_or(s3.endpoint.is_some()),
        access_key_id: s3.access_key_id.clone()?,
        secret_access_key: s3.secret_access_key.clone()?,
        s3,
    })
}

/// Where no bucket is named nothing may be set that needs one.
fn refuse_without_bucket(reader: &mut Reader<'_>, attachments: &AttachmentsConfig, s3: &S3Config) {
    let given = [
        (&S3Config::endpoint, s3.endpoint.is_some()),
        (&S3Config::access_key_id, s3.access_key_id.is_some()),
        (&S3Config::secret_access_key, s3.secret_access_key.is_some()),
    ];
    if let Some((because, _)) = given.into_iter().find(|(_, is_given)| *is_given) {
        reader.missing(&S3Config::bucket, because);
    } else if attachments.redirect_downloads {
        let expected = "false where attachments.s3_bucket is not set: a folder has no addresses";
        let spec = &AttachmentsConfig::redirect_downloads;
        reader.refuse(spec, &S3Config::bucket, expected.to_owned());
    }
}

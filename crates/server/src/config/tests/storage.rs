//! Where attachments are, and which keys go together for that.

use super::*;

/// What names a bucket, with other flags.
fn with_bucket(flags: &[(&'static str, &str)]) -> Sources {
    let bucket = [
        ("attachments.s3_bucket", "notes"),
        ("attachments.s3_access_key_id", "AKIA"),
    ];
    let secret = [("MOSAIC_ATTACHMENTS_S3_SECRET_ACCESS_KEY", "hunter2")];
    sources(&[&bucket[..], flags].concat(), &secret, None)
}

#[test]
fn attachments_are_in_a_folder_unless_a_bucket_is_named() {
    let storage = |flags: &[(&'static str, &str)]| loaded(flags, &[], "").config.storage;
    let folder = |path: &str| StorageConfig::Folder(PathBuf::from(path));
    let data = ("data_dir", "/data");
    let memory = ("database_url", "sqlite::memory:");
    let named = ("attachments.folder", "/files");
    assert_eq!(storage(&[data]), folder("/data/attachments"));
    assert_eq!(storage(&[data, named]), folder("/files"));
    assert_eq!(storage(&[data, memory]), StorageConfig::Temporary);
    assert_eq!(storage(&[memory, named]), folder("/files"));
    assert!(
        loaded(&[data], &[], "")
            .values
            .to_string()
            .contains("folder = \"/data/attachments\"  # default\n")
    );

    let s3 = |flags: &[(&'static str, &str)]| match load(&with_bucket(flags)).unwrap().config.storage {
        StorageConfig::S3(s3) => s3,
        other => panic!("{other:?}"),
    };
    let amazon = s3(&[memory]);
    assert_eq!(
        (amazon.name.as_str(), amazon.s3.region.as_str()),
        ("notes", "us-east-1")
    );
    assert_eq!((amazon.s3.endpoint, amazon.path_style), (None, false));
    let own = ("attachments.s3_endpoint", "https://minio.example.org");
    assert!(
        s3(&[own]).path_style,
        "storage of one's own rarely has a host for each bucket"
    );
    assert!(!s3(&[own, ("attachments.s3_path_style", "false")]).path_style);
    let redirects = load(&with_bucket(&[("attachments.redirect_downloads", "true")])).unwrap();
    assert!(redirects.config.attachments.redirect_downloads);
}

#[test]
fn the_key_of_the_storage_is_never_shown() {
    let loaded = load(&with_bucket(&[])).unwrap();
    for shown in [
        loaded.values.to_string(),
        format!("{loaded:?}"),
        format!("{:?}", loaded.config),
    ] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    let endpoint = ("attachments.s3_endpoint", "https://anna:hunter3@minio");
    let error = load(&with_bucket(&[endpoint])).unwrap_err().to_string();
    assert!(!error.contains("hunter"), "{error}");
}

#[test]
fn what_does_not_go_together_is_refused_and_says_why() {
    let both = load(&with_bucket(&[("attachments.folder", "/files")]));
    let error = both.unwrap_err().to_string();
    assert!(
        error.contains("attachments.folder is \"/files\" (--attachments-folder), but must be absent"),
        "{error}"
    );
    let plain = ("attachments.s3_endpoint", "http://minio:9000");
    let error = load(&with_bucket(&[plain])).unwrap_err().to_string();
    assert!(
        error.contains("attachments.s3_endpoint is \"http://minio:9000\"")
            && error.contains("unless attachments.s3_allow_http is true"),
        "{error}"
    );
    assert!(load(&with_bucket(&[plain, ("attachments.s3_allow_http", "true")])).is_ok());

    let keyless = refused(&[("attachments.s3_bucket", "notes")], &[], "");
    for missing in ["attachments.s3_access_key_id", "attachments.s3_secret_access_key"] {
        assert!(
            keyless.contains(&format!("{missing} is missing, but attachments.s3_bucket is set")),
            "{keyless}"
        );
    }
    assert!(
        keyless.contains("Set it with MOSAIC_ATTACHMENTS_S3_SECRET_ACCESS_KEY or"),
        "{keyless}"
    );
    for given in [
        ("attachments.s3_endpoint", "https://minio.example.org"),
        ("attachments.s3_access_key_id", "AKIA"),
    ] {
        let error = refused(&[given], &[], "");
        let expected = format!("attachments.s3_bucket is missing, but {} is set", given.0);
        assert!(error.contains(&expected), "{error}");
    }
    let error = refused(&[("attachments.redirect_downloads", "true")], &[], "");
    assert!(
        error.contains("attachments.redirect_downloads is \"true\"")
            && error.contains("s3_bucket is not set"),
        "{error}"
    );
}

#[test]
fn what_does_not_go_together_is_said_beside_what_is_wrong() {
    let flags = [
        ("attachments.folder", "/files"),
        ("attachments.s3_bucket", "notes"),
        ("attachments.s3_region", "two words"),
        ("attachments.s3_endpoint", "http://minio:9000"),
        ("attachments.s3_public_endpoint", "http://minio:9000"),
    ];
    let error = refused(&flags, &[], "");
    for key in [
        "folder is",
        "s3_region is",
        "s3_endpoint is",
        "s3_public_endpoint is",
        "s3_access_key_id is missing",
        "s3_secret_access_key is missing",
    ] {
        assert!(error.contains(&format!("attachments.{key}")), "{error}");
    }
    assert_eq!(error.lines().count(), 7, "{error}");
}

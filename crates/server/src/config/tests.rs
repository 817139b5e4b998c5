//! Loading: precedence, refusals, hints, secrets, and the documentation's table.

mod shown;
mod storage;

use std::path::{Path, PathBuf};

use super::*;
use crate::listen::Listen;

fn sources(flags: &[(&'static str, &str)], env: &[(&str, &str)], file: Option<&str>) -> Sources {
    Sources {
        flags: flags
            .iter()
            .map(|(key, text)| (*key, (*text).to_owned()))
            .collect(),
        env: env
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect(),
        file: file.map(|text| ConfigFile {
            path: PathBuf::from("mosaic.toml"),
            text: text.to_owned(),
        }),
    }
}

fn loaded(flags: &[(&'static str, &str)], env: &[(&str, &str)], file: &str) -> Loaded {
    load(&sources(flags, env, Some(file))).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(flags: &[(&'static str, &str)], env: &[(&str, &str)], file: &str) -> String {
    load(&sources(flags, env, Some(file)))
        .expect_err("must be refused")
        .to_string()
}

#[test]
fn defaults_are_those_of_the_table() {
    let config = load(&Sources::default()).unwrap().config;
    assert_eq!(config.server.listen, Listen::parse("127.0.0.1:8080").unwrap());
    assert_eq!(config.server.data_dir, Path::new("./mosaic-data"));
    assert_eq!(
        config.database,
        DatabaseUrl::SqliteFile(PathBuf::from("./mosaic-data/mosaic.db"))
    );
    assert_eq!(config.server.registration, Registration::Closed);
    assert!(config.server.admin_password.is_none());
    assert!(config.server.token_secret.is_none());
    assert_eq!(config.http.workers, 0);
    assert_eq!(config.http.max_body_bytes, 16 << 20);
    assert_eq!(config.http.header_timeout, Duration::from_secs(10));
    assert_eq!(config.http.body_timeout, Duration::from_secs(30));
    assert_eq!(config.http.keep_alive, Duration::from_secs(75));
    assert_eq!(config.http.shutdown_timeout, Duration::from_secs(30));
    assert!(!config.http.trust_proxy);
    assert_eq!(config.cors.allowed_origins, AllowedOrigins::Listed(Vec::new()));
    assert_eq!(config.auth.access_token_ttl, Duration::from_hours(1));
    assert_eq!(config.auth.refresh_token_ttl, Duration::from_hours(30 * 24));
    assert_eq!(config.auth.account_attempts_per_minute.get(), 10);
    assert_eq!(config.auth.address_attempts_per_minute.get(), 30);
    assert_eq!(config.retention, Some(Duration::from_hours(90 * 24)));
    let attachments = &config.attachments;
    let folder = StorageConfig::Folder(PathBuf::from("./mosaic-data/attachments"));
    assert_eq!(config.storage, folder);
    assert_eq!(attachments.max_file_bytes, 100 << 20);
    assert_eq!(attachments.max_avatar_bytes, 10 << 20);
    assert_eq!(attachments.user_quota_bytes, 10 << 30);
    assert_eq!(attachments.upload_lifetime, Duration::from_hours(24));
    assert_eq!(attachments.idle_timeout, Duration::from_secs(30));
    assert!(!attachments.redirect_downloads);
    assert_eq!(attachments.address_lifetime, Duration::from_mins(15));
    assert_eq!(config.events.heartbeat, Duration::from_secs(25));
    assert_eq!(config.events.max_per_user.get(), 20);
    assert_eq!(config.postgres.listen_url, None);
    assert_eq!(config.sqlite.readers.get(), 4);
    assert_eq!(config.sqlite.group_commit_max.get(), 256);
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let file = "listen = '127.0.0.1:1'\n[http]\nworkers = 1\n[sqlite]\nreaders = 1";
    let env = [("MOSAIC_LISTEN", "127.0.0.1:2"), ("MOSAIC_HTTP_WORKERS", "2")];
    let config = loaded(&[("listen", "127.0.0.1:3")], &env, file).config;
    assert_eq!(config.server.listen, Listen::parse("127.0.0.1:3").unwrap());
    assert_eq!(config.http.workers, 2);
    assert_eq!(config.sqlite.readers.get(), 1);
    assert_eq!(config.sqlite.group_commit_max.get(), 256);
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let loaded = loaded(
        &[],
        &[("MOSAIC_ADMIN_PASSWORD", ""), ("MOSAIC_LISTEN", "")],
        "listen = '[::1]:1'",
    );
    assert!(loaded.config.server.admin_password.is_none());
    assert_eq!(loaded.config.server.listen, Listen::parse("[::1]:1").unwrap());
}

#[test]
fn a_server_may_listen_at_several_places() {
    let listen = |file: &str| loaded(&[], &[], file).config.server.listen;
    let two = listen("listen = ['localhost:80', 'unix:/run/a']");
    assert_eq!(two, Listen::parse("localhost:80,unix:/run/a").unwrap());
    assert_eq!(listen("listen = [':80']"), listen("listen = ':80'"));
    assert!(refused(&[], &[], "listen = ':80,:81'").contains("between [ and ]"));
    assert!(refused(&[], &[], "listen = []").contains("addresses like"));
}

#[test]
fn the_database_is_in_the_data_folder_unless_it_is_named() {
    let database = |flags: &[(&'static str, &str)]| loaded(flags, &[], "").config.database;
    assert_eq!(
        database(&[("data_dir", "/data")]),
        DatabaseUrl::SqliteFile(PathBuf::from("/data/mosaic.db"))
    );
    assert_eq!(
        database(&[("data_dir", "/data"), ("database_url", "sqlite::memory:")]),
        DatabaseUrl::SqliteMemory
    );
}

#[test]
fn lists_are_arrays_in_the_file_and_separated_by_commas_elsewhere() {
    let expected = AllowedOrigins::Listed(vec![
        "https://a.example".to_owned(),
        "https://b.example".to_owned(),
    ]);
    let from_file = loaded(
        &[],
        &[],
        "[cors]\nallowed_origins = ['https://a.example', 'https://b.example']",
    );
    assert_eq!(from_file.config.cors.allowed_origins, expected);
    let env = [(
        "MOSAIC_CORS_ALLOWED_ORIGINS",
        "https://a.example, https://b.example",
    )];
    assert_eq!(loaded(&[], &env, "").config.cors.allowed_origins, expected);
    assert!(refused(&[], &[], "[cors]\nallowed_origins = 'https://a.example,b'").contains("between [ and ]"));
    assert!(
        refused(&[], &[], "[cors]\nallowed_origins = ['https://a.example,b']")
            .contains("cors.allowed_origins")
    );
}

#[test]
fn every_key_refuses_a_wrong_value_by_name() {
    for spec in KEYS {
        let wrong = match spec.kind {
            Kind::List(_) => "no origin",
            _ => "\u{1}",
        };
        // A path may be anything but empty, and empty variables count as not set.
        if matches!(
            spec.key,
            "data_dir"
                | "postgres.root_certificate"
                | "attachments.folder"
                | "backup.folder"
                | "tls.certificate"
                | "tls.key"
        ) {
            continue;
        }
        let error = refused(&[], &[(&spec.env(), wrong)], "");
        assert!(error.contains(&format!("{} is ", spec.key)), "{error}");
        assert!(error.contains(&format!("({})", spec.env())), "{error}");
        assert!(error.contains(&spec.kind.to_string()), "{error}");
        if let Some(flag) = spec.flag() {
            let error = refused(&[(spec.key, wrong)], &[], "");
            assert!(error.contains(&format!("(--{flag})")), "{error}");
        }
        let error = refused(&[], &[], &format!("{} = 1.5", spec.key));
        assert!(error.contains(&format!("{} is ", spec.key)), "{error}");
        assert!(error.contains("(mosaic.toml)"), "{error}");
    }
    assert!(refused(&[("data_dir", "")], &[], "").contains("data_dir is \"\" (--data-dir)"));
}

#[test]
fn a_refusal_says_what_is_expected_and_how_to_set_it() {
    assert_eq!(
        refused(&[], &[("MOSAIC_HTTP_WORKERS", "many")], ""),
        "the configuration can not be used\n  - http.workers is \"many\" (MOSAIC_HTTP_WORKERS), but must be a whole \
         number from 0 to 1024. Set it with --http-workers, MOSAIC_HTTP_WORKERS or workers under [http] in mosaic.toml"
    );
}

#[test]
fn numbers_keep_to_their_bounds() {
    for spec in KEYS {
        let Kind::Integer(least, most) = spec.kind else {
            continue;
        };
        let mut outside = vec![
            (most + 1).to_string(),
            "-1".to_owned(),
            "1.5".to_owned(),
            "1e3".to_owned(),
        ];
        outside.extend(least.checked_sub(1).map(|number| number.to_string()));
        for number in outside {
            let error = refused(&[], &[(&spec.env(), &number)], "");
            assert!(error.contains(&format!("from {least} to {most}")), "{error}");
        }
        // Both ends are accepted; the two lifetimes are moved together, as one bounds the other.
        for number in [least.to_string(), most.to_string()] {
            let mut env = vec![(spec.env(), number.clone())];
            if spec.key.starts_with("auth.") && spec.key.ends_with("_ttl_ms") {
                env.push((AuthConfig::access_token_ttl.env(), "1000".to_owned()));
            }
            env.dedup_by(|one, other| one.0 == other.0);
            let sources = Sources {
                env: env.into_iter().collect(),
                ..Sources::default()
            };
            assert!(load(&sources).is_ok(), "{} = {number}", spec.key);
        }
    }
}

#[test]
fn a_login_can_not_be_shorter_than_its_access_tokens() {
    let env = [
        ("MOSAIC_AUTH_ACCESS_TOKEN_TTL_MS", "2000"),
        ("MOSAIC_AUTH_REFRESH_TOKEN_TTL_MS", "1999"),
    ];
    let error = refused(&[], &env, "");
    assert!(
        error.contains("auth.refresh_token_ttl_ms is 1999 (MOSAIC_AUTH_REFRESH_TOKEN_TTL_MS)"),
        "{error}"
    );
    assert!(
        error.contains("at least auth.access_token_ttl_ms, which is 2000"),
        "{error}"
    );
}

#[test]
fn the_database_s_password_is_never_shown() {
    let url = "postgres://mosaic:hunter2@db.example/mosaic";
    let loaded = loaded(&[("database_url", url)], &[], "");
    assert!(
        loaded
            .values
            .to_string()
            .contains("postgres://mosaic:***@db.example/mosaic")
    );
    assert!(!format!("{loaded:?}").contains("hunter2"));
    let refused = refused(
        &[("database_url", "postgress://mosaic:hunter2@db.example/mosaic")],
        &[],
        "",
    );
    assert!(
        refused.contains("postgress://mosaic:***@") && !refused.contains("hunter2"),
        "{refused}"
    );
}

#[test]
fn a_retention_of_no_days_means_for_ever() {
    assert_eq!(loaded(&[("retention.days", "0")], &[], "").config.retention, None);
    let week = loaded(&[("retention.days", "7")], &[], "").config.retention;
    assert_eq!(week, Some(Duration::from_hours(7 * 24)));
}

#[test]
fn listening_happens_where_it_is_said_or_where_the_database_is() {
    let url = "postgres://mosaic:hunter2@db.example:5432/mosaic";
    let named = loaded(&[("postgres.listen_url", url)], &[], "");
    let found = named.config.postgres.listen_url.as_ref().map(PostgresUrl::expose);
    assert_eq!(found, Some(url));
    assert!(
        named.values.to_string().contains(
            "listen_url = \"postgres://mosaic:***@db.example:5432/mosaic\"  # --postgres-listen-url"
        ),
        "{}",
        named.values
    );
    assert!(!format!("{named:?}").contains("hunter2"));
    let empty = loaded(&[], &[], "[postgres]\nlisten_url = ''");
    assert_eq!(empty.config.postgres.listen_url, None);
    assert!(
        empty
            .values
            .to_string()
            .contains("# listen_url is not set: the same as `database_url`"),
        "{}",
        empty.values
    );
    let error = refused(&[("postgres.listen_url", "sqlite://mosaic.db")], &[], "");
    assert!(
        error.contains("must be postgres://USER:PASSWORD@HOST/DATABASE"),
        "{error}"
    );
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let env = [("MOSAIC_LISTEN", "everywhere"), ("MOSAIC_HTTP_WORKERS", "many")];
    let error = refused(&[("log.format", "xml")], &env, "regitration = 'open'");
    assert_eq!(error.lines().count(), 5, "{error}");
}

#[test]
fn a_wrong_value_is_not_measured_by_others() {
    for flags in [
        [
            ("auth.access_token_ttl_ms", "no"),
            ("auth.refresh_token_ttl_ms", "1000"),
        ],
        [
            ("attachments.s3_bucket", "two words"),
            ("attachments.s3_endpoint", "https://minio"),
        ],
        [
            ("attachments.s3_bucket", "two words"),
            ("attachments.redirect_downloads", "true"),
        ],
    ] {
        let error = refused(&flags, &[], "");
        assert!(error.contains(&format!("{} is", flags[0].0)), "{error}");
        assert_eq!(error.lines().count(), 2, "{error}");
    }
}

#[test]
fn unknown_keys_in_the_file_are_refused_with_a_hint() {
    for (text, key, hint) in [
        ("lisen = '127.0.0.1:1'", "lisen", "Did you mean listen?"),
        ("[http]\nworker = 1", "http.worker", "Did you mean http.workers?"),
        ("workers = 1", "workers", "Did you mean http.workers?"),
        (
            "[htpp]\nkeep_alive_ms = 1",
            "htpp.keep_alive_ms",
            "Did you mean http.keep_alive_ms?",
        ),
        ("[logg]", "logg", ""),
        ("[listen]\nport = 1", "listen.port", ""),
        ("[[http]]\nworkers = 1", "http", ""),
        ("entirely_different = 1", "entirely_different", ""),
    ] {
        let error = refused(&[], &[], text);
        assert!(
            error.contains(&format!("{key} (mosaic.toml) is not a known key")),
            "{error}"
        );
        assert!(error.contains(hint), "{error}");
    }
}

#[test]
fn unknown_variables_are_warned_about_with_a_hint() {
    let env = [
        ("MOSAIC_REGISTRATON", "open"),
        ("MOSAIC_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("MOSAIC_CONFIG", "x"),
        ("PATH", "/bin"),
    ];
    let warnings = loaded(&[], &env, "").warnings;
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings[0].contains("MOSAIC_PORT_8080_TCP is not a known one"),
        "{warnings:?}"
    );
    assert!(
        warnings[1].ends_with("Did you mean MOSAIC_REGISTRATION?"),
        "{warnings:?}"
    );
}

#[test]
fn a_file_that_is_no_toml_is_refused_with_its_line_and_without_its_text() {
    let error = refused(
        &[],
        &[],
        "listen = '127.0.0.1:1'\nadmin_password = hunter2hunter2\n",
    );
    assert!(error.starts_with("mosaic.toml, line 2: "), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

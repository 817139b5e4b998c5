//! Every key of the configuration, once: from these lines come the fields, how they are read, the flags, the variables
//! and the documentation. A new key is one entry.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use mosaic_adapter_blobs::Secret;
use mosaic_domain::account::Password;
use mosaic_domain::{TimeOfDay, TimeZone};

use super::database_url::{DatabaseUrl, PostgresUrl};
use super::reader::Reader;
use super::spec::DefaultValue::{Is, Otherwise};
use super::spec::KeySpec;
use super::types::{AllowedOrigins, Endpoint, KeyPrefix, LogFilter, LogFormat, Registration, Word};
use super::value::Kind::{Integer, Text};
use crate::listen::Listen;
use crate::secrets::SecretKey;

/// The HTTP server's own timers are kept by a clock that is up to half a second behind: below a second they would run out
/// at once.
const SECOND_MS: u64 = 1_000;
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// Structs whose fields are keys. An entry is:
///
/// ```text
/// /// What it does, in one or two sentences.
/// "its name in mosaic.toml" => visibility field: Type = default, which values are accepted;
/// ```
///
/// The last may be left out, where the type's own description ([`Value::KIND`](super::value::Value::KIND)) says it. Fields
/// that only the rules of this module should see are `pub(super)`.
macro_rules! sections {
    ($(
        $(#[$about:meta])*
        $seen:vis struct $Section:ident {
            $(
                $(#[doc = $help:literal])+
                $key:literal => $vis:vis $field:ident: $Type:ty = $default:expr $(, $kind:expr)?;
            )+
        }
    )+) => {
        $(
            $(#[$about])*
            #[derive(Debug, Clone)]
            $seen struct $Section {
                $($(#[doc = $help])+ $vis $field: $Type,)+
            }

            #[expect(non_upper_case_globals, reason = "a key is named as the field that it becomes")]
            impl $Section {
                $(
                    pub(crate) const $field: KeySpec =
                        KeySpec::new::<$Type>($key, $default, concat!($($help),+))$(.accepting($kind))?;
                )+

                pub(super) fn read(reader: &mut Reader<'_>) -> Self {
                    Self { $($field: reader.read(&Self::$field),)+ }
                }
            }
        )+

        /// Every key, top level first, then section by section.
        pub static KEYS: &[&KeySpec] = &[$($(&$Section::$field,)+)+];
    };
}

sections! {
    /// The keys that are in no section.
    pub struct ServerConfig {
        /// Where the server listens. `:8080` is every interface, by IPv6 and IPv4, the name of a host all its addresses,
        /// port 0 any free port, `unix:` a socket for a proxy that is in the server's group, `systemd` what a socket unit
        /// hands over.
        "listen" => pub listen: Listen = Is("127.0.0.1:8080");
        /// The folder of the database and the generated secrets. Created, for its owner only, when missing.
        "data_dir" => pub data_dir: PathBuf = Is("./mosaic-data");
        /// The store. `sqlite::memory:` forgets everything when the server stops. PostgreSQL takes `?sslmode=`.
        "database_url" => pub(super) database_url: Option<DatabaseUrl>
            = Otherwise("`mosaic.db` in the data folder");
        /// Whether anybody may make an account for themselves, or only administrators for others.
        "registration" => pub registration: Registration = Is("closed");
        /// The time zone that the days of accounts go by that have none of their own.
        "time_zone" => pub time_zone: TimeZone = Is("UTC");
        /// The password of the user `admin`, who is created when an empty store starts. Later it has no effect.
        "admin_password" => pub admin_password: Option<Password> = Otherwise("a random one, printed once");
        /// The key that signs access tokens. Changing it ends the access tokens that are out; refresh tokens stay
        /// valid.
        "token_secret" => pub token_secret: Option<SecretKey> = Otherwise("generated into the data folder");
    }

    /// What is logged, and how.
    pub struct LogConfig {
        /// How log lines on stderr look: for people, or one JSON object per line.
        "log.format" => pub format: LogFormat = Is("pretty");
        /// How much is logged, overall and per module.
        "log.level" => pub level: LogFilter = Is("info,actix_server=warn");
    }

    /// The web server.
    pub struct HttpConfig {
        /// Threads that serve requests. 0: as many as the machine has cores.
        "http.workers" => pub workers: usize = Is("0"), Integer(0, 1024);
        /// The largest request body, in bytes, after unpacking (16 MiB).
        "http.max_body_bytes" => pub max_body_bytes: usize = Is("16777216"), Integer(1024, 1 << 30);
        /// How much memory request bodies and answers may take together, in bytes (128 MiB), and each user a quarter of
        /// it. Large heads of requests may take a quarter besides. Beyond: 503.
        "http.memory_budget_bytes" => pub memory_budget_bytes: usize
            = Is("134217728"), Integer(1 << 20, 1 << 40);
        /// Requests of one user that run at the same time, and at most on half of the connections to the database.
        /// Others wait for a moment.
        "http.requests_per_user" => pub requests_per_user: NonZeroUsize = Is("8"), Integer(1, 10_000);
        /// Of these, searches and others that look at much of what the user has; at most half of the places there are
        /// for such.
        "http.heavy_requests_per_user" => pub heavy_requests_per_user: NonZeroUsize
            = Is("2"), Integer(1, 1_000);
        /// How long a client may take to send the head of a request, and to shake hands for HTTPS, in milliseconds (10 s).
        "http.header_timeout_ms" => pub header_timeout: Duration = Is("10000"), Integer(SECOND_MS, HOUR_MS);
        /// How long a client may take to send the body of a request, in milliseconds (30 s).
        "http.body_timeout_ms" => pub body_timeout: Duration = Is("30000"), Integer(1, HOUR_MS);
        /// How long an idle connection stays open, in milliseconds (75 s).
        "http.keep_alive_ms" => pub keep_alive: Duration = Is("75000"), Integer(SECOND_MS, HOUR_MS);
        /// How long requests in flight may take to finish when the server is stopped, in milliseconds (30 s).
        "http.shutdown_timeout_ms" => pub shutdown_timeout: Duration = Is("30000"), Integer(0, HOUR_MS);
        /// Take client addresses from Forwarded or X-Forwarded-For. Only behind a proxy that sets them: clients can
        /// lie.
        "http.trust_proxy" => pub trust_proxy: bool = Is("false");
        /// Where people reach this server, for the links of invites.
        "http.public_url" => pub public_url: Option<Endpoint>
            = Otherwise("links of invites begin with `/`"), Text("an address like https://sync.example.org");
    }

    /// HTTPS without a proxy.
    pub struct TlsConfig {
        /// The certificate by which the server speaks HTTPS at its network addresses, and after it those that lead to an
        /// authority. Read again when the file changes. A `unix:` socket stays plain.
        "tls.certificate" => pub(super) certificate: Option<PathBuf>
            = Otherwise("plain HTTP, for a proxy that terminates TLS"), Text("the path of a PEM file");
        /// The private key of the certificate.
        "tls.key" => pub(super) key: Option<PathBuf>
            = Otherwise("needed with `tls.certificate`"), Text("the path of a PEM file");
    }

    /// Cross-origin requests of web pages.
    pub struct CorsConfig {
        /// Web pages of which origins may call this server. Empty: none, which is right for phones.
        "cors.allowed_origins" => pub allowed_origins: AllowedOrigins = Is("");
    }

    /// Tokens and login attempts.
    pub struct AuthConfig {
        /// How long an access token is valid, in milliseconds (1 h).
        "auth.access_token_ttl_ms" => pub access_token_ttl: Duration
            = Is("3600000"), Integer(1000, 30 * DAY_MS);
        /// How long a login lasts that is not used, in milliseconds (30 days). Not less than an access token.
        "auth.refresh_token_ttl_ms" => pub refresh_token_ttl: Duration
            = Is("2592000000"), Integer(1000, 3650 * DAY_MS);
        /// Wrong passwords per minute for one account: of all strangers together, and of each device that is known to
        /// it. Wrong secrets of invites per minute from one address.
        "auth.account_attempts_per_minute" => pub account_attempts_per_minute: NonZeroU32
            = Is("10"), Integer(1, 1_000_000);
        /// Wrong passwords per minute from one address, and registrations.
        "auth.address_attempts_per_minute" => pub address_attempts_per_minute: NonZeroU32
            = Is("30"), Integer(1, 1_000_000);
    }

    /// What the records and revisions of one user may come to (W10).
    pub struct LimitsConfig {
        /// What the records of one user and their history may come to, in bytes (2 GiB). Searching takes as much again.
        "limits.user_records_bytes" => pub user_records_bytes: u64 = Is("2147483648"), Integer(1, 1 << 50);
    }

    /// How long what is old is kept.
    pub(crate) struct RetentionConfig {
        /// After how many days revisions, and the content of deleted records, are forgotten. 0: never.
        "retention.days" => pub(super) days: u32 = Is("90"), Integer(0, 36_500);
        /// After how many days what happened to accounts (logins, changes, exports) is forgotten. 0: never. Of one account and
        /// kind the newest 1,000 are kept.
        "retention.activity_days" => pub(super) activity_days: u32 = Is("365"), Integer(0, 36_500);
    }

    /// Backups that the server makes by itself.
    pub struct BackupConfig {
        /// Once a day the embedded store and its attachments are saved into this folder, as `mosaic backup --to` does.
        "backup.folder" => pub folder: Option<PathBuf> = Otherwise("the server makes no backups by itself");
        /// When, by the clocks of `time_zone`. A backup that was missed is made as soon as the server runs.
        "backup.schedule" => pub schedule: TimeOfDay = Is("03:30");
        /// How many backups stay in the folder. The oldest go.
        "backup.keep" => pub keep: NonZeroU32 = Is("7"), Integer(1, 10_000);
    }

    /// The bytes behind resources.
    pub struct AttachmentsConfig {
        /// The folder of the attachments. All instances must have the same one. With `sqlite::memory:` the default is a
        /// temporary one.
        "attachments.folder" => pub(super) folder: Option<PathBuf>
            = Otherwise("`attachments` in the data folder");
        /// The largest attachment, in bytes (100 MiB).
        "attachments.max_file_bytes" => pub max_file_bytes: u64 = Is("104857600"), Integer(1, 1 << 40);
        /// The largest picture of an account or a bot, in bytes (10 MiB).
        "attachments.max_avatar_bytes" => pub max_avatar_bytes: u64 = Is("10485760"), Integer(1, 1 << 30);
        /// What the attachments of one user may come to, in bytes (10 GiB). The same content counts once.
        "attachments.user_quota_bytes" => pub user_quota_bytes: u64 = Is("10737418240"), Integer(1, 1 << 50);
        /// How long an upload that is not finished is kept after its last bytes, in milliseconds (24 h).
        "attachments.upload_lifetime_ms" => pub upload_lifetime: Duration
            = Is("86400000"), Integer(SECOND_MS, 30 * DAY_MS);
        /// How long a request that brings a file may send nothing, in milliseconds (30 s).
        "attachments.idle_timeout_ms" => pub idle_timeout: Duration = Is("30000"), Integer(1, HOUR_MS);
        /// Send downloads to a signed address of the S3 storage, which clients must reach, instead of passing the bytes
        /// on.
        "attachments.redirect_downloads" => pub redirect_downloads: bool = Is("false");
        /// How long a signed address of the S3 storage works, for downloads and for direct uploads, in milliseconds (15
        /// min).
        "attachments.address_lifetime_ms" => pub address_lifetime: Duration
            = Is("900000"), Integer(SECOND_MS, 12 * HOUR_MS);
    }

    /// Storage that speaks S3. In force where a bucket is named.
    #[derive(PartialEq, Eq)]
    pub struct S3Config {
        /// Keeps attachments in this bucket, which must be there, of storage that speaks S3.
        "attachments.s3_bucket" => pub(super) bucket: Option<Word>
            = Otherwise("attachments are in a folder"), Text("the name of a bucket");
        /// The region of the bucket. With storage of one's own usually `us-east-1`.
        "attachments.s3_region" => pub region: Word = Is("us-east-1"), Text("the name of a region");
        /// Where the S3 storage is.
        "attachments.s3_endpoint" => pub endpoint: Option<Endpoint> = Otherwise("Amazon's, of the region");
        /// Where clients reach the same S3 storage, for signed addresses.
        "attachments.s3_public_endpoint" => pub public_endpoint: Option<Endpoint>
            = Otherwise("the same as `attachments.s3_endpoint`"), Text("an address like https://files.example.org");
        /// Whether the bucket stands in the path of addresses (`host/bucket`) rather than in the host (`bucket.host`).
        "attachments.s3_path_style" => pub(super) path_style: Option<bool>
            = Otherwise("`true` where `attachments.s3_endpoint` is set, else `false`");
        /// Take endpoints that begin with http://. Attachments can be read and changed on the way then.
        "attachments.s3_allow_http" => pub allow_http: bool = Is("false");
        /// What the keys of all objects begin with, where the bucket has others too.
        "attachments.s3_prefix" => pub prefix: KeyPrefix = Is("");
        /// How long one attempt at a request to the S3 storage may take, in milliseconds (60 s): 5 MiB are sent in this
        /// time.
        "attachments.s3_timeout_ms" => pub timeout: Duration = Is("60000"), Integer(10, HOUR_MS);
        /// The access key of the S3 storage: it must be allowed to list the bucket, and to read, write and delete in
        /// it.
        "attachments.s3_access_key_id" => pub(super) access_key_id: Option<Word>
            = Otherwise("needed with `attachments.s3_bucket`"), Text("the id of an access key");
        /// The secret that belongs to the access key.
        "attachments.s3_secret_access_key" => pub(super) secret_access_key: Option<Secret>
            = Otherwise("needed with `attachments.s3_bucket`");
    }

    /// Connections that listen for changes.
    pub struct EventsConfig {
        /// How often a connection that listens for changes hears that it still does, in milliseconds (25 s).
        "events.heartbeat_ms" => pub heartbeat: Duration = Is("25000"), Integer(10, HOUR_MS);
        /// Connections of one user that listen for changes, at most, on this instance.
        "events.max_per_user" => pub max_per_user: NonZeroUsize = Is("20"), Integer(1, 10_000);
    }

    /// Figures for Prometheus.
    pub struct MetricsConfig {
        /// Where `GET /metrics` answers, for Prometheus. Whoever reaches it can read it: an address of this machine, or
        /// of a private network.
        "metrics.listen" => pub listen: Option<SocketAddr> = Otherwise("no metrics are served");
    }

    /// The production store.
    pub struct PostgresConfig {
        /// Where the server hears of the commits of other instances: past PgBouncer, which carries no notifications.
        "postgres.listen_url" => pub listen_url: Option<PostgresUrl>
            = Otherwise("the same as `database_url`");
        /// Connections to PostgreSQL, at most, of this instance.
        "postgres.pool_size" => pub pool_size: NonZeroUsize = Is("16"), Integer(1, 1_000);
        /// Prepare statements once per connection. `false` behind PgBouncer in transaction mode, which breaks them.
        "postgres.prepared_statements" => pub prepared_statements: bool = Is("true");
        /// Ask a connection of the pool whether it still works before it is used again: one round trip more per
        /// request.
        "postgres.verify_connections" => pub verify_connections: bool = Is("false");
        /// The certificate authority that PostgreSQL's certificate must come from, for `sslmode=verify-full`.
        "postgres.root_certificate" => pub root_certificate: Option<PathBuf>
            = Otherwise("the authorities that the machine trusts"), Text("the path of a PEM file");
        /// How long a request may wait for a connection of the pool, in milliseconds (2 s). Then it is answered 503.
        "postgres.acquire_timeout_ms" => pub acquire_timeout: Duration = Is("2000"), Integer(1, HOUR_MS);
        /// How long connecting to PostgreSQL may take, in milliseconds (3 s).
        "postgres.connect_timeout_ms" => pub connect_timeout: Duration = Is("3000"), Integer(1, HOUR_MS);
        /// How long PostgreSQL may look something up for one request, in milliseconds (10 s). Then it is stopped, and
        /// answered 503.
        "postgres.read_timeout_ms" => pub read_timeout: Duration = Is("10000"), Integer(1, HOUR_MS);
        /// How long PostgreSQL may work on one statement, in milliseconds (30 s).
        "postgres.statement_timeout_ms" => pub statement_timeout: Duration = Is("30000"), Integer(1, HOUR_MS);
        /// How long a write may wait for another one of the same user, in milliseconds (10 s).
        "postgres.lock_timeout_ms" => pub lock_timeout: Duration = Is("10000"), Integer(1, HOUR_MS);
        /// After how long PostgreSQL ends a transaction of an instance that has fallen silent, in milliseconds (10 s).
        "postgres.idle_transaction_timeout_ms" => pub idle_transaction_timeout: Duration
            = Is("10000"), Integer(1, HOUR_MS);
        /// How long a connection may be silent before it is checked, in milliseconds (30 s).
        "postgres.keepalive_ms" => pub keepalive: Duration = Is("30000"), Integer(1000, HOUR_MS);
    }

    /// The embedded store.
    pub struct SqliteConfig {
        /// Connections that read at the same time. There is always exactly one that writes.
        "sqlite.readers" => pub readers: NonZeroUsize = Is("4"), Integer(1, 64);
        /// How long something may be looked up for one request, in milliseconds (10 s). Then it is stopped, and
        /// answered 503.
        "sqlite.read_timeout_ms" => pub read_timeout: Duration = Is("10000"), Integer(1, HOUR_MS);
        /// At most so many queued writes share one commit, and so one wait for the disk.
        "sqlite.group_commit_max" => pub group_commit_max: NonZeroUsize = Is("256"), Integer(1, 10_000);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::spec::CONFIG_ENV;
    use super::*;

    #[test]
    fn names_are_derived_from_the_key() {
        assert_eq!(HttpConfig::max_body_bytes.env(), "MOSAIC_HTTP_MAX_BODY_BYTES");
        assert_eq!(HttpConfig::max_body_bytes.flag().unwrap(), "http-max-body-bytes");
        assert_eq!(ServerConfig::admin_password.env(), "MOSAIC_ADMIN_PASSWORD");
    }

    #[test]
    fn secrets_have_no_flag() {
        for spec in KEYS {
            assert_eq!(spec.flag().is_none(), spec.secret, "{}", spec.key);
        }
    }

    #[test]
    fn keys_variables_and_flags_are_unique() {
        let count = |names: Vec<String>| names.into_iter().collect::<BTreeSet<_>>().len();
        assert_eq!(
            count(KEYS.iter().map(|spec| spec.key.to_owned()).collect()),
            KEYS.len()
        );
        assert_eq!(count(KEYS.iter().map(|spec| spec.env()).collect()), KEYS.len());
        let flags: Vec<_> = KEYS.iter().filter_map(|spec| spec.flag()).collect();
        assert_eq!(count(flags.clone()), flags.len());
        assert!(KEYS.iter().all(|spec| spec.env() != CONFIG_ENV));
    }

    #[test]
    fn top_level_keys_come_first_and_sections_stay_together() {
        let mut sections: Vec<_> = KEYS
            .iter()
            .map(|spec| spec.key.split_once('.').map_or("", |(section, _)| section))
            .collect();
        assert_eq!(sections[0], "");
        sections.dedup();
        assert_eq!(
            sections.len(),
            sections.iter().collect::<BTreeSet<_>>().len(),
            "{sections:?}"
        );
    }
}

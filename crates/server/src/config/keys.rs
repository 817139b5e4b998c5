//! The one table of configuration keys.
//!
//! Flags, environment variables, the documentation (docs/configuration.md) and the messages about wrong values are all
//! made from it. A new key is one entry here and one line in [`super::load`].

use std::fmt;

/// One configuration key.
#[derive(Debug)]
pub struct KeySpec {
    /// The name in `mosaic.toml`, its section before a dot: `http.max_body_bytes`.
    pub key: &'static str,
    /// Which values are accepted.
    pub kind: Kind,
    /// What holds when nobody sets it.
    pub default: DefaultValue,
    /// Never shown, and without a flag: arguments can be read by every process of the machine.
    pub secret: bool,
    /// What it does, in one or two sentences.
    pub help: &'static str,
}

/// Which values a key accepts.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A text that the key's own parser judges; this describes what it accepts.
    Text(&'static str),
    /// A whole number within bounds, both included.
    Integer(u64, u64),
    /// `true` or `false`.
    Bool,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list in `mosaic.toml`, separated by commas elsewhere; this describes its items.
    List(&'static str),
}

/// What holds when nobody sets a key.
#[derive(Debug, Clone, Copy)]
pub enum DefaultValue {
    /// This value, as it would be written in the environment.
    Is(&'static str),
    /// No value; this describes what happens instead.
    Otherwise(&'static str),
}

impl KeySpec {
    /// The environment variable: the key in capitals, `MOSAIC_` before it, `_` for the dot.
    pub fn env(&self) -> String {
        format!("{ENV_PREFIX}{}", self.key.replace('.', "_").to_uppercase())
    }

    /// The flag without its dashes: the key with `-` for dots and underscores. None for a secret.
    pub fn flag(&self) -> Option<String> {
        (!self.secret).then(|| self.key.replace(['.', '_'], "-"))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(what) => f.write_str(what),
            Self::Integer(least, most) => write!(f, "a whole number from {least} to {most}"),
            Self::Bool => f.write_str("true or false"),
            Self::Choice(words) => f.write_str(&words.join(" or ")),
            Self::List(items) => write!(f, "a list of {items}"),
        }
    }
}

/// What the names of all our environment variables begin with.
pub const ENV_PREFIX: &str = "MOSAIC_";

/// The environment variable that names the configuration file.
pub const CONFIG_ENV: &str = "MOSAIC_CONFIG";

/// The configuration file that is read when it is there and no other is named.
pub const DEFAULT_FILE: &str = "mosaic.toml";

/// The HTTP server's own timers are kept by a clock that is up to half a second behind: below a second they would run out
/// at once.
const SECOND_MS: u64 = 1_000;
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

macro_rules! keys {
    ($($name:ident: $key:literal, $kind:expr, $default:expr, $secret:literal, $help:literal;)*) => {
        $(
            #[doc = $help]
            pub static $name: KeySpec =
                KeySpec { key: $key, kind: $kind, default: $default, secret: $secret, help: $help };
        )*
        /// Every key, top level first, then section by section.
        pub static KEYS: &[&KeySpec] = &[$(&$name),*];
    };
}

keys! {
    LISTEN: "listen", Kind::Text("an IP address and a port, like 127.0.0.1:8080 or [::]:8080"),
        DefaultValue::Is("127.0.0.1:8080"), false,
        "Where the server listens. `0.0.0.0` or `[::]` for every interface, port 0 for any free port.";
    DATA_DIR: "data_dir", Kind::Text("a path"), DefaultValue::Is("./mosaic-data"), false,
        "The folder of the database and the generated secrets. Created, for its owner only, when missing.";
    DATABASE_URL: "database_url", Kind::Text("sqlite://PATH, sqlite::memory: or postgres://USER:PASSWORD@HOST/DATABASE"),
        DefaultValue::Otherwise("`mosaic.db` in the data folder"), false,
        "The store. `sqlite::memory:` forgets everything when the server stops. PostgreSQL takes `?sslmode=`.";
    REGISTRATION: "registration", Kind::Choice(&["closed", "open"]), DefaultValue::Is("closed"), false,
        "Whether anybody may make an account for themselves, or only administrators for others.";
    ADMIN_PASSWORD: "admin_password", Kind::Text("a password of at least 8 characters and at most 1024 bytes"),
        DefaultValue::Otherwise("a random one, printed once"), true,
        "The password of the user `admin`, who is created when an empty store starts. Later it has no effect.";
    TOKEN_SECRET: "token_secret", Kind::Text("64 hexadecimal digits (32 bytes), as from `openssl rand -hex 32`"),
        DefaultValue::Otherwise("generated into the data folder"), true,
        "The key that signs access tokens. Changing it ends the access tokens that are out; refresh tokens stay valid.";

    LOG_FORMAT: "log.format", Kind::Choice(&["pretty", "json"]), DefaultValue::Is("pretty"), false,
        "How log lines on stderr look: for people, or one JSON object per line.";
    LOG_LEVEL: "log.level",
        Kind::Text("off, error, warn, info, debug or trace, or several like info,mosaic_server=debug"),
        DefaultValue::Is("info,actix_server=warn"), false,
        "How much is logged, overall and per module.";

    HTTP_WORKERS: "http.workers", Kind::Integer(0, 1024), DefaultValue::Is("0"), false,
        "Threads that serve requests. 0: as many as the machine has cores.";
    HTTP_MAX_BODY_BYTES: "http.max_body_bytes", Kind::Integer(1024, 1 << 30), DefaultValue::Is("16777216"), false,
        "The largest request body, in bytes, after unpacking (16 MiB).";
    HTTP_MEMORY_BUDGET_BYTES: "http.memory_budget_bytes", Kind::Integer(1 << 20, 1 << 40), DefaultValue::Is("134217728"), false,
        "How much memory request bodies and answers may take together, in bytes (128 MiB), and each user a quarter of it. Large heads of requests may take a quarter besides. Beyond: 503.";
    HTTP_REQUESTS_PER_USER: "http.requests_per_user", Kind::Integer(1, 10_000), DefaultValue::Is("8"), false,
        "Requests of one user that run at the same time, and at most on half of the connections to the database. Others wait for a moment.";
    HTTP_HEAVY_REQUESTS_PER_USER: "http.heavy_requests_per_user", Kind::Integer(1, 1_000), DefaultValue::Is("2"), false,
        "Of these, searches and others that look at much of what the user has; at most half of the places there are for such.";
    HTTP_HEADER_TIMEOUT_MS: "http.header_timeout_ms", Kind::Integer(SECOND_MS, HOUR_MS), DefaultValue::Is("10000"), false,
        "How long a client may take to send the head of a request, in milliseconds (10 s).";
    HTTP_BODY_TIMEOUT_MS: "http.body_timeout_ms", Kind::Integer(1, HOUR_MS), DefaultValue::Is("30000"), false,
        "How long a client may take to send the body of a request, in milliseconds (30 s).";
    HTTP_KEEP_ALIVE_MS: "http.keep_alive_ms", Kind::Integer(SECOND_MS, HOUR_MS), DefaultValue::Is("75000"), false,
        "How long an idle connection stays open, in milliseconds (75 s).";
    HTTP_SHUTDOWN_TIMEOUT_MS: "http.shutdown_timeout_ms", Kind::Integer(0, HOUR_MS), DefaultValue::Is("30000"), false,
        "How long requests in flight may take to finish when the server is stopped, in milliseconds (30 s).";
    HTTP_TRUST_PROXY: "http.trust_proxy", Kind::Bool, DefaultValue::Is("false"), false,
        "Take client addresses from Forwarded or X-Forwarded-For. Only behind a proxy that sets them: clients can lie.";

    CORS_ALLOWED_ORIGINS: "cors.allowed_origins",
        Kind::List("origins like https://app.example.org, or * alone for every origin"), DefaultValue::Is(""), false,
        "Web pages of which origins may call this server. Empty: none, which is right for phones.";

    AUTH_ACCESS_TOKEN_TTL_MS: "auth.access_token_ttl_ms", Kind::Integer(1000, 30 * DAY_MS),
        DefaultValue::Is("3600000"), false,
        "How long an access token is valid, in milliseconds (1 h).";
    AUTH_REFRESH_TOKEN_TTL_MS: "auth.refresh_token_ttl_ms", Kind::Integer(1000, 3650 * DAY_MS),
        DefaultValue::Is("2592000000"), false,
        "How long a login lasts that is not used, in milliseconds (30 days). Not less than an access token.";
    AUTH_ACCOUNT_ATTEMPTS_PER_MINUTE: "auth.account_attempts_per_minute", Kind::Integer(1, 1_000_000),
        DefaultValue::Is("10"), false,
        "Wrong passwords per minute for one account: of all strangers together, and of each device that is known to it.";
    AUTH_ADDRESS_ATTEMPTS_PER_MINUTE: "auth.address_attempts_per_minute", Kind::Integer(1, 1_000_000),
        DefaultValue::Is("30"), false,
        "Wrong passwords per minute from one address, and registrations.";

    LIMITS_USER_RECORDS_BYTES: "limits.user_records_bytes", Kind::Integer(1, 1 << 50),
        DefaultValue::Is("2147483648"), false,
        "What the records of one user and their history may come to, in bytes (2 GiB). Searching takes as much again.";

    RETENTION_DAYS: "retention.days", Kind::Integer(0, 36_500), DefaultValue::Is("90"), false,
        "After how many days revisions, and the content of deleted records, are forgotten. 0: never.";

    ATTACHMENTS_FOLDER: "attachments.folder", Kind::Text("a path"),
        DefaultValue::Otherwise("`attachments` in the data folder"), false,
        "The folder of the attachments. All instances must have the same one. With `sqlite::memory:` the default is a temporary one.";
    ATTACHMENTS_MAX_FILE_BYTES: "attachments.max_file_bytes", Kind::Integer(1, 1 << 40),
        DefaultValue::Is("104857600"), false,
        "The largest attachment, in bytes (100 MiB).";
    ATTACHMENTS_MAX_AVATAR_BYTES: "attachments.max_avatar_bytes", Kind::Integer(1, 1 << 30),
        DefaultValue::Is("10485760"), false,
        "The largest picture of an account or a bot, in bytes (10 MiB).";
    ATTACHMENTS_USER_QUOTA_BYTES: "attachments.user_quota_bytes", Kind::Integer(1, 1 << 50),
        DefaultValue::Is("10737418240"), false,
        "What the attachments of one user may come to, in bytes (10 GiB). The same content counts once.";
    ATTACHMENTS_UPLOAD_LIFETIME_MS: "attachments.upload_lifetime_ms", Kind::Integer(SECOND_MS, 30 * DAY_MS),
        DefaultValue::Is("86400000"), false,
        "How long an upload that is not finished is kept after its last bytes, in milliseconds (24 h).";
    ATTACHMENTS_IDLE_TIMEOUT_MS: "attachments.idle_timeout_ms", Kind::Integer(1, HOUR_MS),
        DefaultValue::Is("30000"), false,
        "How long a request that brings a file may send nothing, in milliseconds (30 s).";
    ATTACHMENTS_REDIRECT_DOWNLOADS: "attachments.redirect_downloads", Kind::Bool, DefaultValue::Is("false"), false,
        "Send downloads to a signed address of the S3 storage, which clients must reach, instead of passing the bytes on.";
    ATTACHMENTS_ADDRESS_LIFETIME_MS: "attachments.address_lifetime_ms", Kind::Integer(SECOND_MS, 12 * HOUR_MS),
        DefaultValue::Is("900000"), false,
        "How long a signed address of the S3 storage works, for downloads and for direct uploads, in milliseconds (15 min).";
    ATTACHMENTS_S3_BUCKET: "attachments.s3_bucket", Kind::Text("the name of a bucket"),
        DefaultValue::Otherwise("attachments are in a folder"), false,
        "Keeps attachments in this bucket, which must be there, of storage that speaks S3.";
    ATTACHMENTS_S3_REGION: "attachments.s3_region", Kind::Text("the name of a region"),
        DefaultValue::Is("us-east-1"), false,
        "The region of the bucket. With storage of one's own usually `us-east-1`.";
    ATTACHMENTS_S3_ENDPOINT: "attachments.s3_endpoint", Kind::Text("an address like https://minio.example.org"),
        DefaultValue::Otherwise("Amazon's, of the region"), false,
        "Where the S3 storage is.";
    ATTACHMENTS_S3_PUBLIC_ENDPOINT: "attachments.s3_public_endpoint",
        Kind::Text("an address like https://files.example.org"),
        DefaultValue::Otherwise("the same as `attachments.s3_endpoint`"), false,
        "Where clients reach the same S3 storage, for signed addresses.";
    ATTACHMENTS_S3_PATH_STYLE: "attachments.s3_path_style", Kind::Bool,
        DefaultValue::Otherwise("`true` where `attachments.s3_endpoint` is set, else `false`"), false,
        "Whether the bucket stands in the path of addresses (`host/bucket`) rather than in the host (`bucket.host`).";
    ATTACHMENTS_S3_ALLOW_HTTP: "attachments.s3_allow_http", Kind::Bool, DefaultValue::Is("false"), false,
        "Take endpoints that begin with http://. Attachments can be read and changed on the way then.";
    ATTACHMENTS_S3_PREFIX: "attachments.s3_prefix", Kind::Text("what keys may begin with, like mosaic/"),
        DefaultValue::Is(""), false,
        "What the keys of all objects begin with, where the bucket has others too.";
    ATTACHMENTS_S3_TIMEOUT_MS: "attachments.s3_timeout_ms", Kind::Integer(10, HOUR_MS), DefaultValue::Is("60000"), false,
        "How long one attempt at a request to the S3 storage may take, in milliseconds (60 s): 5 MiB are sent in this time.";
    ATTACHMENTS_S3_ACCESS_KEY_ID: "attachments.s3_access_key_id", Kind::Text("the id of an access key"),
        DefaultValue::Otherwise("needed with `attachments.s3_bucket`"), false,
        "The access key of the S3 storage: it must be allowed to list the bucket, and to read, write and delete in it.";
    ATTACHMENTS_S3_SECRET_ACCESS_KEY: "attachments.s3_secret_access_key", Kind::Text("a secret access key"),
        DefaultValue::Otherwise("needed with `attachments.s3_bucket`"), true,
        "The secret that belongs to the access key.";

    EVENTS_HEARTBEAT_MS: "events.heartbeat_ms", Kind::Integer(10, HOUR_MS), DefaultValue::Is("25000"), false,
        "How often a connection that listens for changes hears that it still does, in milliseconds (25 s).";
    EVENTS_MAX_PER_USER: "events.max_per_user", Kind::Integer(1, 10_000), DefaultValue::Is("20"), false,
        "Connections of one user that listen for changes, at most, on this instance.";

    POSTGRES_LISTEN_URL: "postgres.listen_url", Kind::Text("postgres://USER:PASSWORD@HOST/DATABASE"),
        DefaultValue::Otherwise("the same as `database_url`"), false,
        "Where the server hears of the commits of other instances: past PgBouncer, which carries no notifications.";
    POSTGRES_POOL_SIZE: "postgres.pool_size", Kind::Integer(1, 1_000), DefaultValue::Is("16"), false,
        "Connections to PostgreSQL, at most, of this instance.";
    POSTGRES_PREPARED_STATEMENTS: "postgres.prepared_statements", Kind::Bool, DefaultValue::Is("true"), false,
        "Prepare statements once per connection. `false` behind PgBouncer in transaction mode, which breaks them.";
    POSTGRES_VERIFY_CONNECTIONS: "postgres.verify_connections", Kind::Bool, DefaultValue::Is("false"), false,
        "Ask a connection of the pool whether it still works before it is used again: one round trip more per request.";
    POSTGRES_ROOT_CERTIFICATE: "postgres.root_certificate", Kind::Text("the path of a PEM file"),
        DefaultValue::Otherwise("the authorities that the machine trusts"), false,
        "The certificate authority that PostgreSQL's certificate must come from, for `sslmode=verify-full`.";
    POSTGRES_ACQUIRE_TIMEOUT_MS: "postgres.acquire_timeout_ms", Kind::Integer(1, HOUR_MS),
        DefaultValue::Is("2000"), false,
        "How long a request may wait for a connection of the pool, in milliseconds (2 s). Then it is answered 503.";
    POSTGRES_CONNECT_TIMEOUT_MS: "postgres.connect_timeout_ms", Kind::Integer(1, HOUR_MS),
        DefaultValue::Is("3000"), false,
        "How long connecting to PostgreSQL may take, in milliseconds (3 s).";
    POSTGRES_READ_TIMEOUT_MS: "postgres.read_timeout_ms", Kind::Integer(1, HOUR_MS), DefaultValue::Is("10000"), false,
        "How long PostgreSQL may look something up for one request, in milliseconds (10 s). Then it is stopped, and answered 503.";
    POSTGRES_STATEMENT_TIMEOUT_MS: "postgres.statement_timeout_ms", Kind::Integer(1, HOUR_MS),
        DefaultValue::Is("30000"), false,
        "How long PostgreSQL may work on one statement, in milliseconds (30 s).";
    POSTGRES_LOCK_TIMEOUT_MS: "postgres.lock_timeout_ms", Kind::Integer(1, HOUR_MS),
        DefaultValue::Is("10000"), false,
        "How long a write may wait for another one of the same user, in milliseconds (10 s).";
    POSTGRES_IDLE_TRANSACTION_TIMEOUT_MS: "postgres.idle_transaction_timeout_ms", Kind::Integer(1, HOUR_MS),
        DefaultValue::Is("10000"), false,
        "After how long PostgreSQL ends a transaction of an instance that has fallen silent, in milliseconds (10 s).";
    POSTGRES_KEEPALIVE_MS: "postgres.keepalive_ms", Kind::Integer(1000, HOUR_MS), DefaultValue::Is("30000"), false,
        "How long a connection may be silent before it is checked, in milliseconds (30 s).";

    SQLITE_READERS: "sqlite.readers", Kind::Integer(1, 64), DefaultValue::Is("4"), false,
        "Connections that read at the same time. There is always exactly one that writes.";
    SQLITE_READ_TIMEOUT_MS: "sqlite.read_timeout_ms", Kind::Integer(1, HOUR_MS), DefaultValue::Is("10000"), false,
        "How long something may be looked up for one request, in milliseconds (10 s). Then it is stopped, and answered 503.";
    SQLITE_GROUP_COMMIT_MAX: "sqlite.group_commit_max", Kind::Integer(1, 10_000), DefaultValue::Is("256"), false,
        "At most so many queued writes share one commit, and so one wait for the disk.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_derived_from_the_key() {
        assert_eq!(HTTP_MAX_BODY_BYTES.env(), "MOSAIC_HTTP_MAX_BODY_BYTES");
        assert_eq!(HTTP_MAX_BODY_BYTES.flag().unwrap(), "http-max-body-bytes");
        assert_eq!(ADMIN_PASSWORD.env(), "MOSAIC_ADMIN_PASSWORD");
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
